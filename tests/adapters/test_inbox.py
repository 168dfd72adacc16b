"""What a reviewer reads: the inbox, one request, and how the reviews went."""

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from radiant_dagster.adapters import approvals, claims, inbox, review_metrics
from radiant_dagster.adapters.inbox import InboxPage
from radiant_dagster.adapters.paging import Place
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import Vote, payload_hash
from radiant_dagster.errors import ApprovalNotFound, InvalidInput
from tests.adapters.rows import insert_approval, set_policy
from tests.conftest import run_sql

VOTE = Vote("dr-lee", frozenset({"reviewer"}), "approved", payload_hash("The draft."))
REVIEW = {
    "prompt": "May [PERSON_1] take 100% of it? " + "x" * 80,
    "draft": "No, [PERSON_1] may not.",
    "answers": {"a": "No."},
    "agents": [{"status": "success"}, {"status": "success"}, {"status": "timeout"}],
    "heuristics": [{"id": "h", "polarity": "do", "title": "A question about a dose"}],
}


def ask(database: Database, tenant: uuid.UUID, **policy: Any) -> uuid.UUID:
    with database.tenant_transaction(tenant) as cursor:
        set_policy(cursor, tenant, **policy)
        return insert_approval(cursor, tenant, review=REVIEW)


def page(database: Database, tenant: uuid.UUID, **filters: Any) -> InboxPage:
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        return inbox.inbox(cursor, tenant, **filters)


def ids(found: InboxPage) -> list[uuid.UUID]:
    return [row["id"] for row in found.rows]


def test_the_inbox_says_what_a_reviewer_chooses_by(database: Database, tenant: uuid.UUID) -> None:
    approval = ask(database, tenant, quorum=2)
    approvals.decide(database, tenant, approval, VOTE)
    claims.claim(database, tenant, approval, replace(VOTE, actor="dr-wu").reviewer)

    found = page(database, tenant)

    (row,) = found.rows
    assert row["title"] == REVIEW["prompt"][:80]
    assert (row["agents_ok"], row["agents_failed"]) == (2, 1)
    assert (row["votes"], row["quorum"], row["version"]) == (1, 2, 2)
    assert (row["claimed_by"], row["requester"]) == ("dr-wu", "ann")
    assert row["shown_state"] == "pending"
    assert bytes.fromhex(row["payload_sha256"]) == VOTE.payload_sha256
    assert row["deadline"] > found.server_now
    assert row["cost_micro_usd"] == 0


