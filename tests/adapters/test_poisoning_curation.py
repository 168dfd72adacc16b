"""Attacks that got in: all that a poisoned session, user or heuristic left behind is found."""

import uuid
from typing import Any

import pytest

from radiant_dagster.adapters.grimoire import purge
from radiant_dagster.domain.curation import Merge, Root
from tests.adapters.rows import insert_session
from tests.adapters.test_curation import Curator, audit_of, checks, curator, plant

__all__ = ["checks", "curator"]


def family(owner: Any, tenant: uuid.UUID) -> dict[str, Any]:
    """Plant what a poisoned session leaves over four generations, and what it does not touch."""
    session = insert_session(owner, tenant, user_id="mallory")
    follow_up = insert_session(owner, tenant, user_id="ann", parent_session_id=session)
    first = plant(owner, tenant, source_execution_id=session, source_user="Mallory ")
    child = plant(owner, tenant, parents=[uuid.uuid4(), first], state="quarantined")
    grandchild = plant(owner, tenant, parents=[child])
    carried = plant(owner, tenant, source_execution_id=follow_up)
    late = plant(owner, tenant, parents=[carried])
    gone = plant(owner, tenant, parents=[first], state="retired")
    behind = plant(owner, tenant, parents=[gone])
    clean = [plant(owner, tenant), plant(owner, tenant, parents=[uuid.uuid4()])]
    return {
        "session": session, "first": first, "clean": set(clean),
        "all": {first, child, grandchild, carried, late, behind},
        "below": {first, child, grandchild, behind},
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["session", "user", "heuristic"])
def test_a12_everything_derived_is_found_and_retired_in_one_command(
    curator: Curator, owner: Any, tenant: uuid.UUID, kind: Any
) -> None:
    planted = family(owner, tenant)
    value = {"session": planted["session"], "user": "MALLORY", "heuristic": planted["first"]}[kind]
    expected = planted["below"] if kind == "heuristic" else planted["all"]

    with curator.database.tenant_transaction(tenant) as cursor:
        listed = purge.find_derived(cursor, tenant, Root(kind, str(value)))
    before = {item: curator.look(item)["state"] for item in expected}
    with curator.database.tenant_transaction(tenant) as cursor:
        retired = purge.retire_derived(cursor, tenant, Root(kind, str(value)), actor="cora")
        again = purge.retire_derived(cursor, tenant, Root(kind, str(value)), actor="cora")

    assert {row["id"] for row in listed} == expected == {row["id"] for row in retired}
    assert "retired" not in before.values()
    assert {curator.look(item)["state"] for item in expected} == {"retired"}
    assert {curator.look(item)["state"] for item in planted["clean"]} == {"active"}
    assert again == []
    for item in expected:
        ((actor, action, detail),) = audit_of(owner, item)
        assert (actor, action, detail["purge"]) == ("cora", "heuristic.retired", kind)


def test_a12_what_was_merged_into_an_innocent_one_takes_its_evidence_along(
    curator: Curator, owner: Any, tenant: uuid.UUID
) -> None:
    session = insert_session(owner, tenant)
    bad, good = plant(owner, tenant, source_execution_id=session, alpha=5), plant(owner, tenant)
    curator(bad, Merge(good))

    with curator.database.tenant_transaction(tenant) as cursor:
        purge.retire_derived(cursor, tenant, Root("session", str(session)), actor="cora")

    survivor = curator.look(good)
    assert (survivor["state"], survivor["alpha"]) == ("active", 1)
    assert curator.look(bad)["state"] == "retired"
