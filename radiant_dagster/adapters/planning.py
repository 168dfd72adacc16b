"""Plans a session before anything is paid: which agents are asked how, and the money for it.

The first rung of `domain.ladder` that the budget holds is taken. What it changes is written in the
transaction that holds the money, so no session runs on a plan that nobody pays for, and none that
was refused looks reduced.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg2.extras import execute_values  # pyright: ignore[reportUnknownVariableType]

from radiant_dagster.adapters import agent_runs, audit, ledger, sessions, tenants
from radiant_dagster.adapters.embeddings import paid_model
from radiant_dagster.adapters.llm import LlmClient
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.adapters.price_settings import cheaper_from, prices_from
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.governor import SessionEstimate, counted_characters, estimate_session
from radiant_dagster.domain.ladder import (
    BUDGET,
    Estimator,
    Rung,
    Start,
    ladder,
    next_rung,
    starting_rung,
)
from radiant_dagster.domain.price_list import PriceTable
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.errors import BudgetExceeded, LlmUnavailable, SessionNotFound

# The session first, as everywhere: two runs of one session do not plan at once.
LOCK_SESSION = """
    select * from radiant.session where tenant_id = %s and id = %s for no key update
"""
IS_HELD = """
    select 1 from radiant.reservation
    where tenant_id = %s and session_id = %s and state = 'held' limit 1
"""
NOT_ASKED = "Not asked: the budget did not hold it."
PLAN_AGENTS = """
    update radiant.agent_run a
    set model = v.model, max_tokens = v.max_tokens, downgraded_from = v.downgraded_from,
        status = case when not v.asked then 'rejected'
            when a.error_code = v.budget then 'pending' else a.status end,
        error_code = case when not v.asked then v.budget
            when a.error_code = v.budget then null else a.error_code end,
        error_message = case when not v.asked then v.message
            when a.error_code = v.budget then null else a.error_message end
    from (values %s) v (tenant_id, session_id, agent_id, model, max_tokens, downgraded_from, asked,
        budget, message)
    where a.tenant_id = v.tenant_id and a.session_id = v.session_id and a.agent_id = v.agent_id
      and a.status <> 'success'
