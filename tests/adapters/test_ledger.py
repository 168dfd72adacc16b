"""The Governor's ledger on real Postgres: no overspend, no leak, one reservation an attempt."""

import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg2
import psycopg2.extras
import pytest

from radiant_dagster.adapters import budgets, ledger, migrations, tenants
from radiant_dagster.adapters.ledger import Claim
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.errors import BudgetExceeded, BudgetMissing
from tests.adapters.rows import insert_session

THREADS = 32


@pytest.fixture
def owner(owner_url: str) -> Iterator[Any]:
    """A superuser cursor, which sees past row-level security."""
    connection = psycopg2.connect(owner_url, cursor_factory=psycopg2.extras.RealDictCursor)
    connection.autocommit = True
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


@pytest.fixture
def claim(owner: Any, tenant: uuid.UUID) -> Claim:
    """A claim of 200 micro-USD for a stored session."""
    return Claim(insert_session(owner, tenant), "first", 200, "session", "gpt-4o", 600)


def set_limits(database: Database, tenant: uuid.UUID, day: int, month: int = 10**9) -> None:
    with database.tenant_transaction(tenant) as cursor:
        budgets.set_limit(cursor, tenant, "day", day, actor="ann")
        budgets.set_limit(cursor, tenant, "month", month, actor="ann")


def reserve(database: Database, tenant: uuid.UUID, claim: Claim) -> bool:
    with database.tenant_transaction(tenant) as cursor:
        return ledger.reserve(cursor, tenant, claim)


def settle(database: Database, tenant: uuid.UUID, key: str, actual: int) -> bool:
    with database.tenant_transaction(tenant) as cursor:
        return ledger.settle(cursor, tenant, key, actual)


def accounts(database: Database, tenant: uuid.UUID) -> dict[str, tuple[int, int]]:
    """Return reserved and spent by scope."""
    with database.tenant_transaction(tenant) as cursor:
        rows = budgets.show(cursor, tenant)
    return {row["scope"]: (row["reserved_micro_usd"], row["spent_micro_usd"]) for row in rows}


def ledger_sums(owner: Any, tenant: uuid.UUID) -> tuple[int, int]:
    """Return what the reservations hold and what they were charged."""
    owner.execute(
        "select coalesce(sum(estimate_micro_usd) filter (where state = 'held'), 0)::bigint as held,"
        " coalesce(sum(actual_micro_usd), 0)::bigint as charged"
        " from radiant.reservation where tenant_id = %s",
        (tenant,),
    )
    row = owner.fetchone()
    return row["held"], row["charged"]


def test_thirty_two_threads_never_overspend_one_account(
    database_url: str, tenant: uuid.UUID, owner: Any, claim: Claim
) -> None:
    pool = Database(database_url, pool_size=THREADS)
    set_limits(pool, tenant, 10_000)

    def work(thread: int) -> int:
        dice, refused = random.Random(thread), 0
        for call in range(12):
            key = f"{thread}:{call}"
            try:
                reserve(pool, tenant, replace(claim, attempt_key=key))
            except BudgetExceeded:
                refused += 1
                continue
            if dice.random() < 0.05:
                settle(pool, tenant, key, 0)
            elif dice.random() < 0.9:  # the others die and stay held
                settle(pool, tenant, key, dice.randint(100, 200))
        return refused

    with ThreadPoolExecutor(THREADS) as threads:
        refused = sum(threads.map(work, range(THREADS)))

    after = accounts(pool, tenant)
    pool.close()
    held, charged = ledger_sums(owner, tenant)
    assert refused > 0
    assert after == {"day": (held, charged), "month": (held, charged)}
    assert 10_000 - 200 < held + charged <= 10_000


def test_one_attempt_is_held_once_however_often_it_is_asked_for(
    database_url: str, tenant: uuid.UUID, claim: Claim
) -> None:
    pool = Database(database_url, pool_size=THREADS)

    with ThreadPoolExecutor(THREADS) as threads:
        taken = list(threads.map(lambda _: reserve(pool, tenant, claim), range(THREADS)))

    after = accounts(pool, tenant)
    pool.close()
    assert taken.count(True) == 1
    assert after == {"day": (200, 0), "month": (200, 0)}


