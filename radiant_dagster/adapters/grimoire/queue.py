"""What waits for a curator, in the order in which it should be looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from radiant_dagster.adapters.grimoire.reading import estimate
from radiant_dagster.adapters.postgres import Cursor

LAPSES_WITHIN_DAYS = 14
# Of a pair both sides; what is out of use needs no decision any more.
PAIRS = """
    select l.kind, l.similarity, l.created_at, a.domain,
           jsonb_build_object('id', a.id, 'polarity', a.polarity, 'state', a.state,
               'version', a.version, 'confidence', a.confidence,
               'trigger_pattern', a.trigger_pattern, 'action_template', a.action_template) as one,
           jsonb_build_object('id', b.id, 'polarity', b.polarity, 'state', b.state,
               'version', b.version, 'confidence', b.confidence,
               'trigger_pattern', b.trigger_pattern, 'action_template', b.action_template) as other
    from radiant.heuristic_link l
    join radiant.knowledge_heuristics a on a.tenant_id = l.tenant_id and a.id = l.a
    join radiant.knowledge_heuristics b on b.tenant_id = l.tenant_id and b.id = l.b
    where l.tenant_id = %(tenant)s and l.state = 'open' and l.kind = %(kind)s
      and a.state in ('quarantined', 'active') and b.state in ('quarantined', 'active')
      and (%(domain)s::text is null or a.domain = %(domain)s)
    order by l.similarity desc, l.a, l.b limit %(limit)s
"""
# The posterior mean orders as P(p > 0.5) does, but for how much is known; that is settled below.
CANDIDATES = """
    select h.id, h.domain, h.polarity, h.trigger_pattern, h.action_template, h.version, h.alpha,
           h.beta, h.confidence, h.created_at, h.expires_at, h.created_by,
           e.sessions, e.reviewed, e.users
    from radiant.knowledge_heuristics h
    cross join lateral (
        select count(*)::int as sessions, count(*) filter (where reviewed)::int as reviewed,
               count(distinct lower(trim(source_user)))::int as users
        from radiant.librarian_decision d
        where d.tenant_id = h.tenant_id and d.heuristic_id = h.id) e
    where h.tenant_id = %(tenant)s and h.state = 'quarantined'
      and (%(domain)s::text is null or h.domain = %(domain)s)
    order by h.confidence desc, e.users desc, e.sessions desc, h.created_at, h.id limit %(limit)s
"""
LAPSING = """
    select id, domain, polarity, trigger_pattern, action_template, version, alpha, beta, confidence,
           success_count, failure_count, expires_at,
           expires_at < clock_timestamp() + make_interval(days => %(days)s) as expires_soon
    from radiant.knowledge_heuristics
    where tenant_id = %(tenant)s and state = 'active' and not pinned
      and (%(domain)s::text is null or domain = %(domain)s)
      and (expires_at < clock_timestamp() + make_interval(days => %(days)s)
           or confidence < 0.5 and failure_count > 0)
    order by confidence, expires_at, id limit %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits, each kind with the most pressing first.

    Args:
        conflicts: Pairs that contradict each other.
        near_copies: Pairs that say nearly the same.
        candidates: Quarantined ones, by how sure it is that they help.
        lapsing: Active ones that expire soon or whose outcomes are bad.
    """

    conflicts: tuple[Mapping[str, Any], ...]
    near_copies: tuple[Mapping[str, Any], ...]
    candidates: tuple[Mapping[str, Any], ...]
    lapsing: tuple[Mapping[str, Any], ...]


def waiting(
    cursor: Cursor, tenant_id: UUID, *, domain: str | None = None, limit: int = 50
) -> Queue:
    """Return what waits for a curator.

    Args:
        domain: Of this one only.
        limit: Of each kind.
    """
    values: dict[str, Any] = {"tenant": tenant_id, "domain": domain, "limit": limit}
    values["days"] = LAPSES_WITHIN_DAYS
    pairs: dict[str, tuple[Mapping[str, Any], ...]] = {}
    for kind in ("conflict", "near_copy"):
        cursor.execute(PAIRS, {**values, "kind": kind})
        pairs[kind] = tuple(dict(row) for row in cursor.fetchall())
    cursor.execute(CANDIDATES, values)
    candidates = [{**row, **estimate(row["alpha"], row["beta"])} for row in cursor.fetchall()]
    candidates.sort(key=lambda row: (-row["probability"], -row["users"], -row["sessions"]))
    cursor.execute(LAPSING, values)
    lapsing = tuple({**row, **estimate(row["alpha"], row["beta"])} for row in cursor.fetchall())
    return Queue(pairs["conflict"], pairs["near_copy"], tuple(candidates), lapsing)
