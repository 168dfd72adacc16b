"""Makes and finds the vector indexes of the Grimoire, one for each embedding model.

The column holds vectors of every model, so it has no dimensions and no index of its own. Each index
is on the cast to one model's dimensions and covers that model's active rows alone. A query that
orders by the plain column can never fall into one by accident: that is how the exact search stays
exact. Made CONCURRENTLY, so that sessions go on beside it.
"""

import hashlib
from typing import Any

from psycopg2 import sql

MAX_DIMENSIONS = 4_000  # of halfvec in HNSW, pgvector's limit
INDEXES = """
    select m.id, m.dimensions, i.indisvalid as ready
    from radiant.embedding_model m
    left join pg_class c on c.relnamespace = 'radiant'::regnamespace
        and c.relname = 'heuristic_near_'
            || left(encode(sha256(convert_to(m.id, 'UTF8')), 'hex'), 16)
    left join pg_index i on i.indexrelid = c.oid
    where m.dimensions <= %s order by m.id
"""
# m and ef_construction are pgvector's defaults, at which recall was measured.
CREATE = """
    create index concurrently {name} on radiant.knowledge_heuristics
    using hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops)
    with (m = 16, ef_construction = 64)
    where embedding_model = {model} and state = 'active'
"""
DROP = "drop index concurrently if exists radiant.{name}"
CROWDED = """
    select count(*) as n from (
        select 1 from radiant.knowledge_heuristics where state = 'active' and embedding_model = %s
        group by tenant_id, domain having count(*) > %s) crowded
"""


def index_name(model_id: str) -> str:
    """Return the name of an embedding model's index."""
    return f"heuristic_near_{hashlib.sha256(model_id.encode()).hexdigest()[:16]}"


def without_index(cursor: Any) -> dict[str, int]:
    """Return the dimensions of the models that could have an index and have no usable one."""
    cursor.execute(INDEXES, (MAX_DIMENSIONS,))
    return {row["id"]: row["dimensions"] for row in cursor.fetchall() if not row["ready"]}


def create_missing(cursor: Any) -> list[str]:
    """Create the index of every model that lacks one.

    Args:
        cursor: Of the tables' owner, outside of a transaction.

    Returns:
        The models' ids.
    """
    missing = without_index(cursor)
    for model_id, dimensions in missing.items():
        name = sql.Identifier(index_name(model_id))
        cursor.execute(sql.SQL(DROP).format(name=name))  # what an interrupted attempt left
        cursor.execute(
            sql.SQL(CREATE).format(
                name=name, dimensions=sql.Literal(dimensions), model=sql.Literal(model_id)
            )
        )
    return list(missing)


def crowded(cursor: Any, model_id: str, rows: int) -> int:
    """Count the domains of all tenants that hold more active rows of a model than that."""
    cursor.execute(CROWDED, (model_id, rows))
    return int(cursor.fetchone()["n"])