def test_a_replay_is_no_refusal_where_the_budget_is_full(
    database: Database, tenant: uuid.UUID, claim: Claim
) -> None:
    set_limits(database, tenant, 200)

    first, again = (reserve(database, tenant, claim) for _ in range(2))

    assert (first, again) == (True, False)
    with pytest.raises(BudgetExceeded, match="Budget of the day"):
        reserve(database, tenant, replace(claim, attempt_key="second"))


def test_settling_gives_back_the_rest_and_counts_once(
    database: Database, tenant: uuid.UUID, claim: Claim
) -> None:
    reserve(database, tenant, claim)

    changed = [settle(database, tenant, "first", 70) for _ in range(2)]

    assert changed == [True, False]
    assert accounts(database, tenant) == {"day": (0, 70), "month": (0, 70)}
    assert not settle(database, tenant, "never reserved", 70)


def test_the_month_refuses_what_the_day_would_allow_and_holds_nothing(
    database: Database, tenant: uuid.UUID, claim: Claim
) -> None:
    set_limits(database, tenant, 10_000, month=199)

    with pytest.raises(BudgetExceeded, match="Budget of the month"):
        reserve(database, tenant, claim)

    assert accounts(database, tenant) == {"day": (0, 0), "month": (0, 0)}


def test_without_a_budget_nothing_may_be_spent(
    database: Database, tenant: uuid.UUID, owner: Any, claim: Claim
) -> None:
    owner.execute("delete from radiant.budget where scope = 'month'")

    with pytest.raises(BudgetMissing, match="radiant budget set month"):
        reserve(database, tenant, claim)

    assert accounts(database, tenant) == {"day": (0, 0)}


def test_what_nobody_settled_is_charged_in_full_and_corrected_later(
    database: Database, tenant: uuid.UUID, claim: Claim
) -> None:
    reserve(database, tenant, replace(claim, lifetime_seconds=0))
    reserve(database, tenant, replace(claim, attempt_key="alive"))

    swept = [ledger.sweep(database) for _ in range(2)]

    assert swept == [1, 0]
    assert accounts(database, tenant)["day"] == (200, 200)
    settle(database, tenant, "first", 30)
    assert accounts(database, tenant)["day"] == (200, 30)


def test_no_tenant_sees_or_settles_anothers_reservation(
    database: Database, tenant: uuid.UUID, claim: Claim
) -> None:
    other = uuid.uuid4()
    tenants.create_tenant(database, other, "other", "Other Clinic")
    reserve(database, tenant, claim)

    with database.tenant_transaction(other) as cursor:
        seen = budgets.entries(cursor, tenant, 10)
        settled = ledger.settle(cursor, tenant, "first", 0)

    assert seen == []
    assert not settled
    assert accounts(database, tenant)["day"] == (200, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "update radiant.budget set limit_micro_usd = 1",
        "update radiant.budget_account set limit_micro_usd = 1",
        "update radiant.reservation set estimate_micro_usd = 1",
        "insert into radiant.reservation default values",
        "delete from radiant.reservation",
    ],
)
def test_the_sweeps_role_may_only_move_what_is_held(database: Database, statement: str) -> None:
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        database.system_transaction("radiant_dispatch") as cursor,
    ):
        cursor.execute(statement)


def test_tenants_from_before_the_ledger_get_the_default_limits(
    database: Database, tenant: uuid.UUID, owner: Any, owner_url: str
) -> None:
    owner.execute(
        "drop table radiant.reservation, radiant.budget_account, radiant.budget;"
        "delete from radiant.schema_migration where name = '0002_create_ledger.sql'"
    )

    applied = migrations.migrate(owner_url, logins={})

    with database.tenant_transaction(tenant) as cursor:
        limits = [row["limit_micro_usd"] for row in budgets.show(cursor, tenant)]
    owner.execute(
        "select relforcerowsecurity as forced from pg_class where oid = 'radiant.tenant'::regclass"
    )
    assert applied == ["0002_create_ledger.sql"]
    assert limits == [500_000_000, 5_000_000_000]
    assert owner.fetchone()["forced"]
