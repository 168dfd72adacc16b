"""Roles, permissions and the form of keys."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiant_dagster.domain.principals import (
    PERMISSIONS,
    ROLES,
    KeyText,
    Principal,
    parse_key,
    validate_principal,
)
from radiant_dagster.errors import InvalidInput

SECRET = "s" * 43


def principal(*roles: str, domains: frozenset[str] | None = None) -> Principal:
    return Principal(
        uuid.UUID(int=1), uuid.UUID(int=2), "Lee", "person", frozenset(roles), domains  # type: ignore[arg-type]
    )  # fmt: skip


def check(**changes: object) -> frozenset[str]:
    values: dict[str, object] = {
        "name": "Lee", "kind": "person", "roles": frozenset({"reviewer"}), "domains": None,
        "email": None, "known_domains": frozenset({"general", "medical"}),
    }  # fmt: skip
    return validate_principal(**(values | changes))  # type: ignore[arg-type]


def test_every_permission_is_somebodys_and_every_role_has_one() -> None:
    assert all(PERMISSIONS.values())
    assert set().union(*PERMISSIONS.values()) == set(ROLES)


def test_deciding_and_revealing_are_for_nobody_but_those_roles() -> None:
    deciders = {role for role in ROLES if principal(role).may("approvals.decide")}
    revealers = {role for role in ROLES if principal(role).may("approvals.reveal")}

    assert deciders == {"reviewer", "senior"}
    assert revealers == {"privacy"}


def test_a_principal_without_roles_may_nothing() -> None:
    assert not any(principal().may(permission) for permission in PERMISSIONS)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": "  "}),
        ("name", {"name": "x" * 201}),
        ("name", {"name": "System:deadline"}),
        ("name", {"name": "a\0b"}),
        ("role", {"roles": frozenset()}),
        ("role", {"roles": frozenset({"reviewer", "root"})}),
        ("role", {"kind": "service"}),
        ("domain", {"domains": frozenset({"medcial"})}),
        ("domain", {"domains": frozenset()}),
        ("email", {"email": "lee at example"}),
    ],
)
def test_a_principal_that_could_not_work_is_refused_by_field(
    field: str, changes: dict[str, object]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(**changes)

    assert caught.value.field == field


def test_a_usable_principal_is_accepted() -> None:
    assert check(domains=frozenset({"medical"}), email="lee@example.org") == {"reviewer"}


def test_a_key_reads_back_and_never_shows_its_secret() -> None:
    key = KeyText("abcd1234", SECRET)

    assert parse_key(key.text) == key
    assert SECRET not in repr(key)
    assert key.matches(key.sha256)
    assert not key.matches(KeyText("abcd1234", "t" * 43).sha256)


@given(st.text(max_size=80))
def test_text_that_is_not_written_like_a_key_is_none(text: str) -> None:
    key = parse_key(text)

    assert key is None or key.text == text


@pytest.mark.parametrize("text", [f"rk_abcd1234_{SECRET}\n", f"rk_ABCD1234_{SECRET}", "rk__", ""])
def test_almost_a_key_is_none(text: str) -> None:
    assert parse_key(text) is None
