"""Keeps the Grimoire clean and counts it, over all tenants, under the maintenance role."""

from typing import Any

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.posterior import MIN_CONFIDENCE

EXPIRE = """
    update radiant.knowledge_heuristics set state = 'expired', updated_at = clock_timestamp()
    where state in ('quarantined', 'active') and expires_at <= clock_timestamp()
    returning tenant_id, id
"""
RETIRE_UNTRUSTED = """
    update radiant.knowledge_heuristics set state = 'retired', updated_at = clock_timestamp()
    where state in ('quarantined', 'active') and confidence < %s
      and created_at < clock_timestamp() - interval '90 days'
    returning tenant_id, id
"""
DELETE_LAPSED = """
    delete from radiant.knowledge_heuristics
    where state in ('expired', 'retired', 'revoked')
      and updated_at < clock_timestamp() - interval '30 days'
    returning tenant_id, id
"""
STATISTICS = """
    select domain,
           count(*) filter (where state = 'active') as active,
           count(*) filter (where state = 'quarantined') as quarantined,
           count(*) filter (where state = 'expired') as expired,
           count(*) filter (where state = 'retired') as retired,
           count(*) filter (where state = 'active' and last_used_at is null) as never_used,
           avg(confidence) filter (where state = 'active') as mean_confidence
    from radiant.knowledge_heuristics group by domain order by domain
"""
DUPLICATES = """
    select coalesce(sum(n - 1), 0)::int as duplicates from (
        select count(*) as n from radiant.knowledge_heuristics
        where state in ('quarantined', 'active')
        group by tenant_id, domain, content_sha256) same
"""
BRIER = """
    select avg((h.confidence - u.reward) ^ 2) as brier
    from radiant.heuristic_usage u
    join radiant.knowledge_heuristics h
      on h.tenant_id = u.tenant_id and h.id = u.heuristic_id
    where u.reward is not null and u.cited
"""
UNFORCED_TABLES = """
    select c.relname as name from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    left join pg_attribute a
        on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
    where n.nspname = 'radiant' and c.relkind in ('r', 'p')
      and (a.attname is not null or c.relname = 'tenant')
      and not (c.relrowsecurity and c.relforcerowsecurity)
    order by 1
"""
OVERDUE_ACTIVE = """
    select count(*) as n from radiant.knowledge_heuristics
    where state = 'active' and expires_at <= clock_timestamp() - interval '36 hours'
"""
UNKNOWN_MODELS = """
    select count(*) as n from radiant.knowledge_heuristics h
    left join radiant.embedding_model m on m.id = h.embedding_model where m.id is null
"""


def maintain(database: Database) -> dict[str, int]:
    """Expire, retire and hard-delete over all tenants, under the maintenance role.

    Returns:
        Counts: expired, retired, deleted. A second call finds nothing to do.
    """
    counts: dict[str, int] = {}
    with database.system_transaction("radiant_maintenance") as cursor:
        for name, statement, parameters in (
            ("expired", EXPIRE, ()),
            ("retired", RETIRE_UNTRUSTED, (MIN_CONFIDENCE,)),
            ("deleted", DELETE_LAPSED, ()),
        ):
            cursor.execute(statement, parameters)
            rows = cursor.fetchall()
            counts[name] = len(rows)
            for row in rows:
                audit.record(
                    cursor,
                    row["tenant_id"],
                    actor="system:maintenance",
                    action=f"heuristic.{name}",
                    heuristic_id=row["id"],
                )
    return counts


def statistics(database: Database) -> tuple[list[dict[str, Any]], int, float | None]:
    """Return counts by domain over all tenants, surplus duplicates, and the Brier score.

    The Brier score is the mean squared difference between confidence and reward of cited uses;
    None while no use has an outcome.
    """
    with database.system_transaction("radiant_maintenance") as cursor:
        cursor.execute(STATISTICS)
        by_domain = [dict(row) for row in cursor.fetchall()]
        cursor.execute(DUPLICATES)
        duplicates = cursor.fetchone()
        cursor.execute(BRIER)
        brier = cursor.fetchone()
    return (
        by_domain,
        int(duplicates["duplicates"]) if duplicates else 0,
        float(brier["brier"]) if brier and brier["brier"] is not None else None,
    )


def tables_without_forced_rls(database: Database) -> list[str]:
    """Return tenant tables that lack FORCE row-level security; must be empty."""
    with database.system_transaction("radiant_maintenance") as cursor:
        cursor.execute(UNFORCED_TABLES)
        return [row["name"] for row in cursor.fetchall()]


def overdue_and_unknown(database: Database) -> tuple[int, int]:
    """Count active rows that maintenance should have expired, and rows of unknown models."""
    with database.system_transaction("radiant_maintenance") as cursor:
        cursor.execute(OVERDUE_ACTIVE)
        overdue = cursor.fetchone()
        cursor.execute(UNKNOWN_MODELS)
        unknown = cursor.fetchone()
    return int(overdue["n"]) if overdue else 0, int(unknown["n"]) if unknown else 0
