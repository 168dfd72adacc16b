"""The agents: plan them, run each as one mapped step, gather what came back."""

import time

import dagster as dg

from radiant_dagster.adapters import ledger, sessions
from radiant_dagster.adapters.agent_progress import watched
from radiant_dagster.adapters.agents import ask_agent, may_fit_shortened
from radiant_dagster.adapters.metering import Meter, MeteredLlm
from radiant_dagster.adapters.planning import Plan, plan_session
from radiant_dagster.domain.governor import agent_call
from radiant_dagster.domain.ladder import plan_table
from radiant_dagster.domain.swarm import (
    AgentResult,
    gave_up,
    is_second_malformed,
    mapping_key,
    missing_reasons,
    quorum,
    swarm_status,
)
from radiant_dagster.engine.cancellation import step_cancelled
from radiant_dagster.engine.steps import Ref, ids, retry_model_call, session_op
from radiant_dagster.errors import BudgetExceeded, LlmUnavailable, PermanentError, QuorumNotReached
from radiant_dagster.resources import DatabaseResource, ModelsResource, ToolsResource


@session_op(
    description="Reserve what the session may cost at most: agents, synthesis and Librarian "
    "together. Where a budget (day, month, user, session) does not hold it, agents get fewer "
    "tokens, then cheaper models, then fewer agents are asked, never below the domain's floor; the "
    "table shows who got less. Fails where not even that fits; nothing has been spent then.",
    tags={"radiant/phase": "prepare"},
)
def plan_agents(
    context: dg.OpExecutionContext,
    ref: dict,  # type: ignore[type-arg]
    database: DatabaseResource,
    models: ModelsResource,
) -> dict:  # type: ignore[type-arg]
    """Reserve the session's cost, and decide which agents are asked how."""
    tenant_id, session_id = ids(ref)
    plan = plan_session(database.database, models.client, models.planner, tenant_id, session_id)
    context.add_output_metadata(_plan_facts(plan))
    return {**ref, **{f"agent_{n}": agent_id for n, agent_id in enumerate(plan.asked)}}


def _plan_facts(plan: Plan) -> dict[str, dg.MetadataValue | int | float | list[str]]:
    return {
        "agents": len(plan.agents),
        "not_asked": len(plan.agents) - len(plan.asked),
        "downgrades": len(plan.session["downgrades"]),
        "started_because": list(plan.start_reasons),
        "quorum": quorum(len(plan.agents)),
        "heuristics_offered": len(plan.session["heuristics"]),
        "estimated_usd_at_most": plan.session["estimated_micro_usd"] / 1e6,
        "reserved_usd": plan.reserved_micro_usd / 1e6,
        "plan": dg.MetadataValue.md(plan_table(plan.agents)),
    }


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
    "is retried; a question that does not fit the model is tried once more with shortened "
    "documents; a lasting fault is stored as the agent's result, so that the others still count.",
    tags={"radiant/phase": "swarm"},
)
def run_agent(
    context: dg.OpExecutionContext,
    ref: dict,  # type: ignore[type-arg]
    database: DatabaseResource,
    models: ModelsResource,
    tools: ToolsResource,
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
    started = time.monotonic()
    try:
        live: bool = call.session["live"]
        with watched(database.database, tenant_id, session_id, agent_id, live=live) as on_text:
            result = ask_agent(
                client,
                call,
                tenant_id,
                session_id,
                call_seconds=models.call_timeout_seconds,
                toolbox=tools.toolbox,
                database=database.database,
                cancelled=step_cancelled(),
                on_text=on_text,
            )
    except (LlmUnavailable, PermanentError) as error:
        client.give_back()  # out of time before it was sent
        meter.settle_now()  # a failed try may be billed; recorded before it is made again
        if isinstance(error, BudgetExceeded):  # of a later call of its turn: the others still count
            with database.database.tenant_transaction(tenant_id) as cursor:
                ledger.note_refusal(cursor, tenant_id, session_id, error)
        elif not isinstance(error, LlmUnavailable):
            raise
        elif not is_second_malformed(call.agent["error_code"], error.code, context.retry_number):
            with database.database.tenant_transaction(tenant_id) as cursor:
                sessions.note_fault(cursor, tenant_id, session_id, agent_id, error.code)
            left = call.remaining_seconds - (time.monotonic() - started)
            retry_model_call(context, error, models.max_retries, within_seconds=left)
        result = gave_up(agent_id, error.code, str(error))
    if may_fit_shortened(call, result):
        with database.database.tenant_transaction(tenant_id) as cursor:
            meter.settle(cursor)
            sessions.note_fault(cursor, tenant_id, session_id, agent_id, result.error_code)
        raise dg.RetryRequested(context.retry_number + 1, 0)
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
        "model_calls": result.calls,
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
