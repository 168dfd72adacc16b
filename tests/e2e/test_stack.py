"""Sessions through the real webserver, daemon, sensor and warm workers."""

import json
import os
import signal
import urllib.request
import uuid
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from radiant_dagster.domain.swarm import AgentConfig
from tests.e2e.conftest import Running, until
from tests.services.llm_server import error, slow
from tests.services.processes import children_of

pytestmark = pytest.mark.timeout(180)


def test_a_launched_session_completes(stack: Running) -> None:
    session_id, run_id = stack.submit()

    row = stack.wait(session_id, "completed")

    assert row["dagster_run_id"] == run_id
    assert row["final_response"]
    assert stack.wait_run(run_id, "SUCCESS", "FAILURE") == "SUCCESS"


def test_the_sensor_launches_the_continuation_of_a_decision(stack: Running) -> None:
    session_id, run_id = stack.submit(domain="medical")
    stack.wait(session_id, "awaiting_review")
    stack.approve(session_id)

    row = stack.wait(session_id, "completed")

    assert row["conclude_run_id"] not in (None, run_id)
    assert stack.wait_run(row["conclude_run_id"], "SUCCESS", "FAILURE") == "SUCCESS"


def test_a_deadline_that_passes_ends_the_session_without_an_answer(stack: Running) -> None:
    with stack.database.tenant_transaction(stack.tenant) as cursor:
        cursor.execute("update radiant.domain_policy set deadline_seconds = 5 where name = 'legal'")
    session_id, _ = stack.submit(domain="legal")

    row = stack.wait(session_id, "expired", "completed", "failed")

    assert row["status"] == "expired"
    assert row["final_response"] is None


def test_terminate_in_dagit_cancels_the_session_and_spares_the_worker(stack: Running) -> None:
    for agent in ("a0", "a1", "a2"):
        stack.models.script(slow(40), agent=agent)
    session_id, run_id = stack.submit()
    until(lambda: waiting_calls(stack, session_id), lambda count: count == 3)
    children = worker_children(stack)

    assert stack.dagster.terminate(run_id)

    assert stack.wait_run(run_id, "CANCELED", "FAILURE", "SUCCESS") == "CANCELED"
    row = stack.wait(session_id, "cancelled")
    assert row["final_response"] is None
    assert all(call.dropped for call in calls_of(stack, session_id))
    assert worker_children(stack) == children
    again, _ = stack.submit()
    assert stack.wait(again, "completed", "failed")["status"] == "completed"


def test_the_session_of_a_killed_worker_finishes_by_itself(stack: Running) -> None:
    stack.models.script(slow(60), agent="a2")
    session_id, run_id = stack.submit()
    until(
        lambda: statuses(stack, session_id),
        lambda found: sorted(found.values()) == ["running", "success", "success"],
    )
    (child,) = children_at_work(stack, run_id)

    os.kill(child, signal.SIGKILL)

    assert stack.wait_run(run_id, "FAILURE", "CANCELED", "SUCCESS") == "FAILURE"
    row = stack.wait(session_id, "completed", "failed")
    assert row["status"] == "completed"
    asked = [call.headers["X-Radiant-Agent"] for call in calls_of(stack, session_id)]
    keys = {call.headers["Idempotency-Key"] for call in calls_of(stack, session_id)}
    assert row["final_response"]
    assert sorted(asked) == ["a0", "a1", "a2", "a2"]
    assert len(keys) == 3


def test_reexecution_from_failure_in_dagit_finishes_a_failed_session(stack: Running) -> None:
    for agent in ("a0", "a1"):
        stack.models.script(error(401), agent=agent)
    session_id, run_id = stack.submit()
    assert stack.wait(session_id, "failed", "completed")["status"] == "failed"
    assert stack.wait_run(run_id, "FAILURE", "SUCCESS") == "FAILURE"

    reexecute(stack, run_id)

    stack.wait(session_id, "completed")
    asked = [call.headers["X-Radiant-Agent"] for call in calls_of(stack, session_id)]
    assert sorted(asked) == ["a0", "a0", "a1", "a1", "a2"]


