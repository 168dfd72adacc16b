"""From a decision's commit to its continuation's first step: with the fast path, and without.

Times are the database's: `decided_at` is stamped in the decision's transaction, `claimed_at` in the
continuation's first step. With the fast path, the middle of the way is printed as well, so that one
sees where the time goes.
"""

import random
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.stack import Bench
from benchmarks.suite import Line, launch, line, wait_for
from radiant_dagster.adapters import approvals, continuation
from radiant_dagster.domain.approvals import Vote

DECISIONS = 20
AT_ONCE = 4  # sessions that are brought to their approval side by side; decided one by one
WARM_UP = 8  # runs, so that each worker child has had one
REQUEST = "select id, payload_sha256 from radiant.approval_request where session_id = %s"
WAY = """
    select extract(epoch from requested_at - decided_at) * 1000 as leased_ms,
           extract(epoch from claimed_at - decided_at) * 1000 as claimed_ms
    from radiant.approval_decision where approval_id = %s
"""


def approve_part(bench: Bench, rounds: int) -> Iterator[Line]:
    """Resume latency, 20 decisions each way."""
    del rounds
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = list(pool.map(lambda _: _ask(bench), range(WARM_UP + 2 * DECISIONS)))
    for item in waiting[:WARM_UP]:
        _decide(bench, item, fast=True)
    fast, slow = waiting[WARM_UP : WARM_UP + DECISIONS], waiting[WARM_UP + DECISIONS :]
    ways = [_decide(bench, item, fast=True) for item in fast]
    launches = [way["launch_ms"] for way in ways]
    yield _line("resume_ms", ways, leased_ms=_median(ways, "leased_ms"),
                launch_call_ms=round(sorted(launches)[len(launches) // 2], 1))  # fmt: skip
    yield _line("resume_sensor_only_ms", _decide_all(bench, slow))


def _line(name: str, ways: list[dict[str, float]], **more: float) -> Line:
    times = [way["claimed_ms"] for way in ways]
    # The 99th percentile of twenty is the slowest one.
    return line(name, times, "ms", {"agents": 2}, p99=round(max(times), 1), **more)


def _median(ways: list[dict[str, float]], key: str) -> float:
    return round(sorted(way[key] for way in ways)[len(ways) // 2], 1)


def _ask(bench: Bench) -> uuid.UUID:
    session_id, _, _ = launch(bench, 2, approval=True)
    wait_for(bench, session_id, frozenset({"awaiting_review"}))
    return session_id


def _decide_all(bench: Bench, sessions: list[uuid.UUID]) -> list[dict[str, float]]:
    def one(session_id: uuid.UUID) -> dict[str, float]:
        time.sleep(random.uniform(0, 6))  # the sensor turns every five seconds: hit any phase of it
        return _decide(bench, session_id, fast=False)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, sessions))


def _decide(bench: Bench, session_id: uuid.UUID, *, fast: bool) -> dict[str, float]:
    with bench.database.tenant_transaction(bench.tenant) as cursor:
        cursor.execute(REQUEST, (session_id,))
        request: Any = cursor.fetchone()
    vote = Vote(
        "bench-reviewer", frozenset({"reviewer"}), "approved", bytes(request["payload_sha256"])
    )
    approvals.decide(bench.database, bench.tenant, request["id"], vote)
    begun = time.perf_counter()
    if fast:
        continuation.launch_soon(bench.database, bench.dagster, bench.tenant, request["id"]).join()
    launch_ms = (time.perf_counter() - begun) * 1e3
    wait_for(bench, session_id, frozenset({"completed"}))
    with bench.database.tenant_transaction(bench.tenant) as cursor:
        cursor.execute(WAY, (request["id"],))
        row: Any = cursor.fetchone()
    return {**{key: float(value) for key, value in row.items()}, "launch_ms": launch_ms}
