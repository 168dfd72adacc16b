"""Takes a session in: everything that can be wrong is found here, before anything is stored.

Used by the CLI, by the API and by the Launchpad's inline prompts, so that all refuse alike.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import ledger, sessions, tenant_tools, tenants
from radiant_dagster.adapters.available_tools import usable_names
from radiant_dagster.adapters.llm import LlmClient
from radiant_dagster.adapters.planning import planner_from
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.governor import SessionEstimate
from radiant_dagster.domain.sessions import SessionRequest, validate_request, with_parent_answer
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.errors import InvalidInput


def prepare(
    database: Database,
    settings: Settings,
    tenant_id: UUID,
    *,
    prompt: str,
    domain: str,
    user_id: str,
    panel: str = "default",
    agents: tuple[AgentConfig, ...] | None = None,
    require_approval: bool = False,
    context: Mapping[str, Any] | None = None,
    system_prompt: str | None = None,
    parent_session_id: UUID | None = None,
) -> tuple[SessionRequest, SessionEstimate]:
    """Check a request and say what it can cost at most. Stores nothing.

    Args:
        panel: Name of a stored panel, used where `agents` is None.
        agents: The swarm, where the caller brings its own.
        parent_session_id: A completed session of this tenant that the new one follows.

    Raises:
        InvalidInput: Names the field, the problem and the fix.
        ConfigurationError: A setting about prices is wrong, or a tool that an agent names is broken
            or its server does not answer.
        SessionNotFound, SessionStateConflict: The parent cannot be followed.
    """
    with database.tenant_transaction(tenant_id) as cursor:
        policies = tenants.domain_policies(cursor, tenant_id)
        if not policies:
            # Another tenant's id and an unknown one answer alike: row-level security shows nothing.
            raise InvalidInput("tenant_id", "is unknown", "See `radiant tenants list`.")
        swarm = agents if agents is not None else tenants.panel_agents(cursor, tenant_id, panel)
        allowed = tenant_tools.allowed_names(cursor, tenant_id)
        documents = dict(context or {})
        if parent_session_id is not None:
            answer = sessions.released_answer(cursor, tenant_id, parent_session_id)
            documents = with_parent_answer(documents, parent_session_id, answer)
    request = SessionRequest(
        prompt=prompt,
        domain=domain,
        user_id=user_id.strip(),
        agents=swarm,
        require_approval=require_approval,
        context=documents,
        system_prompt=system_prompt,
        panel=None if agents is not None else panel,
        parent_session_id=parent_session_id,
    )
    known_tools = usable_names(settings, allowed, swarm)
    validate_request(request, domains=frozenset(policies), known_tools=known_tools)
    planner = planner_from(settings)
    for field, model in _models_by_field(request, settings).items():
        try:
            planner.prices.price_of(model)
        except InvalidInput as error:
            raise InvalidInput(field, error.problem, error.fix) from None
    estimate = planner.estimate(
        swarm, prompt=prompt, context=request.context, system_prompt=system_prompt
    )
    return request, estimate


def require_models(llm: LlmClient, request: SessionRequest, settings: Settings) -> None:
    """Refuse models that the gateway does not serve, where it tells which it serves.

    Raises:
        InvalidInput: Names the agent and the models there are.
        ConfigurationError, LlmUnavailable: The gateway cannot be used at all.
    """
    llm.check()
    served = llm.models()
    if served is None:
        return
    for field, model in _models_by_field(request, settings).items():
        if model not in served:
            some = ", ".join(sorted(served)[:8])
            raise InvalidInput(
                field, f"the gateway serves no model {model!r}", f"It serves, for instance: {some}."
            )


def _models_by_field(request: SessionRequest, settings: Settings) -> dict[str, str]:
    models = {f"agents[{n}].model": agent.model for n, agent in enumerate(request.agents)}
    return models | {
        "RADIANT_SYNTHESIS_MODEL": settings.synthesis_model,
        "RADIANT_FALLBACK_SYNTHESIS_MODEL": settings.fallback_synthesis_model,
        "RADIANT_LIBRARIAN_MODEL": settings.librarian_model,
    }


def store_session(
    database: Database,
    settings: Settings,
    tenant_id: UUID,
    session_id: UUID,
    request: SessionRequest,
    estimate: SessionEstimate,
    *,
    rerun_of: UUID | None = None,
    live: bool = False,
) -> None:
    """Store a request that `prepare` accepted.

    Args:
        live: Somebody watches: the agents' answers are streamed, see `agent_progress`.
    """
    with database.tenant_transaction(tenant_id) as cursor:
        insert_session(
            cursor, settings, tenant_id, session_id, request, estimate, rerun_of=rerun_of, live=live
        )


def insert_session(
    cursor: Cursor,
    settings: Settings,
    tenant_id: UUID,
    session_id: UUID,
    request: SessionRequest,
    estimate: SessionEstimate,
    *,
    rerun_of: UUID | None = None,
    live: bool = False,
) -> None:
    """Store a request that `prepare` accepted in the caller's transaction."""
    sessions.create_session(
        cursor,
        tenant_id,
        session_id,
        request,
        estimated_micro_usd=estimate.total_micro_usd,
        offline_demo=settings.resolved_llm_transport == "offline",
        rerun_of=rerun_of,
        live=live,
    )
    ledger.store_plan(cursor, tenant_id, session_id, estimate.calls)
