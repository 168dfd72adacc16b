"""Approvals over the API: every status that it answers with, and what it never says."""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import payload_hash
from tests.adapters.rows import insert_approval, set_policy
from tests.conftest import run_sql
from tests.e2e.conftest import until
from tests.mission_control.conftest import People, Serve, Site, bearer
from tests.services.dagster_server import DagsterServer

DRAFT = payload_hash("The draft.").hex()
REVIEW = {
    "prompt": "May [PERSON_1]?", "draft": "The draft.", "answers": {"a": "No."},
    "agents": [{"status": "success"}],
}  # fmt: skip
APPROVE = {"verdict": "approved", "payload_sha256": DRAFT}


def continuation(tenant: uuid.UUID, approval: uuid.UUID) -> dict[str, Any]:
    config = {"tenant_id": str(tenant), "approval_id": str(approval)}
    return {"ops": {"claim_decision": {"config": config}}}


@dataclass
class Desk:
    """A site and the people who review there."""

    site: Site
    people: People
    database: Database
    tenant: uuid.UUID
    dagster: DagsterServer

    def ask(self, tenant: uuid.UUID | None = None, **policy: Any) -> uuid.UUID:
        wanted = tenant or self.tenant
        with self.database.tenant_transaction(wanted) as cursor:
            set_policy(cursor, wanted, **policy)
            return insert_approval(cursor, wanted, review=REVIEW)

    def key(self, name: str, *roles: str, **more: Any) -> dict[str, str]:
        return bearer(self.people.key_for(name, *roles, **more))

    def decide(
        self, key: dict[str, str], approval: uuid.UUID, body: Any = APPROVE, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        sent = {"If-Match": '"v1"', "Idempotency-Key": str(uuid.uuid4())}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.post(key | sent, f"/approvals/{approval}/decision", body)

    def post(self, headers: dict[str, str], path: str, body: Any) -> urllib3.BaseHTTPResponse:
        return self.site("POST", f"/api/v1{path}", headers, json=body)

    def get(self, key: dict[str, str], path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.site("GET", f"/api/v1{path}", key | sent)


@pytest.fixture
def desk(serve: Serve, people: People, database: Database, tenant: uuid.UUID) -> Iterator[Desk]:
    with DagsterServer() as dagster, serve(RADIANT_DAGSTER_URL=dagster.url) as site:
        yield Desk(site, people, database, tenant, dagster)


def body(reply: urllib3.BaseHTTPResponse) -> Any:
    return json.loads(reply.data)


def refused(reply: urllib3.BaseHTTPResponse) -> tuple[int, str]:
    assert reply.headers["Content-Type"].startswith("application/problem+json"), reply.data
    return reply.status, body(reply)["code"]


def test_a_decision_stands_is_repeated_and_is_launched_once(desk: Desk) -> None:
    approval, lee = desk.ask(), desk.key("dr-lee", "reviewer")

    first = desk.decide(lee, approval, Idempotency_Key="one")
    again = desk.decide(lee, approval, Idempotency_Key="one")
    other = desk.decide(lee, approval, APPROVE | {"guidance": "Other."}, Idempotency_Key="one")
    second = desk.decide(lee, approval)

    assert first.status == 201
    assert body(first)["verdict"] == "approved"
    assert (again.status, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert body(again) == body(first)
    assert refused(other) == (422, "idempotency_conflict")
    assert refused(second) == (409, "approval_already_resolved")
    assert body(second)["standing_decision"]["decided_by"] == ["dr-lee"]
    assert until(lambda: desk.dagster.launched, bool) == [continuation(desk.tenant, approval)]


def test_the_first_of_two_votes_is_counted(desk: Desk) -> None:
    approval = desk.ask(quorum=2)

    one = desk.decide(desk.key("dr-lee", "reviewer"), approval)
    stale = desk.decide(desk.key("dr-wu", "reviewer"), approval)
    two = desk.decide(desk.key("dr-ito", "reviewer"), approval, If_Match='"v2"')

    assert (one.status, body(one)["verdict"], body(one)["votes"]) == (202, None, 1)
    assert refused(stale) == (412, "approval_stale")
    assert body(stale)["version"] == 2
    assert (two.status, body(two)["verdict"]) == (201, "approved")


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"verdict": "rejected", "payload_sha256": DRAFT}, "guidance"),
        ({"verdict": "modified", "payload_sha256": DRAFT}, "edited_text"),
        ({"verdict": "maybe", "payload_sha256": DRAFT}, "verdict"),
        ({"verdict": "approved"}, "payload_sha256"),
        (APPROVE | {"tenant_id": "other"}, "tenant_id"),
        (APPROVE | {"guidance": "a\x00b"}, "guidance"),
        ([], "body"),
    ],
)
def test_a_wrong_decision_is_told_the_field_and_the_fix(
    desk: Desk, document: Any, field: str
) -> None:
    approval = desk.ask()

    reply = desk.decide(desk.key("dr-lee", "reviewer"), approval, document)

    assert refused(reply) == (422, "invalid_input")
    assert body(reply)["field"] == field
    assert body(reply)["fix"]


