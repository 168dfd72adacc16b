"""A tenant's limits, how its accounts stand, and its reservations; `ledger` is what spends."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.limits import DEFAULT_LIMITS_MICRO_USD, Scope, period_key, resets_at

SET_BUDGET = """
    insert into radiant.budget (tenant_id, scope, user_id, limit_micro_usd, set_by)
    values (%s, %s, %s, %s, %s)
    on conflict (tenant_id, scope, user_id) do update
        set limit_micro_usd = excluded.limit_micro_usd, set_by = excluded.set_by,
            set_at = clock_timestamp()
"""
NOW = "select clock_timestamp() as now"
# A user's budget counts in that user's account; the limit of every user stands for itself.
BUDGETS = """
    select b.scope, b.user_id as user, b.limit_micro_usd, b.set_by, b.set_at, p.period,
           coalesce(a.spent_micro_usd, 0)::bigint as spent_micro_usd,
           coalesce(a.reserved_micro_usd, 0)::bigint as reserved_micro_usd
    from radiant.budget b
    join (values ('day', %(day)s), ('month', %(month)s), ('session', ''), ('user_day', %(day)s),
        ('user_month', %(month)s)) p (scope, period) using (scope)
    left join radiant.budget_account a on a.tenant_id = b.tenant_id and a.scope = b.scope
        and a.user_id = b.user_id and a.period_key = p.period
    where b.tenant_id = %(tenant)s
      and (%(user)s::text is null or b.scope not in ('user_day', 'user_month'))
    order by b.scope, b.user_id
"""
USER_BUDGETS = """
    select s.scope, %(user)s as user, b.limit_micro_usd, b.set_by, b.set_at, s.period,
           coalesce(a.spent_micro_usd, 0)::bigint as spent_micro_usd,
           coalesce(a.reserved_micro_usd, 0)::bigint as reserved_micro_usd
    from (values ('user_day', %(day)s), ('user_month', %(month)s)) s (scope, period)
    join lateral (
        select limit_micro_usd, set_by, set_at from radiant.budget
        where tenant_id = %(tenant)s and scope = s.scope and user_id in ('', %(user)s)
        order by user_id desc limit 1) b on true
    left join radiant.budget_account a on a.tenant_id = %(tenant)s and a.scope = s.scope
        and a.user_id = %(user)s and a.period_key = s.period
    order by s.scope
"""
LEDGER = """
    select r.created_at, r.session_id, r.attempt_key, r.purpose, r.agent_id, g.role,
           r.user_id as user, r.model, r.state, r.estimate_micro_usd, r.actual_micro_usd,
           r.actual_is_estimated, r.held_on, r.begun_at, r.closed_at, r.booked_at, r.expires_at
    from radiant.reservation r
    left join radiant.agent_run g on g.tenant_id = r.tenant_id and g.session_id = r.session_id
        and g.agent_id = r.agent_id
    where r.tenant_id = %(tenant)s
      and (%(since)s::date is null or r.created_at >= %(since)s::date at time zone 'UTC')
      and (%(until)s::date is null or r.created_at < (%(until)s::date + 1) at time zone 'UTC')
      and (%(user)s::text is null or r.user_id = %(user)s)
    order by r.created_at desc, r.session_id, r.call, r.attempt limit %(limit)s
"""
ENTRY_COLUMNS: tuple[str, ...] = (
    "created_at", "session_id", "attempt_key", "purpose", "agent_id", "role", "user", "model",
    "state", "estimate_micro_usd", "actual_micro_usd", "actual_is_estimated", "held_on",
    "begun_at", "closed_at", "booked_at", "expires_at",
)  # fmt: skip
"""What `entries` returns of each reservation; ids, amounts and times, no content."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which reservations are asked for.

    Args:
        limit: At most so many, the newest; None for all.
        since: First day in UTC.
        until: Last day in UTC.
        user: Of one user.
    """

    limit: int | None = None
    since: date | None = None
    until: date | None = None
    user: str | None = None


def seed(cursor: Cursor, tenant_id: UUID) -> None:
    """Give a new tenant the default limits."""
    for scope, limit in DEFAULT_LIMITS_MICRO_USD.items():
        cursor.execute(SET_BUDGET, (tenant_id, scope, "", limit, "system:default"))


def set_limit(
    cursor: Cursor,
    tenant_id: UUID,
    scope: Scope,
    limit_micro_usd: int,
    *,
    actor: str,
    user: str = "",
) -> None:
    """Set a limit, for the present period too.

    One below what is spent or held stops new calls; those that run keep what is held for them.

    Args:
        user: The user it is for, '' for every user or where the scope has none.
    """
    cursor.execute(SET_BUDGET, (tenant_id, scope, user, limit_micro_usd, actor))
    detail = {"scope": scope, "limit_micro_usd": limit_micro_usd}
    audit.record(
        cursor,
        tenant_id,
        actor=actor,
        action="budget.set",
        detail=detail | ({"user": user} if user else {}),
    )


def show(cursor: Cursor, tenant_id: UUID, user: str | None = None) -> list[dict[str, Any]]:
    """Return each limit with what is spent, held and free in the present period.

    The limit of every user and the one of a session have no account of their own: nothing is spent
    or held in them.

    Args:
        user: Show this user's accounts, whether its limit is its own or that of every user.
    """
    cursor.execute(NOW)
    clock: Any = cursor.fetchone()
    now = clock["now"]
    values = {
        "tenant": tenant_id,
        "user": user,
        "day": period_key("day", now),
        "month": period_key("month", now),
    }
    cursor.execute(BUDGETS, values)
    rows = cursor.fetchall()
    if user is not None:
        cursor.execute(USER_BUDGETS, values)
        rows += cursor.fetchall()
    lines: list[dict[str, Any]] = []
    for row in rows:
        used = row["spent_micro_usd"] + row["reserved_micro_usd"]
        free = row["limit_micro_usd"] - used
        lines.append({**row, "free_micro_usd": free, "resets_at": resets_at(row["scope"], now)})
    return lines


def entries(cursor: Cursor, tenant_id: UUID, wanted: Selection) -> list[dict[str, Any]]:
    """Return reservations, the newest first."""
    values = {
        "tenant": tenant_id,
        "limit": wanted.limit,
        "since": wanted.since,
        "until": wanted.until,
        "user": wanted.user,
    }
    cursor.execute(LEDGER, values)
    return [dict(row) for row in cursor.fetchall()]
