"""Sessions over the API: asked once, followed, read when they have ended, and cancelled."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from radiant_dagster.adapters.postgres import Database
from radiant_dagster.client import RadiantClient
from radiant_dagster.definitions import defs
from radiant_dagster.errors import (
    ApiRefused,
    ApiUnavailable,
    ApprovalAlreadyResolved,
    ConfigurationError,
    FeedbackRefused,
    InvalidInput,
    SessionNotFound,
    SessionNotLaunched,
    SessionStateConflict,
)
from radiant_dagster.wire.sessions import SubmitSession
from tests.adapters.rows import insert_session
from tests.conftest import World, run_sql
from tests.mission_control.conftest import People, Serve, Site, bearer
from tests.services.dagster_server import DagsterServer

QUESTION = {"prompt": "Why?"}


@pytest.fixture
def dagster() -> Iterator[DagsterServer]:
    with DagsterServer() as server:
        yield server


@pytest.fixture
def api(serve: Serve, dagster: DagsterServer) -> Iterator[Site]:
    with serve(RADIANT_DAGSTER_URL=dagster.url) as site:
        yield site


@pytest.fixture
def service(people: People) -> dict[str, str]:
    return bearer(people.key_for("backend", "service"))


def client_of(site: Site, key: dict[str, str]) -> RadiantClient:
    return RadiantClient(site.url, key["Authorization"].removeprefix("Bearer "))


def post(site: Site, key: dict[str, str], path: str, body: Any, **headers: str) -> Any:
    sent = key | {name.replace("_", "-"): value for name, value in headers.items()}
    return site("POST", f"/api/v1{path}", sent, json=body)


def test_a_question_is_stored_and_launched_once_for_its_key(
    api: Site, service: dict[str, str], dagster: DagsterServer
) -> None:
    first = post(api, service, "/sessions", QUESTION, Idempotency_Key="one")
    again = post(api, service, "/sessions", QUESTION, Idempotency_Key="one")
    other = post(api, service, "/sessions", {"prompt": "Else?"}, Idempotency_Key="one")

    session_id = json.loads(first.data)["session_id"]
    assert (first.status, first.headers["Location"]) == (201, f"/api/v1/sessions/{session_id}")
    assert (again.status, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert json.loads(again.data)["session_id"] == session_id
    assert (other.status, json.loads(other.data)["code"]) == (422, "idempotency_conflict")
    (launched,) = dagster.launched
    assert launched["ops"]["open_session"]["config"]["session_id"] == session_id


def test_a_launch_that_its_caller_lost_is_made_good_by_the_repetition(
    api: Site, service: dict[str, str], dagster: DagsterServer, owner_url: str
) -> None:
    post(api, service, "/sessions", QUESTION, Idempotency_Key="one")
    run_sql(
        owner_url,
        "update radiant.session set status = 'created', dagster_run_id = null,"
        " created_at = created_at - interval '2 minutes'",
    )

    again = post(api, service, "/sessions", QUESTION, Idempotency_Key="one")

    assert again.status == 200
    assert len(dagster.launched) == 2


def test_a_session_that_dagster_does_not_launch_is_stored_as_failed(
    api: Site, service: dict[str, str], dagster: DagsterServer
) -> None:
    dagster.refuse = "PythonError"
    client = client_of(api, service)

    with pytest.raises(SessionNotLaunched) as caught:
        client.submit(SubmitSession(prompt="Why?"))

    now = client.status(caught.value.session_id)
    assert (now.status, now.failure_code) == ("failed", "launch_failed")
    assert dagster.url not in str(caught.value)
    assert client.result(now.id).answer is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompt"),
        ({"prompt": "Why?", "color": "red"}, "color"),
        ({"prompt": "Why?", "domain": "cooking"}, "domain"),
        ({"prompt": "Why?", "panel": "nobody"}, "panel"),
        ({"prompt": "Why?", "live": "yes"}, "live"),
        ({"prompt": "Why?\x00"}, "prompt"),
        ({"prompt": "Why?", "context": {"a": {"b\x00": 1}}}, "a"),
        ({"prompt": "Why?", "agents": [{"agent_id": "a", "role": "r"}]}, "agents[0].model"),
    ],
)
def test_a_question_that_cannot_run_is_refused_by_its_field(
    api: Site, service: dict[str, str], dagster: DagsterServer, body: Any, field: str
) -> None:
    reply = post(api, service, "/sessions", body)

    assert reply.status == 422
    assert json.loads(reply.data)["field"] == field
    assert dagster.launched == []


def test_a_body_that_is_too_large_or_no_json_is_not_read(
    api: Site, service: dict[str, str]
) -> None:
    large = post(api, service, "/sessions", {"prompt": "x" * 1_100_000})
    form = api("POST", "/api/v1/sessions", service, fields={"prompt": "Why?"})

    assert (large.status, form.status) == (413, 415)


def test_sessions_are_paged_without_a_gap_while_new_ones_come_in(
    api: Site, service: dict[str, str], database: Database, tenant: uuid.UUID
) -> None:
    def ask(count: int) -> list[uuid.UUID]:
        with database.tenant_transaction(tenant) as cursor:  # one time for all of them
            return [insert_session(cursor, tenant) for _ in range(count)]

    old, client = ask(5), client_of(api, service)

    first = client.sessions(limit=3)
    new = ask(2)
    second = client.sessions(limit=3, cursor=first.next_cursor)

    seen = [row.id for row in first.sessions + second.sessions]
    assert sorted(seen) == sorted(old)
    assert second.next_cursor is None
    assert {row.id for row in client.sessions(limit=2).sessions} == set(new)
    assert client.sessions(status="failed").sessions == []


def test_a_result_waits_for_the_end_and_never_holds_a_draft(
    api: Site, service: dict[str, str], database: Database, tenant: uuid.UUID
) -> None:
    def store(**columns: Any) -> uuid.UUID:
        with database.tenant_transaction(tenant) as cursor:
            return insert_session(cursor, tenant, draft="SECRET DRAFT", **columns)

    waiting, rejected = store(status="awaiting_review"), store(status="rejected")
    client = client_of(api, service)

    with pytest.raises(SessionStateConflict) as caught:
        client.result(waiting)
    reply = api("GET", f"/api/v1/sessions/{rejected}/result", service)

    assert caught.value.status == "awaiting_review"
    assert reply.status == 200
    assert b"SECRET" not in reply.data
    assert json.loads(reply.data)["answer"] is None


def test_progress_goes_on_where_it_was_lost_and_ends(
    api: Site, service: dict[str, str], database: Database, tenant: uuid.UUID
) -> None:
    client = client_of(api, service)
    with database.tenant_transaction(tenant) as cursor:
        session_id = insert_session(cursor, tenant, status="running")
    events = client.events(session_id)
    first = next(events)
    events.close()

    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("update radiant.session set status = 'cancelled'")
    rest = list(client.events(session_id, after=first.id))
    headers = service | {"Last-Event-ID": rest[-1].id}
    over = api("GET", f"/api/v1/sessions/{session_id}/events", headers)

    assert (first.name, first.data["status"]) == ("progress", "running")
    assert [(event.name, event.data["status"]) for event in rest] == [
        ("progress", "cancelled"), ("end", "cancelled"),
    ]  # fmt: skip
    assert over.status == 204


def test_a_session_is_cancelled_with_its_run(
    api: Site, service: dict[str, str], dagster: DagsterServer
) -> None:
    client = client_of(api, service)
    asked = client.submit(SubmitSession(prompt="Why?"))

    done = client.cancel(asked.session_id)

    assert done.runs_stopped == dagster.terminated == [asked.dagster_run_id]
    assert client.status(asked.session_id).status == "cancelled"


def test_errors_of_the_server_are_the_same_errors_for_a_client(
    api: Site, service: dict[str, str]
) -> None:
    client = client_of(api, service)

    with pytest.raises(SessionNotFound, match="List yours"):
        client.status(uuid.uuid4())
    with pytest.raises(InvalidInput) as wrong:
        client.submit(SubmitSession(prompt="Why?", domain="cooking"))
    with pytest.raises(ApiRefused) as refused:
        client.approvals()
    with pytest.raises(ConfigurationError) as key:
        RadiantClient(api.url, "rk_nonsense").me()
    assert wrong.value.field == "domain"
    assert (refused.value.code, refused.value.status) == ("permission_denied", 403)
    assert key.value.setting == "RADIANT_API_KEY"


def test_a_client_tries_again_what_it_may_and_says_when_it_gives_up() -> None:
    pauses: list[float] = []
    client = RadiantClient("http://127.0.0.1:9", "rk_x", sleep=pauses.append)

    with pytest.raises(ApiUnavailable, match="RADIANT_API_URL"):
        client.submit(SubmitSession(prompt="Why?"))
    tried = len(pauses)
    with pytest.raises(ApiUnavailable):
        client.cancel(uuid.uuid4())

    assert (tried, len(pauses)) == (3, 3)


def test_a_question_goes_through_review_to_its_answer_over_the_api_alone(
    world: World, serve: Serve, people: People, dagster: DagsterServer
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        dagster.on_launch = lambda config: execute(config, instance)
        with serve(RADIANT_DAGSTER_URL=dagster.url, LITELLM_PROXY_URL=world.models.url) as site:
            asker = RadiantClient(site.url, people.key_for("backend", "service"))
            lee = RadiantClient(site.url, people.key_for("dr-lee", "reviewer"))

            asked = asker.submit(SubmitSession(prompt="Which vaccines?", domain="medical"))
            (row,) = lee.approvals(domain="medical").approvals
            lee.claim(row.id)
            read = lee.approval(row.id)
            decided = lee.decide(read, "approved")
            now = asker.wait(asked.session_id, timeout_seconds=60)
            result = asker.result(asked.session_id)

            assert (decided.verdict, now.status) == ("approved", "completed")
            assert result.answer == read.review_sanitized["draft"]
            assert result.status_line.startswith("Complete:")
            assert result.decision is not None
            assert result.decision.decided_by == ["dr-lee"]
            with pytest.raises(ApprovalAlreadyResolved) as standing:
                lee.decide(read, "rejected", guidance="No.")
            assert standing.value.standing.verdict == "approved"
            with pytest.raises(FeedbackRefused):
                asker.feedback(asked.session_id, "good")


def execute(config: dict[str, Any], instance: dg.DagsterInstance) -> str:
    (op,) = config["ops"]
    job = "think_tank" if op == "open_session" else "synthesis_and_librarian"
    return (
        defs.resolve_job_def(job)
        .execute_in_process(run_config=config, instance=instance, raise_on_error=False)
        .run_id
    )
