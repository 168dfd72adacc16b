"""The agents: plan them, run each as one mapped step, gather what came back."""

import dagster as dg

from radiant_dagster.adapters import agent_runs, sessions
from radiant_dagster.adapters.agent_turn import AgentTurns, Turn
from radiant_dagster.adapters.planning import Plan, plan_session
from radiant_dagster.domain.ladder import plan_table
from radiant_dagster.domain.swarm import mapping_key, missing_reasons, quorum, swarm_status
from radiant_dagster.engine.cancellation import step_cancelled
from radiant_dagster.engine.steps import ids, ref_of, retry_model_call, session_op
from radiant_dagster.errors import QuorumNotReached
from radiant_dagster.resources import DatabaseResource, ModelsResource, ToolsResource

# A retry of a lost run can leave mapped steps out whose start was not noted before the worker died
# (Dagster's re-execution of dynamic graphs); their rows say that nobody has finished them.
UNFINISHED = ("pending", "running")


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
    turn = _turns(context, database, models, tools).take(
        *ids(ref),
        ref["agent_id"],
        run_id=context.run_id,
        retry_number=context.retry_number,
        cancelled=step_cancelled(),
    )
    context.add_output_metadata(_facts(turn))
    return ref


def _turns(
    context: dg.OpExecutionContext,
    database: DatabaseResource,
    models: ModelsResource,
    tools: ToolsResource,
) -> AgentTurns:
    return AgentTurns(
        database=database.database,
        llm=models.client,
        toolbox=tools.toolbox,
        call_seconds=models.call_timeout_seconds,
        retry=lambda error, seconds: retry_model_call(
            context, error, models.max_retries, within_seconds=seconds
        ),
    )


def _facts(turn: Turn | None) -> dict[str, str | int | float | bool]:
    if turn is None:
        return {"status": "success", "bought_before": True}
    result = turn.result
    return {
        "status": result.status,
        "role": turn.role,
        "model": result.model_used or turn.model,
        "latency_ms": result.latency_ms,
        "tokens": result.tokens_used,
        "model_calls": result.calls,
        "cost_usd": result.cost_micro_usd / 1e6,
        "heuristics_cited": len(result.cited),
        "error_code": result.error_code or "",
    }


@session_op(
    description="Compare the answers with the agents stored for the session. Asks those whose step "
    "was left out of a retry. Fails where fewer than a majority answered: a handful of opinions is "
    "not passed off as the panel's.",
    tags={"radiant/phase": "swarm"},
)
def gather_answers(
    context: dg.OpExecutionContext,
    ref: dict,  # type: ignore[type-arg]
    answers: list,  # type: ignore[type-arg]
    database: DatabaseResource,
    models: ModelsResource,
    tools: ToolsResource,
) -> dict:  # type: ignore[type-arg]
    """Judge the swarm as a whole: complete, degraded or failed."""
    del answers  # they make this step wait; what counts is stored, and a retry may leave all out
    tenant_id, session_id = ids(ref)
    with database.database.tenant_transaction(tenant_id) as cursor:
        rows = agent_runs.agent_rows(cursor, tenant_id, session_id)
    skipped = [row["agent_id"] for row in rows if row["status"] in UNFINISHED]
    if skipped:
        _turns(context, database, models, tools).take_all(
            tenant_id,
            session_id,
            skipped,
            run_id=context.run_id,
            retry_number=context.retry_number,
            cancelled=step_cancelled(),
        )
    with database.database.tenant_transaction(tenant_id) as cursor:
        rows = agent_runs.agent_rows(cursor, tenant_id, session_id)
        results = [agent_runs.result_from(row) for row in rows]
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
        {
            "swarm_status": status,
            "succeeded": succeeded,
            "missing": len(missing),
            "asked_here": len(skipped),
        }
    )
    if status == "failed":
        reasons = ", ".join(f"{agent}: {code}" for agent, code in sorted(missing.items()))
        raise QuorumNotReached(session_id, succeeded, quorum(len(rows)), reasons)
    return ref_of(tenant_id, session_id)
