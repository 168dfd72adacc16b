"""Sessions and their agents' results in Postgres.

Every change of status goes through `advance`, which lets only the transitions of
`domain.sessions.ALLOWED` happen and finds out about a cancelled session at the same moment. What
ends a session settles what the Governor holds for it, in the same transaction.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg2 import sql
from psycopg2.extras import execute_values  # pyright: ignore[reportUnknownVariableType]

from radiant_dagster.adapters import audit, ledger
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.heuristics import Offered
from radiant_dagster.domain.sessions import ALLOWED, TERMINAL, SessionRequest
from radiant_dagster.domain.swarm import AgentConfig, AgentResult, storable
from radiant_dagster.errors import Cancelled, SessionNotFound, SessionStateConflict

INSERT_SESSION = """
    insert into radiant.session (tenant_id, id, domain, prompt, context, system_prompt, user_id,
        require_approval, estimated_micro_usd, offline_demo, rerun_of, parent_session_id)
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
INSERT_AGENTS = """
    insert into radiant.agent_run (tenant_id, session_id, agent_id, position, role, model,
        temperature, max_tokens, tools, instructions)
    values %s
"""
SESSION = "select * from radiant.session where tenant_id = %s and id = %s"
SESSION_STATUS = "select status from radiant.session where tenant_id = %s and id = %s"
RELEASED = "select status, final_response from radiant.session where tenant_id = %s and id = %s"
SESSIONS = """
    select id, status, domain, user_id, left(prompt, 80) as title, swarm_status, cost_micro_usd,
           created_at, ended_at, dagster_run_id, conclude_run_id
    from radiant.session where tenant_id = %s order by created_at desc limit %s
"""
ADVANCE = """
    update radiant.session set status = %s{assignments}
    where tenant_id = %s and id = %s and status = any(%s) returning status
"""
AGENTS = """
    select * from radiant.agent_run where tenant_id = %s and session_id = %s order by position
"""
# One statement: the attempt is counted and everything the call needs comes back. The deadline
# belongs to the run: retries share it, a re-execution of a failed run gets a new one.
BEGIN_AGENT = """
    with begun as (
        update radiant.agent_run a
        set status = 'running', attempts = a.attempts + 1, started_at = clock_timestamp(),
            deadline_at = case when a.run_id = %(run)s then a.deadline_at
                else clock_timestamp() + make_interval(secs => p.swarm_seconds) end,
            run_id = %(run)s
        from radiant.session s
        join radiant.domain_policy p on p.tenant_id = s.tenant_id and p.name = s.domain
        where a.tenant_id = %(tenant)s and a.session_id = %(session)s and a.agent_id = %(agent)s
          and a.status <> 'success' and s.tenant_id = a.tenant_id and s.id = a.session_id
        returning a.*)
    select to_jsonb(b) as agent, s.status, s.prompt, s.context, s.system_prompt, s.heuristics,
           extract(epoch from b.deadline_at - clock_timestamp())::float as remaining_seconds
    from begun b join radiant.session s on s.tenant_id = b.tenant_id and s.id = b.session_id
"""
FINISH_AGENT = """
    update radiant.agent_run set status = %s, response = %s, error_code = %s, error_message = %s,
        latency_ms = %s, prompt_tokens = %s, completion_tokens = %s,
        cost_micro_usd = cost_micro_usd + %s, model_used = %s, finish_reason = %s, cited = %s,
        finished_at = clock_timestamp()
    where tenant_id = %s and session_id = %s and agent_id = %s and status <> 'success'
"""
INSERT_USAGE = """
    insert into radiant.heuristic_usage
        (tenant_id, session_id, agent_id, heuristic_id, rank, similarity, cited)
    values %s on conflict do nothing
"""
RELEASE = """
    update radiant.session
    set final_response = %s, final_note = %s,
        answered_at = case when %s::text is null then null else clock_timestamp() end
    where tenant_id = %s and id = %s
"""
ADD_COST = """
    update radiant.session set cost_micro_usd = cost_micro_usd + %s where tenant_id = %s and id = %s
    returning status
"""
# A decision that nobody has carried out yet must not launch runs for a cancelled session.
DROP_DECISIONS = """
    update radiant.approval_decision set done_at = clock_timestamp()
    where tenant_id = %s and session_id = %s and done_at is null
"""
CANCEL_APPROVALS = """
    update radiant.approval_request set state = 'cancelled', version = version + 1
    where tenant_id = %s and session_id = %s and state = 'pending' returning id
"""


