"""The parts of the benchmark. Each yields JSON lines of one shape."""

import statistics
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.raw import raw_session_ms
from benchmarks.stack import FLOOR_MS, Bench
from radiant_dagster.adapters import sessions
from radiant_dagster.adapters.submission import prepare, store_session
from radiant_dagster.domain.sessions import TERMINAL
from radiant_dagster.domain.swarm import AgentConfig

Line = dict[str, Any]
SESSIONS_A_ROUND = 5
THROUGHPUT_SECONDS = 20.0
CLIENTS = 8
STATUS = "select status from radiant.session where id = %s"
PROMPT = "How should a small clinic prepare its vaccine storage for a power cut?"


def line(bench: str, values: list[float], unit: str, params: Line, **more: Any) -> Line:
    """Return one result; its value is the median."""
    return {
        "bench": bench,
        "params": params,
        "value": round(statistics.median(values), 1),
        "unit": unit,
        "n": len(values),
        "min": round(min(values), 1),
        "max": round(max(values), 1),
        **more,
    }


def swarm(agents: int) -> tuple[AgentConfig, ...]:
    """Return agents that differ by name alone."""
    return tuple(
        AgentConfig(f"agent-{n}", "analyst", "gpt-4o-mini", max_tokens=300) for n in range(agents)
    )


def launch(bench: Bench, agents: int, *, approval: bool = False) -> tuple[uuid.UUID, float, float]:
    """Submit and launch one session; return its id, and when submit and launch began."""
    session_id, submitted = uuid.uuid4(), time.time()
    request, estimate = prepare(
        bench.database,
        bench.settings,
        bench.tenant,
        prompt=PROMPT,
        domain="general",
        user_id="bench",
        agents=swarm(agents),
        require_approval=approval,
    )
    store_session(bench.database, bench.settings, bench.tenant, session_id, request, estimate)
    launched = time.time()
    bench.dagster.launch_think_tank(bench.tenant, session_id)
    return session_id, submitted, launched


def wait_for(bench: Bench, session_id: uuid.UUID, wanted: frozenset[str]) -> dict[str, Any]:
    """Poll until the session is in a wanted status; anything else terminal is an error.

    Ten looks a second: more would be load of the benchmark's own. Times come from the database.
    """
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with bench.database.tenant_transaction(bench.tenant) as cursor:
            cursor.execute(STATUS, (session_id,))
            found = cursor.fetchone()
        status = found["status"] if found else "missing"
        if status in wanted:
            break
        if status in TERMINAL:
            raise RuntimeError(f"session ended as {status}")
        time.sleep(0.1)
    with bench.database.tenant_transaction(bench.tenant) as cursor:
        return sessions.get_session(cursor, bench.tenant, session_id)


def session_part(bench: Bench, rounds: int) -> Iterator[Line]:
    """Overhead of a session, launch to first step, sessions a minute, connections a worker."""
    completed = frozenset({"completed"})
    for _ in bench.workers:  # every worker child has run once before anything is measured
        wait_for(bench, launch(bench, 8)[0], completed)
    first_steps: list[float] = []
    for agents in (8, 32):
        ours: list[float] = []
        raw: list[float] = []
        for _ in range(rounds):
            for _ in range(SESSIONS_A_ROUND):
                session_id, submitted, launched = launch(bench, agents)
                row = wait_for(bench, session_id, completed)
                ours.append((row["ended_at"].timestamp() - submitted) * 1e3 - FLOOR_MS)
                first_steps.append((row["started_at"].timestamp() - launched) * 1e3)
                raw.append(raw_session_ms(bench, agents) - FLOOR_MS)
        ratio = (statistics.median(ours) + FLOOR_MS) / (statistics.median(raw) + FLOOR_MS)
        yield line(
            "session_overhead_ms",
            ours,
            "ms",
            {"agents": agents},
            raw_asyncio_overhead_ms=round(statistics.median(raw), 1),
            ratio_to_raw_asyncio=round(ratio, 3),
        )
    yield line("launch_to_first_step_ms", first_steps, "ms", {"agents": "8 and 32"})
    yield from throughput(bench)


def throughput(bench: Bench) -> Iterator[Line]:
    """Sessions a minute with 8 clients, while counting connections."""
    stop = time.monotonic() + THROUGHPUT_SECONDS
    most: dict[str, int] = {}
    done = threading.Event()

    def client(_: int) -> int:
        count = 0
        while time.monotonic() < stop:
            wait_for(bench, launch(bench, 8)[0], frozenset({"completed"}))
            count += 1
        return count

    watcher = threading.Thread(target=_watch_connections, args=(bench, most, done))
    watcher.start()
    begun = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        finished = sum(pool.map(client, range(CLIENTS)))
    minutes = (time.monotonic() - begun) / 60
    with ThreadPoolExecutor(len(bench.workers)) as pool:  # the widest swarm, on every worker
        list(pool.map(lambda _: _run_one(bench, 32), range(2 * len(bench.workers))))
    done.set()
    watcher.join()
    params = {"agents": 8, "clients": CLIENTS, "workers": len(bench.workers)}
    yield {
        "bench": "sessions_per_minute",
        "params": params,
        "value": round(finished / minutes, 1),
        "unit": "1/min",
        "n": finished,
    }
    counts = [most.get(str(pid), 0) for pid in bench.workers]
    yield {
        "bench": "postgres_connections_per_worker",
        "params": {"agents": 32, "workers": len(bench.workers)},
        "value": max(counts),
        "unit": "connections",
        "n": len(counts),
        "each": counts,
    }


def _run_one(bench: Bench, agents: int) -> None:
    wait_for(bench, launch(bench, agents)[0], frozenset({"completed"}))


def _watch_connections(bench: Bench, most: dict[str, int], done: threading.Event) -> None:
    """Note the most connections each process ever held; names end in the process id."""
    owner = bench.settings.owner_database_url
    assert owner is not None  # noqa: S101 - the stack has just set it
    from radiant_dagster.adapters.postgres import connect

    connection = connect(owner.get_secret_value())
    connection.autocommit = True
    with connection.cursor() as cursor:
        while not done.wait(0.1):
            cursor.execute(
                "select split_part(application_name, '/', 2) as pid, count(*) as n"
                " from pg_stat_activity where application_name like 'radiant%%/%%' group by 1"
            )
            for row in cursor.fetchall():
                most[row["pid"]] = max(most.get(row["pid"], 0), row["n"])  # type: ignore[call-overload]
    connection.close()


PARTS: dict[str, Callable[[Bench, int], Iterator[Line]]] = {
    "session": session_part,
}
