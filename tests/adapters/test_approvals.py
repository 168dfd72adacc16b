import random
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg2
import psycopg2.extras
import pytest

from radiant_dagster.adapters import approval_requests, approvals, audit, dispatch, sessions
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import Vote, payload_hash
from radiant_dagster.errors import (
    ApprovalAlreadyResolved,
    ApprovalChanged,
    ApprovalExpired,
    ApprovalForbidden,
    ApprovalNotFound,
    DecisionAlreadyClaimed,
    InvalidInput,
    RadiantError,
)
from tests.adapters.rows import insert_approval, set_policy

VOTE = Vote(
    "dr-lee", frozenset({"reviewer"}), "approved", payload_sha256=payload_hash("The draft.")
)
REJECTION = replace(VOTE, verdict="rejected", guidance="CANARY wrong dose")


def ask(database: Database, tenant: uuid.UUID, **changes: Any) -> uuid.UUID:
    with database.tenant_transaction(tenant) as cursor:
        return insert_approval(cursor, tenant, **changes)


def ask_under(database: Database, tenant: uuid.UUID, **policy: Any) -> uuid.UUID:
    with database.tenant_transaction(tenant) as cursor:
        set_policy(cursor, tenant, **policy)
        return insert_approval(cursor, tenant)


def overdue(database: Database, tenant: uuid.UUID, approval_id: uuid.UUID) -> None:
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute(
            "update radiant.approval_request set deadline = clock_timestamp() - interval '1 ms'"
            " where id = %s",
            (approval_id,),
        )


def stored(database: Database, tenant: uuid.UUID, approval_id: uuid.UUID) -> dict[str, Any]:
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        return approvals.get_approval(cursor, tenant, approval_id)


def decision(database: Database, tenant: uuid.UUID, approval_id: uuid.UUID) -> dict[str, Any]:
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute(
            "select * from radiant.approval_decision where approval_id = %s", (approval_id,)
        )
        row = cursor.fetchone()
        return dict(row) if row else {}


def claim(
    database: Database,
    tenant: uuid.UUID,
    approval_id: uuid.UUID,
    run_id: str,
    ancestors: tuple[str, ...] = (),
) -> dict[str, Any]:
    with database.tenant_transaction(tenant) as cursor:
        return dispatch.claim_decision(
            cursor, tenant, approval_id, run_id=run_id, ancestors=ancestors
        )


@pytest.fixture
def approval(database: Database, tenant: uuid.UUID) -> uuid.UUID:
    return ask(database, tenant)


@pytest.fixture
def wide(database_url: str) -> Iterator[Database]:
    pool = Database(database_url, pool_size=16)
    yield pool
    pool.close()


def test_of_sixteen_votes_at_once_one_wins_and_the_others_hear_who_a_hundred_times(
    wide: Database, tenant: uuid.UUID
) -> None:
    with wide.tenant_transaction(tenant) as cursor:
        ids = [insert_approval(cursor, tenant) for _ in range(100)]
    start = threading.Barrier(16)
    won: dict[uuid.UUID, list[str]] = {item: [] for item in ids}
    lost: dict[uuid.UUID, list[ApprovalAlreadyResolved]] = {item: [] for item in ids}

    def vote(number: int) -> None:
        mine = replace(REJECTION if number % 2 else VOTE, actor=f"dr-{number}")
        for approval in ids:
            start.wait()
            try:
                approvals.decide(wide, tenant, approval, mine)
                won[approval].append(mine.actor)
            except ApprovalAlreadyResolved as error:
                lost[approval].append(error)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(vote, range(16)))

    for approval in ids:
        assert len(won[approval]) == 1
        assert len(lost[approval]) == 15
        assert {error.standing.decided_by for error in lost[approval]} == {tuple(won[approval])}
        assert all("CANARY" not in str(error) for error in lost[approval])
    with wide.tenant_transaction(tenant) as cursor:
        cursor.execute("select approval_id, decided_by from radiant.approval_decision")
        assert {row["approval_id"]: row["decided_by"] for row in cursor.fetchall()} == won
        assert audit.verify(cursor, tenant).holds