def create_session(
    cursor: Cursor,
    tenant_id: UUID,
    session_id: UUID,
    request: SessionRequest,
    *,
    estimated_micro_usd: int,
    offline_demo: bool,
    rerun_of: UUID | None = None,
) -> None:
    """Store a validated request with one row an agent, status `created`."""
    cursor.execute(
        INSERT_SESSION,
        (
            tenant_id,
            session_id,
            request.domain,
            request.prompt,
            json.dumps(request.context),
            request.system_prompt,
            request.user_id,
            request.require_approval,
            estimated_micro_usd,
            offline_demo,
            rerun_of,
            request.parent_session_id,
        ),
    )
    rows = [
        (
            tenant_id,
            session_id,
            agent.agent_id,
            position,
            agent.role,
            agent.model,
            agent.temperature,
            agent.max_tokens,
            list(agent.tools) if agent.tools else None,
            agent.instructions,
        )
        for position, agent in enumerate(request.agents)
    ]
    execute_values(cursor, INSERT_AGENTS, rows)
    audit.record(
        cursor,
        tenant_id,
        actor=request.user_id,
        action="session.created",
        session_id=session_id,
        detail={"domain": request.domain, "agents": len(rows)},
    )


def get_session(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> dict[str, Any]:
    """Return all columns of a session.

    Raises:
        SessionNotFound: Unknown, or another tenant's.
    """
    cursor.execute(SESSION, (tenant_id, session_id))
    row = cursor.fetchone()
    if row is None:
        raise SessionNotFound(session_id)
    return dict(row)


def released_answer(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> str:
    """Return the answer that a session handed out; a draft never counts.

    Raises:
        SessionNotFound: Unknown, or another tenant's.
        SessionStateConflict: It has handed none out.
    """
    cursor.execute(RELEASED, (tenant_id, session_id))
    row = cursor.fetchone()
    if row is None:
        raise SessionNotFound(session_id)
    if row["status"] != "completed" or row["final_response"] is None:
        raise SessionStateConflict(
            session_id, row["status"], "only a completed one with an answer can be followed"
        )
    return row["final_response"]


def is_not_synthesised(row: Mapping[str, Any]) -> bool:
    """Tell whether a session's draft is the agents' answers, since no model could merge them."""
    return bool(row["draft_details"] and row["draft_details"].get("not_synthesised"))


def list_sessions(cursor: Cursor, tenant_id: UUID, limit: int) -> list[dict[str, Any]]:
    """Return the newest sessions; `title` is the first 80 characters of the prompt."""
    cursor.execute(SESSIONS, (tenant_id, limit))
    return [dict(row) for row in cursor.fetchall()]


def advance(
    cursor: Cursor, tenant_id: UUID, session_id: UUID, status: str, **columns: object
) -> None:
    """Move a session to a status and set columns with it.

    Args:
        status: The status to enter.
        columns: Further columns of radiant.session; dicts and lists of dicts are stored as JSON.

    Raises:
        Cancelled: Somebody cancelled the session meanwhile.
        SessionStateConflict: The life cycle has no such transition from where it stands.
        SessionNotFound: Unknown, or another tenant's.
    """
    assignments = sql.SQL("").join(
        sql.SQL(", {} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in columns
    )
    if status in TERMINAL:
        assignments += sql.SQL(", ended_at = coalesce(ended_at, clock_timestamp())")
    elif status == "running":
        assignments += sql.SQL(", started_at = coalesce(started_at, clock_timestamp())")
    if status not in TERMINAL:  # a re-execution leaves `failed` behind
        assignments += sql.SQL(", ended_at = null, failure_code = null, failure_message = null")
    values = [json.dumps(v) if isinstance(v, dict) else v for v in columns.values()]
    cursor.execute(
        sql.SQL(ADVANCE).format(assignments=assignments),
        (status, *values, tenant_id, session_id, sorted(ALLOWED[status])),
    )
    if cursor.fetchone() is not None:
        if status in TERMINAL:
            ledger.settle_session(cursor, tenant_id, session_id)
        return
    cursor.execute(SESSION_STATUS, (tenant_id, session_id))
    row = cursor.fetchone()
    if row is None:
        raise SessionNotFound(session_id)
    if row["status"] == "cancelled":
        raise Cancelled(f"Session {session_id}")
    raise SessionStateConflict(session_id, row["status"], f"it cannot become {status}")


def update_session(cursor: Cursor, tenant_id: UUID, session_id: UUID, **columns: object) -> None:
    """Set columns without a change of status."""
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in columns
    )
    values = [json.dumps(v) if isinstance(v, dict) else v for v in columns.values()]
    cursor.execute(
        sql.SQL("update radiant.session set {} where tenant_id = %s and id = %s").format(
            assignments
        ),
        (*values, tenant_id, session_id),
    )


def cancel_session(cursor: Cursor, tenant_id: UUID, session_id: UUID, *, actor: str) -> None:
    """Cancel a session and its pending approval; its runs stop at their next step.

    Raises:
        SessionStateConflict: It has ended already.
        SessionNotFound: Unknown, or another tenant's.
    """
    advance(cursor, tenant_id, session_id, "cancelled")
    cursor.execute(CANCEL_APPROVALS, (tenant_id, session_id))
    approvals = [row["id"] for row in cursor.fetchall()]
    cursor.execute(DROP_DECISIONS, (tenant_id, session_id))
    audit.record(cursor, tenant_id, actor=actor, action="session.cancelled", session_id=session_id)
    for approval_id in approvals:
        audit.record(
            cursor,
            tenant_id,
            actor=actor,
            action="approval.cancelled",
            session_id=session_id,
            approval_id=approval_id,
        )


def save_offered(
    cursor: Cursor, tenant_id: UUID, session_id: UUID, offered: Sequence[Offered]
) -> None:
    """Keep what the Grimoire offered, as the agents will see it."""
    snapshot = [
        {
            "number": item.number,
            "id": str(item.id),
            "polarity": item.polarity,
            "trigger_pattern": item.trigger_pattern,
            "action_template": item.action_template,
            "similarity": round(item.similarity, 4),
        }
        for item in offered
    ]
    update_session(cursor, tenant_id, session_id, heuristics=json.dumps(snapshot))


def offered_from(row: Mapping[str, Any]) -> tuple[Offered, ...]:
    """Return what `save_offered` kept in a session row."""
    return tuple(
        Offered(
            number=item["number"],
            id=UUID(item["id"]),
            polarity=item["polarity"],
            trigger_pattern=item["trigger_pattern"],
            action_template=item["action_template"],
            similarity=item["similarity"],
        )
        for item in row["heuristics"]
    )


def agent_rows(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> list[dict[str, Any]]:
    """Return all columns of a session's agents, in the order of the panel."""
    cursor.execute(AGENTS, (tenant_id, session_id))
    return [dict(row) for row in cursor.fetchall()]


def config_from(row: Mapping[str, Any]) -> AgentConfig:
    """Return an agent's configuration from its row."""
    return AgentConfig(
        agent_id=row["agent_id"],
        role=row["role"],
        model=row["model"],
        temperature=row["temperature"],
        max_tokens=row["max_tokens"],
        tools=tuple(row["tools"]) if row["tools"] else None,
        instructions=row["instructions"],
    )


def result_from(row: Mapping[str, Any]) -> AgentResult:
    """Return an agent's result from its row; an unfinished agent reads as failed."""
    finished = row["status"] in ("success", "failed", "timeout", "rejected")
    return AgentResult(
        agent_id=row["agent_id"],
        status=row["status"] if finished else "failed",
        response=row["response"],
        error=row["error_message"],
        latency_ms=row["latency_ms"],
        tokens_used=row["prompt_tokens"] + row["completion_tokens"],
        safety_passed=row["safety_passed"],
        role=row["role"],
        error_code=row["error_code"] if finished else "no_result",
        model_used=row["model_used"],
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        cost_micro_usd=row["cost_micro_usd"],
        finish_reason=row["finish_reason"],
        cited=tuple(row["cited"]),
    )


@dataclass(frozen=True, slots=True)
class AgentCall:
    """What one agent's call needs.

    Args:
        agent: The agent's row.
        session: prompt, context, system_prompt and heuristics of its session.
        remaining_seconds: Until the swarm's deadline; negative where it has passed.
    """

    agent: Mapping[str, Any]
    session: Mapping[str, Any]
    remaining_seconds: float


def begin_agent(
    cursor: Cursor, tenant_id: UUID, session_id: UUID, agent_id: str, *, run_id: str
) -> AgentCall | None:
    """Note one more paid attempt; None where a finished answer is there already.

    Args:
        run_id: The Dagster run that asks; all its attempts share one deadline.

    Raises:
        Cancelled: The session was cancelled; nothing may be spent on it any more.
    """
    values = {"tenant": tenant_id, "session": session_id, "agent": agent_id, "run": run_id}
    cursor.execute(BEGIN_AGENT, values)
    row = cursor.fetchone()
    if row is None:
        return None
    if row["status"] == "cancelled":
        raise Cancelled(f"Session {session_id}")
    return AgentCall(row["agent"], row, row["remaining_seconds"])


def finish_agent(
    cursor: Cursor,
    tenant_id: UUID,
    session_id: UUID,
    result: AgentResult,
    offered: Sequence[Offered] = (),
) -> None:
    """Store a result, what it cost, and which of the offered heuristics a success cited."""
    cursor.execute(
        FINISH_AGENT,
        (
            result.status,
            None if result.response is None else storable(result.response),
            result.error_code,
            result.error,
            result.latency_ms,
            result.prompt_tokens,
            result.completion_tokens,
            result.cost_micro_usd,
            result.model_used,
            result.finish_reason,
            list(result.cited),
            tenant_id,
            session_id,
            result.agent_id,
        ),
    )
    if cursor.rowcount == 1 and result.cost_micro_usd:
        add_cost(cursor, tenant_id, session_id, result.cost_micro_usd)
    if result.status == "success" and offered:
        rows = [
            (
                tenant_id,
                session_id,
                result.agent_id,
                item.id,
                item.number,
                item.similarity,
                item.number in result.cited,
            )
            for item in offered
        ]
        execute_values(cursor, INSERT_USAGE, rows)


def add_cost(cursor: Cursor, tenant_id: UUID, session_id: UUID, micro_usd: int) -> None:
    """Add what a model call of the session cost, also where the session ended meanwhile."""
    cursor.execute(ADD_COST, (micro_usd, tenant_id, session_id))
    row = cursor.fetchone()
    if row is not None and row["status"] in TERMINAL:
        ledger.settle_session(cursor, tenant_id, session_id)


def release_answer(
    cursor: Cursor, tenant_id: UUID, session_id: UUID, text: str | None, note: str | None
) -> None:
    """Store what is handed out; None releases nothing."""
    cursor.execute(RELEASE, (text, note, text, tenant_id, session_id))
