"""Many sessions of which every fifth model call fails: none is lost, nothing is bought twice."""

import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from radiant_dagster.adapters.submission import prepare, store_session
from radiant_dagster.definitions import defs
from radiant_dagster.domain.swarm import AgentConfig
from tests.conftest import World
from tests.orchestration.test_think_tank import PROMPT
from tests.services.llm_faults import Latency, RandomFaults
from tests.services.llm_server import LlmServer
from tests.services.simulation import judge

SESSIONS = 40
SEED = 20
AGENTS = tuple(AgentConfig(name, "analyst", "gpt-4o-mini", max_tokens=300) for name in "abc")


@pytest.fixture
def models() -> Iterator[LlmServer]:
    latency = Latency(0.01, sigma=0.8, seed=SEED)
    with LlmServer(latency_seconds=latency, faults=RandomFaults(0.2, seed=SEED)) as server:
        yield server


def run(world: World, session_id: uuid.UUID) -> None:
    wanted = {"prompt": PROMPT, "domain": "general", "user_id": "ann", "agents": AGENTS}
    request, estimate = prepare(world.database, world.settings, world.tenant, **wanted)
    store_session(world.database, world.settings, world.tenant, session_id, request, estimate)
    config = {"tenant_id": str(world.tenant), "session_id": str(session_id)}
    defs.resolve_job_def("think_tank").execute_in_process(
        run_config={
            "ops": {"open_session": {"config": config}},
            "resources": {"models": {"config": {"max_retries": 1}}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
        raise_on_error=False,
    )


def test_no_session_is_lost_and_no_answer_bought_twice_where_a_fifth_of_the_calls_fail(
    world: World,
) -> None:
    chance = random.Random(SEED)
    session_ids = [uuid.UUID(int=chance.getrandbits(128), version=4) for _ in range(SESSIONS)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda session_id: run(world, session_id), session_ids))

    verdict = judge(world.database, world.tenant, session_ids, world.models.calls)
    assert verdict.lost == ()
    assert verdict.bought_twice == ()
    assert verdict.unbooked == ()
    assert sum(verdict.sessions.values()) == SESSIONS
    assert sum(verdict.agents.values()) == SESSIONS * len(AGENTS)
    assert 0.1 < verdict.faults / verdict.calls < 0.3
    assert verdict.agents["success"] > verdict.agents["failed"] > 0
