"""A decision whose continuation ended is launched again, until a person has to look."""

import uuid
from typing import Any

import pytest

from radiant_dagster.adapters import approvals, audit, continuation, dispatch, recovery, sessions
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import (
    MAX_CONTINUATION_FAILURES,
    MAX_CONTINUATION_LOSSES,
    Vote,
    payload_hash,
)
from radiant_dagster.errors import ApprovalNotFound, DecisionAlreadyClaimed
from tests.adapters.rows import insert_approval
from tests.conftest import run_sql


@pytest.fixture
def decided(database: Database, tenant: uuid.UUID) -> uuid.UUID:
    with database.tenant_transaction(tenant) as cursor:
        approval_id = insert_approval(cursor, tenant)
    vote = Vote("lee", frozenset({"reviewer"}), "approved", payload_hash("The draft."))
    approvals.decide(database, tenant, approval_id, vote)
    return approval_id


def claim(database: Database, tenant: uuid.UUID, approval_id: uuid.UUID, run_id: str) -> Any:
    with database.tenant_transaction(tenant) as cursor:
        return dispatch.claim_decision(cursor, tenant, approval_id, run_id=run_id, ancestors=[])


def due(database: Database) -> list[int]:
    return [item.attempt for item in dispatch.lease_decisions(database)]


def session(database: Database, tenant: uuid.UUID) -> dict[str, Any]:
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("select id from radiant.session")
        (row,) = cursor.fetchall()
        return sessions.get_session(cursor, tenant, row["id"])


def told(database: Database, tenant: uuid.UUID) -> list[str]:
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("select type from radiant.event order by at, id")
        return [row["type"] for row in cursor.fetchall()]


def let_pauses_pass(owner_url: str) -> None:
    run_sql(
        owner_url,
        "update radiant.approval_decision set requested_at = requested_at - interval '61 s'",
    )


def use_up(database: Database, approval_id: uuid.UUID) -> list[recovery.GivenBack | None]:
    return [
        recovery.give_back(database, approval_id, f"run-{attempt}", attempt=attempt)
        for attempt in range(1, MAX_CONTINUATION_FAILURES + 1)
    ]


def test_a_failed_continuation_is_launched_again_twice_and_then_its_session_fails(
    database: Database, tenant: uuid.UUID, decided: uuid.UUID
) -> None:
    attempts, answers = [], []

    for number in range(1, MAX_CONTINUATION_FAILURES + 1):
        attempts += due(database)
        claim(database, tenant, decided, f"run-{number}")
        answers.append(recovery.give_back(database, decided, f"run-{number}"))

    assert attempts == [1, 2, 3]
    assert [answer and answer.stuck for answer in answers] == [False, False, True]
    assert due(database) == []
    ended = session(database, tenant)
    assert (ended["status"], ended["failure_code"]) == ("failed", "not_carried_out")
    assert sorted(told(database, tenant))[-2:] == ["approval.stuck", "session.completed"]


def test_three_lost_workers_use_no_attempt_up(
    database: Database, owner_url: str, tenant: uuid.UUID, decided: uuid.UUID
) -> None:
    for number in range(1, MAX_CONTINUATION_FAILURES + 2):
        let_pauses_pass(owner_url)
        assert due(database) == [number]
        claim(database, tenant, decided, f"run-{number}")
        recovery.give_back(database, decided, f"run-{number}", lost=True)

    let_pauses_pass(owner_url)
    assert due(database) == [MAX_CONTINUATION_FAILURES + 2]
    assert session(database, tenant)["status"] == "awaiting_review"


def test_after_the_first_loss_a_decision_is_launched_at_once_and_then_after_a_pause(
    database: Database, decided: uuid.UUID
) -> None:
    recovery.give_back(database, decided, "run-1", attempt=1, lost=True)
    first = due(database)
    recovery.give_back(database, decided, "run-2", attempt=2, lost=True)
    second = due(database)

    assert (first, second) == ([2], [])


def test_a_decision_that_loses_every_worker_is_given_up_at_last(
    database: Database, tenant: uuid.UUID, decided: uuid.UUID
) -> None:
    answers = [
        recovery.give_back(database, decided, "run", attempt=attempt, lost=True)
        for attempt in range(1, MAX_CONTINUATION_LOSSES + 1)
    ]

    assert [answer and answer.stuck for answer in answers].index(True) == len(answers) - 1
    assert session(database, tenant)["status"] == "failed"


def test_only_the_run_that_holds_the_claim_gives_it_back(
    database: Database, tenant: uuid.UUID, decided: uuid.UUID
) -> None:
    claim(database, tenant, decided, "run-1")

    other = recovery.give_back(database, decided, "run-2", attempt=1)

    assert other is None
    with pytest.raises(DecisionAlreadyClaimed, match="run-1"):
        claim(database, tenant, decided, "run-3")


def test_a_run_that_failed_before_its_claim_makes_room_for_the_next_attempt_once(
    database: Database, decided: uuid.UUID
) -> None:
    dispatch.lease_decisions(database)

    first = recovery.give_back(database, decided, "run-1", attempt=1)
    repeated = recovery.give_back(database, decided, "run-1", attempt=1)
    unknown = recovery.give_back(database, decided, "run-x")

    assert first == recovery.GivenBack(2, stuck=False)
    assert (repeated, unknown) == (None, None)
    assert due(database) == [2]


def test_what_no_run_carries_out_any_more_can_be_retried_by_a_person_and_is_audited(
    database: Database, tenant: uuid.UUID, decided: uuid.UUID
) -> None:
    use_up(database, decided)
    fast = continuation.lease_decision(database, tenant, decided)

    recovery.revive(database, tenant, decided, actor="ann")

    assert fast is None
    (attempt,) = due(database)
    claim(database, tenant, decided, "run-again")
    again = recovery.give_back(database, decided, "run-again")
    assert again == recovery.GivenBack(attempt + 1, stuck=False)
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        trail = audit.of_approval(cursor, tenant, decided)
    assert [row["actor"] for row in trail if row["action"] == "approval.retried"] == ["ann"]


def test_a_decision_that_a_run_has_cannot_be_retried(
    database: Database, tenant: uuid.UUID, decided: uuid.UUID
) -> None:
    claim(database, tenant, decided, "run-1")

    with pytest.raises(DecisionAlreadyClaimed, match="run-1"):
        recovery.revive(database, tenant, decided, actor="ann")


def test_another_tenants_decision_is_neither_retried_nor_touched(
    database: Database, decided: uuid.UUID, owner: Any
) -> None:
    of_the_decision = "select * from radiant.approval_decision"
    owner.execute(of_the_decision)
    before = owner.fetchall()

    with pytest.raises(ApprovalNotFound):
        recovery.revive(database, uuid.uuid4(), decided, actor="ann")

    owner.execute(of_the_decision)
    assert owner.fetchall() == before
