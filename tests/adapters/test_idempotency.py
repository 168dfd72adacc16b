"""A call that is sent twice has one effect and one answer."""

import threading
import uuid
from collections.abc import Callable

import pytest

from radiant_dagster.adapters import approvals, idempotency
from radiant_dagster.adapters.idempotency import Reply
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.approvals import Vote, payload_hash
from radiant_dagster.errors import ApprovalForbidden, IdempotencyConflict, InvalidInput
from tests.adapters.rows import insert_approval
from tests.conftest import run_sql

VOTE = Vote("dr-lee", frozenset({"reviewer"}), "approved", payload_hash("The draft."))


@pytest.fixture
def approval(database: Database, tenant: uuid.UUID) -> uuid.UUID:
    with database.tenant_transaction(tenant) as cursor:
        return insert_approval(cursor, tenant)


def call(
    database: Database,
    tenant: uuid.UUID,
    effect: Callable[[Cursor], Reply],
    *,
    key: str = "k-1",
    request: bytes = b"body",
    actor: str = "dr-lee",
) -> Reply:
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        return idempotency.get_or_run(
            cursor, tenant, actor=actor, key=key, request_hash=request, run=lambda: effect(cursor)
        )


def deciding(
    tenant: uuid.UUID, approval: uuid.UUID, vote: Vote = VOTE
) -> Callable[[Cursor], Reply]:
    def run(cursor: Cursor) -> Reply:
        outcome = approvals.cast_vote(cursor, tenant, approval, vote)
        return Reply(410 if outcome.expired else 201, {"verdict": outcome.verdict})

    return run


def test_a_repeated_call_gets_the_first_ones_answer_and_has_no_effect(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    first = call(database, tenant, deciding(tenant, approval))
    again = call(database, tenant, deciding(tenant, approval))

    assert first == Reply(201, {"verdict": "approved"})
    assert again == Reply(201, {"verdict": "approved"}, replayed=True)


def test_one_key_with_two_bodies_is_a_conflict(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    call(database, tenant, deciding(tenant, approval))

    with pytest.raises(IdempotencyConflict, match="Use a new key"):
        call(database, tenant, deciding(tenant, approval), request=b"other")


def test_keys_of_two_people_never_meet(database: Database, tenant: uuid.UUID) -> None:
    mine = call(database, tenant, lambda _: Reply(201, {"of": "lee"}))
    theirs = call(database, tenant, lambda _: Reply(201, {"of": "wu"}), actor="dr-wu")

    assert (mine.body, theirs.body) == ({"of": "lee"}, {"of": "wu"})


def test_a_call_that_failed_leaves_its_key_free(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    from dataclasses import replace

    refused = deciding(tenant, approval, replace(VOTE, actor="ann"))

    with pytest.raises(ApprovalForbidden):
        call(database, tenant, refused)
    retried = call(database, tenant, deciding(tenant, approval))

    assert retried == Reply(201, {"verdict": "approved"})


def test_a_late_vote_is_answered_alike_twice_and_recorded_once(
    database: Database, tenant: uuid.UUID, approval: uuid.UUID, owner_url: str
) -> None:
    run_sql(owner_url, "update radiant.approval_request set deadline = clock_timestamp()")

    first = call(database, tenant, deciding(tenant, approval))
    again = call(database, tenant, deciding(tenant, approval))

    assert (first.status, again.status, again.replayed) == (410, 410, True)
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("select verdict from radiant.approval_decision")
        assert [row["verdict"] for row in cursor.fetchall()] == ["expired"]


def test_calls_at_the_same_time_have_one_effect(database_url: str, tenant: uuid.UUID) -> None:
    pool = Database(database_url, pool_size=8)
    start = threading.Barrier(8)
    ran: list[int] = []
    replies: list[Reply] = []

    def effect(_: Cursor) -> Reply:
        ran.append(1)
        return Reply(201, {"number": len(ran)})

    def work() -> None:
        start.wait()
        replies.append(call(pool, tenant, effect))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.close()

    assert ran == [1]
    assert {reply.body["number"] for reply in replies} == {1}
    assert sum(reply.replayed for reply in replies) == 7


@pytest.mark.parametrize("key", ["", "  ", "k" * 201, "a\nb"])
def test_an_unusable_key_is_refused(database: Database, tenant: uuid.UUID, key: str) -> None:
    with pytest.raises(InvalidInput, match="Idempotency-Key"):
        call(database, tenant, lambda _: Reply(201, {}), key=key)


def test_a_key_is_new_again_after_a_day_and_then_swept(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    yesterday = "update radiant.idempotency set at = at - interval '25 hours' where key = 'k-1'"
    call(database, tenant, lambda _: Reply(201, {"day": 1}))
    call(database, tenant, lambda _: Reply(201, {}), key="young")
    run_sql(owner_url, yesterday)

    second = call(database, tenant, lambda _: Reply(201, {"day": 2}), request=b"other")
    run_sql(owner_url, yesterday)
    swept = idempotency.sweep(database)

    assert (second.body, second.replayed) == ({"day": 2}, False)
    assert swept == 1
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("select key from radiant.idempotency")
        assert [row["key"] for row in cursor.fetchall()] == ["young"]


def test_an_answer_is_found_by_its_key_without_taking_it(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    def find(request: bytes = b"body") -> Reply | None:
        with database.tenant_transaction(tenant, role="radiant_review") as cursor:
            return idempotency.find(cursor, tenant, actor="dr-lee", key="k-1", request_hash=request)

    before = find()
    call(database, tenant, lambda _: Reply(201, {"day": 1}))
    found = find()
    with pytest.raises(IdempotencyConflict):
        find(b"other")
    run_sql(owner_url, "update radiant.idempotency set at = at - interval '25 hours'")

    assert before is None
    assert found == Reply(201, {"day": 1}, replayed=True)
    assert find() is None
