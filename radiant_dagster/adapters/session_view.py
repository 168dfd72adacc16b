"""What a caller sees of a session: how far it is, and everything about it.

Reads only. The command line shows these; a server API can hand out the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg2 import sql

from radiant_dagster.adapters import agent_runs, approvals, audit, sessions, tool_calls
from radiant_dagster.adapters.grimoire import reading, store
from radiant_dagster.adapters.paging import Place
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.sessions import TERMINAL
from radiant_dagster.errors import HeuristicNotFound, SessionNotFound, SessionStateConflict

Kind = Literal["session", "approval_request", "knowledge_heuristics"]

# The lean columns only: a session may carry 200,000 characters of documents, and this is polled.
PROGRESS = """
    select id, status, domain, swarm_status, missing_agents, cost_micro_usd, offline_demo, live,
           dagster_run_id, conclude_run_id, failure_code, failure_message,
           extract(epoch from coalesce(ended_at, clock_timestamp()) - created_at)::float
               as elapsed_seconds
    from radiant.session where tenant_id = %s and id = %s
"""
AGENTS_PROGRESS = """
    select a.agent_id, a.role, coalesce(a.model_used, a.model) as model, a.status, a.attempts,
           a.latency_ms, a.prompt_tokens + a.completion_tokens as tokens, a.cost_micro_usd,
           a.error_code, cardinality(a.cited) as cited, p.text as draft, p.tokens as draft_tokens
    from radiant.agent_run a
    left join radiant.agent_progress p on p.tenant_id = a.tenant_id
        and p.session_id = a.session_id and p.agent_id = a.agent_id and a.status = 'running'
    where a.tenant_id = %s and a.session_id = %s order by a.position
"""
REVIEW_PROGRESS = """
    select r.id, r.state, r.attempt, r.deadline, r.reasons, r.on_timeout, r.required_role,
           r.withheld, r.extended_at is not null as extended,
           extract(epoch from r.deadline - clock_timestamp())::float as seconds_left,
           d.verdict, coalesce(d.decided_by, '{}') as decided_by,
           d.claimed_run_id is not null as claimed
    from radiant.approval_request r
    left join radiant.approval_decision d on d.tenant_id = r.tenant_id and d.approval_id = r.id
    where r.tenant_id = %s and r.session_id = %s order by r.attempt desc limit 1
"""
# Named one by one: radiant_api has no right on drafts.
RELEASED = """
    select id, status, domain, prompt, context, system_prompt, user_id, require_approval,
           heuristics, swarm_status, missing_agents, cato_verdict, cato_reasons, approval_reasons,
           final_response, final_note, failure_code, failure_message, estimated_micro_usd,
           cost_micro_usd, offline_demo, dagster_run_id, conclude_run_id, rerun_of,
           parent_session_id, panel, downgrades, created_at, started_at, ended_at
    from radiant.session where tenant_id = %s and id = %s
"""
PAGE = """
    select id, status, domain, user_id, left(prompt, 80) as title, swarm_status, cost_micro_usd,
           created_at, ended_at, dagster_run_id, conclude_run_id
    from radiant.session
    where tenant_id = %(tenant)s and (%(status)s::text is null or status = %(status)s)
      and (%(domain)s::text is null or domain = %(domain)s)
      and (%(at)s::timestamptz is null or (created_at, id) < (%(at)s, %(id)s::uuid))
    order by created_at desc, id desc limit %(limit)s
"""
APPROVALS_OF_SESSION = """
    select r.id, r.attempt, r.state, r.reasons, r.created_at, r.deadline, r.escalated_at,
           r.extended_at, r.required_role, r.withheld, d.verdict, d.decided_by, d.decided_at,
           d.guidance, d.claimed_run_id, d.done_at
    from radiant.approval_request r
    left join radiant.approval_decision d on d.tenant_id = r.tenant_id and d.approval_id = r.id
    where r.tenant_id = %s and r.session_id = %s order by r.attempt
"""
VOTES_OF_SESSION = """
    select v.approval_id, v.actor, v.verdict, v.guidance, v.at
    from radiant.approval_vote v
    join radiant.approval_request r on r.tenant_id = v.tenant_id and r.id = v.approval_id
    where v.tenant_id = %s and r.session_id = %s order by v.at
"""
FIND_IDS = """
    select id from radiant.{table} where tenant_id = %s and id::text like %s order by id limit 4