def test_pages_follow_each_other_without_a_gap_or_a_repetition(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    wanted = [ask(database, tenant, deadline_seconds=100 + number // 2) for number in range(7)]
    run_sql(  # pairs share their deadline, so that the id has to decide
        owner_url,
        "update radiant.approval_request set deadline = date_trunc('day', created_at)"
        " + interval '2 day' + 10 * (deadline - created_at)",
    )

    seen: list[uuid.UUID] = []
    deadlines, place = [], None
    for _ in range(9):
        found = page(database, tenant, limit=3, after=place)
        seen += ids(found)
        deadlines += [row["deadline"] for row in found.rows]
        if found.after is None:
            break
        place = Place.parse(found.after.text)
    backwards = page(database, tenant, newest_first=True)

    assert sorted(seen) == sorted(wanted)
    assert deadlines == sorted(deadlines)
    assert ids(backwards) == seen[::-1]


def test_each_filter_keeps_what_fits(database: Database, tenant: uuid.UUID) -> None:
    free = ask(database, tenant, deadline_seconds=60)
    assigned = ask(database, tenant, assignees=["Dr-Lee"], deadline_seconds=600)
    others = ask(database, tenant, assignees=["dr-wu"], deadline_seconds=900)
    decided = ask(database, tenant, assignees=None, deadline_seconds=900)
    approvals.decide(database, tenant, decided, VOTE)
    claims.claim(database, tenant, free, VOTE.reviewer)
    soon = page(database, tenant).server_now + timedelta(seconds=300)

    assert ids(page(database, tenant)) == [free, assigned, others]
    assert ids(page(database, tenant, assignee="dr-lee")) == [free, assigned]
    assert ids(page(database, tenant, claimed_by="dr-lee")) == [free]
    assert ids(page(database, tenant, deadline_before=soon)) == [free]
    assert ids(page(database, tenant, states=["approved"])) == [decided]
    assert len(page(database, tenant, states=None).rows) == 4
    assert page(database, tenant, domain="legal").rows == ()


@pytest.mark.parametrize(
    ("q", "found"),
    [("may not", 1), ("MAY  [person_1]", 1), ("100%", 1), ("10_%", 0), ("prompt", 0), ("Why?", 0)],
)
def test_a_search_reads_the_scrubbed_texts_alone(
    database: Database, tenant: uuid.UUID, q: str, found: int
) -> None:
    ask(database, tenant)

    assert len(page(database, tenant, q=q).rows) == found


def test_a_passed_deadline_is_listed_and_counted_as_expired(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    late = ask(database, tenant)
    run_sql(owner_url, "update radiant.approval_request set deadline = clock_timestamp()")
    ask(database, tenant)

    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        counted = inbox.counts(cursor, tenant)

    assert ids(page(database, tenant, states=["expired"])) == [late]
    assert [(row["state"], row["domain"], row["number"]) for row in counted] == [
        ("expired", "general", 1),
        ("pending", "general", 1),
    ]


@pytest.mark.parametrize("text", ["", "x", "2026-01-01~", "2026-01-01T00:00:00~" + "0" * 32])
def test_a_cursor_that_no_page_returned_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        Place.parse(text)


@pytest.mark.parametrize("limit", [0, 201])
def test_a_page_has_one_to_two_hundred_rows(
    database: Database, tenant: uuid.UUID, limit: int
) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        page(database, tenant, limit=limit)


def test_the_detail_holds_all_that_a_reviewer_may_see(
    database: Database, tenant: uuid.UUID
) -> None:
    approval = ask(database, tenant, quorum=2, on_timeout="escalate")
    approvals.decide(database, tenant, approval, VOTE)

    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        detail = inbox.approval_detail(cursor, tenant, approval)
        with pytest.raises(ApprovalNotFound):
            inbox.approval_detail(cursor, tenant, uuid.uuid4())

    assert detail["etag"] == '"v2"'
    assert detail["payload_sha256"] == VOTE.payload_sha256.hex()
    assert [(vote["actor"], vote["verdict"]) for vote in detail["votes"]] == [
        ("dr-lee", "approved")
    ]
    assert [item["action"] for item in detail["history"]] == [
        "approval.requested",
        "approval.voted",
    ]
    assert (detail["on_timeout"], detail["extended_at"]) == ("escalate", None)
    assert detail["created_at"] < detail["reminder_at"] < detail["escalate_at"] < detail["deadline"]
    assert detail["review_sanitized"]["heuristics"][0]["title"] == "A question about a dose"
    assert detail["dagster_run_id"] == "first-run"


def test_the_metrics_tell_people_from_deadlines(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    quick, slow, late = (ask(database, tenant) for _ in range(3))
    for approval, seconds in ((quick, 10), (slow, 110)):
        with database.tenant_transaction(tenant) as cursor:
            cursor.execute(
                "update radiant.approval_request set created_at ="
                " clock_timestamp() - make_interval(secs => %s) where id = %s",
                (seconds, approval),
            )
        approvals.decide(database, tenant, approval, VOTE)
    run_sql(
        owner_url, "update radiant.approval_request set deadline = now() where state = 'pending'"
    )
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        approvals.cast_vote(cursor, tenant, late, VOTE)
        found = review_metrics.metrics(cursor, tenant)

    assert (found.total["decided"], found.total["expired"]) == (3, 1)
    assert found.total["expiry_rate"] == pytest.approx(1 / 3)
    assert found.total["p50_seconds"] == pytest.approx(60, abs=5)
    assert found.total["p95_seconds"] == pytest.approx(105, abs=5)
    assert [row["domain"] for row in found.by_domain] == ["general"]
    assert [(row["reviewer"], row["votes"], row["approved"]) for row in found.by_reviewer] == [
        ("dr-lee", 2, 2)
    ]
    assert len(found.by_day) == review_metrics.DAYS
    assert sum(day["decided"] for day in found.by_day) == 3
    assert found.by_day[0]["p50_seconds"] is None


def test_without_reviews_there_are_zeros_and_no_times(
    database: Database, tenant: uuid.UUID
) -> None:
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        found = review_metrics.metrics(cursor, tenant, days=7)

    assert (found.total["decided"], found.total["expiry_rate"]) == (0, 0.0)
    assert found.total["p50_seconds"] is None
    assert len(found.by_day) == 7