def test_a_decision_has_to_say_what_was_read_and_that_it_is_one(desk: Desk) -> None:
    approval, lee = desk.ask(), desk.key("dr-lee", "reviewer")
    path = f"/approvals/{approval}/decision"
    changed = APPROVE | {"payload_sha256": "00" * 32}

    assert refused(desk.post(lee | {"Idempotency-Key": "k"}, path, APPROVE)) == (
        428, "if_match_required",
    )  # fmt: skip
    assert refused(desk.post(lee | {"If-Match": '"v1"'}, path, APPROVE)) == (
        400, "idempotency_key_required",
    )  # fmt: skip
    assert refused(desk.decide(lee, approval, If_Match="v1")) == (422, "invalid_input")
    assert refused(desk.decide(lee, approval, changed)) == (409, "approval_changed")


def test_not_everybody_decides(desk: Desk) -> None:
    approval = desk.ask()

    asker = desk.decide(desk.key("ann", "reviewer"), approval)
    viewer = desk.decide(desk.key("vera", "viewer"), approval)
    unqualified = desk.decide(desk.key("joe", "reviewer", domains=frozenset({"legal"})), approval)

    assert refused(asker) == (403, "approval_forbidden")
    assert refused(viewer) == (403, "permission_denied")
    assert refused(unqualified) == (403, "approval_forbidden")


def test_a_late_decision_is_gone_and_stays_so(desk: Desk, owner_url: str) -> None:
    approval, lee = desk.ask(), desk.key("dr-lee", "reviewer")
    run_sql(
        owner_url,
        "update radiant.approval_request set deadline = clock_timestamp() - interval '1 second'",
    )

    replies = [desk.decide(lee, approval, Idempotency_Key="k") for _ in range(2)]

    assert [refused(reply) for reply in replies] == [(410, "approval_expired")] * 2
    assert body(desk.get(lee, f"/approvals/{approval}"))["state"] == "expired"


def test_a_claim_keeps_others_away_until_it_is_given_back(desk: Desk) -> None:
    approval = desk.ask()
    lee, wu = desk.key("dr-lee", "reviewer"), desk.key("dr-wu", "reviewer")
    path = f"/api/v1/approvals/{approval}/claim"

    held = desk.site("POST", path, lee)
    taken = desk.site("POST", path, wu)
    blocked = desk.decide(wu, approval)
    freed = desk.site("DELETE", path, lee)
    then = desk.site("POST", path, wu)

    assert (held.status, body(held)["claimed_by"]) == (200, "dr-lee")
    assert refused(taken) == (423, "approval_claimed")
    assert body(taken)["claimed_by"] == "dr-lee"
    assert refused(blocked) == (423, "approval_claimed")
    assert (freed.status, then.status) == (200, 200)


def test_an_admin_breaks_a_claim_which_is_audited_and_others_cannot(desk: Desk) -> None:
    approval = desk.ask()
    lee, wu = desk.key("dr-lee", "reviewer"), desk.key("dr-wu", "reviewer")
    boss, viewer = desk.key("boss", "admin"), desk.key("guest", "viewer")
    path = f"/api/v1/approvals/{approval}/claim"
    desk.site("POST", path, lee)

    taken = desk.site("DELETE", path, wu)
    forbidden = desk.site("DELETE", path, viewer)
    broken = desk.site("DELETE", path, boss)
    then = desk.site("POST", path, wu)

    assert refused(taken) == (423, "approval_claimed")
    assert forbidden.status == 403
    assert (broken.status, then.status) == (200, 200)
    trail = body(desk.get(boss, f"/approvals/{approval}/audit"))
    assert ("boss", "approval.claim_broken") in {
        (row["actor"], row["action"]) for row in trail["entries"]
    }


