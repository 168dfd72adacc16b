"""A thousand sessions through a real stack while every fifth model call fails, seeded."""

import random
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.stack import Bench, bench_stack
from benchmarks.suite import PROMPT, STATUS
from radiant_dagster.adapters.submission import prepare, store_session
from radiant_dagster.domain.sessions import TERMINAL
from radiant_dagster.domain.swarm import AgentConfig
from tests.services.llm_faults import Latency, RandomFaults
from tests.services.llm_server import LlmServer
from tests.services.simulation import judge

SEED = 20
RATE = 0.2
CLIENTS = 12
PATIENCE_SECONDS = 300.0
AGENTS = tuple(AgentConfig(name, "analyst", "gpt-4o-mini", max_tokens=300) for name in "abc")
ENDED = TERMINAL | {"awaiting_review"}


def faults_part(home: Path, sessions: int) -> Iterator[dict[str, Any]]:
    """Run the sessions and judge each from the server's log and the database.

    Args:
        home: Folder of the stack.
        sessions: How many.
    """
    latency = Latency(0.05, sigma=0.8, seed=SEED)
    chance = random.Random(SEED)
    session_ids = [uuid.UUID(int=chance.getrandbits(128), version=4) for _ in range(sessions)]
    with (
        LlmServer(latency_seconds=latency, faults=RandomFaults(RATE, seed=SEED)) as models,
        bench_stack(home, model_url=models.url) as bench,
    ):
        begun = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda session_id: _run(bench, session_id), session_ids))
        seconds = time.monotonic() - begun
        verdict = judge(bench.database, bench.tenant, session_ids, models.calls)
    params = {"sessions": sessions, "agents": len(AGENTS), "fault_rate": RATE, "seed": SEED}
    for name, items in (
        ("faults_sessions_lost", verdict.lost),
        ("faults_answers_bought_twice", verdict.bought_twice),
        ("faults_agents_not_booked", verdict.unbooked),
    ):
        yield {
            "bench": name,
            "params": params,
            "value": len(items),
            "unit": "count",
            "n": sessions,
            "which": items[:5],
        }
    yield {
        "bench": "faults_sessions_per_minute",
        "params": params,
        "value": round(sessions / seconds * 60, 1),
        "unit": "1/min",
        "n": sessions,
        "sessions": dict(verdict.sessions),
        "agents": dict(verdict.agents),
        "calls": verdict.calls,
        "faults": verdict.faults,
        "paid_calls": verdict.paid,
    }


def _run(bench: Bench, session_id: uuid.UUID) -> None:
    """Submit and launch a session and wait for its end; a stuck one is left to the judge."""
    request, estimate = prepare(
        bench.database,
        bench.settings,
        bench.tenant,
        prompt=PROMPT,
        domain="general",
        user_id="bench",
        agents=AGENTS,
    )
    store_session(bench.database, bench.settings, bench.tenant, session_id, request, estimate)
    bench.dagster.launch_think_tank(bench.tenant, session_id)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with bench.database.tenant_transaction(bench.tenant) as cursor:
            cursor.execute(STATUS, (session_id,))
            found = cursor.fetchone()
        if found and found["status"] in ENDED:
            return
        time.sleep(0.1)
