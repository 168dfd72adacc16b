"""Finds the heuristics that fit a text: what sessions are offered, and what agents search."""

from collections.abc import Callable
from uuid import UUID

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.grimoire import search
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.selection import Offered, select


def look_up(
    database: Database,
    embed: Callable[[str], tuple[str, list[float]]],
    tenant_id: UUID,
    domain: str,
    text: str,
) -> tuple[Offered, ...]:
    """Return at most five active heuristics of a tenant and domain that fit a text. Reads only.

    Args:
        embed: Returns the id of the embedding model and the vector of a text. Called only where
            there is something to compare with.

    Raises:
        EmbeddingUnavailable: The text cannot be embedded now.
    """
    with database.tenant_transaction(tenant_id) as cursor:
        policy = tenants.domain_policies(cursor, tenant_id)[domain]
        anything = search.has_active(cursor, tenant_id, domain)
    if not anything:
        return ()
    model_id, vector = embed(text)
    with database.tenant_transaction(tenant_id) as cursor:
        floor = search.floor_of(cursor, model_id) + policy.similarity_floor_raise
        candidates = search.nearest(cursor, tenant_id, domain, model_id, vector)
    return select(candidates, floor=min(floor, 1.0))
