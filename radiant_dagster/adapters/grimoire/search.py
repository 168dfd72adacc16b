"""Finds the heuristics nearest to a text. Reads only.

Every row of the tenant and domain is compared, unless the domain has a vector index of its own
(`vector_index`). The index is always asked with an iterative scan: without it the scan stops at the
nearest rows of the graph, and where those have expired the search silently loses the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from pgvector import HalfVector
from psycopg2 import sql

from radiant_dagster.adapters.embeddings import default_floor
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.vector_index import index_name
from radiant_dagster.domain.heuristics import exact_sha256
from radiant_dagster.domain.posterior import MIN_CONFIDENCE
from radiant_dagster.domain.selection import (
    CANDIDATES_PER_SLOT,
    MAX_AVOID,
    MAX_DO,
    Candidate,
    exact_tokens,
)

CANDIDATES = (MAX_DO + MAX_AVOID) * CANDIDATES_PER_SLOT
THRESHOLD = "select threshold from radiant.embedding_model where id = %s"
REGISTER_MODEL = """
    insert into radiant.embedding_model (id, dimensions, threshold, source)
    values (%s, %s, %s, 'start value, uncalibrated') on conflict do nothing
"""
# Distances are computed once for each row, and vectors sent for the nearest only: with both in the
# inner list the exact search took twice as long. The floor is applied after the rerank, outside of
# the LIMIT. The tenant is a literal as well as a policy, so that the planner uses this tenant's
# statistics and sees whose index fits.
_NEAREST = """
    select id, polarity, trigger_pattern, action_template, approved_sha256, confidence,
           halfvec_send(embedding) as embedding, 1 - distance as similarity
    from (select id, polarity, trigger_pattern, action_template, approved_sha256, confidence,
                 embedding, {distance} as distance
          from radiant.knowledge_heuristics
          where tenant_id = %(tenant)s and domain = %(domain)s and embedding_model = %(model)s
            and state = {state} and confidence >= %(confidence)s
            and (pinned or expires_at > clock_timestamp()) {further}
          order by distance limit %(limit)s) near
"""
_BY_PLAIN_COLUMN = {"distance": "embedding <=> %(query)s::halfvec", "state": "any(%(states)s)"}
NEAREST = _NEAREST.format(**_BY_PLAIN_COLUMN, further="")
HOLDING_TOKENS = _NEAREST.format(
    **_BY_PLAIN_COLUMN,
    further="""
            and exists (select 1 from unnest(%(tokens)s::text[]) token
                        where position(token in lower(trigger_pattern || ' ' || action_template))
                              > 0)""",
)
# Letter by letter what the index is on, or the planner cannot use it.
NEAREST_BY_INDEX = _NEAREST.format(
    distance="embedding::halfvec({0}) <=> %(query)s::halfvec({0})", state="'active'", further=""
)
# Without sorts the index is the only way to an order: it is used because it is there, and not by
# the planner's guess. No row, no setting, where the domain has no usable index.
ASK_THE_INDEX = """
    select m.dimensions, set_config('hnsw.iterative_scan', 'relaxed_order', true),
           set_config('hnsw.ef_search', %s::text, true), set_config('enable_sort', 'off', true)
    from radiant.embedding_model m
    join pg_index i on i.indexrelid = to_regclass(%s) and i.indisvalid where m.id = %s
"""
SORT_AGAIN = "set local enable_sort to default"
EF_SEARCH = 140  # at 200 the slowest consultations take 0.5 ms more, for recall .9993 in both
RIVALS = """
    select a, b from radiant.heuristic_link
    where tenant_id = %s and state = 'open' and a = any(%s) and b = any(%s)
"""
FLOOR_RAISE = """
    select p.similarity_floor_raise from radiant.domain_policy p
    where p.tenant_id = %s and p.name = %s
      and exists (select 1 from radiant.knowledge_heuristics h
                  where h.tenant_id = p.tenant_id and h.domain = p.name and h.state = 'active')
"""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How an installation searches.

    Args:
        by_index: Ask a domain's vector index where it has one.
        rescue: Look for exact tokens as well.
    """

    by_index: bool = False
    rescue: bool = False


EXACT = SearchOptions()


def search_options(settings: Settings) -> SearchOptions:
    """Return how sessions are served in this process."""
    return SearchOptions(by_index=True, rescue=settings.grimoire_rescue)


def register_model(cursor: Cursor, model_id: str, dimensions: int) -> None:
    """Make an embedding model known, before something of it is stored; it begins uncalibrated."""
    cursor.execute(REGISTER_MODEL, (model_id, dimensions, default_floor(model_id)))


