"""Reads what was held and spent over all tenants, for the spend report; writes nothing.

Runs under radiant_maintenance, which sees ids and amounts only. A tenant appears as a pseudonym, a
hash with a key that only the database has, so that a report can be shown to those who may not know
who the customers are.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from radiant_dagster.adapters.postgres import Database

PLOT_DAYS = 30

# One row a tenant, model and role. What was `released` was never called.
SPEND_OF_DAY = """
    select left(encode(sha256(k.key || uuid_send(r.tenant_id)), 'hex'), 10) as tenant,
           r.model, coalesce(a.role, r.purpose) as role, count(*)::int as calls,
           coalesce(sum(r.actual_micro_usd), 0)::bigint as spent_micro_usd,
           coalesce(sum(r.estimate_micro_usd) filter (where r.state = 'held'), 0)::bigint
               as reserved_micro_usd,
           coalesce(sum(r.estimate_micro_usd) filter (where r.state in ('settled', 'expired')),
               0)::bigint as settled_estimate_micro_usd,
           count(*) filter (where r.state = 'expired')::int as expired
    from radiant.reservation r cross join radiant.pseudonym_key k
    left join radiant.agent_run a on a.tenant_id = r.tenant_id and a.session_id = r.session_id
        and a.agent_id = r.agent_id
    where r.state <> 'released' and r.created_at >= %s and r.created_at < %s
    group by 1, 2, 3 order by spent_micro_usd desc, 1, 2, 3
"""
SPEND_BY_DAY = """
    select (r.created_at at time zone 'UTC')::date as on_day,
           coalesce(sum(r.actual_micro_usd), 0)::bigint as spent_micro_usd,
           coalesce(sum(r.estimate_micro_usd) filter (where r.state = 'held'), 0)::bigint
               as reserved_micro_usd
    from radiant.reservation r where r.created_at >= %s and r.created_at < %s
    group by 1 order by 1
"""
REFUSALS = """
    select count(*)::int as refusals from radiant.budget_refusal where at >= %s and at < %s
"""
# One statement, so one snapshot: sessions that settle meanwhile cannot look like a difference.
# `is_reserved` says which entries the accounts still count as reserved instead of as spent.
UNEQUAL_ACCOUNTS = """
    with entry as (
        select r.tenant_id, a.scope, a.user_id, a.period_key, r.estimate_micro_usd,
               coalesce(r.actual_micro_usd, 0) as actual_micro_usd,
               r.booked_at is null as is_reserved
        from radiant.reservation r
        cross join lateral radiant.ledger_accounts(r.session_id, r.user_id, r.held_on) a),
    ledger as (
        select tenant_id, scope, user_id, period_key,
               coalesce(sum(estimate_micro_usd) filter (where is_reserved), 0) as reserved,
               coalesce(sum(actual_micro_usd) filter (where not is_reserved), 0) as spent
        from entry group by tenant_id, scope, user_id, period_key)
    select left(encode(sha256(k.key || uuid_send(tenant_id)), 'hex'), 10) as tenant,
           scope, period_key,
           coalesce(c.reserved_micro_usd, 0)::bigint as account_reserved_micro_usd,
           coalesce(l.reserved, 0)::bigint as ledger_reserved_micro_usd,
           coalesce(c.spent_micro_usd, 0)::bigint as account_spent_micro_usd,
           coalesce(l.spent, 0)::bigint as ledger_spent_micro_usd
    from radiant.budget_account c
    full join ledger l using (tenant_id, scope, user_id, period_key)
    cross join radiant.pseudonym_key k
    where coalesce(c.reserved_micro_usd, 0) <> coalesce(l.reserved, 0)
       or coalesce(c.spent_micro_usd, 0) <> coalesce(l.spent, 0)
    order by 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class SpendLine:
    """What one tenant spent on one model for one role.

    Args:
        tenant: Pseudonym.
        role: Of the agent; `synthesis`, `librarian` or `embedding` for calls of nobody.
        calls: Those that were charged or may still be made.
        reserved_micro_usd: Held and not settled yet.
        settled_estimate_micro_usd: What was held for that which is charged by now.
        expired: Calls charged with their estimate, since nobody settled them.
    """

    tenant: str
    model: str
    role: str
    calls: int
    spent_micro_usd: int
    reserved_micro_usd: int
    settled_estimate_micro_usd: int
    expired: int


@dataclass(frozen=True, slots=True)
class DaySpend:
    """What one day cost, over all tenants."""

    on_day: date
    spent_micro_usd: int = 0
    reserved_micro_usd: int = 0


@dataclass(frozen=True, slots=True)
class Spend:
    """One day's report.

    Args:
        lines: Dearest first.
        refusals: How often a budget did not hold what a session needed.
        history: The last 30 days to this one, a day without spending as zero.
    """

    lines: tuple[SpendLine, ...]
    refusals: int
    history: tuple[DaySpend, ...]


def spend_of(database: Database, on_day: date) -> Spend:
    """Return what was spent on a day, in UTC, by when it was reserved."""
    start = datetime.combine(on_day, time(), UTC)
    end, first = start + timedelta(days=1), start - timedelta(days=PLOT_DAYS - 1)
    with database.system_transaction("radiant_maintenance") as cursor:
        cursor.execute(SPEND_OF_DAY, (start, end))
        lines = tuple(SpendLine(**row) for row in cursor.fetchall())
        cursor.execute(SPEND_BY_DAY, (first, end))
        days = {row["on_day"]: DaySpend(**row) for row in cursor.fetchall()}
        cursor.execute(REFUSALS, (start, end))
        refused: Any = cursor.fetchone()
    wanted = (first.date() + timedelta(days=n) for n in range(PLOT_DAYS))
    history = tuple(days.get(day) or DaySpend(day) for day in wanted)
    return Spend(lines, refused["refusals"], history)


def unequal_accounts(database: Database) -> list[dict[str, Any]]:
    """Return the accounts that do not say what their reservations add up to; must be empty."""
    with database.system_transaction("radiant_maintenance") as cursor:
        cursor.execute(UNEQUAL_ACCOUNTS)
        return [dict(row) for row in cursor.fetchall()]
