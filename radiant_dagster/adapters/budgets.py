"""A tenant's limits, how its accounts stand, and its reservations; `ledger` is what spends."""

from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.governor import (
    DEFAULT_LIMITS_MICRO_USD,
    Account,
    Scope,
    period_key,
    resets_at,
)

SET_BUDGET = """
    insert into radiant.budget (tenant_id, scope, limit_micro_usd, set_by) values (%s, %s, %s, %s)
    on conflict (tenant_id, scope) do update set limit_micro_usd = excluded.limit_micro_usd,
        set_by = excluded.set_by, set_at = clock_timestamp()
"""
SET_ACCOUNT = """
    update radiant.budget_account set limit_micro_usd = %s
    where tenant_id = %s and scope = %s and period_key = %s
"""
NOW = "select clock_timestamp() as now"
BUDGETS = """
    select scope, limit_micro_usd, set_by, set_at from radiant.budget
    where tenant_id = %s order by scope
"""
ACCOUNT = """
    select reserved_micro_usd, spent_micro_usd from radiant.budget_account
    where tenant_id = %s and scope = %s and period_key = %s
"""
LEDGER = """
    select created_at, session_id, attempt_key, purpose, model, state, estimate_micro_usd,
           actual_micro_usd, accounts->>'day' as day, accounts->>'month' as month, expires_at,
           closed_at
    from radiant.reservation where tenant_id = %s order by created_at desc, id limit %s
"""


def seed(cursor: Cursor, tenant_id: UUID) -> None:
    """Give a new tenant the default limits."""
    for scope, limit in DEFAULT_LIMITS_MICRO_USD.items():
        cursor.execute(SET_BUDGET, (tenant_id, scope, limit, "system:default"))


def set_limit(
    cursor: Cursor, tenant_id: UUID, scope: Scope, limit_micro_usd: int, *, actor: str
) -> None:
    """Set a limit, for the present period too.

    One below what is spent or held stops new sessions; those that run keep what is held for them.
    """
    cursor.execute(SET_BUDGET, (tenant_id, scope, limit_micro_usd, actor))
    key = period_key(scope, _now(cursor))
    cursor.execute(SET_ACCOUNT, (limit_micro_usd, tenant_id, scope, key))
    audit.record(
        cursor,
        tenant_id,
        actor=actor,
        action="budget.set",
        detail={"scope": scope, "limit_micro_usd": limit_micro_usd},
    )


def show(cursor: Cursor, tenant_id: UUID) -> list[dict[str, Any]]:
    """Return each limit with what is spent, held and free in the present period."""
    now = _now(cursor)
    cursor.execute(BUDGETS, (tenant_id,))
    lines: list[dict[str, Any]] = []
    for row in cursor.fetchall():
        key = period_key(row["scope"], now)
        cursor.execute(ACCOUNT, (tenant_id, row["scope"], key))
        account = Account(row["scope"], key, row["limit_micro_usd"], **(cursor.fetchone() or {}))
        lines.append(
            {
                **row,
                "period": key,
                "spent_micro_usd": account.spent_micro_usd,
                "reserved_micro_usd": account.reserved_micro_usd,
                "free_micro_usd": account.free_micro_usd,
                "resets_at": resets_at(account.scope, now),
            }
        )
    return lines


def entries(cursor: Cursor, tenant_id: UUID, limit: int) -> list[dict[str, Any]]:
    """Return the newest reservations."""
    cursor.execute(LEDGER, (tenant_id, limit))
    return [dict(row) for row in cursor.fetchall()]


def _now(cursor: Cursor) -> Any:
    cursor.execute(NOW)
    row: Any = cursor.fetchone()
    return row["now"]
