"""Keys and browser sessions on real Postgres: what works, and what quietly does not."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import psycopg2.extras
import pytest

from radiant_dagster.adapters import principals, tenants, web_sessions
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.principals import KeyText, Principal
from radiant_dagster.errors import InvalidInput, KeyNotFound, PrincipalNotFound


def make(database: Database, tenant_id: uuid.UUID, name: str = "lee", **changes: Any) -> Principal:
    values: dict[str, Any] = {"kind": "person", "roles": frozenset({"reviewer"}), "actor": "ann"}
    with database.tenant_transaction(tenant_id) as cursor:
        return principals.create_principal(
            cursor, tenant_id, uuid.uuid4(), name=name, **(values | changes)
        )


def key_of(
    database: Database, principal: Principal, expires_at: datetime | None = None
) -> principals.NewKey:
    with database.tenant_transaction(principal.tenant_id) as cursor:
        return principals.create_key(
            cursor, principal, uuid.uuid4(), actor="ann", expires_at=expires_at
        )


def superuser(owner_url: str, statement: str, *values: Any) -> list[Any]:
    connection = psycopg2.connect(owner_url, cursor_factory=psycopg2.extras.RealDictCursor)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows


def test_a_key_finds_its_principal_and_tenant(api_database: Database, tenant: uuid.UUID) -> None:
    principal = make(api_database, tenant, domains=frozenset({"medical"}), email="lee@example.org")
    key = key_of(api_database, principal)

    found = principals.by_key(api_database, key.key.text)

    assert found == principals.KeyHolder(principal, key.id)
    assert found.principal.tenant_id == tenant


def test_only_a_hash_of_the_secret_is_stored(
    api_database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    key = key_of(api_database, make(api_database, tenant)).key

    texts = superuser(
        owner_url,
        "select to_jsonb(k)::text as row from radiant.api_key k"
        " union all select to_jsonb(a)::text from radiant.audit a",
    )

    assert len(texts) > 2
    assert not any(key.secret in row["row"] for row in texts)
    stored = superuser(owner_url, "select sha256 from radiant.api_key")[0]["sha256"]
    assert bytes(stored) == key.sha256


def test_a_wrong_secret_and_a_wrong_prefix_are_nobodys(
    api_database: Database, tenant: uuid.UUID
) -> None:
    key = key_of(api_database, make(api_database, tenant)).key

    assert principals.by_key(api_database, KeyText(key.prefix, "x" * 43).text) is None
    assert principals.by_key(api_database, KeyText("zzzzzzzz", key.secret).text) is None
    assert principals.by_key(api_database, key.secret) is None


def test_an_expired_key_works_no_more(api_database: Database, tenant: uuid.UUID) -> None:
    principal = make(api_database, tenant)
    now = datetime.now(UTC)
    over = key_of(api_database, principal, now - timedelta(seconds=1))
    lasting = key_of(api_database, principal, now + timedelta(days=1))

    assert principals.by_key(api_database, over.key.text) is None
    assert principals.by_key(api_database, lasting.key.text) is not None
    with api_database.tenant_transaction(tenant) as cursor:
        states = [row["state"] for row in principals.list_keys(cursor, tenant)]
    assert states == ["expired", "active"]


def test_a_revoked_key_and_the_sessions_opened_with_it_work_no_more(
    api_database: Database, tenant: uuid.UUID
) -> None:
    principal = make(api_database, tenant)
    key = key_of(api_database, principal)
    by_key = web_sessions.open_session(api_database, principal, key.id)
    by_proxy = web_sessions.open_session(api_database, principal, None)

    with api_database.tenant_transaction(tenant) as cursor:
        principals.revoke_key(cursor, tenant, f"rk_{key.key.prefix}", actor="ann")

    assert principals.by_key(api_database, key.key.text) is None
    assert web_sessions.find_session(api_database, by_key.token) is None
    assert web_sessions.find_session(api_database, by_proxy.token) is not None


def test_another_tenant_can_neither_see_nor_revoke_a_key(
    database: Database, api_database: Database, tenant: uuid.UUID
) -> None:
    other = uuid.uuid4()
    tenants.create_tenant(database, other, "other", "Other Clinic")
    key = key_of(api_database, make(api_database, tenant))

    with api_database.tenant_transaction(other) as cursor:
        seen = principals.list_keys(cursor, other), principals.list_principals(cursor, other)
        with pytest.raises(KeyNotFound):
            principals.revoke_key(cursor, other, key.key.prefix, actor="eve")
        with pytest.raises(PrincipalNotFound):
            principals.find_principal(cursor, other, "lee")

    assert seen == ([], [])
    assert principals.by_key(api_database, key.key.text) is not None


def test_a_disabled_principal_has_no_credentials_any_more(
    api_database: Database, tenant: uuid.UUID
) -> None:
    principal = make(api_database, tenant, email="lee@example.org")
    key = key_of(api_database, principal)
    session = web_sessions.open_session(api_database, principal, None)

    with api_database.tenant_transaction(tenant) as cursor:
        principals.disable_principal(cursor, tenant, "LEE", actor="ann")

    assert principals.by_key(api_database, key.key.text) is None
    assert principals.by_email(api_database, "acme", "lee@example.org") is None
    assert web_sessions.find_session(api_database, session.token) is None


def test_an_address_finds_its_principal_in_the_tenant_named_only(
    database: Database, api_database: Database, tenant: uuid.UUID
) -> None:
    tenants.create_tenant(database, uuid.uuid4(), "other", "Other Clinic")
    principal = make(api_database, tenant, email="Lee@Example.org")

    assert principals.by_email(api_database, "acme", "lee@example.ORG") == principal
    assert principals.by_email(api_database, "other", "lee@example.org") is None
    assert principals.by_email(api_database, "acme", "%") is None


@pytest.mark.parametrize(
    ("field", "name", "email"),
    [("name", "LEE", None), ("email", "kim", "LEE@example.org")],
)
def test_names_and_addresses_are_taken_once_a_tenant(
    api_database: Database, tenant: uuid.UUID, field: str, name: str, email: str | None
) -> None:
    make(api_database, tenant, email="lee@example.org")

    with pytest.raises(InvalidInput) as caught:
        make(api_database, tenant, name, email=email)

    assert caught.value.field == field


def test_using_a_key_is_noted(
    api_database: Database, tenant: uuid.UUID
) -> None:  # fmt: skip
    key = key_of(api_database, make(api_database, tenant))

    principals.by_key(api_database, key.key.text)

    with api_database.tenant_transaction(tenant) as cursor:
        assert principals.list_keys(cursor, tenant)[0]["last_used_at"] is not None


def test_making_and_ending_credentials_is_audited(
    api_database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    principal = make(api_database, tenant)
    key = key_of(api_database, principal)
    with api_database.tenant_transaction(tenant) as cursor:
        principals.revoke_key(cursor, tenant, key.key.prefix, actor="ann")
        principals.disable_principal(cursor, tenant, "lee", actor="ann")

    rows = superuser(owner_url, "select action, actor from radiant.audit order by id")

    assert [(row["action"], row["actor"]) for row in rows] == [
        ("principal.created", "ann"),
        ("key.created", "ann"),
        ("key.revoked", "ann"),
        ("principal.disabled", "ann"),
    ]


def test_a_browser_session_is_stored_as_a_hash_and_closed_for_good(
    api_database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    principal = make(api_database, tenant)

    session = web_sessions.open_session(api_database, principal, None)

    found = web_sessions.find_session(api_database, session.token)
    assert found == web_sessions.WebSession(principal, session.csrf)
    rows = superuser(owner_url, "select to_jsonb(w)::text as row from radiant.web_session w")
    assert session.token not in rows[0]["row"]
    web_sessions.close_session(api_database, session.token)
    assert web_sessions.find_session(api_database, session.token) is None


@pytest.mark.parametrize(
    "lapse",
    [
        "last_seen_at = clock_timestamp() - interval '61 minutes'",
        "expires_at = clock_timestamp() - interval '1 second'",
    ],
)
def test_an_idle_or_old_session_counts_no_more_and_is_swept(
    api_database: Database, tenant: uuid.UUID, owner_url: str, lapse: str
) -> None:
    principal = make(api_database, tenant)
    session = web_sessions.open_session(api_database, principal, None)

    superuser(owner_url, f"update radiant.web_session set {lapse}")  # noqa: S608

    assert web_sessions.find_session(api_database, session.token) is None
    web_sessions.open_session(api_database, principal, None)
    assert len(superuser(owner_url, "select 1 from radiant.web_session")) == 1


def test_a_used_session_stays_for_another_hour(
    api_database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    session = web_sessions.open_session(api_database, make(api_database, tenant), None)
    superuser(
        owner_url,
        "update radiant.web_session set last_seen_at = clock_timestamp() - interval '59 minutes'",
    )

    web_sessions.find_session(api_database, session.token)

    rows = superuser(
        owner_url,
        "select last_seen_at > clock_timestamp() - interval '1 minute' as fresh"
        " from radiant.web_session",
    )
    assert rows[0]["fresh"]
