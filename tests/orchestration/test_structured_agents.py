"""Agents whose answers have to fit a schema, and agents that stream while they are watched."""

import json
import uuid
from dataclasses import replace
from typing import Any

import dagster as dg
import psycopg2
import pytest

from radiant_dagster.adapters import sessions
from radiant_dagster.adapters.panels import agents_from, agents_to_json
from radiant_dagster.adapters.submission import prepare, store_session
from radiant_dagster.domain.swarm import AgentConfig
from tests.conftest import World
from tests.orchestration.test_think_tank import PROMPT, session, submit, think
from tests.services.llm_server import Reply, content, error
from tests.services.llm_streams import CUT

SCHEMA = {
    "type": "object",
    "properties": {"verdict": {"enum": ["yes", "no"]}, "also": {"type": "integer"}},
    "required": ["verdict", "also"],
}
SWARM = (
    AgentConfig("judge", "judge", "gpt-4o", output_schema=SCHEMA),
    *(AgentConfig(name, "analyst", "gpt-4o") for name in ("b", "c")),
)


def judge(world: World, session_id: uuid.UUID) -> dict[str, Any]:
    with world.database.tenant_transaction(world.tenant) as cursor:
        return sessions.agent_rows(cursor, world.tenant, session_id)[0]


def calls(world: World, agent: str = "judge") -> list[Any]:
    return [call for call in world.models.calls if call.headers.get("X-Radiant-Agent") == agent]


def test_an_answer_that_fits_is_stored_as_canonical_json(
    world: World, instance: dg.DagsterInstance
) -> None:
    world.models.script(content('{ "verdict": "yes", "also": 1 }'), agent="judge")
    session_id = submit(world, agents=SWARM)

    think(world, session_id, instance)

    row = judge(world, session_id)
    assert (row["status"], row["response"]) == ("success", '{"also":1,"verdict":"yes"}')
    (call,) = calls(world)
    wanted = call.body["response_format"]["json_schema"]
    assert wanted == {"name": "agent_answer", "strict": False, "schema": SCHEMA}
    assert list(wanted["schema"]["properties"]) == ["verdict", "also"]
    merged = next(c for c in world.models.calls if "X-Radiant-Agent" not in c.headers)
    assert json.dumps(row["response"])[1:-1] in merged.body["messages"][1]["content"]


def test_an_answer_that_does_not_fit_is_repaired_once_and_both_calls_are_counted(
    world: World, instance: dg.DagsterInstance
) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 10}
    first, second = content('{"verdict": "SECRET-WORD"}'), content('{"verdict": "no", "also": 2}')
    for reply in (first, second):
        world.models.script(replace(reply, change={**reply.change, "usage": usage}), agent="judge")
    session_id = submit(world, agents=SWARM)

    think(world, session_id, instance)

    row = judge(world, session_id)
    assert (row["status"], row["response"]) == ("success", '{"also":2,"verdict":"no"}')
    assert (row["prompt_tokens"], row["completion_tokens"], row["attempts"]) == (2000, 20, 1)
    assert row["cost_micro_usd"] == 2 * (1000 * 2.5 + 10 * 10)
    asked, repair = calls(world)
    assert repair.body["messages"][:2] == asked.body["messages"]
    assert repair.body["messages"][2]["content"] == '{"verdict": "SECRET-WORD"}'
    assert "at $" in repair.body["messages"][3]["content"]
    keys = [call.headers["Idempotency-Key"] for call in (asked, repair)]
    assert keys == [f"{session_id}:judge", f"{session_id}:judge:repair"]


@pytest.mark.parametrize("repair", [content("SECRET-WORD"), error(429), error(401)])
def test_an_answer_that_cannot_be_repaired_fails_the_agent_and_its_cost_stays(
    world: World, instance: dg.DagsterInstance, repair: Reply
) -> None:
    world.models.script(content('{"verdict": "SECRET-WORD"}'), repair, agent="judge")
    session_id = submit(world, agents=SWARM)

    result = think(world, session_id, instance)

    row = judge(world, session_id)
    assert (row["status"], row["error_code"], row["response"]) == ("failed", "schema", None)
    assert row["cost_micro_usd"] > 0
    assert "SECRET" not in row["error_message"]
    assert len(calls(world)) == 2
    assert session(world, session_id)["missing_agents"] == {"judge": "schema"}
    assert "SECRET" not in str(
        [event.to_json() if hasattr(event, "to_json") else event for event in result.all_events]
    )


def test_a_schema_survives_a_panel_and_a_rerun(world: World) -> None:
    stored = agents_from(json.loads(agents_to_json(SWARM)))
    session_id = submit(world, agents=stored)

    with world.database.tenant_transaction(world.tenant) as cursor:
        rows = sessions.agent_rows(cursor, world.tenant, session_id)

    assert tuple(sessions.config_from(row) for row in rows) == SWARM


def test_watched_agents_stream_and_leave_no_text_behind(
    world: World, instance: dg.DagsterInstance, owner_url: str
) -> None:
    world.models.script(Reply(stream=("Close the ", CUT)), agent="b")
    session_id = uuid.uuid4()
    request, bound = prepare(
        world.database, world.settings, world.tenant,
        prompt=PROMPT, domain="general", user_id="ann", agents=SWARM[1:],
    )  # fmt: skip
    store_session(
        world.database, world.settings, world.tenant, session_id, request, bound, live=True
    )

    think(world, session_id, instance)

    assert session(world, session_id)["status"] == "completed"
    assert [call.body.get("stream") for call in calls(world, "b")] == [True, True]
    assert [call.body.get("stream") for call in calls(world, "c")] == [True]
    connection = psycopg2.connect(owner_url)
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from radiant.agent_progress")
        assert cursor.fetchone() == (0,)
    connection.close()


def test_unwatched_agents_do_not_stream(world: World, instance: dg.DagsterInstance) -> None:
    think(world, submit(world, agents=SWARM[1:]), instance)

    assert all("stream" not in call.body for call in world.models.calls)