def test_a_request_is_known_by_its_etag(desk: Desk) -> None:
    approval, lee = desk.ask(), desk.key("dr-lee", "reviewer")
    path = f"/approvals/{approval}"

    read = desk.get(lee, path)
    same = desk.get(lee, path, If_None_Match=read.headers["ETag"])
    desk.decide(lee, approval)
    newer = desk.get(lee, f"{path}?wait=25", If_None_Match=read.headers["ETag"])

    assert read.headers["ETag"] == '"v1"'
    assert body(read)["review_sanitized"]["draft"] == "The draft."
    assert (same.status, same.data) == (304, b"")
    assert (newer.status, newer.headers["ETag"]) == (200, '"v2"')


def test_another_tenants_request_is_as_unknown_as_any(desk: Desk) -> None:
    other = uuid.uuid4()
    tenants.create_tenant(desk.database, other, "other", "Other")
    theirs, nobodys = desk.ask(other), uuid.uuid4()
    everything = desk.key("all", "viewer", "reviewer", "senior", "privacy", "admin")
    sent = everything | {"If-Match": '"v1"', "Idempotency-Key": "k"}
    calls: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("POST", "/claim", None),
        ("DELETE", "/claim", None),
        ("POST", "/decision", APPROVE),
        ("POST", "/reveal", {"reason": "Why not."}),
        ("POST", "/cancel", None),
        ("POST", "/retry", None),
        ("POST", "/reassign", {"assignees": []}),
        ("GET", "/audit", None),
    ]

    for method, path, document in calls:
        more = {} if document is None else {"json": document}
        seen = {
            wanted: desk.site(method, f"/api/v1/approvals/{wanted}{path}", sent, **more)
            for wanted in (theirs, nobodys)
        }

        texts = {anonymous(reply, str(wanted)) for wanted, reply in seen.items()}
        assert [reply.status for reply in seen.values()] == [404, 404], path
        assert len(texts) == 1, path


def anonymous(reply: urllib3.BaseHTTPResponse, wanted: str) -> str:
    """Return a problem without the ids of what was asked for and of the request."""
    return re.sub(r"[0-9a-f]{32}", "REQUEST", reply.data.decode().replace(wanted, "ID"))


def test_the_inbox_is_filtered_counted_and_paged_while_more_comes_in(desk: Desk) -> None:
    wanted = [desk.ask(deadline_seconds=100 + number) for number in range(5)]
    lee = desk.key("dr-lee", "reviewer")
    desk.decide(lee, wanted[4])

    first = body(desk.get(lee, "/approvals?limit=2"))
    soon = desk.ask(deadline_seconds=50)
    second = body(desk.get(lee, f"/approvals?limit=2&cursor={quoted(first['next_cursor'])}"))
    decided = body(desk.get(lee, "/approvals?state=approved"))

    ids = [row["id"] for row in first["approvals"] + second["approvals"]]
    assert ids == [str(item) for item in wanted[:4]]
    assert second["next_cursor"] is None
    assert str(soon) not in ids
    assert [row["id"] for row in decided["approvals"]] == [str(wanted[4])]
    assert {(row["state"], row["number"]) for row in decided["counts"]} == {
        ("pending", 5), ("approved", 1),
    }  # fmt: skip
    assert first["server_now"] < first["approvals"][0]["deadline"]


def test_a_time_may_have_any_offset(desk: Desk) -> None:
    lee = desk.key("dr-lee", "reviewer")
    zone = "2000-01-01T00:00:00-18:08"

    replies = [
        desk.get(lee, f"/approvals?deadline_before={zone}"),
        desk.get(lee, f"/approvals?cursor={zone}~{uuid.uuid4()}"),
    ]

    assert [reply.status for reply in replies] == [200, 200]


def quoted(cursor: str) -> str:
    return cursor.replace("+", "%2B")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "state=lost", "assignee=bob", "cursor=x", "color=red",
              "limit=1&limit=2", "deadline_before=tomorrow", "domain=a%00b",
              "deadline_before=0001-01-01T00:00:00%2B18:00"]
)  # fmt: skip
def test_a_filter_that_nobody_knows_is_refused(desk: Desk, query: str) -> None:
    reply = desk.get(desk.key("dr-lee", "reviewer"), f"/approvals?{query}")

    assert refused(reply) == (422, "invalid_input")


def test_several_are_rejected_each_with_its_own_result_and_none_is_approved(desk: Desk) -> None:
    good, gone = desk.ask(), uuid.uuid4()
    lee = desk.key("dr-lee", "reviewer")
    items = [{"id": str(item), "payload_sha256": DRAFT} for item in (good, gone)]
    document = {"action": "reject", "approvals": items, "guidance": "Not today."}

    approve = desk.post(lee, "/approvals/bulk", document | {"action": "approve"})
    done = desk.post(lee, "/approvals/bulk", document)

    assert refused(approve) == (400, "bulk_approval")
    assert done.status == 207
    assert [(item["status"], item["code"]) for item in body(done)["results"]] == [
        (200, None), (404, "approval_not_found"),
    ]  # fmt: skip