def test_anybody_may_launch_a_continuation_but_not_forge_a_verdict(stack: Running) -> None:
    session_id, _ = stack.submit(domain="medical")
    stack.wait(session_id, "awaiting_review")
    with stack.database.tenant_transaction(stack.tenant) as cursor:
        cursor.execute(
            "select id from radiant.approval_request where session_id = %s", (session_id,)
        )
        row = cursor.fetchone()
    assert row is not None

    run_id = stack.dagster.launch(
        "synthesis_and_librarian",
        "claim_decision",
        {"tenant_id": str(stack.tenant), "approval_id": str(row["id"])},
        {},
    )

    assert stack.wait_run(run_id, "SUCCESS", "FAILURE") == "FAILURE"
    assert stack.session(session_id)["status"] == "awaiting_review"


def test_run_configs_and_tags_hold_ids_only(stack: Running) -> None:
    query = """query { runsOrError(limit: 500) { ... on Runs { results {
        runConfigYaml tags { value } } } } }"""

    runs = ask(stack, query, {})["runsOrError"]["results"]

    text = json.dumps(runs)
    assert len(runs) > 1
    assert "vaccine" not in text
    assert "analyst" not in text


def calls_of(stack: Running, session_id: uuid.UUID) -> list[Any]:
    wanted = str(session_id)
    return [
        call
        for call in stack.models.calls
        if call.headers.get("X-Radiant-Session") == wanted and "X-Radiant-Agent" in call.headers
    ]


def waiting_calls(stack: Running, session_id: uuid.UUID) -> int:
    return len(calls_of(stack, session_id))


def statuses(stack: Running, session_id: uuid.UUID) -> dict[str, str]:
    with stack.database.tenant_transaction(stack.tenant) as cursor:
        cursor.execute(
            "select agent_id, status from radiant.agent_run where session_id = %s", (session_id,)
        )
        return {row["agent_id"]: row["status"] for row in cursor.fetchall()}


def worker_children(stack: Running) -> set[int]:
    return set(children_of(stack.pids["worker"]))


def children_at_work(stack: Running, run_id: str) -> list[int]:
    """Find the worker child that runs a run, from the event that says so."""
    query = """query Run($runId: ID!) { runOrError(runId: $runId) { ... on Run {
        eventConnection { events { ... on MessageEvent { message } } } } } }"""
    events = ask(stack, query, {"runId": run_id})["runOrError"]["eventConnection"]["events"]
    text = json.dumps(events)
    return [child for child in worker_children(stack) if f"pid: {child}" in text]


def reexecute(stack: Running, run_id: str) -> None:
    query = """mutation Again($params: ReexecutionParams!) {
        launchRunReexecution(reexecutionParams: $params) { __typename } }"""
    params = {"parentRunId": run_id, "strategy": "ALL_STEPS"}
    result = ask(stack, query, {"params": params})["launchRunReexecution"]
    assert result["__typename"] == "LaunchRunSuccess"


def ask(stack: Running, query: str, variables: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{stack.settings.dagster_url}/graphql",
        data=json.dumps({"query": query, "variables": variables}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)["data"]


def test_a_worker_stays_within_six_connections_to_postgres(stack: Running) -> None:
    sessions = [
        stack.submit(
            agents=tuple(AgentConfig(f"a{n}", "analyst", "gpt-4o-mini") for n in range(32))
        )
        for _ in range(6)
    ]

    most: dict[str, int] = {}
    until(
        lambda: note_connections(stack, most) or [stack.session(s)["status"] for s, _ in sessions],
        lambda statuses: set(statuses) == {"completed"},
    )

    held = [most.get(str(child), 0) for child in worker_children(stack)]
    assert max(held) <= 6
    assert min(held) >= 2


def note_connections(stack: Running, most: dict[str, int]) -> None:
    """Note the most connections that each process held; their names end in its id."""
    owner = stack.info.environment["RADIANT_OWNER_DATABASE_URL"]
    with closing(psycopg2.connect(owner)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select split_part(application_name, '/', 2), count(*) from pg_stat_activity"
            " where application_name like 'radiant%/%' group by 1"
        )
        for pid, count in cursor.fetchall():
            most[pid] = max(most.get(pid, 0), count)
