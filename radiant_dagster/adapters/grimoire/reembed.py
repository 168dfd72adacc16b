"""Gives rows of a replaced embedding model vectors of the present one, a few at a time.

Vectors of two models cannot be compared: after RADIANT_EMBEDDING_MODEL changes, nothing of before
is found until its trigger is embedded anew. The old vector stays until the new one is there. Each
batch is a transaction of its own, so a run that breaks goes on where it stopped. Texts are read by
the tenant's role, tenant by tenant; maintenance's role cannot read them.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit, tenants
from radiant_dagster.adapters.embeddings import EmbeddingModel
from radiant_dagster.adapters.grimoire.search import halfvec, register_model
from radiant_dagster.adapters.postgres import Database

BATCH = 64  # texts in one call of the model

OLD = """
    select id, version, trigger_pattern, embedding_model from radiant.knowledge_heuristics
    where tenant_id = %s and embedding_model <> %s order by id limit %s
"""
HOW_MANY = """
    select count(*) as n from radiant.knowledge_heuristics
    where tenant_id = %s and embedding_model <> %s
"""
# The version: a text that a curator changed meanwhile has its new vector already.
REPLACE = """
    update radiant.knowledge_heuristics
    set embedding = %(embedding)s::halfvec, embedding_model = %(model)s,
        model_since = clock_timestamp()
    where tenant_id = %(tenant)s and id = %(id)s and version = %(version)s
      and embedding_model = %(old)s
"""

Progress = Callable[[int, int], None]  # done, of how many


def reembed(
    database: Database,
    tenant_id: UUID,
    embeddings: EmbeddingModel,
    *,
    progress: Progress = lambda done, total: None,
) -> int:
    """Embed a tenant's triggers of other models again, in batches of 64.

    Args:
        embeddings: The model that is in use now.
        progress: Told after each batch.

    Returns:
        How many vectors were replaced; 0 where none was of another model.

    Raises:
        EmbeddingUnavailable: The model is away; what was replaced so far stays.
    """
    model = embeddings.model_id
    total, done = old_vectors(database, tenant_id, model), 0
    if total == 0:
        return 0
    with database.tenant_transaction(tenant_id) as cursor:
        register_model(cursor, model, embeddings.dimensions)
    while rows := _batch(database, tenant_id, model):
        # Outside of a transaction: a model may take seconds, connections are few.
        vectors = embeddings.embed([row["trigger_pattern"] for row in rows])
        with database.tenant_transaction(tenant_id) as cursor:
            replaced = 0
            for row, vector in zip(rows, vectors, strict=True):
                cursor.execute(
                    REPLACE,
                    {
                        "embedding": halfvec(vector),
                        "model": model,
                        "tenant": tenant_id,
                        "id": row["id"],
                        "version": row["version"],
                        "old": row["embedding_model"],
                    },
                )
                replaced += cursor.rowcount
            audit.record(
                cursor,
                tenant_id,
                actor="system:maintenance",
                action="grimoire.reembedded",
                detail={"rows": replaced, "model": model},
            )
        done += replaced
        progress(done, total)
    return done


def reembed_all(database: Database, embeddings: EmbeddingModel) -> int:
    """Embed what is of another model again, for all tenants, see `reembed`."""
    found = [UUID(str(tenant["id"])) for tenant in tenants.list_tenants(database)]
    return sum(reembed(database, tenant_id, embeddings) for tenant_id in found)


def old_vectors(database: Database, tenant_id: UUID, model: str) -> int:
    """Count a tenant's rows whose vector is of another model."""
    with database.tenant_transaction(tenant_id) as cursor:
        cursor.execute(HOW_MANY, (tenant_id, model))
        row = cursor.fetchone()
    return int(row["n"]) if row else 0


def _batch(database: Database, tenant_id: UUID, model: str) -> list[dict[str, Any]]:
    with database.tenant_transaction(tenant_id) as cursor:
        cursor.execute(OLD, (tenant_id, model, BATCH))
        return [dict(row) for row in cursor.fetchall()]
