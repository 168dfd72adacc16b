"""A session's agents in Postgres: what was asked of them, their attempts and their answers.

What calls cost is added to an agent by the ledger alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from psycopg2.extras import execute_values  # pyright: ignore[reportUnknownVariableType]

from radiant_dagster.adapters import ledger
from radiant_dagster.adapters.ledger import Ticket
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.governor import agent_call
from radiant_dagster.domain.selection import Offered
from radiant_dagster.domain.swarm import AgentConfig, AgentResult, storable
from radiant_dagster.errors import Cancelled

INSERT_AGENTS = """
    insert into radiant.agent_run (tenant_id, session_id, agent_id, position, role, model,
        temperature, max_tokens, tools, instructions, output_schema)
    values %s
"""
AGENTS = """
    select * from radiant.agent_run where tenant_id = %s and session_id = %s order by position
"""
# One statement: the attempt is counted and everything the call needs comes back. The deadline
# belongs to the run and its whole swarm: retries and agents that had to wait for a thread share it,
# a re-execution of a failed run gets a new one.
BEGIN_AGENT = """
    with begun as (
        update radiant.agent_run a
        set status = 'running', attempts = a.attempts + 1, started_at = clock_timestamp(),
            deadline_at = coalesce(
                (select min(o.deadline_at) from radiant.agent_run o
                 where o.tenant_id = %(tenant)s and o.session_id = %(session)s
                   and o.run_id = %(run)s),
                clock_timestamp() + make_interval(secs => p.swarm_seconds)),
            run_id = %(run)s
        from radiant.session s
        join radiant.domain_policy p on p.tenant_id = s.tenant_id and p.name = s.domain
        where a.tenant_id = %(tenant)s and a.session_id = %(session)s and a.agent_id = %(agent)s
          and a.status <> 'success' and s.tenant_id = a.tenant_id and s.id = a.session_id
        returning a.*)
    select to_jsonb(b) as agent, s.status, s.domain, s.prompt, s.context, s.system_prompt,
           s.heuristics, s.live,
           extract(epoch from b.deadline_at - clock_timestamp())::float as remaining_seconds
    from begun b join radiant.session s on s.tenant_id = b.tenant_id and s.id = b.session_id
"""
FINISH_AGENT = """
    update radiant.agent_run set status = %s, response = %s, error_code = %s, error_message = %s,
        latency_ms = %s, prompt_tokens = %s, completion_tokens = %s,
        model_used = %s, finish_reason = %s, cited = %s, calls = %s,
        finished_at = clock_timestamp()
    where tenant_id = %s and session_id = %s and agent_id = %s and status <> 'success'
"""
NOTE_FAULT = """
    update radiant.agent_run set error_code = %s
    where tenant_id = %s and session_id = %s and agent_id = %s and status = 'running'
"""
# What was offered weeks ago, to a session that is executed again, may have been deleted since.
INSERT_USAGE = """
    insert into radiant.heuristic_usage
        (tenant_id, session_id, agent_id, heuristic_id, rank, similarity, cited)
    select used.*
    from (values %s) used (tenant_id, session_id, agent_id, id, rank, similarity, cited)
    join radiant.knowledge_heuristics h using (tenant_id, id) for key share of h
    on conflict do nothing
"""


def insert_agents(
    cursor: Cursor, tenant_id: UUID, session_id: UUID, agents: Sequence[AgentConfig]
) -> None:
    """Store a session's agents, in the order of the panel."""
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
            # As text: jsonb would reorder the properties, which models write in their order.
            None
            if agent.output_schema is None
            else json.dumps(agent.output_schema, ensure_ascii=False),
        )
        for position, agent in enumerate(agents)
    ]
    execute_values(cursor, INSERT_AGENTS, rows)


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
        output_schema=json.loads(row["output_schema"]) if row["output_schema"] else None,
    )


def asked_config_from(row: Mapping[str, Any]) -> AgentConfig:
    """Return an agent's configuration as it was asked for, before the Governor reduced it."""
    return replace(config_from(row), **(row["downgraded_from"] or {}))


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
        calls=row["calls"],
    )


@dataclass(frozen=True, slots=True)
class AgentCall:
    """What one agent's call needs.

    Args:
        agent: The agent's row.
        session: domain, prompt, context, system_prompt, heuristics and live of its session.
        remaining_seconds: Until the swarm's deadline; negative where it has passed.
        ticket: What the call is paid with.
    """

    agent: Mapping[str, Any]
    session: Mapping[str, Any]
    remaining_seconds: float
    ticket: Ticket


def begin_agent(
    cursor: Cursor, tenant_id: UUID, session_id: UUID, agent_id: str, *, run_id: str
) -> AgentCall | None:
    """Note one more paid attempt and begin it in the ledger; None where an answer is there.

    Args:
        run_id: The Dagster run that asks; all its attempts share one deadline.

    Raises:
        Cancelled: The session was cancelled; nothing may be spent on it any more.
        BudgetExceeded, BudgetMissing: Nothing is held for the attempt, and no more fits.
    """
    values = {"tenant": tenant_id, "session": session_id, "agent": agent_id, "run": run_id}
    cursor.execute(BEGIN_AGENT, values)
    row = cursor.fetchone()
    if row is None:
        return None
    if row["status"] == "cancelled":
        raise Cancelled(f"Session {session_id}")
    ticket = ledger.begin_call(
        cursor, tenant_id, session_id, agent_call(agent_id), begun_by=uuid4()
    )
    return AgentCall(row["agent"], row, row["remaining_seconds"], ticket)


def note_fault(
    cursor: Cursor, tenant_id: UUID, session_id: UUID, agent_id: str, code: str | None
) -> None:
    """Note why an attempt failed that is about to be repeated; the next attempt reads it."""
    cursor.execute(NOTE_FAULT, (code, tenant_id, session_id, agent_id))


def finish_agent(
    cursor: Cursor,
    tenant_id: UUID,
    session_id: UUID,
    result: AgentResult,
    offered: Sequence[Offered] = (),
) -> None:
    """Store a result and which of the offered heuristics a success cited."""
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
            result.model_used,
            result.finish_reason,
            list(result.cited),
            result.calls,
            tenant_id,
            session_id,
            result.agent_id,
        ),
    )
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
