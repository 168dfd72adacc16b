"""What a second run may do: asked again is reviewed again, and decided is carried out once."""

import uuid
from typing import Any

import dagster as dg
import pytest

from radiant_dagster.adapters import dispatch
from radiant_dagster.adapters.submission import prepare, store_session
from tests.conftest import World, run_sql
from tests.orchestration.test_think_tank import (
    PROMPT,
    conclude,
    decide,
    pending,
    session,
    submit,
    think,
    tick,
)


def test_a_session_that_is_asked_again_is_reviewed_again(
    world: World, instance: dg.DagsterInstance
) -> None:
    first = submit(world, require_approval=True)
    think(world, first, instance)
    decided = decide(world, "approved")
    conclude(world, decided, instance)

    second = ask_again(world, first)
    think(world, second, instance)

    request = pending(world)
    assert request["session_id"] == second
    assert request["id"] != decided
    assert session(world, second)["status"] == "awaiting_review"
    assert session(world, first)["status"] == "completed"


@pytest.mark.parametrize("verdict", ["approved", "rejected"])
def test_a_first_run_that_is_run_again_neither_asks_nor_changes_what_was_decided(
    world: World, instance: dg.DagsterInstance, verdict: Any
) -> None:
    session_id = submit(world, require_approval=True)
    think(world, session_id, instance)
    guidance = "" if verdict == "approved" else "Not safe."
    conclude(world, decide(world, verdict, guidance=guidance), instance)
    before, paid = session(world, session_id), len(world.models.paid)

    think(world, session_id, instance)

    after = session(world, session_id)
    assert (after["status"], after["final_response"]) == (
        before["status"],
        before["final_response"],
    )
    assert len(world.models.paid) == paid
    assert isinstance(tick(instance), dg.SkipReason)


def test_a_draft_in_review_keeps_its_request_when_its_run_is_run_again(
    world: World, instance: dg.DagsterInstance
) -> None:
    session_id = submit(world, require_approval=True)
    think(world, session_id, instance)
    request = pending(world)

    think(world, session_id, instance)
    again = pending(world)
    conclude(world, decide(world, "approved"), instance)

    assert again["id"] == request["id"]
    assert again["payload_sha256"] == request["payload_sha256"]
    assert session(world, session_id)["status"] == "completed"


def test_a_decision_whose_run_dagster_has_forgotten_is_not_carried_out_again(
    world: World, instance: dg.DagsterInstance, owner_url: str
) -> None:
    session_id = submit(world, require_approval=True)
    think(world, session_id, instance)
    approval_id = decide(world, "approved")
    first = conclude(world, approval_id, instance)
    before, paid = session(world, session_id), len(world.models.paid)
    instance.delete_run(first.run_id)
    forget_the_end(owner_url)

    due = dispatch.lease_decisions(world.database)
    second = conclude(world, approval_id, instance)

    assert due == []
    assert second.success
    assert [event.step_key for event in second.get_step_success_events()] == ["claim_decision"]
    assert session(world, session_id) == before
    assert len(world.models.paid) == paid


def ask_again(world: World, session_id: uuid.UUID) -> uuid.UUID:
    """Store a session's question once more, as `radiant sessions rerun` does."""
    again = uuid.uuid4()
    request, estimate = prepare(
        world.database,
        world.settings,
        world.tenant,
        prompt=PROMPT,
        domain="general",
        user_id="ann",
        require_approval=True,
    )
    store_session(
        world.database, world.settings, world.tenant, again, request, estimate, rerun_of=session_id
    )
    return again


def forget_the_end(owner_url: str) -> None:
    """Leave the claim alone to say that somebody had the decision, and let every lease lapse."""
    run_sql(
        owner_url,
        "update radiant.approval_decision set done_at = null,"
        " requested_at = requested_at - interval '1 hour'",
    )
