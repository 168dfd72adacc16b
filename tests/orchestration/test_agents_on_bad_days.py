"""What an agent does about a fault: asks again, asks for less, waits, or gives up in time."""

import uuid
from typing import Any

import dagster as dg
import pytest

from radiant_dagster.definitions import defs
from radiant_dagster.domain.shortening import CUT_MARK
from radiant_dagster.domain.swarm import AgentConfig
from tests.conftest import World
from tests.orchestration.test_bad_days import agents
from tests.orchestration.test_think_tank import session, submit
from tests.services.llm_faults import CONTEXT_WINDOW, MALFORMED, error, slow

AGENTS = tuple(AgentConfig(name, "analyst", "gpt-4o-mini") for name in "abc")
DOCUMENT = "The fridge holds 200 doses. " * 300


def think(world: World, session_id: uuid.UUID, **models: Any) -> dg.ExecuteInProcessResult:
    config = {"tenant_id": str(world.tenant), "session_id": str(session_id)}
    return defs.resolve_job_def("think_tank").execute_in_process(
        run_config={
            "ops": {"open_session": {"config": config}},
            "resources": {"models": {"config": models}},
        },
        raise_on_error=False,
    )


def asked(world: World, agent: str) -> list[str]:
    """Return the user messages that an agent's model was sent."""
    calls = [call for call in world.models.calls if call.headers.get("X-Radiant-Agent") == agent]
    return [call.body["messages"][1]["content"] for call in calls]


def found(world: World, session_id: uuid.UUID, agent: str) -> tuple[str, str | None, int]:
    row = agents(world, session_id)[agent]
    return row["status"], row["error_code"], row["attempts"]


def test_what_does_not_fit_is_asked_once_more_with_shortened_documents(world: World) -> None:
    world.models.script(CONTEXT_WINDOW, agent="a")
    session_id = submit(world, agents=AGENTS, context={"stock": DOCUMENT})

    think(world, session_id, max_retries=0)

    first, second = asked(world, "a")
    assert found(world, session_id, "a") == ("success", "input_shortened", 2)
    assert DOCUMENT in first
    assert DOCUMENT not in second
    assert CUT_MARK.strip() in second
    assert found(world, session_id, "b") == ("success", None, 1)
    assert session(world, session_id)["swarm_status"] == "complete"


def test_what_does_not_fit_shortened_either_has_failed(world: World) -> None:
    world.models.script(*[CONTEXT_WINDOW] * 3, agent="a")
    session_id = submit(world, agents=AGENTS, context={"stock": DOCUMENT})

    think(world, session_id, max_retries=5)

    assert found(world, session_id, "a") == ("failed", "context_window", 2)
    assert session(world, session_id)["missing_agents"] == {"a": "context_window"}


def test_a_model_that_breaks_its_json_twice_is_given_up(world: World) -> None:
    world.models.script(*[MALFORMED] * 5, agent="a")
    session_id = submit(world, agents=AGENTS)

    think(world, session_id, max_retries=4)

    assert found(world, session_id, "a") == ("failed", "malformed", 2)


@pytest.mark.parametrize("header", ["retry-after", "llm_provider-retry-after"])
def test_a_wait_beyond_the_swarms_deadline_ends_the_agent_at_once(
    world: World, header: str
) -> None:
    deadline(world, 8)
    world.models.script(*[error(429, headers={header: "15"})] * 2, agent="a")
    session_id = submit(world, agents=AGENTS)

    think(world, session_id, max_retries=3)

    assert found(world, session_id, "a") == ("failed", "rate_limited", 1)
    assert session(world, session_id)["swarm_status"] == "degraded"


def test_agents_that_are_late_at_the_swarms_deadline_time_out_and_the_others_count(
    world: World,
) -> None:
    deadline(world, 3)
    world.models.script(slow(60), agent="b")
    session_id = submit(world, agents=(*AGENTS, AgentConfig("d", "analyst", "gpt-4o-mini")))

    # One after the other in this process, so `b` uses up the time that c and d share with it.
    think(world, session_id, max_retries=3)

    row = session(world, session_id)
    statuses = {name: item["status"] for name, item in agents(world, session_id).items()}
    assert statuses == {"a": "success", "b": "timeout", "c": "timeout", "d": "timeout"}
    assert asked(world, "c") == asked(world, "d") == []
    assert (row["status"], row["failure_code"]) == ("failed", "quorum_not_reached")
    assert row["missing_agents"] == {"b": "timeout", "c": "deadline", "d": "deadline"}


def test_nothing_passes_for_checked_that_nobody_checked(world: World) -> None:
    session_id = submit(world, agents=AGENTS)

    think(world, session_id)

    assert {row["safety_passed"] for row in agents(world, session_id).values()} == {None}


def deadline(world: World, seconds: int) -> None:
    with world.database.tenant_transaction(world.tenant) as cursor:
        cursor.execute("update radiant.domain_policy set swarm_seconds = %s", (seconds,))
