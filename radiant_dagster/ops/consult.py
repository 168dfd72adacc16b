"""Opens a session and asks the Grimoire what earlier sessions taught."""

import os
from uuid import UUID

import dagster as dg
from pydantic import Field

from radiant_dagster.adapters import sessions
from radiant_dagster.adapters.grimoire.lookup import look_up
from radiant_dagster.adapters.grimoire.search import search_options
from radiant_dagster.adapters.metering import Meter
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.submission import prepare, store_session
from radiant_dagster.domain.governor import CONSULT_CALL
from radiant_dagster.engine.steps import Ref, ids, ref_of, session_op
from radiant_dagster.errors import InvalidInput
from radiant_dagster.resources import DatabaseResource, EmbeddingsResource, process_settings


class OpenSessionConfig(dg.Config):
    """Which stored session to run. Create one with `radiant think` or the API."""

    tenant_id: str = Field(
        description="Id of the tenant the session belongs to, a UUID. `radiant tenants list` "
        "shows them."
    )
    session_id: str = Field(
        description="Id of a stored session, a UUID. `radiant sessions list` shows them. The "
        "prompt stays in the RADIANT database; only ids belong here."
    )


class InlineSessionConfig(dg.Config):
    """A stored session, or a prompt typed into the Launchpad (demos and synthetic data only)."""

    tenant_id: str = Field(description="Id of the tenant, a UUID (`radiant tenants list`).")
    session_id: str | None = Field(
        default=None, description="Id of a stored session, a UUID. Leave out to use `prompt`."
    )
    prompt: str | None = Field(
        default=None,
        description="The question. Dagster stores it in clear and shows it to everybody who can "
        "open Dagit; allowed because RADIANT_ALLOW_INLINE_PROMPTS=1 is set.",
    )
    domain: str = Field(default="general", description="One of the tenant's domains.")
    panel: str = Field(default="default", description="One of the tenant's panels.")


def parse_id(field: str, value: str) -> UUID:
    """Return a UUID from run config.

    Raises:
        InvalidInput: Names the field; Dagster checks types only.
    """
    try:
        return UUID(value)
    except ValueError:
        raise InvalidInput(field, "is not a UUID", "Copy it from the CLI.") from None


def begin(database: Database, tenant_id: UUID, session_id: UUID, run_id: str) -> Ref:
    """Move a stored session to `running` for this run."""
    with database.tenant_transaction(tenant_id) as cursor:
        sessions.advance(cursor, tenant_id, session_id, "running", dagster_run_id=run_id)
    return ref_of(tenant_id, session_id)


OPEN_DESCRIPTION = (
    "Find the session that the run config names and mark it as running. Fails where the session "
    "is unknown to the tenant, has ended, or was cancelled."
)


@session_op(name="open_session", description=OPEN_DESCRIPTION, tags={"radiant/phase": "prepare"})
def open_session(
    context: dg.OpExecutionContext, config: OpenSessionConfig, database: DatabaseResource
) -> dict:  # type: ignore[type-arg]
    """Find the session that the run config names and mark it as running."""
    tenant_id = parse_id("tenant_id", config.tenant_id)
    session_id = parse_id("session_id", config.session_id)
    return begin(database.database, tenant_id, session_id, context.run_id)


@session_op(name="open_session", description=OPEN_DESCRIPTION, tags={"radiant/phase": "prepare"})
def open_inline_session(
    context: dg.OpExecutionContext, config: InlineSessionConfig, database: DatabaseResource
) -> dict:  # type: ignore[type-arg]
    """Like `open_session`, and stores a prompt that was typed into the Launchpad."""
    tenant_id = parse_id("tenant_id", config.tenant_id)
    if config.session_id is not None:
        session_id = parse_id("session_id", config.session_id)
        return begin(database.database, tenant_id, session_id, context.run_id)
    # The run's own id: a re-execution of this step finds the session it made.
    session_id = UUID(context.run.root_run_id or context.run_id)
    settings = Settings.load(os.environ)
    request, estimate = prepare(
        database.database,
        settings,
        tenant_id,
        prompt=config.prompt or "",
        domain=config.domain,
        panel=config.panel,
        user_id="dagit",
    )
    store_session(database.database, settings, tenant_id, session_id, request, estimate)
    return begin(database.database, tenant_id, session_id, context.run_id)


@session_op(
    description="Search the Grimoire for heuristics that fit the prompt: active ones of this "
    "tenant and domain only. Reads, never writes. Shows how many were offered, and how many were "
    "refused because their text is not the one that was let through.",
    tags={"radiant/phase": "prepare"},
)
def consult_grimoire(
    context: dg.OpExecutionContext,
    ref: dict,  # type: ignore[type-arg]
    database: DatabaseResource,
    embeddings: EmbeddingsResource,
) -> dict:  # type: ignore[type-arg]
    """Search the Grimoire for heuristics that fit the prompt."""
    tenant_id, session_id = ids(ref)
    with database.database.tenant_transaction(tenant_id) as cursor:
        row = sessions.get_session(cursor, tenant_id, session_id)
    meter = Meter(database.database, tenant_id, session_id)

    def embed(text: str) -> tuple[str, list[float]]:
        model = embeddings.model
        try:
            return model.model_id, meter.embed(model, CONSULT_CALL, [text])[0]
        finally:  # a call that failed may be billed
            meter.settle_now()

    how = search_options(process_settings())
    found = look_up(database.database, embed, tenant_id, row["domain"], row["prompt"], how)
    if found.offered:
        with database.database.tenant_transaction(tenant_id) as cursor:
            sessions.save_offered(cursor, tenant_id, session_id, found.offered)
    context.add_output_metadata(
        {"offered": len(found.offered), "refused_changed_text": found.refused_changed_text}
    )
    return ref
