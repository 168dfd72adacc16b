"""The agents: plan them, run each as one mapped step, gather what came back."""

import dagster as dg

from radiant_dagster.adapters import ledger, sessions
from radiant_dagster.adapters.agents import ask_agent
from radiant_dagster.adapters.metering import Meter, MeteredLlm
from radiant_dagster.domain.governor import agent_call
from radiant_dagster.domain.swarm import (
    AgentResult,
    gave_up,
    mapping_key,
    missing_reasons,
    quorum,
    swarm_status,
)
from radiant_dagster.engine.cancellation import step_cancelled
from radiant_dagster.engine.steps import Ref, ids, retry_model_call, session_op
from radiant_dagster.errors import BudgetExceeded, LlmUnavailable, PermanentError, QuorumNotReached
from radiant_dagster.resources import DatabaseResource, ModelsResource


@session_op(
    description="Check that every agent of the session is stored and reserve what the session may "
    "cost at most: agents, synthesis and Librarian together. Fails where the budget of the day or "
    "the month, of the user or of a session does not hold it; nothing has been spent then.",
    tags={"radiant/phase": "prepare"},
)
def plan_agents(
    context: dg.OpExecutionContext,
    ref: dict,  # type: ignore[type-arg]
    database: DatabaseResource,
) -> dict:  # type: ignore[type-arg]
    """Check the stored agents and reserve the session's cost."""
    tenant_id, session_id = ids(ref)
    with database.database.tenant_transaction(tenant_id) as cursor:
        row = sessions.get_session(cursor, tenant_id, session_id)
        agents = sessions.agent_rows(cursor, tenant_id, session_id)
        reserved = ledger.hold_for_session(cursor, tenant_id, session_id)
    context.add_output_metadata(
        {
            "agents": len(agents),
            "quorum": quorum(len(agents)),
            "heuristics_offered": len(row["heuristics"]),
            "estimated_usd_at_most": row["estimated_micro_usd"] / 1e6,
            "reserved_usd": reserved / 1e6,
        }
    )
    return {**ref, **{f"agent_{n}": agent["agent_id"] for n, agent in enumerate(agents)}}


@dg.op(
    out=dg.DynamicOut(),
    description="Start one step an agent; each shows as its own bar in the Gantt chart.",
    tags={"radiant/phase": "swarm"},
)
def fan_out(plan: dict) -> list[dg.DynamicOutput]:  # type: ignore[type-arg]
    """Start one step an agent."""
    base = {key: plan[key] for key in ("tenant_id", "session_id")}
    agents = [value for key, value in plan.items() if key.startswith("agent_")]
    return [
        dg.DynamicOutput({**base, "agent_id": agent}, mapping_key=mapping_key(agent))
        for agent in agents
    ]


@session_op(
    description="Ask one agent's model and store the answer as soon as it arrives. A finished "
    "answer is never bought again: a retry or re-execution of this step finds it. A passing fault "
    "is retried; a lasting one is stored as the agent's result, so that the others still count.",
    tags={"radiant/phase": "swarm"},
)
def run_agent(
    context: dg.OpExecutionContext,
    ref: dict,  # type: ignore[type-arg]
    database: DatabaseResource,
    models: ModelsResource,
) -> dict:  # type: ignore[type-arg]
    """Ask one agent's model and store the answer."""
    tenant_id, session_id = ids(ref)
    agent_id: str = ref["agent_id"]
    try:
        with database.database.tenant_transaction(tenant_id) as cursor:
            call = sessions.begin_agent(
                cursor, tenant_id, session_id, agent_id, run_id=context.run_id
            )
    except BudgetExceeded as error:
        if context.retry_number == 0:
            raise
        # The first try may be billed and there is no money for another: the others still count.
        result = gave_up(agent_id, error.code, str(error))
        with database.database.tenant_transaction(tenant_id) as cursor:
            ledger.note_refusal(cursor, tenant_id, session_id, error)
            sessions.finish_agent(cursor, tenant_id, session_id, result)
        context.add_output_metadata({"status": result.status, "error_code": error.code})
        return ref
    if call is None:
        context.add_output_metadata({"status": "success", "bought_before": True})
        return ref
    meter = Meter(database.database, tenant_id, session_id)
    client = MeteredLlm(
        models.client,
        meter,
        agent_call(agent_id),
        "agent",
        agent_id=agent_id,
        ticket=call.ticket,
    )
    try:
        result = ask_agent(
            client,
            call,
            tenant_id,
            session_id,
            call_seconds=models.call_timeout_seconds,
            cancelled=step_cancelled(),
        )
    except (LlmUnavailable, PermanentError) as error:
        client.give_back()  # out of time before it was sent
        meter.settle_now()  # a failed try may be billed; recorded before it is made again
        if not isinstance(error, LlmUnavailable):
            raise
        retry_model_call(context, error, models.max_retries, within_seconds=call.remaining_seconds)
        result = gave_up(agent_id, error.code, str(error))
    with database.database.tenant_transaction(tenant_id) as cursor:
        cost = meter.settle(cursor)
        offered = sessions.offered_from(call.session)
        sessions.finish_agent(cursor, tenant_id, session_id, result, offered)
    context.add_output_metadata(_facts(result, call.agent["role"], call.agent["model"], cost))
    return ref


def _facts(
    result: AgentResult, role: str, model: str, cost_micro_usd: int
) -> dict[str, str | int | float]:
    return {
        "status": result.status,
        "role": role,
        "model": result.model_used or model,
        "latency_ms": result.latency_ms,
        "tokens": result.tokens_used,
        "cost_usd": cost_micro_usd / 1e6,
        "heuristics_cited": len(result.cited),
        "error_code": result.error_code or "",
    }


@session_op(
    description="Compare the answers with the agents stored for the session. Fails where fewer "
    "than a majority answered: a handful of opinions is not passed off as the panel's.",
    tags={"radiant/phase": "swarm"},
)
def gather_answers(
    context: dg.OpExecutionContext,
    ref: list,  # type: ignore[type-arg]
    database: DatabaseResource,
) -> dict:  # type: ignore[type-arg]
    """Judge the swarm as a whole: complete, degraded or failed."""
    first: Ref = {key: ref[0][key] for key in ("tenant_id", "session_id")}
    tenant_id, session_id = ids(first)
    with database.database.tenant_transaction(tenant_id) as cursor:
        rows = sessions.agent_rows(cursor, tenant_id, session_id)
        results = [sessions.result_from(row) for row in rows]
        status = swarm_status(results, len(rows))
        missing = missing_reasons(results, [row["agent_id"] for row in rows])
        sessions.update_session(
            cursor,
            tenant_id,
            session_id,
            swarm_status=status,
            missing_agents=missing,
        )
    succeeded = len(rows) - len(missing)
    context.add_output_metadata(
        {"swarm_status": status, "succeeded": succeeded, "missing": len(missing)}
    )
    if status == "failed":
        reasons = ", ".join(f"{agent}: {code}" for agent, code in sorted(missing.items()))
        raise QuorumNotReached(session_id, succeeded, quorum(len(rows)), reasons)
    return first