def test_a_late_vote_records_expired_and_is_refused(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    overdue(database, tenant, approval)

    with pytest.raises(ApprovalExpired):
        approvals.decide(database, tenant, approval, VOTE)
    with pytest.raises(ApprovalAlreadyResolved, match="expired by system:deadline"):
        approvals.decide(database, tenant, approval, VOTE)

    row = decision(database, tenant, approval)
    assert row["verdict"] == "expired"
    assert row["decided_by"] == ["system:deadline"]
    assert stored(database, tenant, approval)["state"] == "expired"


def test_a_passed_deadline_reads_as_expired_before_anybody_recorded_it(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    overdue(database, tenant, approval)

    row = stored(database, tenant, approval)

    assert (row["state"], row["shown_state"]) == ("pending", "expired")


REFUSED: dict[str, tuple[Vote, type[RadiantError]]] = {
    "self": (replace(VOTE, actor="ann"), ApprovalForbidden),
    "no role": (replace(VOTE, roles=frozenset({"viewer"})), ApprovalForbidden),
    "other text": (replace(VOTE, payload_sha256=payload_hash("Other.")), ApprovalChanged),
    "no guidance": (replace(VOTE, verdict="rejected"), InvalidInput),
    "NUL": (replace(REJECTION, guidance="a\x00"), InvalidInput),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_vote_leaves_no_trace(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID, case: str
) -> None:
    vote, error = REFUSED[case]

    with pytest.raises(error):
        approvals.decide(database, tenant, approval, vote)

    assert decision(database, tenant, approval) == {}
    assert stored(database, tenant, approval)["state"] == "pending"
    assert approvals.decide(database, tenant, approval, VOTE) == "approved"


def test_an_unknown_approval_is_not_found(database: Database, tenant: uuid.UUID) -> None:
    with pytest.raises(ApprovalNotFound):
        approvals.decide(database, tenant, uuid.uuid4(), VOTE)


def test_two_people_are_needed_for_a_quorum_of_two(database: Database, tenant: uuid.UUID) -> None:
    approval = ask_under(database, tenant, quorum=2)

    first = approvals.decide(database, tenant, approval, VOTE)
    with pytest.raises(ApprovalForbidden, match="recorded already"):
        approvals.decide(database, tenant, approval, VOTE)
    between = decision(database, tenant, approval)
    second = approvals.decide(database, tenant, approval, replace(VOTE, actor="dr-wu"))

    assert (first, between, second) == (None, {}, "approved")
    assert set(decision(database, tenant, approval)["decided_by"]) == {"dr-lee", "dr-wu"}


def test_one_rejection_ends_a_quorum_of_two(database: Database, tenant: uuid.UUID) -> None:
    approval = ask_under(database, tenant, quorum=2)
    approvals.decide(database, tenant, approval, VOTE)

    verdict = approvals.decide(database, tenant, approval, replace(REJECTION, actor="dr-wu"))

    assert verdict == "rejected"
    assert decision(database, tenant, approval)["verdict"] == "rejected"


def test_a_withheld_text_can_only_be_rejected(database: Database, tenant: uuid.UUID) -> None:
    approval = ask(database, tenant, withheld=True)

    for verdict in (VOTE, replace(VOTE, verdict="modified", edited_text="Better.")):
        with pytest.raises(ApprovalForbidden, match="withheld"):
            approvals.decide(database, tenant, approval, verdict)

    assert approvals.decide(database, tenant, approval, REJECTION) == "rejected"


def test_a_repeated_request_for_one_attempt_changes_nothing(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    session = {"id": stored(database, tenant, approval)["session_id"]}
    with database.tenant_transaction(tenant) as cursor:
        again = approval_requests.request_approval(
            cursor,
            tenant,
            uuid.uuid4(),
            {**session, "domain": "general", "user_id": "ann"},
            attempt=1,
            payload="Another draft.",
            review_stage="draft",
            review={},
            withheld=False,
            reasons=[],
        )

    assert again == approval
    assert bytes(stored(database, tenant, approval)["payload_sha256"]) == VOTE.payload_sha256


def test_a_deadline_escalates_once_to_a_senior_and_then_expires(
    database: Database, tenant: uuid.UUID
) -> None:
    approval = ask_under(database, tenant, on_timeout="escalate", deadline_seconds=600)
    overdue(database, tenant, approval)

    with pytest.raises(ApprovalExpired):  # too late, yet the sweep may still extend it
        approvals.decide(database, tenant, approval, VOTE)
    first = dispatch.sweep_deadlines(database)
    extended = stored(database, tenant, approval)
    with pytest.raises(ApprovalForbidden, match="role senior"):
        approvals.decide(database, tenant, approval, VOTE)
    again = dispatch.sweep_deadlines(database)
    overdue(database, tenant, approval)
    second = dispatch.sweep_deadlines(database)

    assert (first, again, second) == ((0, 1), (0, 0), (1, 0))
    assert extended["state"] == extended["shown_state"] == "pending"
    assert extended["deadline"] > extended["server_now"]
    assert decision(database, tenant, approval)["verdict"] == "expired"


def test_a_senior_may_decide_what_was_escalated(database: Database, tenant: uuid.UUID) -> None:
    approval = ask_under(database, tenant, on_timeout="escalate")
    overdue(database, tenant, approval)
    dispatch.sweep_deadlines(database)

    verdict = approvals.decide(
        database, tenant, approval, replace(VOTE, roles=frozenset({"senior"}))
    )

    assert verdict == "approved"


def test_decisions_and_sweeps_at_the_deadline_leave_one_decision_each_and_none_late(
    wide: Database, owner_url: str, tenant: uuid.UUID
) -> None:
    ids = []
    with wide.tenant_transaction(tenant) as cursor:
        for number in range(300):
            ids.append(insert_approval(cursor, tenant))
            cursor.execute(
                "update radiant.approval_request set deadline ="
                " clock_timestamp() + make_interval(secs => 1 + 0.005 * %s) where id = %s",
                (number, ids[-1]),
            )
    connection = psycopg2.connect(owner_url)
    with connection.cursor() as cursor:
        cursor.execute(
            "select id, extract(epoch from deadline - clock_timestamp())::float"
            " from radiant.approval_request"
        )
        begin = time.monotonic()
        due = {uuid.UUID(item): begin + seconds for item, seconds in cursor.fetchall()}
    connection.close()

    def decide(share: list[uuid.UUID], seed: int) -> list[str]:
        dice = random.Random(seed)
        outcomes = []
        for approval in share:
            time.sleep(max(0.0, due[approval] + dice.uniform(-0.012, 0.004) - time.monotonic()))
            try:
                approvals.decide(wide, tenant, approval, replace(VOTE, actor=f"dr-{seed}"))
                outcomes.append("approved")
            except (ApprovalExpired, ApprovalAlreadyResolved) as error:
                outcomes.append(type(error).__name__)
        return outcomes

    def sweep() -> None:
        while not ended.is_set():
            dispatch.sweep_deadlines(wide)

    ended = threading.Event()
    with ThreadPoolExecutor(6) as threads:
        sweepers = [threads.submit(sweep) for _ in range(2)]
        deciders = [threads.submit(decide, ids[n::4], n) for n in range(4)]
        wait(deciders)
        ended.set()
    outcomes = [outcome for future in deciders for outcome in future.result()]
    assert [sweeper.result() for sweeper in sweepers] == [None, None]

    with wide.tenant_transaction(tenant) as cursor:
        cursor.execute(
            "select r.id, r.state, r.deadline, d.verdict, d.decided_at, d.decided_by,"
            " (select count(*) from radiant.approval_vote v where v.approval_id = r.id) as votes"
            " from radiant.approval_request r join radiant.approval_decision d"
            " on d.approval_id = r.id"
        )
        rows = cursor.fetchall()
    human = [row for row in rows if row["verdict"] == "approved"]
    assert len(rows) == len(ids)
    assert all(row["state"] == row["verdict"] for row in rows)
    assert all(row["decided_at"] < row["deadline"] and row["votes"] == 1 for row in human)
    expired = [row for row in rows if row["verdict"] == "expired"]
    assert all(row["decided_at"] >= row["deadline"] and row["votes"] == 0 for row in expired)
    assert outcomes.count("approved") == len(human)
    assert len(human) + len(expired) == len(ids)


def test_a_decision_that_commits_late_is_dispatched_though_later_ones_went_before(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    early, later = ask(database, tenant), ask(database, tenant)
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        approvals.cast_vote(cursor, tenant, early, VOTE)
        approvals.decide(database, tenant, later, VOTE)
        before = dispatch.lease_decisions(database)  # a cursor on a sequence would move past it

    after = dispatch.lease_decisions(database)

    assert [item.approval_id for item in before] == [later]
    assert [item.approval_id for item in after] == [early]


def test_a_leased_decision_is_dispatched_again_only_when_the_lease_has_run_out(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID, owner_url: str
) -> None:
    approvals.decide(database, tenant, approval, VOTE)

    first = dispatch.lease_decisions(database)
    held = dispatch.lease_decisions(database)
    let_time_pass(owner_url, timedelta(seconds=61))
    again = dispatch.lease_decisions(database)
    claim(database, tenant, approval, "run-1")
    let_time_pass(owner_url, timedelta(seconds=61))
    claimed = dispatch.lease_decisions(database)

    assert [item.approval_id for item in first] == [approval]
    assert held == []
    assert again == first
    assert claimed == []


def let_time_pass(owner_url: str, span: timedelta) -> None:
    connection = psycopg2.connect(owner_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "update radiant.approval_decision set requested_at = requested_at - %s", (span,)
        )
    connection.close()


def test_a_pending_request_is_not_leased_and_is_counted(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    leased = dispatch.lease_decisions(database)
    pending, seconds = dispatch.pending_summary(database)

    assert leased == []
    assert pending == 1
    assert seconds is not None
    assert 0 < seconds <= 1800


def test_one_run_claims_a_decision_and_its_re_execution_goes_on(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    approvals.decide(database, tenant, approval, VOTE)

    claim(database, tenant, approval, "run-1")
    claim(database, tenant, approval, "run-1")
    child = claim(database, tenant, approval, "run-2", ("run-1",))
    with pytest.raises(DecisionAlreadyClaimed, match="run-2"):
        claim(database, tenant, approval, "run-3")

    assert child["verdict"] == "approved"
    assert child["attempt"] == 1


def test_a_decision_that_was_carried_out_is_never_claimed_again(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    approvals.decide(database, tenant, approval, VOTE)
    session_id = claim(database, tenant, approval, "run-1")["session_id"]
    with database.tenant_transaction(tenant) as cursor:
        dispatch.finish_decisions(cursor, tenant, session_id)

    with pytest.raises(DecisionAlreadyClaimed):
        claim(database, tenant, approval, "run-1")
    with pytest.raises(DecisionAlreadyClaimed):
        claim(database, tenant, approval, "run-2", ("run-1",))


def test_an_undecided_request_cannot_be_claimed(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    with pytest.raises(ApprovalNotFound):
        claim(database, tenant, approval, "run-1")


def test_cancelling_a_session_cancels_its_pending_approval(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    session_id = stored(database, tenant, approval)["session_id"]
    with database.tenant_transaction(tenant) as cursor:
        sessions.cancel_session(cursor, tenant, session_id, actor="ann")

    with pytest.raises(ApprovalAlreadyResolved, match="cancelled"):
        approvals.decide(database, tenant, approval, VOTE)

    with database.tenant_transaction(tenant) as cursor:
        actions = [row["action"] for row in audit.of_session(cursor, tenant, session_id)]
    assert actions[-2:] == ["session.cancelled", "approval.cancelled"]


def test_a_decision_of_a_cancelled_session_launches_nothing(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    approvals.decide(database, tenant, approval, VOTE)
    session_id = stored(database, tenant, approval)["session_id"]
    with database.tenant_transaction(tenant) as cursor:
        sessions.cancel_session(cursor, tenant, session_id, actor="ann")

    assert dispatch.lease_decisions(database) == []
    with pytest.raises(DecisionAlreadyClaimed):
        claim(database, tenant, approval, "run-1")


def test_the_audit_trail_names_who_did_what_without_their_words(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    approvals.decide(database, tenant, approval, REJECTION)

    session_id = stored(database, tenant, approval)["session_id"]
    with database.tenant_transaction(tenant) as cursor:
        rows = audit.of_session(cursor, tenant, session_id)
    assert [(row["actor"], row["action"]) for row in rows] == [
        ("system:think_tank", "approval.requested"),
        ("dr-lee", "approval.rejected"),
    ]
    assert "CANARY" not in str(rows)


def test_pending_requests_come_first_the_nearest_deadline_first(
    database: Database, tenant: uuid.UUID
) -> None:
    decided = ask(database, tenant)
    approvals.decide(database, tenant, decided, VOTE)
    late = ask_under(database, tenant, deadline_seconds=900)
    soon = ask_under(database, tenant, deadline_seconds=60)

    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        rows = approvals.list_approvals(cursor, tenant, pending_only=False)
        pending = approvals.list_approvals(cursor, tenant, pending_only=True)

    assert [row["id"] for row in rows] == [soon, late, decided]
    assert [row["id"] for row in pending] == [soon, late]
