"""The Governor's ledger in Postgres: hold money, then settle, release or expire it.

One reservation covers a whole session, all its agents, the synthesis and the Librarian, so that
the agents cannot eat the money for the answer, and a tenant's accounts are locked twice a session
instead of twice a call. It is taken before the first call and closed by whatever ends the session.

Locks are taken in one order everywhere: session, accounts by scope and period, reservation.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.governor import (
    EXPIRY_MARGIN_SECONDS,
    SCOPES,
    Account,
    Standing,
    expired,
    movement,
    period_key,
    require_fits,
    settled,
    share_cost,
)
from radiant_dagster.errors import BudgetMissing, Cancelled, SessionNotFound

SWEEP_LIMIT = 100

NOW = "select clock_timestamp() as now"
OPEN_ACCOUNTS = """
    insert into radiant.budget_account (tenant_id, scope, period_key, limit_micro_usd)
    select b.tenant_id, b.scope, p.period_key, b.limit_micro_usd
    from radiant.budget b
    join jsonb_each_text(%s) p (scope, period_key) on p.scope = b.scope
    where b.tenant_id = %s order by b.scope on conflict do nothing
"""
LOCK_ACCOUNTS = """
    select scope, period_key, limit_micro_usd, reserved_micro_usd, spent_micro_usd
    from radiant.budget_account where tenant_id = %s and (scope, period_key) in %s
    order by scope, period_key for no key update
"""
KNOWN = "select 1 from radiant.reservation where tenant_id = %s and attempt_key = %s"
RESERVE = """
    with held as (
        insert into radiant.reservation (tenant_id, session_id, attempt_key, accounts, model,
            purpose, estimate_micro_usd, expires_at)
        values (%(tenant)s, %(session)s, %(key)s, %(accounts)s, %(model)s, %(purpose)s,
            %(needed)s, clock_timestamp() + make_interval(secs => %(lifetime)s)))
    update radiant.budget_account set reserved_micro_usd = reserved_micro_usd + %(needed)s
    where tenant_id = %(tenant)s and (scope, period_key) in %(periods)s
"""
ACCOUNTS_OF_SESSION = """
    select accounts from radiant.reservation where tenant_id = %s and session_id = %s
"""
ACCOUNTS_OF_KEY = """
    select accounts from radiant.reservation where tenant_id = %s and attempt_key = %s
"""
RESERVATIONS_OF_SESSION = """
    select id, accounts, state, estimate_micro_usd, coalesce(actual_micro_usd, 0) as actual
    from radiant.reservation where tenant_id = %s and session_id = %s
    order by created_at, id for no key update
"""
RESERVATION_OF_KEY = """
    select id, accounts, state, estimate_micro_usd, coalesce(actual_micro_usd, 0) as actual
    from radiant.reservation where tenant_id = %s and attempt_key = %s for no key update
"""
CLOSE = """
    with closed as (
        update radiant.reservation
        set state = %(state)s, actual_micro_usd = %(actual)s, closed_at = clock_timestamp()
        where tenant_id = %(tenant)s and id = %(id)s)
    update radiant.budget_account
    set reserved_micro_usd = reserved_micro_usd + %(reserved)s,
        spent_micro_usd = spent_micro_usd + %(spent)s
    where tenant_id = %(tenant)s and (scope, period_key) in %(periods)s
"""
OVERDUE = """
    select tenant_id, session_id, attempt_key from radiant.reservation
    where state = 'held' and expires_at <= clock_timestamp() order by expires_at limit %s
"""
HELD_FOR_SESSION = """
    select 1 from radiant.reservation where tenant_id = %s and session_id = %s and state = 'held'
"""
# What a re-execution may still cost: answers that were bought are not bought again, and none cost
# more than its part of the estimate.
SESSION_TO_HOLD = """
    select s.status, p.swarm_seconds, p.deadline_seconds,
        greatest(0, s.estimated_micro_usd - (
            select coalesce(sum(a.cost_micro_usd), 0) from radiant.agent_run a
            where a.tenant_id = s.tenant_id and a.session_id = s.id and a.status = 'success')
        )::bigint as needed,
        (select coalesce(string_agg(distinct a.model, ',' order by a.model), '')
         from radiant.agent_run a where a.tenant_id = s.tenant_id and a.session_id = s.id) as models
    from radiant.session s
    join radiant.domain_policy p on p.tenant_id = s.tenant_id and p.name = s.domain
    where s.tenant_id = %s and s.id = %s for no key update of s
