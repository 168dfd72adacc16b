"""Sessions in Postgres; their agents are in `agent_runs`.

Every change of status goes through `advance`, which lets only the transitions of
`domain.sessions.ALLOWED` happen and finds out about a cancelled session at the same moment. What
ends a session closes what the Governor holds for it, in the same transaction. What calls cost is
added to a session by the ledger alone.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg2 import sql

from radiant_dagster.adapters import agent_progress, audit, endings, ledger
from radiant_dagster.adapters.agent_runs import insert_agents
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.selection import Offered
from radiant_dagster.domain.sessions import ALLOWED, TERMINAL, SessionRequest
from radiant_dagster.errors import Cancelled, SessionNotFound, SessionStateConflict

INSERT_SESSION = """
    insert into radiant.session (tenant_id, id, domain, prompt, context, system_prompt, user_id,
        require_approval, estimated_micro_usd, offline_demo, rerun_of, panel, live,
        parent_session_id)
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
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
    update radiant.session s set status = %s{assignments}
    from (select status as before from radiant.session
          where tenant_id = %s and id = %s for update) old
    where s.tenant_id = %s and s.id = %s and s.status = any(%s)
    returning s.domain, s.live, old.before
"""
RELEASE = """
    update radiant.session
    set final_response = %s, final_note = %s,
        answered_at = case when %s::text is null then null else clock_timestamp() end
    where tenant_id = %s and id = %s
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
    live: bool = False,
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
            request.panel,
            live,
            request.parent_session_id,
        ),
    )
    insert_agents(cursor, tenant_id, session_id, request.agents)
    audit.record(
        cursor,
        tenant_id,
        actor=request.user_id,
        action="session.created",
        session_id=session_id,
        detail={"domain": request.domain, "agents": len(request.agents)},
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
        (status, *values, *(tenant_id, session_id) * 2, sorted(ALLOWED[status])),
    )
    changed = cursor.fetchone()
    if changed is not None:
        if status in TERMINAL:
            ledger.settle_session(cursor, tenant_id, session_id)
            if changed["live"]:
                agent_progress.forget(cursor, tenant_id, session_id)
            if changed["before"] != status:  # a re-executed step closes it again
                endings.tell_end(cursor, tenant_id, session_id, changed["domain"], status)
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
    audit.record(cursor, tenant_id, actor=actor, action="session.cancelled", session_id=session_id)
    endings.drop_approvals(cursor, tenant_id, session_id, actor=actor)


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


def release_answer(
    cursor: Cursor, tenant_id: UUID, session_id: UUID, text: str | None, note: str | None
) -> None:
    """Store what is handed out; None releases nothing."""
    cursor.execute(RELEASE, (text, note, text, tenant_id, session_id))