def floor_of(cursor: Cursor, model_id: str) -> float:
    """Return the least similarity that counts for an embedding model.

    Of one that nothing is stored of yet, what it will begin with.
    """
    cursor.execute(THRESHOLD, (model_id,))
    row = cursor.fetchone()
    return default_floor(model_id) if row is None else float(row["threshold"])


def agents_floor(floor: float, floor_raise: float) -> float:
    """Return the least similarity at which agents of a domain get a heuristic."""
    return min(floor + floor_raise, 1.0)


def floor_raise(cursor: Cursor, tenant_id: UUID, domain: str) -> float | None:
    """Return what a domain adds to the model's floor, None where it has nothing to offer."""
    cursor.execute(FLOOR_RAISE, (tenant_id, domain))
    row = cursor.fetchone()
    return None if row is None else float(row["similarity_floor_raise"])


def rivals(
    cursor: Cursor, tenant_id: UUID, heuristics: Sequence[UUID]
) -> frozenset[frozenset[UUID]]:
    """Return the pairs among some heuristics that wait for a curator's word."""
    ids = list(heuristics)
    if len(ids) < 2:
        return frozenset()
    cursor.execute(RIVALS, (tenant_id, ids, ids))
    return frozenset(frozenset((row["a"], row["b"])) for row in cursor.fetchall())


def nearest(
    cursor: Cursor,
    tenant_id: UUID,
    domain: str,
    model_id: str,
    query: Sequence[float],
    *,
    states: Sequence[str] = ("active",),
    limit: int = CANDIDATES,
    how: SearchOptions = EXACT,
    tokens: Sequence[str] = (),
) -> tuple[Candidate, ...]:
    """Return the heuristics nearest to a vector, nearest first.

    Args:
        query: Vector of the same model, L2-normalised.
        states: Agents get active ones only; a curator's search may look wider.
        how: Exact where left out.
        tokens: Exact tokens of the question; rows that hold one are added to the nearest.
    """
    values = {
        "query": halfvec(query),
        "tenant": tenant_id,
        "domain": domain,
        "model": model_id,
        "states": list(states),
        "confidence": MIN_CONFIDENCE,
        "limit": limit,
        "tokens": list(tokens),
    }
    rows: list[Any] = []
    if how.by_index and tuple(states) == ("active",):
        rows = _by_index(cursor, values)
    if len(rows) < limit:  # few rows there, no index, or a graph that did not reach enough of them
        cursor.execute(NEAREST, values)
        rows = cursor.fetchall()
    if tokens:
        cursor.execute(HOLDING_TOKENS, values)
        rows += cursor.fetchall()
    found = {row["id"]: _candidate(row, tokens) for row in rows}
    # An iterative scan returns its rows in about the right order only.
    return tuple(sorted(found.values(), key=lambda item: (-item.similarity, str(item.id))))


def _by_index(cursor: Cursor, values: dict[str, Any]) -> list[Any]:
    """Return the nearest rows by the domain's vector index; none where it has no usable one."""
    name = index_name(values["tenant"], values["domain"], values["model"])
    cursor.execute(ASK_THE_INDEX, (EF_SEARCH, f"radiant.{name}", values["model"]))
    row = cursor.fetchone()
    if row is None:
        return []
    cursor.execute(sql.SQL(NEAREST_BY_INDEX).format(sql.Literal(row["dimensions"])), values)
    rows = cursor.fetchall()
    cursor.execute(SORT_AGAIN)
    return rows


def _candidate(row: Any, tokens: Sequence[str]) -> Candidate:
    trigger, action = row["trigger_pattern"], row["action_template"]
    held = set(exact_tokens(f"{trigger} {action}")) if tokens else set[str]()
    approved = row["approved_sha256"]
    return Candidate(
        id=row["id"],
        polarity=row["polarity"],
        trigger_pattern=trigger,
        action_template=action,
        similarity=float(row["similarity"]),
        confidence=float(row["confidence"]),
        embedding=vector_of(row["embedding"]),
        unchanged=approved is not None
        and bytes(approved) == exact_sha256(row["polarity"], trigger, action),
        tokens=len(held.intersection(tokens)) / len(tokens) if tokens else 0.0,
    )


def halfvec(vector: Sequence[float]) -> str:
    """Return a vector as the text that Postgres reads as halfvec."""
    return HalfVector(list(vector)).to_text()


def vector_of(sent: bytes) -> tuple[float, ...]:
    """Return what halfvec_send gave as numbers; reading it as text takes ten times as long."""
    return tuple(np.frombuffer(sent, dtype=">f2", offset=4).astype(float).tolist())