def test_who_sees_an_original_is_written_down(desk: Desk) -> None:
    approval = desk.ask()
    privacy = desk.key("pia", "privacy")
    path = f"/approvals/{approval}/reveal"

    reply = desk.post(privacy, path, {"reason": "A complaint."})
    entries = body(desk.get(privacy, f"/approvals/{approval}/audit"))["entries"]

    assert reply.status == 200
    assert reply.headers["Cache-Control"] == "no-store"
    assert body(reply)["prompt"] == "Why?"
    assert ("pia", "approval.revealed") in [(row["actor"], row["action"]) for row in entries]
    assert refused(desk.post(desk.key("dr-lee", "reviewer"), path, {"reason": "x"})) == (
        403, "permission_denied",
    )  # fmt: skip


def test_an_admin_reassigns_and_cancels(desk: Desk) -> None:
    approval, admin = desk.ask(), desk.key("root", "admin")
    path = f"/approvals/{approval}"

    moved = desk.post(admin, f"{path}/reassign", {"assignees": ["dr-wu"]})
    refusal = desk.decide(desk.key("dr-lee", "reviewer"), approval, If_Match='"v2"')
    ended = desk.site("POST", f"/api/v1{path}/cancel", admin)

    assert (moved.status, moved.headers["ETag"]) == (200, '"v2"')
    assert refused(refusal) == (403, "approval_forbidden")
    assert ended.status == 200
    assert body(desk.get(admin, path))["state"] == "cancelled"
    assert body(desk.get(admin, "/audit/verify"))["holds"] is True


def test_an_admin_has_a_decision_carried_out_again_that_used_its_runs_up(
    desk: Desk, owner_url: str
) -> None:
    approval, admin = desk.ask(), desk.key("root", "admin")
    retry = f"/api/v1/approvals/{approval}/retry"
    undecided = desk.site("POST", retry, admin)
    desk.decide(desk.key("dr-lee", "reviewer"), approval)
    launched = until(lambda: list(desk.dagster.launched), bool)
    run_sql(owner_url, "update radiant.approval_decision set failures = 3")

    again = desk.site("POST", retry, admin)
    twice = until(lambda: list(desk.dagster.launched), lambda found: len(found) == 2)
    run_sql(owner_url, "update radiant.approval_decision set done_at = clock_timestamp()")
    done = desk.site("POST", retry, admin)

    assert refused(undecided) == (404, "approval_not_found")
    assert (again.status, body(again)["approval_id"]) == (200, str(approval))
    assert twice == launched * 2
    assert refused(done) == (409, "decision_already_claimed")
    entries = body(desk.get(admin, f"/approvals/{approval}/audit"))["entries"]
    assert [e["actor"] for e in entries if e["action"] == "approval.retried"] == ["root"]


def test_events_of_approvals_go_on_where_they_were_lost(desk: Desk) -> None:
    lee = desk.key("dr-lee", "reviewer")
    stream = desk.site("GET", "/api/v1/approvals/events", lee, preload_content=False)
    pieces = stream.stream(None)
    first_bytes = next(pieces)
    approval = desk.ask()
    desk.decide(lee, approval)
    seen = read_until(pieces, b"approval.decided")
    stream.close()
    last = re.findall(rb"id: (\d+)", seen)[-1].decode()

    second = desk.ask()
    desk.decide(lee, second)
    resumed = desk.site(
        "GET", "/api/v1/approvals/events", lee | {"Last-Event-ID": last}, preload_content=False
    )
    more = read_until(resumed.stream(None), str(second).encode())
    resumed.close()

    assert first_bytes.startswith(b"retry:")
    assert str(approval).encode() in seen
    assert f"id: {last}\n".encode() not in more


def read_until(pieces: Iterator[bytes], wanted: bytes) -> bytes:
    """Read a stream until something came whole."""
    text = b""
    for piece in pieces:
        text += piece
        if wanted in text and text.endswith(b"\n\n"):
            break
    return text


def test_one_reader_keeps_few_streams_open(desk: Desk) -> None:
    lee = desk.key("dr-lee", "reviewer")
    path = "/api/v1/approvals/events"

    streams = [desk.site("GET", path, lee, preload_content=False) for _ in range(6)]
    one_more = desk.site("GET", path, lee)
    for stream in streams:
        stream.close()

    assert {stream.status for stream in streams} == {200}
    assert refused(one_more) == (429, "too_many_streams")
