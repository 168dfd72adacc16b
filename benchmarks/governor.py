"""The Governor's ledger: how fast it reserves, and what it overspends when processes burst.

On a Postgres of its own, with fsync on, by 32 processes. Beside it, in the same run, the usual
check-then-spend: look what is left, make the call, add what it cost. In the sustained part 5 % of
the calls are released, 3 % of the processes die by kill -9, and Postgres crashes once.
"""

import json
import multiprocessing
import os
import random
import signal
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import psycopg2.extras

from benchmarks.suite import Line
from radiant_dagster.adapters import budgets, ledger, migrations, tenants
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.governor import PlannedCall
from radiant_dagster.errors import BudgetExceeded, DatabaseUnavailable
from radiant_dagster.local.home import prepare_home
from radiant_dagster.local.ports import assign_ports
from radiant_dagster.local.postgres import (
    STOP_SECONDS,
    PostgresServer,
    start_postgres,
    wait_for_postgres,
)
from radiant_dagster.local.processes import Guard, stop

CLIENTS = 32
HOLD_SECONDS = 4.0
LIFE_SECONDS = 6.0
SESSIONS = 12_000  # more than are held in that time
LIMIT_MICRO_USD = 2_000_000
BURST_LIMIT_MICRO_USD = 1_000_000
BURST_CALL_MICRO_USD = 200_000
BURST_CALL_SECONDS = 0.5
ESTIMATE_MICRO_USD = 10_000
CALLS_A_PROCESS = 40
CRASH_AFTER_SECONDS = 1.0
CALL_SECONDS = 0.05  # how long a model takes; what check-then-spend overlooks meanwhile
RELEASED = 0.05  # of the calls: refused before they were billed
KILLED = 0.03  # of the calls: kill -9 of their process while the money is held
AWAY_SECONDS = 60.0  # Postgres may be away after its crash before a process gives up

LOGIN = "create role radiant login noinherit password 'radiant'"
INSERT_SESSIONS = """
    insert into radiant.session (tenant_id, id, domain, prompt, user_id, cost_plan)
    select %(tenant)s, gen_random_uuid(), 'general', 'benchmark', 'user-' || n %% 7, %(plan)s
    from generate_series(1, %(count)s) n returning id
"""
NAIVE = """
    create table bench_spent (part text primary key, micro_usd bigint not null);
    insert into bench_spent values ('sustained', 0), ('burst', 0);
    grant select, update on bench_spent to radiant_app
"""
SESSION_PLAN = (
    *(PlannedCall(f"agent:{n}", "agent", None, "none", 100) for n in range(5)),
    PlannedCall("synthesis", "synthesis", None, "none", 100, 2),
    PlannedCall("librarian", "librarian", None, "none", 100, 2),
)
ROWS_A_SESSION = 9
BEGUN_CALLS = ("agent:0", "agent:1", "agent:2", "agent:3", "agent:4", "synthesis", "librarian")
Work = tuple[uuid.UUID, list[uuid.UUID]]
"""A tenant and sessions of it, for one process."""


@dataclass
class Server:
    """The benchmark's Postgres, which can crash."""

    home: Path
    guard: Guard
    running: PostgresServer

    def crash(self) -> None:
        """End it like a power cut does: what is not on the disk is lost."""
        os.kill(self.running.child.pid, signal.SIGQUIT)
        self.running.child.popen.wait()
        self.running = start_postgres(self.home, self.running.port, guard=self.guard)
        wait_for_postgres(self.running).close()


def governor_part(home: Path) -> Iterator[Line]:
    """Reservations a second for 1, 8 and 32 tenants; overspend, and that of check-then-spend."""
    home, guard = prepare_home(home), Guard()
    port = assign_ports(home, {"postgres": None})["postgres"]
    server = Server(home, guard, start_postgres(home, port, guard=guard))
    try:
        wait_for_postgres(server.running).close()
        admin = server.running.admin_url
        _sql(admin, LOGIN)
        migrations.migrate(admin, logins={"radiant": migrations.LOGIN_ROLES})
        _sql(admin, NAIVE)
        parts = urlsplit(admin)
        netloc = f"radiant:radiant@{parts.netloc.rpartition('@')[2]}"
        url = urlunsplit(parts._replace(netloc=netloc))
        for count in (1, 8, 32):
            yield from _rates(url, admin, count)
        yield _sustained(server, url, admin)
        yield _burst(url, admin)
        for part, limit in (("sustained", LIMIT_MICRO_USD), ("burst", BURST_LIMIT_MICRO_USD)):
            yield _naive(url, admin, part, limit)
    finally:
        stop([server.running.child], grace_seconds=STOP_SECONDS)
        guard.close()


