"""Finds the heuristics that fit a text: what sessions are offered, and what agents search."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from radiant_dagster.adapters.grimoire import search
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.selection import Offered, exact_tokens, select


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up brought.

    Args:
        offered: At most five.
        refused_changed_text: How many were left out because their text is not what was let
            through.
    """

    offered: tuple[Offered, ...] = ()
    refused_changed_text: int = 0


def look_up(
    database: Database,
    embed: Callable[[str], tuple[str, list[float]]],
    tenant_id: UUID,
    domain: str,
    text: str,
    how: search.SearchOptions,
) -> Found:
    """Return at most five active heuristics of a tenant and domain that fit a text. Reads only.

    Args:
        embed: Returns the id of the embedding model and the vector of a text. Called only where
            there is something to compare with.
        how: The installation's settings of the search.

    Raises:
        EmbeddingUnavailable: The text cannot be embedded now.
    """
    with database.tenant_transaction(tenant_id) as cursor:
        floor_raise = search.floor_raise(cursor, tenant_id, domain)
    if floor_raise is None:
        return Found()
    model_id, vector = embed(text)
    tokens = exact_tokens(text) if how.rescue else ()
    with database.tenant_transaction(tenant_id) as cursor:
        floor = search.agents_floor(search.floor_of(cursor, model_id), floor_raise)
        near = search.nearest(cursor, tenant_id, domain, model_id, vector, how=how, tokens=tokens)
        fit = [item for item in near if item.fit >= floor]
        rivals = search.rivals(cursor, tenant_id, [item.id for item in fit])
    offered = select(fit, floor=floor, rivals=rivals)
    return Found(offered, sum(not item.unchanged for item in fit))
