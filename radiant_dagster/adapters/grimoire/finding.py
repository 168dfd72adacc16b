"""Finds the heuristics nearest in meaning to a text, for people at a terminal, a page or the API.

Unlike an agent's look-up it shows candidates, what is too far away to be offered, and several
domains at once. A model may take seconds and connections are few, so none is held meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.embeddings import EmbeddingModel
from radiant_dagster.adapters.grimoire import reading
from radiant_dagster.adapters.grimoire.search import SearchOptions, agents_floor, floor_of, nearest
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.selection import Candidate
from radiant_dagster.domain.sessions import MAX_PROMPT_CHARACTERS, DomainPolicy
from radiant_dagster.domain.swarm import require_storable
from radiant_dagster.errors import InvalidInput

SEARCHED = ("active", "quarantined")
BY_INDEX = SearchOptions(by_index=True)
DIGITS = 4  # of a similarity; more is noise of halfvec


@dataclass(frozen=True, slots=True)
class Near:
    """What lies near a text.

    Args:
        floor: The least similarity that counts for the embedding model.
        heuristics: Nearest first, the columns of `reading.list_heuristics` with ``similarity``, -1
            to 1, and ``floor``, the least at which agents of its domain get it.
    """

    floor: float
    heuristics: tuple[dict[str, Any], ...]


def by_meaning(
    database: Database,
    tenant_id: UUID,
    model: EmbeddingModel,
    text: str,
    *,
    domain: str | None,
    limit: int,
) -> Near:
    """Return active and quarantined heuristics nearest to a text.

    Args:
        text: A question, or what a heuristic may be about.
        domain: Of this one only, None for all of the tenant's.
        limit: How many at most.

    Raises:
        InvalidInput: Nothing to look for, too much, or no such domain.
        EmbeddingUnavailable: The text cannot be embedded now.
        ConfigurationError: The model has no threshold yet.
    """
    _require_text(text)
    with database.tenant_transaction(tenant_id) as cursor:
        tenants.require_domain(cursor, tenant_id, domain)
        policies = tenants.domain_policies(cursor, tenant_id)
    vector = model.embed_one(text)
    found: list[tuple[str, Candidate]] = []
    with database.tenant_transaction(tenant_id) as cursor:
        # One state at a time: a large domain's index covers its active rows only.
        for name, state in product([domain] if domain else sorted(policies), SEARCHED):
            near = nearest(
                cursor, tenant_id, name, model.model_id, vector,
                states=(state,), limit=limit, how=BY_INDEX,
            )  # fmt: skip
            found += [(name, candidate) for candidate in near]
        found = sorted(found, key=lambda item: (-item[1].similarity, str(item[1].id)))[:limit]
        floor = floor_of(cursor, model.model_id)
        rows = _rows(cursor, tenant_id, found, floor, policies)
    return Near(floor, tuple(rows))


def _rows(
    cursor: Cursor,
    tenant_id: UUID,
    found: list[tuple[str, Candidate]],
    floor: float,
    policies: Mapping[str, DomainPolicy],
) -> list[dict[str, Any]]:
    known = reading.get_several(cursor, tenant_id, [candidate.id for _, candidate in found])
    return [
        {
            **known[candidate.id],
            "similarity": round(candidate.similarity, DIGITS),
            "floor": agents_floor(floor, policies[name].similarity_floor_raise),
        }
        for name, candidate in found
        if candidate.id in known  # erased between the two statements
    ]


def _require_text(text: str) -> None:
    require_storable("text", text)
    if not text.strip():
        raise InvalidInput("text", "is empty", "Say what to look for.")
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise InvalidInput(
            "text",
            f"has {len(text):,} characters, at most {MAX_PROMPT_CHARACTERS:,} are read",
            "Shorten it.",
        )
