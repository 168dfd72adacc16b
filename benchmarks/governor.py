"""The Governor's ledger: how fast it reserves, and what it overspends when processes burst.

On a Postgres of its own, with fsync on. Beside it, in the same run, the usual check-then-spend:
look what is left, make the call, add what it cost.
"""

import multiprocessing
import os
import random
import signal
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import psycopg2.extras

from benchmarks.suite import Line
from radiant_dagster.adapters import budgets, ledger, migrations, tenants
from radiant_dagster.adapters.ledger import Claim
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.errors import BudgetExceeded
from radiant_dagster.local.postgres import embedded_postgres

CLIENTS = 32
RESERVE_SECONDS = 5.0
LIMIT_MICRO_USD = 1_000_000
ESTIMATE_MICRO_USD = 10_000
CALLS_A_PROCESS = 40
CALL_SECONDS = 0.05  # how long a model takes; what check-then-spend overlooks meanwhile
RELEASED = 0.05  # of the calls: refused before they were billed
KILLED = 0.03  # of the calls: kill -9 of their process while the money is held

LOGIN = "create role radiant login noinherit password 'radiant'"
INSERT_SESSION = """
    insert into radiant.session (tenant_id, id, domain, prompt, user_id)
    values (%s, %s, 'general', 'benchmark', 'bench')
"""
# What check-then-spend has: a counter and no reservation.
NAIVE = "create table bench_spent (micro_usd bigint not null)"
Call = Callable[[Database, uuid.UUID, uuid.UUID, random.Random, str], bool]
"""One call on (database, tenant, session, dice, attempt key); False where it was refused."""


def governor_part(home: Path) -> Iterator[Line]:
    """Reserves a second for 1, 8 and 32 tenants; overspend of a burst, and of check-then-spend."""
    with embedded_postgres(home) as admin:
        owner = psycopg2.connect(admin, cursor_factory=psycopg2.extras.RealDictCursor)
        owner.autocommit = True
        psycopg2.extras.register_uuid(conn_or_curs=owner)
        with owner.cursor() as cursor:
            cursor.execute(LOGIN)
            migrations.migrate(admin, logins={"radiant": migrations.LOGIN_ROLES})
            cursor.execute(NAIVE)
            cursor.execute("insert into bench_spent values (0)")
            cursor.execute("grant select, update on bench_spent to radiant_app")
            server = urlsplit(admin)
            netloc = f"radiant:radiant@{server.netloc.rpartition('@')[2]}"
            url = urlunsplit(server._replace(netloc=netloc))
            for count in (1, 8, 32):
                yield _reserves(url, cursor, count)
            yield _ledger_burst(url, cursor)
            yield _naive_burst(url, cursor)
        owner.close()


def _tenant(database: Database, cursor: Any) -> tuple[uuid.UUID, uuid.UUID]:
    """Return a new tenant and a session of it."""
    tenant, session = uuid.uuid4(), uuid.uuid4()
    tenants.create_tenant(database, tenant, f"t-{tenant.hex[:12]}", "Benchmark")
    cursor.execute(INSERT_SESSION, (tenant, session))
    return tenant, session


def _reserves(url: str, cursor: Any, count: int) -> Line:
    """Reserve and settle from 32 threads, as fast as it goes; only the reserves are counted."""
    database = Database(url, pool_size=CLIENTS)
    pairs = [_tenant(database, cursor) for _ in range(count)]
    stop = time.monotonic() + RESERVE_SECONDS

    def client(number: int) -> list[float]:
        tenant, session = pairs[number % count]
        times: list[float] = []
        while time.monotonic() < stop:
            key = f"{number}:{len(times)}"
            begun = time.perf_counter()
            with database.tenant_transaction(tenant) as transaction:
                ledger.reserve(transaction, tenant, Claim(session, key, 100, "bench", "none", 600))
            times.append((time.perf_counter() - begun) * 1e3)
            with database.tenant_transaction(tenant) as transaction:
                ledger.settle(transaction, tenant, key, 60)
        return times

    begun = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        times = sorted(item for part in pool.map(client, range(CLIENTS)) for item in part)
    seconds = time.monotonic() - begun
    database.close()
    return {
        "bench": "governor_reserves_per_s",
        "params": {"tenants": count, "clients": CLIENTS},
        "value": round(len(times) / seconds, 1),
        "unit": "1/s",
        "n": len(times),
        "p50_ms": round(statistics.median(times), 1),
        "p99_ms": round(times[int(len(times) * 0.99)], 1),
    }


