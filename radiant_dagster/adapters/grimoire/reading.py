"""Reads heuristics for people: lists, one with its numbers, one with everything about it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.paging import Place
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.posterior import probability_above_half, upper_bound
from radiant_dagster.errors import HeuristicNotFound

COLUMNS = """id, domain, polarity, state, trigger_pattern, action_template, confidence,
    success_count, failure_count, embedding_model, source_execution_id, outcome, created_by,
    approved_by, created_at, last_used_at, expires_at, version, pinned, alpha, beta, source_user,
    merged_into, parents, extraction_model, approved_at, updated_at"""
HEURISTICS = f"""
    select {COLUMNS} from radiant.knowledge_heuristics
    where tenant_id = %(tenant)s and (%(domain)s::text is null or domain = %(domain)s)
      and (%(state)s::text is null or state = %(state)s)
      and (%(q)s::text is null
           or position(lower(%(q)s) in lower(trigger_pattern || ' ' || action_template)) > 0)
      and (%(at)s::timestamptz is null or (created_at, id) < (%(at)s, %(id)s::uuid))
    order by created_at desc, id desc limit %(limit)s
"""  # noqa: S608 - COLUMNS is a literal above
HEURISTIC = f"""
    select {COLUMNS} from radiant.knowledge_heuristics where tenant_id = %s and id = %s
"""  # noqa: S608
SEVERAL = f"""
    select {COLUMNS} from radiant.knowledge_heuristics
    where tenant_id = %s and id = any(%s::uuid[])
"""  # noqa: S608
VERSIONS = """
    select version, trigger_pattern, action_template, editor, reason, restores, created_at
    from radiant.heuristic_version where tenant_id = %s and heuristic_id = %s order by version desc
"""
LINKS = """
    select l.kind, l.state as link_state, l.similarity, l.decided_by, l.decided_at, h.id, h.domain,
           h.polarity, h.state, h.version, h.trigger_pattern, h.action_template, h.confidence
    from radiant.heuristic_link l
    join radiant.knowledge_heuristics h on h.tenant_id = l.tenant_id
        and h.id = case when l.a = %(id)s then l.b else l.a end
    where l.tenant_id = %(tenant)s and %(id)s in (l.a, l.b)
    order by l.state <> 'open', l.kind, l.similarity desc
"""
# Of what was merged into it as well: its numbers hold their evidence.
EVIDENCE = """
    with recursive family as (
        select %(id)s::uuid as id
        union
        select h.id from family f join radiant.knowledge_heuristics h on h.merged_into = f.id
        where h.tenant_id = %(tenant)s and h.state = 'merged')
    select d.session_id, d.heuristic_id, d.decision, d.source_user, d.reviewed, d.reward, d.at
    from family f join radiant.librarian_decision d on d.heuristic_id = f.id
    where d.tenant_id = %(tenant)s order by d.at desc limit %(limit)s
"""
USAGE = """
    select count(distinct session_id)::int as offered_sessions,
           count(distinct session_id) filter (where cited)::int as cited_sessions,
           count(distinct session_id) filter (where cited and reward is not null)::int as judged,
           avg(reward) filter (where cited) as mean_reward, max(at) as last_at
    from radiant.heuristic_usage where tenant_id = %s and heuristic_id = %s
"""
FAMILY = """
    select id, state, merged_into, trigger_pattern, domain from radiant.knowledge_heuristics
    where tenant_id = %(tenant)s
      and (merged_into = %(id)s and state = 'merged' or %(id)s = any(parents))
    order by created_at limit %(limit)s
"""
USES = """
    select session_id, max(at) as at, count(*)::int as agents,
           (count(*) filter (where cited))::int as cited, max(reward)::float8 as reward,
           coalesce(sum(weight) filter (where cited), 0)::float8 as weight
    from radiant.heuristic_usage where tenant_id = %(tenant)s and heuristic_id = %(id)s
    group by session_id order by max(at) desc, session_id limit %(limit)s
"""
# All agents of a session were offered the same, and share one reward.
USES_OF_SESSION = """
    select h.id as heuristic_id, h.state, h.confidence, h.polarity, h.trigger_pattern,
           h.action_template, u.similarity, u.agents, u.cited, u.reward, u.weight
    from (select heuristic_id, min(rank) as rank, max(similarity) as similarity,
                 count(*)::int as agents, (count(*) filter (where cited))::int as cited,
                 max(reward)::float8 as reward,
                 coalesce(sum(weight) filter (where cited), 0)::float8 as weight
          from radiant.heuristic_usage where tenant_id = %(tenant)s and session_id = %(session)s
          group by heuristic_id) u
    join radiant.knowledge_heuristics h on h.tenant_id = %(tenant)s and h.id = u.heuristic_id
    order by u.rank, h.id
