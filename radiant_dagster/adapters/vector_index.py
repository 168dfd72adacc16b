"""Gives every large domain a vector index of its own, and takes away those no longer needed.

One index covers the active rows of one tenant, domain and embedding model. A graph for all tenants
would be walked through the others' rows, which row-level security then hides: on 300,000 rows of
200 tenants that took seven times as long, and without an iterative scan the largest tenants lose
most of what they had learned. What lies in smaller domains is compared row by row.

The column holds vectors of every model, so it has no dimensions and no index of its own: a query
that orders by the plain column can never fall into one by accident, and the exact search stays
exact.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg2 import sql

from radiant_dagster.adapters.migrations import owner_session
from radiant_dagster.adapters.postgres import Cursor, Database

MAX_DIMENSIONS = 4_000  # of halfvec in HNSW, pgvector's limit
# The planner looks at every index of the table for every statement: with 100 a consultation took
# 1 ms more, with 200 1.6 ms, with 500 five times as long.
MOST_INDEXES = 100
PREFIX = "heuristic_near_"
LARGE = """
    select h.tenant_id, h.domain, m.id as model_id, m.dimensions, count(*) as rows
    from radiant.knowledge_heuristics h join radiant.embedding_model m on m.id = h.embedding_model
    where h.state = 'active' and m.dimensions <= %s
    group by h.tenant_id, h.domain, m.id, m.dimensions having count(*) > %s
    order by count(*) desc, h.tenant_id, h.domain, m.id limit %s
"""
PRESENT = """
    select c.relname as name, i.indisvalid as ready
    from pg_index i join pg_class c on c.oid = i.indexrelid
    where i.indrelid = 'radiant.knowledge_heuristics'::regclass and starts_with(c.relname, %s)
"""
# m and ef_construction are pgvector's defaults, at which recall was measured.
CREATE = """
    create index concurrently {name} on radiant.knowledge_heuristics
    using hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops)
    with (m = 16, ef_construction = 64)
    where tenant_id = {tenant} and domain = {domain} and embedding_model = {model}
      and state = 'active'
"""
OF_TENANT = """
    select c.relname as name from pg_index i join pg_class c on c.oid = i.indexrelid
    where i.indrelid = 'radiant.knowledge_heuristics'::regclass and starts_with(c.relname, %s)
      and position(%s in pg_get_expr(i.indpred, i.indrelid)) > 0
"""
DROP = "drop index concurrently if exists radiant.{name}"


@dataclass(frozen=True, slots=True)
class LargeDomain:
    """Active heuristics of one tenant, domain and embedding model.

    Args:
        rows: How many there are.
    """

    tenant_id: UUID
    domain: str
    model_id: str
    dimensions: int
    rows: int

    @property
    def index(self) -> str:
        """Return the name of its index."""
        return index_name(self.tenant_id, self.domain, self.model_id)


@dataclass(frozen=True, slots=True)
class Arranged:
    """What was done, and what there was to look at.

    Args:
        created: Domains that got their index.
        dropped: Names of indexes that are gone.
        large: Domains that have an index now.
        largest: The one with the most active rows, large or not; None where none has any.
    """

    created: tuple[LargeDomain, ...]
    dropped: tuple[str, ...]
    large: tuple[LargeDomain, ...]
    largest: LargeDomain | None


def index_name(tenant_id: UUID, domain: str, model_id: str) -> str:
    """Return the name of the index of a tenant's domain."""
    key = f"{tenant_id}/{domain}/{model_id}"
    return f"{PREFIX}{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def large_domains(
    cursor: Cursor, rows: int, *, most: int = MOST_INDEXES
) -> tuple[LargeDomain, ...]:
    """Return the domains of all tenants that hold more active rows of one model than that.

    Args:
        cursor: Of the maintenance role, which sees all tenants' counts. The owner sees no row.
        most: How many are returned, the largest first.
    """
    cursor.execute(LARGE, (MAX_DIMENSIONS, rows, most))
    return tuple(LargeDomain(**row) for row in cursor.fetchall())


def without_index(cursor: Cursor, rows: int) -> tuple[LargeDomain, ...]:
    """Return the domains with more rows than that which should have an index and have none."""
    ready = {name for name, usable in _present(cursor).items() if usable}
    return tuple(domain for domain in large_domains(cursor, rows) if domain.index not in ready)


def arrange(
    database: Database,
    owner_url: str,
    rows: int,
    *,
    on_progress: Callable[[LargeDomain], None] = lambda _: None,
) -> Arranged:
    """Make the indexes that are missing, and drop those of domains that shrank to half of it.

    The largest hundred domains get one; it is dropped where two hundred are larger.

    CONCURRENTLY, so that sessions go on beside it. At any time, any number of times, also beside
    another one.

    Args:
        owner_url: Login that may create tables.
        rows: Active rows above which a domain has an index.
        on_progress: Called before each index is made.

    Raises:
        ConfigurationError: The login does not own the tables.
        DatabaseUnavailable: The server cannot be reached.
    """
    created: list[LargeDomain] = []
    with owner_session(owner_url) as owner:
        with database.system_transaction("radiant_maintenance") as cursor:
            needed = without_index(cursor, rows)
            large = large_domains(cursor, rows)
            largest = next(iter(large or large_domains(cursor, 0, most=1)), None)
            kept = large_domains(cursor, rows // 2, most=2 * MOST_INDEXES)
        for domain in needed:
            on_progress(domain)
            owner.execute(sql.SQL(DROP).format(name=sql.Identifier(domain.index)))  # a torso
            owner.execute(_create(domain))
            created.append(domain)
        names = {domain.index for domain in kept}
        dropped = tuple(
            name for name, usable in sorted(_present(owner).items())
            if name not in names or not usable  # a torso costs every write and serves nobody
        )  # fmt: skip
        for name in dropped:
            owner.execute(sql.SQL(DROP).format(name=sql.Identifier(name)))
    return Arranged(tuple(created), dropped, large, largest)


def drop_of_tenant(owner_url: str, tenant_id: UUID) -> tuple[str, ...]:
    """Drop the indexes of a tenant, which name it and hold its vectors, and return their names.

    Args:
        owner_url: Login that may create tables.

    Raises:
        ConfigurationError: The login does not own the tables.
        DatabaseUnavailable: The server cannot be reached.
    """
    with owner_session(owner_url) as owner:
        owner.execute(OF_TENANT, (PREFIX, str(tenant_id)))
        names = tuple(row["name"] for row in owner.fetchall())
        for name in names:
            owner.execute(sql.SQL(DROP).format(name=sql.Identifier(name)))
    return names


def _present(cursor: Any) -> dict[str, bool]:
    cursor.execute(PRESENT, (PREFIX,))
    return {row["name"]: row["ready"] for row in cursor.fetchall()}


def _create(domain: LargeDomain) -> sql.Composed:
    return sql.SQL(CREATE).format(
        name=sql.Identifier(domain.index),
        dimensions=sql.Literal(domain.dimensions),
        tenant=sql.Literal(str(domain.tenant_id)),
        domain=sql.Literal(domain.domain),
        model=sql.Literal(domain.model_id),
    )