def _burst(url: str, tenant: uuid.UUID, session: uuid.UUID, call: Call) -> int:
    """Let 32 processes spend at once; returns how many were killed."""
    context = multiprocessing.get_context("fork")  # spawning 32 interpreters would be no burst
    start = context.Event()
    processes = [
        context.Process(target=_spend, args=(url, tenant, session, call, number, start))
        for number in range(CLIENTS)
    ]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join()
    return sum(process.exitcode == -signal.SIGKILL for process in processes)


def _spend(
    url: str, tenant: uuid.UUID, session: uuid.UUID, call: Call, number: int, start: Any
) -> None:
    database, dice = Database(url, pool_size=1), random.Random(number)
    start.wait()
    for attempt in range(CALLS_A_PROCESS):
        if not call(database, tenant, session, dice, f"{number}:{attempt}"):
            break
    database.close()


def _reserved_call(
    database: Database, tenant: uuid.UUID, session: uuid.UUID, dice: random.Random, key: str
) -> bool:
    claim = Claim(session, key, ESTIMATE_MICRO_USD, "bench", "none", 600)
    try:
        with database.tenant_transaction(tenant) as cursor:
            ledger.reserve(cursor, tenant, claim)
    except BudgetExceeded:
        return False
    time.sleep(CALL_SECONDS)
    chance = dice.random()
    if chance < KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    cost = 0 if chance < KILLED + RELEASED else _cost(dice)
    with database.tenant_transaction(tenant) as cursor:
        ledger.settle(cursor, tenant, key, cost)
    return True


def _checked_call(
    database: Database, tenant: uuid.UUID, session: uuid.UUID, dice: random.Random, key: str
) -> bool:
    del session, key
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("select micro_usd from public.bench_spent")
        row: Any = cursor.fetchone()
    if row["micro_usd"] + ESTIMATE_MICRO_USD > LIMIT_MICRO_USD:
        return False
    time.sleep(CALL_SECONDS)
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("update public.bench_spent set micro_usd = micro_usd + %s", (_cost(dice),))
    return True


def _cost(dice: random.Random) -> int:
    return dice.randint(ESTIMATE_MICRO_USD // 2, ESTIMATE_MICRO_USD)


def _ledger_burst(url: str, cursor: Any) -> Line:
    database = Database(url, pool_size=1)
    tenant, session = _tenant(database, cursor)
    with database.tenant_transaction(tenant) as transaction:
        budgets.set_limit(transaction, tenant, "day", LIMIT_MICRO_USD, actor="bench")
    database.close()
    killed = _burst(url, tenant, session, _reserved_call)
    # Whoever was killed left its money held; as if its time were over, it is swept.
    cursor.execute("update radiant.reservation set expires_at = now() where state = 'held'")
    swept = ledger.sweep(database)
    with database.tenant_transaction(tenant) as transaction:
        day = budgets.show(transaction, tenant)[0]
    database.close()
    cursor.execute(
        "select count(*) as n, sum(actual_micro_usd)::bigint as charged,"
        " coalesce(sum(estimate_micro_usd) filter (where state = 'held'), 0)::bigint as held,"
        " count(*) filter (where state = 'released') as released"
        " from radiant.reservation where tenant_id = %s",
        (tenant,),
    )
    rows = cursor.fetchone()
    equal = (day["reserved_micro_usd"], day["spent_micro_usd"]) == (rows["held"], rows["charged"])
    return {
        "bench": "governor_overspend_micro_usd",
        "params": {"design": "reserve and settle", "processes": CLIENTS},
        "value": max(0, day["spent_micro_usd"] + day["reserved_micro_usd"] - LIMIT_MICRO_USD),
        "unit": "micro-USD",
        "n": rows["n"],
        "limit": LIMIT_MICRO_USD,
        "spent": day["spent_micro_usd"],
        "released": rows["released"],
        "killed": killed,
        "swept": swept,
        "account_equals_ledger": equal,
    }


def _naive_burst(url: str, cursor: Any) -> Line:
    database = Database(url, pool_size=1)
    tenant, session = _tenant(database, cursor)
    database.close()
    _burst(url, tenant, session, _checked_call)
    cursor.execute("select micro_usd from bench_spent")
    spent = cursor.fetchone()["micro_usd"]
    return {
        "bench": "governor_overspend_micro_usd",
        "params": {"design": "check then spend", "processes": CLIENTS},
        "value": max(0, spent - LIMIT_MICRO_USD),
        "unit": "micro-USD",
        "n": CLIENTS,
        "limit": LIMIT_MICRO_USD,
        "spent": spent,
    }
