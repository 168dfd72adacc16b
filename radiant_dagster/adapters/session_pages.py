"""What Mission Control's pages show of sessions: facts for all, texts as reviewers may see them.

Reads only, as radiant_api. Nobody scrubbed a question that nobody reviewed, so its text is shown to
the person who asked and to no one else; the others get the scrubbed words of its review, if any.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.paging import Place
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.errors import InvalidInput, SessionNotFound

MAX_PAGE = 200

SESSIONS = """
    select s.id, s.status, s.domain, s.user_id, s.swarm_status, s.cost_micro_usd, s.offline_demo,
           s.created_at, s.ended_at,
           case when lower(trim(s.user_id)) = lower(trim(%(me)s)) then left(s.prompt, 80)
                else r.title end as title,
           a.agents_ok, a.agents
    from radiant.session s
    left join lateral (
        select left(review_sanitized ->> 'prompt', 80) as title from radiant.approval_request r
        where r.tenant_id = s.tenant_id and r.session_id = s.id order by r.attempt desc limit 1) r
        on true
    cross join lateral (
        select count(*) filter (where status = 'success') as agents_ok, count(*) as agents
        from radiant.agent_run a where a.tenant_id = s.tenant_id and a.session_id = s.id) a
    where s.tenant_id = %(tenant)s
      and (%(status)s::text is null or s.status = %(status)s)
      and (%(domain)s::text is null or s.domain = %(domain)s)
      and (%(at)s::timestamptz is null or (s.created_at, s.id) < (%(at)s, %(id)s::uuid))
    order by s.created_at desc, s.id desc limit %(limit)s
"""
DOMAINS = "select name from radiant.domain_policy where tenant_id = %s order by name"
SESSION = """
    select s.id, s.status, s.domain, s.user_id, s.swarm_status, s.missing_agents, s.cato_verdict,
           s.cato_reasons, s.approval_reasons, s.failure_code, s.estimated_micro_usd,
           s.cost_micro_usd, s.offline_demo, s.dagster_run_id, s.conclude_run_id, s.panel,
           s.downgrades, s.parent_session_id, s.created_at, s.started_at, s.answered_at, s.ended_at,
           own.is_own, case when own.is_own then s.prompt end as prompt,
           case when own.is_own and s.status = 'completed' then s.final_response end as answer
    from radiant.session s
    cross join lateral (select lower(trim(s.user_id)) = lower(trim(%(me)s)) as is_own) own
    where s.tenant_id = %(tenant)s and s.id = %(id)s
"""
AGENTS = """
    select agent_id, role, coalesce(model_used, model) as model, status, attempts, latency_ms,
           prompt_tokens + completion_tokens as tokens, cost_micro_usd, error_code, started_at,
           finished_at
    from radiant.agent_run where tenant_id = %s and session_id = %s order by position
"""
REVIEWS = """
    select r.id, r.attempt, r.state, r.reasons, r.created_at, r.deadline, r.withheld,
           r.review_sanitized ->> 'prompt' as prompt, r.review_sanitized ->> 'draft' as draft,
           r.review_sanitized -> 'answers' as answers, d.verdict, d.decided_by, d.decided_at,
           case when r.state = 'pending' and clock_timestamp() >= r.deadline
                     and (r.on_timeout = 'reject' or r.extended_at is not null)
                then 'expired' else r.state end as shown_state
    from radiant.approval_request r
    left join radiant.approval_decision d on d.tenant_id = r.tenant_id and d.approval_id = r.id
    where r.tenant_id = %s and r.session_id = %s order by r.attempt
"""


@dataclass(frozen=True, slots=True)
class SessionsPage:
    """One page of sessions.

    Args:
        rows: id, status, domain, user_id, title (None where nothing may be shown), agents_ok,
            agents, cost_micro_usd, created_at, ended_at and more; the newest first.
        after: Where the next page begins, None where this is the last.
        domains: Of the tenant, for a filter.
    """

    rows: tuple[dict[str, Any], ...]
    after: Place | None
    domains: tuple[str, ...]


def page_of_sessions(
    cursor: Cursor,
    tenant_id: UUID,
    *,
    me: str,
    status: str | None = None,
    domain: str | None = None,
    after: Place | None = None,
    limit: int = 50,
) -> SessionsPage:
    """Return one page of sessions, the newest first.

    Args:
        me: Who reads; only their own questions are shown as they were asked.
        status: Only this status.
        domain: Only this domain.
        after: `SessionsPage.after` of the page before, with the same filters.
        limit: 1 to 200 rows.

    Raises:
        InvalidInput: The limit is out of range.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput("limit", f"is not 1 to {MAX_PAGE}", "Page with `cursor`.")
    values = {
        "tenant": tenant_id,
        "me": me,
        "status": status,
        "domain": domain,
        "at": after.at if after else None,
        "id": after.id if after else None,
        "limit": limit + 1,
    }
    cursor.execute(SESSIONS, values)
    found = [dict(row) for row in cursor.fetchall()]
    rows = found[:limit]
    cursor.execute(DOMAINS, (tenant_id,))
    domains = tuple(row["name"] for row in cursor.fetchall())
    last = Place(rows[-1]["created_at"], rows[-1]["id"]) if len(found) > limit else None
    return SessionsPage(tuple(rows), last, domains)


def session_page(cursor: Cursor, tenant_id: UUID, session_id: UUID, *, me: str) -> dict[str, Any]:
    """Return what may be shown of a session.

    Args:
        me: Who reads.

    Returns:
        ``session`` (with ``prompt`` and ``answer`` for who asked, None for others), ``agents``
        (no texts), ``reviews`` (scrubbed texts, state and decision, oldest first), ``events``
        (time, actor, action, oldest first).

    Raises:
        SessionNotFound: Unknown, or another tenant's.
    """
    cursor.execute(SESSION, {"tenant": tenant_id, "id": session_id, "me": me})
    session: Mapping[str, Any] | None = cursor.fetchone()
    if session is None:
        raise SessionNotFound(session_id)
    cursor.execute(AGENTS, (tenant_id, session_id))
    agents = [dict(row) for row in cursor.fetchall()]
    cursor.execute(REVIEWS, (tenant_id, session_id))
    reviews = [dict(row) for row in cursor.fetchall()]
    return {
        "session": dict(session),
        "agents": agents,
        "reviews": reviews,
        "events": audit.of_session(cursor, tenant_id, session_id),
    }