"""
COUNT_OF_SESSION = """
    select count(*) as all, count(*) filter (where state = 'held') as held
    from radiant.reservation where tenant_id = %s and session_id = %s
"""
COST_OF_SESSION = "select cost_micro_usd from radiant.session where tenant_id = %s and id = %s"

Periods = tuple[tuple[str, str], ...]
"""Scope and period of each account, in the order of locking."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a reservation is asked for.

    Args:
        session_id: The session it is spent on.
        attempt_key: Asked for twice under one key, it is held once.
        needed_micro_usd: The most it can cost.
        purpose: ``session``, or ``session_rest`` for a re-execution.
        model: Models that may be called, with commas.
        lifetime_seconds: After it, the sweep charges the whole amount.
    """

    session_id: UUID
    attempt_key: str
    needed_micro_usd: int
    purpose: str
    model: str
    lifetime_seconds: float


def hold_for_session(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> int:
    """Make sure that money is held for what a session may still cost.

    Every step that pays calls this first; all but the first find the session's reservation. After
    a failure that one is settled, so a re-execution, from whichever step, holds a new one.

    Returns:
        Micro-USD that were reserved now, 0 where the session held some already.

    Raises:
        BudgetExceeded, BudgetMissing: The tenant may not spend that much.
        Cancelled: Nothing may be spent on a cancelled session.
        SessionNotFound: Unknown, or another tenant's.
    """
    cursor.execute(HELD_FOR_SESSION, (tenant_id, session_id))
    if cursor.fetchone() is not None:
        return 0
    cursor.execute(SESSION_TO_HOLD, (tenant_id, session_id))
    session = cursor.fetchone()
    if session is None:
        raise SessionNotFound(session_id)
    if session["status"] == "cancelled":
        raise Cancelled(f"Session {session_id}")
    # Its agents begin side by side: all but one waited for the session's row above.
    cursor.execute(COUNT_OF_SESSION, (tenant_id, session_id))
    count: Any = cursor.fetchone()
    if count["held"]:
        return 0
    claim = Claim(
        session_id,
        f"{session_id}:{count['all'] + 1}",
        session["needed"],
        "session_rest" if count["all"] else "session",
        session["models"],
        # A review may be escalated once, which gives it its time again.
        session["swarm_seconds"] + 2 * session["deadline_seconds"] + EXPIRY_MARGIN_SECONDS,
    )
    return claim.needed_micro_usd if reserve(cursor, tenant_id, claim) else 0


def settle_session(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> None:
    """Charge an ended session's reservations with what it cost, and give back the rest.

    Safe to repeat: a call that was in flight when the session ended is charged by the next one, and
    what the sweep charged too much is given back.
    """
    cursor.execute(ACCOUNTS_OF_SESSION, (tenant_id, session_id))
    found = cursor.fetchall()
    if not found:  # it failed, or was cancelled, before it could spend anything
        return
    _lock(cursor, tenant_id, _periods(row["accounts"] for row in found))
    cursor.execute(RESERVATIONS_OF_SESSION, (tenant_id, session_id))
    rows = cursor.fetchall()
    cursor.execute(COST_OF_SESSION, (tenant_id, session_id))
    session: Any = cursor.fetchone()
    standings = [_standing(row) for row in rows]
    shares = share_cost(session["cost_micro_usd"], standings)
    for row, standing, share in zip(rows, standings, shares, strict=True):
        _change(cursor, tenant_id, row, standing, settled(standing, share))


def reserve(cursor: Cursor, tenant_id: UUID, claim: Claim) -> bool:
    """Hold an amount in the tenant's accounts of today and of this month together.

    Returns:
        False where the key is known, so nothing more was held.

    Raises:
        BudgetExceeded, BudgetMissing: It does not fit, or the tenant has no budget.
    """
    cursor.execute(NOW)
    clock: Any = cursor.fetchone()
    now: datetime = clock["now"]
    accounts = {scope: period_key(scope, now) for scope in SCOPES}
    periods = _periods([accounts])
    locked = _lock(cursor, tenant_id, periods)
    if len(locked) < len(SCOPES):  # the first of the day or the month
        cursor.execute(OPEN_ACCOUNTS, (json.dumps(accounts), tenant_id))
        locked = _lock(cursor, tenant_id, periods)
    cursor.execute(KNOWN, (tenant_id, claim.attempt_key))
    if cursor.fetchone() is not None:
        return False
    missing = set(SCOPES) - {account.scope for account in locked}
    if missing:
        raise BudgetMissing(min(missing))
    require_fits(locked, claim.needed_micro_usd, now)
    values = {
        "tenant": tenant_id,
        "session": claim.session_id,
        "key": claim.attempt_key,
        "accounts": json.dumps(accounts),
        "model": claim.model,
        "purpose": claim.purpose,
        "needed": claim.needed_micro_usd,
        "lifetime": claim.lifetime_seconds,
        "periods": periods,
    }
    cursor.execute(RESERVE, values)
    return True


def settle(cursor: Cursor, tenant_id: UUID, attempt_key: str, actual_micro_usd: int) -> bool:
    """Charge a reservation with what was really spent; 0 releases it.

    A second settle, or one after the sweep, corrects what was charged before.

    Returns:
        Whether anything changed.
    """
    return _close(cursor, tenant_id, attempt_key, actual_micro_usd)


def sweep(database: Database, *, limit: int = SWEEP_LIMIT) -> int:
    """Charge what nobody settled in time with its estimate, over all tenants.

    Returns:
        How many reservations expired.
    """
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(OVERDUE, (limit,))
        overdue = cursor.fetchall()
    count = 0
    for (
        row
    ) in overdue:  # one transaction each: the accounts of two tenants are never locked at once
        with database.system_transaction("radiant_dispatch") as cursor:
            if _close(cursor, row["tenant_id"], row["attempt_key"], None):
                count += 1
                audit.record(
                    cursor,
                    row["tenant_id"],
                    actor="system:governor",
                    action="reservation.expired",
                    session_id=row["session_id"],
                )
    return count


def _close(cursor: Cursor, tenant_id: UUID, attempt_key: str, actual: int | None) -> bool:
    """Settle a reservation, or expire it where no actual amount is known."""
    cursor.execute(ACCOUNTS_OF_KEY, (tenant_id, attempt_key))
    found = cursor.fetchone()
    if found is None:
        return False
    _lock(cursor, tenant_id, _periods([found["accounts"]]))
    cursor.execute(RESERVATION_OF_KEY, (tenant_id, attempt_key))
    row: Any = cursor.fetchone()
    before = _standing(row)
    after = expired(before) if actual is None else settled(before, actual)
    return _change(cursor, tenant_id, row, before, after)


def _change(
    cursor: Cursor, tenant_id: UUID, row: dict[str, Any], before: Standing, after: Standing
) -> bool:
    if after == before:
        return False
    reserved, spent = movement(before, after)
    values = {
        "tenant": tenant_id,
        "id": row["id"],
        "state": after.state,
        "actual": after.actual_micro_usd,
        "reserved": reserved,
        "spent": spent,
        "periods": _periods([row["accounts"]]),
    }
    cursor.execute(CLOSE, values)
    return True


def _periods(accounts: Iterable[dict[str, str]]) -> Periods:
    return tuple(sorted({pair for item in accounts for pair in item.items()}))


def _lock(cursor: Cursor, tenant_id: UUID, periods: Periods) -> Sequence[Account]:
    cursor.execute(LOCK_ACCOUNTS, (tenant_id, periods))
    return [Account(**row) for row in cursor.fetchall()]


def _standing(row: dict[str, Any]) -> Standing:
    return Standing(row["state"], row["estimate_micro_usd"], row["actual"])