"""


@dataclass(frozen=True, slots=True)
class AgentProgress:
    """How far one agent is.

    `draft` is the end of what it has written, unchecked, where that may be shown; `draft_tokens`
    says how much there is. Both are None unless the session is live and the agent at work.
    """

    agent_id: str
    role: str
    model: str
    status: str
    attempts: int
    latency_ms: int
    tokens: int
    cost_micro_usd: int
    error_code: str | None
    cited: int
    draft: str | None
    draft_tokens: int | None


@dataclass(frozen=True, slots=True)
class ReviewProgress:
    """The newest approval request of a session; `seconds_left` is by the database's clock."""

    id: UUID
    state: str
    attempt: int
    deadline: datetime
    reasons: list[str]
    on_timeout: str
    required_role: str
    withheld: bool
    extended: bool
    seconds_left: float
    verdict: str | None
    decided_by: list[str]
    claimed: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a session is."""

    id: UUID
    status: str
    domain: str
    swarm_status: str | None
    missing_agents: Mapping[str, str]
    cost_micro_usd: int
    offline_demo: bool
    live: bool
    dagster_run_id: str | None
    conclude_run_id: str | None
    failure_code: str | None
    failure_message: str | None
    elapsed_seconds: float
    agents: tuple[AgentProgress, ...]
    review: ReviewProgress | None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.status in TERMINAL

    @property
    def waits_for_person(self) -> bool:
        """Whether a decision is open; a decided request waits for its continuation only."""
        pending = self.review is not None and self.review.state == "pending"
        return self.status == "awaiting_review" and pending


def progress(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> Progress:
    """Return how far a session is, without any text but the drafts of a live session.

    Raises:
        SessionNotFound: Unknown, or another tenant's.
    """
    cursor.execute(PROGRESS, (tenant_id, session_id))
    row = cursor.fetchone()
    if row is None:
        raise SessionNotFound(session_id)
    cursor.execute(AGENTS_PROGRESS, (tenant_id, session_id))
    agents = tuple(AgentProgress(**item) for item in cursor.fetchall())
    cursor.execute(REVIEW_PROGRESS, (tenant_id, session_id))
    review = cursor.fetchone()
    return Progress(
        **row, agents=agents, review=ReviewProgress(**review) if review is not None else None
    )


def session_view(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> dict[str, Any]:
    """Return everything about a session as plain data.

    Returns:
        ``session`` and ``agents`` (all columns), ``tool_calls``, ``approvals`` (each with
        ``votes``), ``decision`` and ``librarian`` (None where there is none), ``learned`` (the
        heuristic, None likewise), ``uses`` (what became of those offered), ``audit``.

    Raises:
        SessionNotFound: Unknown, or another tenant's.
    """
    return {
        "session": sessions.get_session(cursor, tenant_id, session_id),
        "agents": agent_runs.agent_rows(cursor, tenant_id, session_id),
        "tool_calls": tool_calls.of_session(cursor, tenant_id, session_id),
        "uses": reading.uses_of_session(cursor, tenant_id, session_id),
        "audit": audit.of_session(cursor, tenant_id, session_id),
        **_reviews(cursor, tenant_id, session_id),
    }


def released_view(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> dict[str, Any]:
    """Return what a caller gets of a session that ended, with the rights of radiant_api.

    Returns:
        As `session_view`, without tool calls, uses, audit, drafts and edited texts; the agents'
        answers only where the session handed one out, since a reviewer may have refused them.

    Raises:
        SessionNotFound: Unknown, or another tenant's.
        SessionStateConflict: It has not ended.
    """
    cursor.execute(RELEASED, (tenant_id, session_id))
    session = cursor.fetchone()
    if session is None:
        raise SessionNotFound(session_id)
    if session["status"] not in TERMINAL:
        raise SessionStateConflict(session_id, session["status"], "its result comes with its end")
    agents = agent_runs.agent_rows(cursor, tenant_id, session_id)
    if session["status"] != "completed":
        agents = [{**agent, "response": None} for agent in agents]
    return {"session": dict(session), "agents": agents, **_reviews(cursor, tenant_id, session_id)}


def _reviews(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> dict[str, Any]:
    cursor.execute(APPROVALS_OF_SESSION, (tenant_id, session_id))
    requests = [dict(row) for row in cursor.fetchall()]
    cursor.execute(VOTES_OF_SESSION, (tenant_id, session_id))
    votes = [dict(row) for row in cursor.fetchall()]
    for request in requests:
        request["votes"] = [
            {key: value for key, value in vote.items() if key != "approval_id"}
            for vote in votes
            if vote["approval_id"] == request["id"]
        ]
    librarian = store.librarian_of_session(cursor, tenant_id, session_id)
    decision = approvals.decision_of_session(cursor, tenant_id, session_id)
    if decision is not None:
        del decision["payload_sha256"]  # binds the decision to a text; says nothing to a reader
    return {
        "approvals": requests,
        "decision": decision,
        "librarian": librarian,
        "learned": _learned(cursor, tenant_id, librarian),
    }


def _learned(
    cursor: Cursor, tenant_id: UUID, librarian: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    if librarian is None or librarian["heuristic_id"] is None:
        return None
    try:
        return reading.get_heuristic(cursor, tenant_id, librarian["heuristic_id"])
    except HeuristicNotFound:  # maintenance deletes what has been out of use for a month
        return None


def page(
    cursor: Cursor,
    tenant_id: UUID,
    *,
    status: str | None = None,
    domain: str | None = None,
    after: Place | None = None,
    limit: int = 50,
) -> tuple[list[dict[str, Any]], Place | None]:
    """Return one page of sessions, the newest first, and where the next one begins.

    Args:
        after: Where the page before ended; sessions that were begun since do not move pages.
    """
    values = {
        "tenant": tenant_id,
        "status": status,
        "domain": domain,
        "at": after.at if after else None,
        "id": after.id if after else None,
        "limit": limit + 1,  # one more tells whether there is a next page
    }
    cursor.execute(PAGE, values)
    found = [dict(row) for row in cursor.fetchall()]
    rows = found[:limit]
    more = len(found) > limit
    return rows, Place(rows[-1]["created_at"], rows[-1]["id"]) if more else None


def find_ids(cursor: Cursor, tenant_id: UUID, kind: Kind, prefix: str) -> list[UUID]:
    """Return up to four ids of a table that begin with these hexadecimal digits and dashes."""
    cursor.execute(sql.SQL(FIND_IDS).format(table=sql.Identifier(kind)), (tenant_id, f"{prefix}%"))
    return [row["id"] for row in cursor.fetchall()]