def _sql(admin: str, statement: str, values: Any = None) -> list[dict[str, Any]]:
    """Run one statement as the superuser."""
    connection = psycopg2.connect(admin, cursor_factory=psycopg2.extras.RealDictCursor)
    connection.autocommit = True
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []
    finally:
        connection.close()


def _tenant(url: str, admin: str, sessions: int, plan: tuple[PlannedCall, ...]) -> Work:
    """Return a new tenant with sessions; its users are bounded by the tenant only."""
    database, tenant = Database(url, pool_size=1), uuid.uuid4()
    tenants.create_tenant(database, tenant, f"t-{tenant.hex[:12]}", "Benchmark")
    with database.tenant_transaction(tenant) as cursor:
        for scope in ("user_day", "user_month"):
            budgets.set_limit(cursor, tenant, scope, 10**13, actor="bench")
    database.close()
    encoded = json.dumps([asdict(call) for call in plan])
    values = {"tenant": tenant, "plan": encoded, "count": sessions}
    return tenant, [row["id"] for row in _sql(admin, INSERT_SESSIONS, values)]


def _processes(
    work: Callable[..., Any],
    arguments: list[tuple[Any, ...]],
    *,
    meanwhile: Callable[[], None] | None = None,
) -> tuple[list[Any], int]:
    """Run one process for each; returns what they sent back and how many were killed."""
    context = multiprocessing.get_context("fork")  # spawning 32 interpreters would be no burst
    ready = context.Barrier(len(arguments) + 1)
    pipes = [context.Pipe(duplex=False) for _ in arguments]
    running = [
        context.Process(target=_child, args=(work, ready, pipe[1], *given))
        for pipe, given in zip(pipes, arguments, strict=True)
    ]
    for process in running:
        process.start()
    ready.wait()
    if meanwhile is not None:
        meanwhile()
    answers: list[Any] = []
    for (receive, send), process in zip(pipes, running, strict=True):
        send.close()
        try:
            while True:
                answers.append(receive.recv())
        except EOFError:
            process.join()
    return answers, sum(process.exitcode == -signal.SIGKILL for process in running)


def _child(
    work: Callable[..., Any], ready: Any, pipe: Any, url: str, tenant: uuid.UUID, *given: Any
) -> None:
    database = Database(url, pool_size=1)
    with database.tenant_transaction(tenant):  # connected, so that all really begin at once
        pass
    ready.wait()
    work(pipe, database, tenant, *given)
    database.close()
    pipe.close()