"""
PLAN_AGENT_TYPES = "(%s::uuid, %s::uuid, %s, %s, %s, %s::jsonb, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Planner:
    """What this deployment plans with.

    Args:
        synthesis_model: Model that writes the single answer.
        fallback_synthesis_model: Model that writes it instead.
        librarian_model: Model that distils a heuristic.
        embedding_model: Model whose calls are paid for, None where it runs on this machine.
        prices: This deployment's.
        cheaper: Model to the next cheaper one.
        routing: Whether simple questions may start with shorter answers.
        tool_rounds: Most model calls of an agent that has tools.
    """

    synthesis_model: str
    fallback_synthesis_model: str
    librarian_model: str
    embedding_model: str | None
    prices: PriceTable
    cheaper: Mapping[str, str]
    routing: bool
    tool_rounds: int

    def estimate(
        self,
        agents: Sequence[AgentConfig],
        *,
        prompt: str,
        context: Mapping[str, Any],
        system_prompt: str | None,
    ) -> SessionEstimate:
        """Return the most a session can cost.

        Raises:
            InvalidInput: A model has no known price.
        """
        return self.estimator(prompt, context, system_prompt)(agents)

    def estimator(
        self, prompt: str, context: Mapping[str, Any], system_prompt: str | None
    ) -> Estimator:
        """Return `estimate` for a session whose texts are counted once."""
        asked, documents = _counted(prompt) + _counted(system_prompt or ""), _counted(context)
        return lambda agents: estimate_session(
            agents,
            asked,
            documents,
            self.synthesis_model,
            self.librarian_model,
            fallback_synthesis_model=self.fallback_synthesis_model,
            embedding_model=self.embedding_model,
            prices=self.prices,
            tool_rounds=self.tool_rounds,
        )


def _counted(value: object) -> int:
    """Count text as it travels, in JSON; so that the estimate is an upper bound in any script."""
    return counted_characters(json.dumps(value, ensure_ascii=False))


def planner_from(settings: Settings) -> Planner:
    """Build the planner that the settings ask for.

    Raises:
        ConfigurationError: A price, a fallback or a cheaper model is wrong.
    """
    prices = prices_from(settings)
    return Planner(
        settings.synthesis_model,
        settings.fallback_synthesis_model,
        settings.librarian_model,
        paid_model(settings),
        prices,
        cheaper_from(settings, prices),
        settings.routing == "on",
        settings.tool_rounds,
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """A session's plan as it is stored.

    Args:
        session: The session's row.
        agents: The rows of all agents that were asked for, in the order of the panel.
        reserved_micro_usd: What was reserved now; 0 where the session held some already.
        start_reasons: Codes of where the ladder began; empty where the plan was there already.
    """

    session: Mapping[str, Any]
    agents: Sequence[Mapping[str, Any]]
    reserved_micro_usd: int
    start_reasons: tuple[str, ...]

    @property
    def asked(self) -> tuple[str, ...]:
        """Ids of the agents that are asked."""
        return tuple(row["agent_id"] for row in self.agents if row["error_code"] != BUDGET)


def plan_session(
    database: Database, llm: LlmClient, planner: Planner, tenant_id: UUID, session_id: UUID
) -> Plan:
    """Hold the money for a session, for less than was asked where that is all the budget holds.

    A session that holds money keeps its plan. A re-execution of one that does not is planned anew
    from what was asked for; answers that are there stay as they are.

    Raises:
        BudgetExceeded: Not even the least that the domain allows fits; nothing has changed.
        BudgetMissing: The tenant may not spend anything.
        Cancelled: Nothing may be spent on a cancelled session.
        SessionNotFound: Unknown, or another tenant's.
    """
    try:
        with database.tenant_transaction(tenant_id) as cursor:
            return _plan(cursor, planner, tenant_id, session_id, cheaper=None)
    except BudgetExceeded:
        # Asked between the two transactions: a connection is not held across a call.
        served = _served(llm)
    cheaper = {
        model: other
        for model, other in planner.cheaper.items()
        if served is None or other in served
    }
    with database.tenant_transaction(tenant_id) as cursor:
        return _plan(cursor, planner, tenant_id, session_id, cheaper=cheaper)


def _served(llm: LlmClient) -> frozenset[str] | None:
    try:
        return llm.models()
    except LlmUnavailable:  # a cheaper model that may not be there saves nothing
        return frozenset()


def _plan(
    cursor: Cursor,
    planner: Planner,
    tenant_id: UUID,
    session_id: UUID,
    *,
    cheaper: Mapping[str, str] | None,
) -> Plan:
    """Take the first rung that fits; only the starting one where `cheaper` is None."""
    cursor.execute(LOCK_SESSION, (tenant_id, session_id))
    row = cursor.fetchone()
    if row is None:
        raise SessionNotFound(session_id)
    rows = agent_runs.agent_rows(cursor, tenant_id, session_id)
    cursor.execute(IS_HELD, (tenant_id, session_id))
    if cursor.fetchone() is not None:
        return Plan(row, rows, 0, ())
    policy = tenants.domain_policies(cursor, tenant_id)[row["domain"]]
    start = Start(None, ("routing_off",))
    if planner.routing:
        start = starting_rung(
            row["prompt"],
            documents=row["context"],
            policy=policy,
            from_panel=row["panel"] is not None,
        )
    bought = frozenset(item["agent_id"] for item in rows if item["status"] == "success")
    estimator = planner.estimator(row["prompt"], row["context"], row["system_prompt"])
    rungs = ladder(
        [
            agent_runs.config_from(item)
            if item["agent_id"] in bought
            else agent_runs.asked_config_from(item)
            for item in rows
        ],
        policy,
        estimator,
        cheaper or {},
        start=start,
        bought=bought,
    )
    kept = [item for item in row["downgrades"] if item["agent_id"] in bought]
    tried = rungs if cheaper is not None else rungs[:1]
    reserved = _take(cursor, tenant_id, row, tried, kept, estimator)
    return Plan(
        sessions.get_session(cursor, tenant_id, session_id),
        agent_runs.agent_rows(cursor, tenant_id, session_id),
        reserved,
        start.reasons,
    )


def _take(
    cursor: Cursor,
    tenant_id: UUID,
    session: Mapping[str, Any],
    rungs: Sequence[Rung],
    kept: Sequence[Mapping[str, Any]],
    estimator: Estimator,
) -> int:
    """Store and hold the first rung that fits.

    A refusal says how much is missing, so rungs that save less than that are not tried.
    """
    position = 0
    while True:
        rung = rungs[position]
        _store(cursor, tenant_id, session["id"], rung, kept)
        ledger.store_plan(cursor, tenant_id, session["id"], estimator(rung.agents).calls)
        try:
            reserved = ledger.hold_for_session(cursor, tenant_id, session["id"])
        except BudgetExceeded as refused:
            following = next_rung(rungs, position, refused.shortfall_micro_usd)
            if following is None:
                raise
            position = following
            continue
        if position:
            audit.record(
                cursor,
                tenant_id,
                actor="system:governor",
                action="session.reduced",
                session_id=session["id"],
                detail={
                    "not_asked": len(rung.dropped),
                    "downgrades": len(rung.downgrades),
                    "from_micro_usd": rungs[0].cost_micro_usd,
                    "to_micro_usd": rung.cost_micro_usd,
                },
            )
        return reserved


def _store(
    cursor: Cursor,
    tenant_id: UUID,
    session_id: UUID,
    rung: Rung,
    kept: Sequence[Mapping[str, Any]],
) -> None:
    downgrades = [*kept, *(item.to_dict() for item in rung.downgrades)]
    sessions.update_session(
        cursor,
        tenant_id,
        session_id,
        estimated_micro_usd=rung.cost_micro_usd,
        downgrades=json.dumps(downgrades),
    )
    given = {agent.agent_id: agent for agent in rung.agents}
    values: list[tuple[object, ...]] = []
    for asked in rung.asked:
        agent = given.get(asked.agent_id, asked)
        before = {"model": asked.model, "max_tokens": asked.max_tokens}
        values.append(
            (
                tenant_id,
                session_id,
                agent.agent_id,
                agent.model,
                agent.max_tokens,
                None if agent == asked else json.dumps(before),
                asked.agent_id in given,
                BUDGET,
                NOT_ASKED,
            )
        )
    execute_values(cursor, PLAN_AGENTS, values, template=PLAN_AGENT_TYPES)
