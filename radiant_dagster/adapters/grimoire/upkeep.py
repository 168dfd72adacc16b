"""Ends what time and outcomes have ended, over all tenants, under the maintenance role.

It sees numbers, states and times, never a text. Safe beside running sessions: it works in small
transactions in the order of the ids, and what a session is crediting at the moment is left for the
next day. What a person pinned neither expires nor is retired here.
"""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.posterior import MIN_CONFIDENCE, is_untrusted

BATCH = 500  # rows a transaction, so that nobody waits long for one

EXPIRE = """
    update radiant.knowledge_heuristics h set state = 'expired', updated_at = clock_timestamp()
    from (select tenant_id, id from radiant.knowledge_heuristics
          where state in ('quarantined', 'active') and not pinned
            and expires_at <= clock_timestamp()
          order by tenant_id, id limit %s for no key update skip locked) due
    where h.tenant_id = due.tenant_id and h.id = due.id
    returning h.tenant_id, h.id
"""
# What lies below the mean may still lie below the bound, never the other way round.
DOUBTFUL = """
    select tenant_id, id, alpha, beta,
           created_at < clock_timestamp() - interval '90 days' as is_old
    from radiant.knowledge_heuristics
    where state in ('quarantined', 'active') and not pinned and confidence < %s
      and (tenant_id, id) > (%s, %s)
    order by tenant_id, id limit %s for no key update skip locked
"""
RETIRE = """
    update radiant.knowledge_heuristics set state = 'retired', updated_at = clock_timestamp()
    where tenant_id = %s and id = %s
"""
# What was merged counts for its survivor, so it stays for as long as that is there.
LAPSED = """
    select tenant_id, id from radiant.knowledge_heuristics h
    where state in ('expired', 'retired', 'revoked', 'merged')
      and updated_at < clock_timestamp() - interval '30 days'
      and (state <> 'merged' or not exists (
          select 1 from radiant.knowledge_heuristics s
          where s.tenant_id = h.tenant_id and s.id = h.merged_into))
    order by tenant_id, id limit %s
"""
# One at a time, in the order in which sessions lock them; what changed meanwhile is kept.
DELETE = """
    delete from radiant.knowledge_heuristics
    where tenant_id = %s and id = %s and state in ('expired', 'retired', 'revoked', 'merged')
      and updated_at < clock_timestamp() - interval '30 days'
    returning tenant_id, id
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
    where state = 'active' and not pinned and expires_at <= clock_timestamp() - interval '36 hours'
"""
UNKNOWN_MODELS = """
    select count(*) as n from radiant.knowledge_heuristics h
    left join radiant.embedding_model m on m.id = h.embedding_model where m.id is null
"""


Rows = Sequence[Any]


def maintain(database: Database) -> dict[str, int]:
    """Expire, retire and hard-delete over all tenants, under the maintenance role.

    Returns:
        Counts: expired, retired, deleted. A second call finds nothing to do.
    """
    return {
        "expired": _until_done(database, "expired", _expire),
        "retired": _retire(database),
        "deleted": _until_done(database, "deleted", _delete),
    }


def _until_done(database: Database, name: str, step: Callable[[Cursor], Rows]) -> int:
    count = 0
    while True:
        with database.system_transaction("radiant_maintenance") as cursor:
            rows = step(cursor)
            _record(cursor, name, rows)
        if not rows:
            return count
        count += len(rows)


def _expire(cursor: Cursor) -> Rows:
    cursor.execute(EXPIRE, (BATCH,))
    return cursor.fetchall()


def _delete(cursor: Cursor) -> Rows:
    cursor.execute(LAPSED, (BATCH,))
    gone: list[Any] = []
    for row in cursor.fetchall():
        cursor.execute(DELETE, (row["tenant_id"], row["id"]))
        gone += cursor.fetchall()
    return gone


def _retire(database: Database) -> int:
    count, last = 0, (UUID(int=0), UUID(int=0))
    while True:
        with database.system_transaction("radiant_maintenance") as cursor:
            cursor.execute(DOUBTFUL, (MIN_CONFIDENCE, *last, BATCH))
            rows = cursor.fetchall()
            untrusted = [
                row for row in rows if row["is_old"] or is_untrusted(row["alpha"], row["beta"])
            ]
            for row in untrusted:
                cursor.execute(RETIRE, (row["tenant_id"], row["id"]))
            _record(cursor, "retired", untrusted)
        if not rows:
            return count
        count += len(untrusted)
        last = (rows[-1]["tenant_id"], rows[-1]["id"])


def _record(cursor: Cursor, name: str, rows: Rows) -> None:
    # In the order of the tenants, as every sweep: at commit each takes its tenant's audit chain.
    for row in sorted(rows, key=lambda item: (item["tenant_id"], item["id"])):
        audit.record(
            cursor,
            row["tenant_id"],
            actor="system:maintenance",
            action=f"heuristic.{name}",
            heuristic_id=row["id"],
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
