"""Removes a tenant from RADIANT's own tables, and counts what is left of it.

The tables come from the catalogue, so that one nobody thought of is erased as well, children before
their parents, in one transaction of the owner. A tombstone says that it happened: no name, no
content. Dagster's side is `dagster_traces`.
"""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Any
from uuid import UUID

import psycopg2
import psycopg2.extras
from psycopg2 import sql

from radiant_dagster.adapters.postgres import ENTER_TENANT, Cursor, connect, location
from radiant_dagster.domain.sessions import TERMINAL
from radiant_dagster.errors import ConfigurationError, DatabaseUnavailable, TenantNotFound

OWNER = "radiant_owner"
POLICY = "erasure"

# A table without the policy would look empty to the owner, and its rows would stay unnoticed.
TABLES = """
    select c.relname as name,
           case when c.relname = 'tenant' then 'id' else 'tenant_id' end as key,
           exists (select 1 from pg_policy p
                   where p.polrelid = c.oid and p.polname = %s) as reachable
    from pg_class c
    where c.relnamespace = 'radiant'::regnamespace and c.relkind in ('r', 'p')
      and (c.relname = 'tenant' or exists (
          select 1 from pg_attribute a
          where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped))
    order by 1
"""
FOREIGN_KEYS = """
    select child.relname as child, parent.relname as parent
    from pg_constraint f
    join pg_class child on child.oid = f.conrelid
    join pg_class parent on parent.oid = f.confrelid
    where f.contype = 'f' and child.oid <> parent.oid
      and child.relnamespace = 'radiant'::regnamespace
      and parent.relnamespace = 'radiant'::regnamespace
"""
# What is stored at this moment is waited for; what comes later waits, and then finds no tenant.
LOCK_TENANT = "select slug from radiant.tenant where id = %s for update"
# How long others' transactions may keep us from the audit trail, and so we them.
LOCK_TIMEOUT = "set local lock_timeout = '30s'"
RUNNING = """
    select id from radiant.session
    where tenant_id = %s and not status = any(%s) order by created_at
"""
IDS = """
    select id::text from radiant.session where tenant_id = %(tenant)s
    union select dagster_run_id from radiant.session
        where tenant_id = %(tenant)s and dagster_run_id is not null
    union select conclude_run_id from radiant.session
        where tenant_id = %(tenant)s and conclude_run_id is not null
    union select run_id from radiant.agent_run
        where tenant_id = %(tenant)s and run_id is not null
    union select claimed_run_id from radiant.approval_decision
        where tenant_id = %(tenant)s and claimed_run_id is not null
    union select id::text from radiant.approval_request where tenant_id = %(tenant)s
    union select id::text from radiant.knowledge_heuristics where tenant_id = %(tenant)s
"""
COUNT = "select count(*) as n from {} where {} = %s"
DELETE = "delete from {} where {} = %s"
# The audit trail refuses to be deleted, the owner's hand included; so this says it aloud. The lock
# that it takes is held for the rest of the transaction, so these two tables come last.
INSERT_ONLY = ("audit", "audit_link")
LET_DELETE = "alter table {} disable trigger insert_only"
REFUSE_DELETE = "alter table {} enable trigger insert_only"
BURY = """
    insert into radiant.erased_tenant (slug_sha256, erased_by, counts)
    select sha256(key || convert_to(%s, 'UTF8')), %s, %s from radiant.pseudonym_key
"""
TOMBSTONES = """
    select erased_at, erased_by, counts,
           slug_sha256 = sha256(k.key || convert_to(%s, 'UTF8')) as is_this
    from radiant.erased_tenant cross join radiant.pseudonym_key k order by erased_at desc
"""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What RADIANT's tables hold of a tenant.

    Args:
        rows: Table -> rows, tables without any included.
        running: Sessions that have not ended.
        ids: By which other stores may name it: its own, and those of its sessions, approvals,
            heuristics and runs.
    """

    rows: Mapping[str, int]
    running: tuple[UUID, ...]
    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """That a tenant was erased. ``counts``: table -> rows that were deleted."""

    erased_at: datetime
    erased_by: str
    counts: Mapping[str, int]


@contextmanager
def owner_transaction(owner_url: str, tenant_id: UUID) -> Generator[Cursor]:
    """Run one transaction as the tables' owner, who reaches the rows of this one tenant.

    Raises:
        ConfigurationError: The login may not act as the owner.
        DatabaseUnavailable: The server is away, or somebody held a lock for too long.
    """
    connection: Any = connect(owner_url, application_name="radiant erase")
    psycopg2.extras.register_uuid(conn_or_curs=connection)  # pyright: ignore[reportUnknownMemberType]
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(ENTER_TENANT, (OWNER, str(tenant_id)))
            cursor.execute(LOCK_TIMEOUT)
            yield cursor
    except psycopg2.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            "RADIANT_OWNER_DATABASE_URL",
            f"this login may not act as the tables' owner ({error.diag.message_primary})",
            "Use the login that `radiant db migrate` works with.",
        ) from None
    except psycopg2.OperationalError as error:  # a lock's timeout as well
        raise DatabaseUnavailable(location(owner_url), type(error).__name__) from None
    finally:
        connection.close()


def holdings(cursor: Cursor, tenant_id: UUID) -> Holdings:
    """Count what the tables hold of a tenant; changes nothing."""
    rows = {table: _count(cursor, table, key, tenant_id) for table, key in _tables(cursor).items()}
    cursor.execute(RUNNING, (tenant_id, list(TERMINAL)))
    running = tuple(row["id"] for row in cursor.fetchall())
    cursor.execute(IDS, {"tenant": tenant_id})
    ids = frozenset(row["id"] for row in cursor.fetchall())
    return Holdings(rows, running, ids | {str(tenant_id)})


def erase(cursor: Cursor, tenant_id: UUID, *, actor: str) -> Mapping[str, int]:
    """Delete every row of a tenant and leave a tombstone.

    Args:
        actor: Who has it erased, for the tombstone.

    Returns:
        Table -> rows that were deleted.

    Raises:
        TenantNotFound: There is no such tenant (any more).
        ConfigurationError: A table of tenants is out of the owner's reach.
    """
    tables = _tables(cursor)
    cursor.execute(LOCK_TENANT, (tenant_id,))
    tenant = cursor.fetchone()
    if tenant is None:
        raise TenantNotFound(str(tenant_id))
    # Counted first: where a parent's rows take their children with them, both are named.
    counts = {table: _count(cursor, table, key, tenant_id) for table, key in tables.items()}
    order = _children_first(cursor, tables)
    for table in (*(name for name in order if name not in INSERT_ONLY), *INSERT_ONLY, "tenant"):
        _delete(cursor, table, tables[table], tenant_id)
    cursor.execute(BURY, (tenant["slug"], actor, json.dumps(counts)))
    return counts


def tombstone(cursor: Cursor, slug: str) -> Tombstone | None:
    """Return when a tenant of that slug was erased last, None where none was."""
    cursor.execute(TOMBSTONES, (slug,))
    for row in cursor.fetchall():
        if row["is_this"]:
            return Tombstone(row["erased_at"], row["erased_by"], row["counts"])
    return None


def _tables(cursor: Cursor) -> dict[str, str]:
    cursor.execute(TABLES, (POLICY,))
    rows = cursor.fetchall()
    hidden = [row["name"] for row in rows if not row["reachable"]]
    if hidden:
        raise ConfigurationError(
            "RADIANT_OWNER_DATABASE_URL",
            f"cannot reach a tenant's rows in {', '.join(hidden)}",
            f"Create the policy {POLICY} on it, as 0017_erase_tenants.sql does.",
        )
    return {row["name"]: row["key"] for row in rows}


def _children_first(cursor: Cursor, tables: Mapping[str, str]) -> list[str]:
    cursor.execute(FOREIGN_KEYS)
    order: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(tables, ()))
    for row in cursor.fetchall():
        order.add(row["parent"], row["child"])
    return [table for table in order.static_order() if table in tables and table != "tenant"]


def _count(cursor: Cursor, table: str, key: str, tenant_id: UUID) -> int:
    statement = sql.SQL(COUNT).format(sql.Identifier("radiant", table), sql.Identifier(key))
    cursor.execute(statement, (tenant_id,))
    row = cursor.fetchone()
    return int(row["n"]) if row else 0


def _delete(cursor: Cursor, table: str, key: str, tenant_id: UUID) -> None:
    name = sql.Identifier("radiant", table)
    insert_only = table in INSERT_ONLY
    if insert_only:
        cursor.execute(sql.SQL(LET_DELETE).format(name))
    cursor.execute(sql.SQL(DELETE).format(name, sql.Identifier(key)), (tenant_id,))
    if insert_only:
        cursor.execute(sql.SQL(REFUSE_DELETE).format(name))