"""
MOST_RELATED = 100
MOST_USES = 20
TEXTS = ("trigger_pattern", "action_template")
INTERVAL = (0.05, 0.95)


def list_heuristics(
    cursor: Cursor,
    tenant_id: UUID,
    *,
    domain: str | None,
    state: str | None,
    limit: int,
    after: Place | None = None,
    q: str | None = None,
) -> list[dict[str, Any]]:
    """Return the newest heuristics, filtered by domain, state and words in them.

    Args:
        q: Has to be in the trigger or the action, in any case of letters.
        after: ``created_at`` and id of the last row of the page before.
    """
    values = {"tenant": tenant_id, "domain": domain, "state": state, "limit": limit, "q": q}
    values |= {"at": after.at if after else None, "id": after.id if after else None}
    cursor.execute(HEURISTICS, values)
    return [dict(row) for row in cursor.fetchall()]


def get_heuristic(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID) -> dict[str, Any]:
    """Return one heuristic.

    Raises:
        HeuristicNotFound: Unknown, or another tenant's.
    """
    cursor.execute(HEURISTIC, (tenant_id, heuristic_id))
    row = cursor.fetchone()
    if row is None:
        raise HeuristicNotFound(heuristic_id)
    return dict(row)


def get_several(cursor: Cursor, tenant_id: UUID, ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return some heuristics by their ids, without those that there are not."""
    cursor.execute(SEVERAL, (tenant_id, [str(item) for item in ids]))
    return {row["id"]: dict(row) for row in cursor.fetchall()}


def get_everything(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID) -> dict[str, Any]:
    """Return one heuristic with its versions, links, evidence, use and history.

    Returns:
        The columns of `get_heuristic`, and: ``interval``, that 90 % of the posterior lie in;
        ``probability``, P(p > 0.5); ``altered``, whether the text is not that of the newest
        version, so that somebody wrote to the table past this program; ``versions`` and
        ``evidence``, the newest first; ``links``, open ones first, each with the other's text;
        ``usage``; ``uses``, the newest sessions that
        were offered it, with how many of their agents cited it, what the outcome was worth and how
        much of a use was credited; ``merged`` and ``derived``, what was folded into it and what was
        learned from it; ``history``, the audit, the oldest first.

    Raises:
        HeuristicNotFound: Unknown, or another tenant's.
    """
    found = get_heuristic(cursor, tenant_id, heuristic_id)
    values = {"tenant": tenant_id, "id": heuristic_id, "limit": MOST_RELATED}
    found |= estimate(found["alpha"], found["beta"])
    cursor.execute(VERSIONS, (tenant_id, heuristic_id))
    found["versions"] = [dict(row) for row in cursor.fetchall()]
    newest = found["versions"][0] if found["versions"] else found
    found["altered"] = any(newest[name] != found[name] for name in TEXTS)
    cursor.execute(LINKS, values)
    found["links"] = [dict(row) for row in cursor.fetchall()]
    cursor.execute(EVIDENCE, values)
    found["evidence"] = [dict(row) for row in cursor.fetchall()]
    cursor.execute(USAGE, (tenant_id, heuristic_id))
    found["usage"] = dict(cursor.fetchone() or {})
    cursor.execute(USES, {**values, "limit": MOST_USES})
    found["uses"] = [dict(row) for row in cursor.fetchall()]
    cursor.execute(FAMILY, values)
    related = [dict(row) for row in cursor.fetchall()]
    found["merged"] = [row for row in related if row["merged_into"] == heuristic_id]
    found["derived"] = [row for row in related if row["merged_into"] != heuristic_id]
    found["history"] = audit.of_heuristic(cursor, tenant_id, heuristic_id)
    return found


def estimate(alpha: float, beta: float) -> dict[str, Any]:
    """Return what a posterior says: its 90 % interval and P(p > 0.5)."""
    low, high = (upper_bound(alpha, beta, share) for share in INTERVAL)
    return {"interval": (low, high), "probability": probability_above_half(alpha, beta)}


def uses_of_session(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> list[dict[str, Any]]:
    """Return what became of the heuristics that a session was offered.

    Returns:
        Of each that is still there, in the order in which agents saw them: ``heuristic_id``;
        ``state``, ``confidence`` and its texts as they are now; ``similarity``; how many ``agents``
        got it and how many ``cited`` it; ``reward``, what the session's outcome was worth, 0 to 1,
        None before there is one; ``weight``, how much of a use was credited, 0 to 1.
    """
    cursor.execute(USES_OF_SESSION, {"tenant": tenant_id, "session": session_id})
    return [dict(row) for row in cursor.fetchall()]