def _rates(url: str, admin: str, count: int) -> Iterator[Line]:
    """Hold whole sessions as fast as it goes, then live them: begin, settle, close and book."""
    pairs = [_tenant(url, admin, SESSIONS // count, SESSION_PLAN) for _ in range(count)]
    shares = [
        (url, pairs[n % count][0], pairs[n % count][1][n // count :: max(1, CLIENTS // count)])
        for n in range(CLIENTS)
    ]
    held, _ = _processes(_hold, shares)
    times = sorted(item for part in held for item in part)
    yield {
        "bench": "governor_session_reservations_per_s",
        "params": {"tenants": count, "processes": CLIENTS},
        "value": round(len(times) / HOLD_SECONDS, 1),
        "unit": "1/s",
        "n": len(times),
        "p50_ms": round(statistics.median(times), 1),
        "p99_ms": round(times[int(len(times) * 0.99)], 1),
        "call_rows_per_s": round(ROWS_A_SESSION * len(times) / HOLD_SECONDS, 1),
    }
    lived, _ = _processes(_live, [(*given[:2], given[2][::-1]) for given in shares])
    calls = sum(item[1] for item in lived)
    yield {
        "bench": "governor_call_reservations_per_s",
        "params": {"tenants": count, "processes": CLIENTS, "durable": True},
        "value": round(calls / LIFE_SECONDS, 1),
        "unit": "1/s",
        "n": calls,
        "whole_sessions_per_s": round(sum(item[0] for item in lived) / LIFE_SECONDS, 1),
        "account_equals_ledger": _equal(url, pairs[0][0]),
    }


def _hold(pipe: Any, database: Database, tenant: uuid.UUID, ids: list[uuid.UUID]) -> None:
    times: list[float] = []
    until = time.monotonic() + HOLD_SECONDS
    for session_id in ids:
        if time.monotonic() > until:
            break
        begun = time.perf_counter()
        with database.tenant_transaction(tenant) as cursor:
            ledger.hold_for_session(cursor, tenant, session_id)
        times.append((time.perf_counter() - begun) * 1e3)
    pipe.send(times)


def _live(pipe: Any, database: Database, tenant: uuid.UUID, ids: list[uuid.UUID]) -> None:
    sessions, calls = 0, 0
    until = time.monotonic() + LIFE_SECONDS
    for session_id in ids:
        with database.tenant_transaction(tenant) as cursor:
            ledger.hold_for_session(cursor, tenant, session_id)
        for call in BEGUN_CALLS:
            with database.tenant_transaction(tenant) as cursor:
                ticket = ledger.begin_call(cursor, tenant, session_id, call, begun_by=uuid.uuid4())
            with database.tenant_transaction(tenant) as cursor:
                ledger.settle_call(cursor, tenant, ticket, 60)
            calls += 1
            if time.monotonic() > until:
                pipe.send((sessions, calls))
                return
        with database.tenant_transaction(tenant) as cursor:
            ledger.settle_session(cursor, tenant, session_id)
        ledger.book(database, tenant, session_id)
        sessions += 1
    pipe.send((sessions, calls))


def _equal(url: str, tenant: uuid.UUID) -> bool:
    database = Database(url, pool_size=1)
    with database.tenant_transaction(tenant) as cursor:
        differences = ledger.audit(cursor, tenant)
    database.close()
    return not differences


def _sustained(server: Server, url: str, admin: str) -> Line:
    plan = (PlannedCall("agent:0", "agent", None, "none", ESTIMATE_MICRO_USD),)
    tenant, ids = _tenant(url, admin, CLIENTS * CALLS_A_PROCESS, plan)
    _limit(url, tenant, LIMIT_MICRO_USD)

    def crash() -> None:
        time.sleep(CRASH_AFTER_SECONDS)
        server.crash()

    shares = [(url, tenant, ids[number::CLIENTS], number) for number in range(CLIENTS)]
    begun, killed = _processes(_spend, shares, meanwhile=crash)
    # Whoever was killed left its money held; as if its time were over, it is swept.
    _sql(
        admin,
        "update radiant.reservation set expires_at = now()"
        " where booked_at is null and tenant_id = %s",
        (tenant,),
    )
    database = Database(url, pool_size=1)
    swept = ledger.sweep(database, limit=len(ids))
    database.close()
    rows = _sql(
        admin, "select attempt_key, state from radiant.reservation where tenant_id = %s", (tenant,)
    )
    return {
        **_outcome(url, admin, tenant, LIMIT_MICRO_USD, "sustained"),
        "n": len(begun),
        "begun_without_reservation": len(set(begun) - {row["attempt_key"] for row in rows}),
        "released": sum(row["state"] == "released" for row in rows),
        "killed": killed,
        "postgres_crashes": 1,
        "charged_by_sweep": swept,
    }


def _spend(
    pipe: Any, database: Database, tenant: uuid.UUID, ids: list[uuid.UUID], number: int
) -> None:
    """Live short sessions until the budget is used up, through a crash of Postgres."""
    dice = random.Random(number)
    for session_id in ids:
        if not _patiently(
            lambda found=session_id: _reserved_call(database, tenant, found, dice, pipe)
        ):
            break


def _patiently(work: Callable[[], bool]) -> bool:
    """Do something again while Postgres is away."""
    until = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return work()
        except DatabaseUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _reserved_call(
    database: Database, tenant: uuid.UUID, session_id: uuid.UUID, dice: random.Random, pipe: Any
) -> bool:
    try:
        with database.tenant_transaction(tenant) as cursor:
            ledger.hold_for_session(cursor, tenant, session_id)
        with database.tenant_transaction(tenant) as cursor:
            ticket = ledger.begin_call(cursor, tenant, session_id, "agent:0", begun_by=uuid.uuid4())
    except BudgetExceeded:
        return False
    pipe.send(ticket.attempt_key)  # its begin is committed: from here on it may be billed
    time.sleep(CALL_SECONDS)
    chance = dice.random()
    if chance < KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    with database.tenant_transaction(tenant) as cursor:
        if chance < KILLED + RELEASED:
            ledger.return_call(cursor, tenant, ticket)
        else:
            ledger.settle_call(cursor, tenant, ticket, _cost(dice))
        ledger.settle_session(cursor, tenant, session_id)
    ledger.book(database, tenant, session_id)
    return True


def _burst(url: str, admin: str) -> Line:
    plan = (PlannedCall("agent:0", "agent", None, "none", BURST_CALL_MICRO_USD),)
    tenant, ids = _tenant(url, admin, CLIENTS, plan)
    _limit(url, tenant, BURST_LIMIT_MICRO_USD)
    admitted, _ = _processes(_burst_call, [(url, tenant, session_id) for session_id in ids])
    line = _outcome(url, admin, tenant, BURST_LIMIT_MICRO_USD, "burst")
    return {**line, "n": CLIENTS, "admitted": len(admitted)}


def _burst_call(pipe: Any, database: Database, tenant: uuid.UUID, session_id: uuid.UUID) -> None:
    try:
        with database.tenant_transaction(tenant) as cursor:
            ledger.hold_for_session(cursor, tenant, session_id)
    except BudgetExceeded:
        return
    with database.tenant_transaction(tenant) as cursor:
        ticket = ledger.begin_call(cursor, tenant, session_id, "agent:0", begun_by=uuid.uuid4())
    pipe.send(ticket.attempt_key)
    time.sleep(BURST_CALL_SECONDS)
    with database.tenant_transaction(tenant) as cursor:
        ledger.settle_call(cursor, tenant, ticket, BURST_CALL_MICRO_USD)
        ledger.settle_session(cursor, tenant, session_id)
    ledger.book(database, tenant, session_id)


def _limit(url: str, tenant: uuid.UUID, micro_usd: int) -> None:
    database = Database(url, pool_size=1)
    with database.tenant_transaction(tenant) as cursor:
        budgets.set_limit(cursor, tenant, "day", micro_usd, actor="bench")
    database.close()


def _outcome(url: str, admin: str, tenant: uuid.UUID, limit: int, part: str) -> Line:
    (day,) = _sql(
        admin,
        "select reserved_micro_usd as held, spent_micro_usd as spent from radiant.budget_account"
        " where tenant_id = %s and scope = 'day'",
        (tenant,),
    )
    return {
        "bench": "governor_overspend_micro_usd",
        "params": {"design": "reserve and settle", "load": part, "processes": CLIENTS},
        "value": max(0, day["spent"] + day["held"] - limit),
        "unit": "micro-USD",
        "limit": limit,
        "spent": day["spent"],
        "reserved": day["held"],
        "account_equals_ledger": _equal(url, tenant),
    }


def _cost(dice: random.Random) -> int:
    return dice.randint(ESTIMATE_MICRO_USD // 2, ESTIMATE_MICRO_USD)


def _naive(url: str, admin: str, part: str, limit: int) -> Line:
    """What check-then-spend does with the same calls: a counter and no reservation."""
    tenant, _ = _tenant(url, admin, 1, SESSION_PLAN)
    shares = [(url, tenant, part, limit, number) for number in range(CLIENTS)]
    _processes(_naive_calls, shares)
    (row,) = _sql(admin, "select micro_usd from bench_spent where part = %s", (part,))
    return {
        "bench": "governor_overspend_micro_usd",
        "params": {"design": "check then spend", "load": part, "processes": CLIENTS},
        "value": max(0, row["micro_usd"] - limit),
        "unit": "micro-USD",
        "n": CLIENTS,
        "limit": limit,
        "spent": row["micro_usd"],
    }


def _naive_calls(
    pipe: Any, database: Database, tenant: uuid.UUID, part: str, limit: int, number: int
) -> None:
    del pipe
    dice = random.Random(number)
    burst = part == "burst"
    needed = BURST_CALL_MICRO_USD if burst else ESTIMATE_MICRO_USD
    for _ in range(1 if burst else CALLS_A_PROCESS):
        with database.tenant_transaction(tenant) as cursor:
            cursor.execute("select micro_usd from public.bench_spent where part = %s", (part,))
            row: Any = cursor.fetchone()
        if row["micro_usd"] + needed > limit:
            break
        time.sleep(BURST_CALL_SECONDS if burst else CALL_SECONDS)
        cost = needed if burst else _cost(dice)
        with database.tenant_transaction(tenant) as cursor:
            cursor.execute(
                "update public.bench_spent set micro_usd = micro_usd + %s where part = %s",
                (cost, part),
            )
