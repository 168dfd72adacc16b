"""Hundreds of approvals decided by 16 reviewer processes while workers and the daemon are killed.

Sessions come in all the time; reviewers vote on whatever is pending, often on one request at once,
and on every tenth request around its deadline. Meanwhile workers and the daemon die by SIGKILL and
come back. Afterwards both databases, the reviewers' logs and a receiver of webhooks are compared.
"""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

from benchmarks.stack import Bench, bench_stack
from benchmarks.suite import PROMPT, Line, swarm
from radiant_dagster.adapters.submission import prepare, store_session
from tests.services.power_cuts import PowerCuts
from tests.services.review_load import (
    ENVIRONMENT,
    Records,
    Verdict,
    is_genuine,
    judge,
    prepare_tenant,
)
from tests.services.reviewers import AIMED, reviewing
from tests.services.webhook_receiver import Receiver

SEED = 31
REVIEWERS = 16
AGENTS = 2
BRIEF_SECONDS = 15
EVERY_BRIEF = 10  # every tenth request is voted on around its deadline
AT_WORK = 16  # sessions on their way to a reviewer at most
CUTS_IN_ALL = (
    20  # spread over the work done, not over time: on a slow machine nobody would come back
)
SOONEST_SECONDS = 5.0
CUTS = ("a worker", "the daemon", "a worker", "a worker", "all workers")
QUIET_SECONDS = 300.0
BUSY = """
    select count(*) filter (where status in ('created', 'running', 'synthesised')) as at_work,
           count(*) filter (where ended_at is not null) as ended from radiant.session
"""


def decide_under_load_part(home: Path, requests: int) -> Iterator[Line]:
    """Decide under load and judge what became of every request.

    Args:
        home: Folder of the stack.
        requests: How many sessions that need a decision.
    """
    sessions = [uuid4() for _ in range(requests)]
    cuts: Counter[str] = Counter()
    with Receiver(check=is_genuine) as receiver, bench_stack(home, more=ENVIRONMENT) as bench:
        settings = bench.settings
        assert settings.review_database_url is not None  # noqa: S101 - the stack has just set it
        prepare_tenant(
            bench.database, settings, bench.tenant, receiver, brief_seconds=BRIEF_SECONDS
        )
        records, calm = Records(settings, bench.tenant, sessions), threading.Event()
        with PowerCuts(dict(bench.processes), settings.home / "logs") as power:
            cutter = threading.Thread(target=_cut, args=(bench, power, calm, cuts, requests))
            begun = time.monotonic()
            with reviewing(
                REVIEWERS,
                review_url=settings.review_database_url.get_secret_value(),
                dagster_url=settings.dagster_url,
                tenant=bench.tenant,
                seed=SEED,
            ) as log:
                cutter.start()
                try:
                    _submit(bench, sessions)
                finally:
                    calm.set()
                    cutter.join()
                open_still = records.wait_until_quiet(QUIET_SECONDS)
                seconds = time.monotonic() - begun
            verdict = judge(bench.database, bench.tenant, records, log, receiver.received)
    params: Line = {"requests": requests, "reviewers": REVIEWERS, "agents": AGENTS, "cuts": cuts}
    yield from _counts(verdict, params, open_still)
    decisions = sum(verdict.decisions.values())
    yield {
        "bench": "load_decisions_per_minute",
        "params": params,
        "value": round(decisions / seconds * 60, 1),
        "unit": "1/min",
        "n": decisions,
        "sessions": verdict.sessions,
        "decisions": verdict.decisions,
        "beaten_votes": log.beaten,
        "late_votes": log.late,
        "continuations_retried": verdict.retried,
        "webhooks_received": len(receiver.received),
    }
    yield {
        "bench": "load_decision_to_end_seconds",
        "params": params,
        "value": round(statistics.median(verdict.waits), 2),
        "unit": "s",
        "n": len(verdict.waits),
        "p95": round(statistics.quantiles(verdict.waits, n=20)[-1], 2),
        "max": round(max(verdict.waits), 2),
    }


def _counts(verdict: Verdict, params: Line, open_still: int) -> Iterator[Line]:
    audit_problems = (verdict.audit.problem,) if verdict.audit.problem else ()
    for name, items, n in (
        ("load_lost", verdict.lost, params["requests"]),
        ("load_doubled", verdict.doubled, params["requests"]),
        ("load_late_approvals", verdict.late, sum(verdict.decisions.values())),
        ("load_events_not_delivered", verdict.undelivered, params["requests"]),
        ("load_audit_rows_that_do_not_hold", audit_problems, verdict.audit.rows),
    ):
        yield {
            "bench": name,
            "params": params,
            "value": len(items),
            "unit": "count",
            "n": n,
            "which": items[:5],
        }
    yield {
        "bench": "load_still_open",
        "params": params,
        "value": open_still,
        "unit": "count",
        "n": params["requests"],
    }


def _submit(bench: Bench, sessions: list[UUID]) -> None:
    """Bring in all sessions, and return when most of them have ended."""
    for number, session_id in enumerate(sessions):
        while _busy(bench)["at_work"] >= AT_WORK:
            time.sleep(0.1)
        request, estimate = prepare(
            bench.database,
            bench.settings,
            bench.tenant,
            prompt=PROMPT,
            domain=AIMED if number % EVERY_BRIEF == 0 else "general",
            user_id="bench",
            agents=swarm(AGENTS),
            require_approval=True,
        )
        store_session(bench.database, bench.settings, bench.tenant, session_id, request, estimate)
        bench.dagster.launch_think_tank(bench.tenant, session_id)
    limit = time.monotonic() + QUIET_SECONDS
    while _busy(bench)["ended"] < 0.95 * len(sessions) and time.monotonic() < limit:
        time.sleep(0.2)


def _busy(bench: Bench) -> dict[str, int]:
    with bench.database.tenant_transaction(bench.tenant) as cursor:
        cursor.execute(BUSY)
        row = cursor.fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    return dict(row)


def _cut(
    bench: Bench, power: PowerCuts, calm: threading.Event, cuts: Counter[str], requests: int
) -> None:
    number = 0
    while not calm.wait(SOONEST_SECONDS):
        if _busy(bench)["ended"] < number * requests / CUTS_IN_ALL:
            continue
        what = CUTS[number % len(CUTS)]
        if what == "the daemon":
            power.cut("daemon")
        elif what == "all workers":
            power.cut("worker")
        elif not power.cut_child("worker", number):
            continue  # they are on their way back
        cuts[what] += 1
        number += 1
