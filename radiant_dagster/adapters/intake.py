"""Asks, cancels and asks again: what the command line and the API do for a caller of sessions.

A session is stored first and launched after the commit. Where its launch fails it is stored as
failed, so that nothing waits for a run that never comes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID, uuid4

from radiant_dagster.adapters import agent_runs, idempotency, ledger, sessions, submission
from radiant_dagster.adapters.dagster_api import DagsterApi
from radiant_dagster.adapters.idempotency import Reply
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.adapters.session_view import progress
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.governor import SessionEstimate
from radiant_dagster.domain.sessions import SessionRequest
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.errors import (
    DagsterUnavailable,
    RadiantError,
    SessionNotFound,
    SessionNotLaunched,
)

LOST_SECONDS = 60  # longer than a launch may take; then whoever launched it has died

ASKED = """
    select prompt, domain, require_approval, context, system_prompt, parent_session_id
    from radiant.session where tenant_id = %s and id = %s
"""
LOST = """
    select id from radiant.session
    where tenant_id = %s and id = %s and status = 'created' and dagster_run_id is null
      and created_at < clock_timestamp() - make_interval(secs => %s)
"""


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody asks. Fields as in `domain.sessions.SessionRequest`.

    Args:
        agents: The swarm, None to use the stored panel.
        rerun_of: The session that is asked again.
        live: Somebody watches: the agents' answers are streamed.
        parent_session_id: The session that is followed up.
    """

    prompt: str
    user_id: str
    domain: str = "general"
    panel: str = "default"
    agents: tuple[AgentConfig, ...] | None = None
    require_approval: bool = False
    context: Mapping[str, Any] = field(default_factory=dict[str, Any])
    system_prompt: str | None = None
    rerun_of: UUID | None = None
    live: bool = False
    parent_session_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """Where questions of one tenant are taken in."""

    settings: Settings
    database: Database
    tenant_id: UUID
    dagster: DagsterApi


@dataclass(frozen=True, slots=True)
class TakenIn:
    """A session that was stored, by this call or by an earlier one with the same key."""

    session_id: UUID
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What a cancellation did.

    Args:
        runs_stopped: Runs that were at work.
        trouble: Why Dagster could not be asked; runs stop at their next step all the same.
    """

    runs_stopped: list[str]
    trouble: DagsterUnavailable | None = None


def check_question(desk: Desk, question: Question) -> tuple[SessionRequest, SessionEstimate]:
    """Check a question and say what it can cost at most. Stores nothing.

    Raises:
        InvalidInput: Names the field, the problem and the fix.
    """
    return submission.prepare(
        desk.database,
        desk.settings,
        desk.tenant_id,
        prompt=question.prompt,
        domain=question.domain,
        user_id=question.user_id,
        panel=question.panel,
        agents=question.agents,
        require_approval=question.require_approval,
        context=question.context,
        system_prompt=question.system_prompt,
        parent_session_id=question.parent_session_id,
    )


def require_dagster(desk: Desk) -> None:
    """Refuse where nothing can be launched.

    Raises:
        DagsterUnavailable: The webserver is away or has not loaded our code.
    """
    desk.dagster.version()
    if not desk.dagster.location_loaded():
        raise DagsterUnavailable(
            desk.settings.dagster_url, "it has not loaded the code location radiant_dagster"
        )


def store_and_launch(
    desk: Desk,
    question: Question,
    request: SessionRequest,
    estimate: SessionEstimate,
    *,
    key: str | None = None,
) -> TakenIn:
    """Store a question that was checked, and launch its run.

    Args:
        key: The caller's Idempotency-Key; the same question under the same key is taken in once.

    Raises:
        SessionNotLaunched: It is stored as failed.
        IdempotencyConflict: The key belongs to another question.
    """
    session_id = uuid4()

    def insert() -> Reply:
        submission.insert_session(
            cursor, desk.settings, desk.tenant_id, session_id, request, estimate,
            rerun_of=question.rerun_of, live=question.live,
        )  # fmt: skip
        return Reply(201, {"session_id": str(session_id)})

    with desk.database.tenant_transaction(desk.tenant_id) as cursor:
        if key is None:
            reply = insert()
        else:
            reply = idempotency.get_or_run(
                cursor, desk.tenant_id, actor=question.user_id, key=key,
                request_hash=question_hash(question), run=insert,
            )  # fmt: skip
        stored = UUID(reply.body["session_id"])
        lost = reply.replayed and _is_lost(cursor, desk.tenant_id, stored)
    if lost or not reply.replayed:
        launch(desk, stored, question.user_id)
    return TakenIn(stored, reply.replayed)


def question_hash(question: Question) -> bytes:
    """Return what tells two questions apart that carry the same key."""
    text = json.dumps(asdict(question), sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _is_lost(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> bool:
    """Tell whether who stored it died before the launch."""
    cursor.execute(LOST, (tenant_id, session_id, LOST_SECONDS))
    return cursor.fetchone() is not None


def launch(desk: Desk, session_id: UUID, user_id: str) -> None:
    """Launch the run of a session that is stored.

    Raises:
        SessionNotLaunched: It is stored as failed.
    """
    tenant_id = desk.tenant_id
    try:
        run_id = desk.dagster.launch_think_tank(tenant_id, session_id)
    except RadiantError as error:
        with desk.database.tenant_transaction(tenant_id) as cursor:
            sessions.advance(
                cursor,
                tenant_id,
                session_id,
                "failed",
                failure_code="launch_failed",
                failure_message=str(error),
            )
        raise SessionNotLaunched(session_id, getattr(error, "reason", error.code)) from None
    except KeyboardInterrupt:
        # Whether the run was launched is not known; a cancelled session buys nothing.
        with desk.database.tenant_transaction(tenant_id) as cursor:
            sessions.cancel_session(cursor, tenant_id, session_id, actor=user_id)
        ledger.book(desk.database, tenant_id, session_id)
        raise
    with desk.database.tenant_transaction(tenant_id) as cursor:
        sessions.update_session(cursor, tenant_id, session_id, dagster_run_id=run_id)


def cancel(desk: Desk, session_id: UUID, *, actor: str) -> Cancellation:
    """Cancel a session, its open review and its runs.

    Raises:
        SessionStateConflict: It has ended already.
        SessionNotFound: Unknown, or another tenant's.
    """
    tenant_id = desk.tenant_id
    with desk.database.tenant_transaction(tenant_id) as cursor:
        sessions.cancel_session(cursor, tenant_id, session_id, actor=actor)
        now = progress(cursor, tenant_id, session_id)
    ledger.book(desk.database, tenant_id, session_id)
    stopped: list[str] = []
    try:
        for run in dict.fromkeys((now.conclude_run_id, now.dagster_run_id)):
            if run and desk.dagster.terminate(run):
                stopped.append(run)
    except DagsterUnavailable as error:
        # The session's own flag is what runs obey; this only makes it quicker.
        return Cancellation(stopped, error)
    return Cancellation(stopped)


def asked_again(desk: Desk, session_id: UUID, *, user_id: str) -> Question:
    """Return a session's question with its agents as they were asked for.

    Args:
        user_id: Who asks now. They may not approve, whoever asked first.

    Raises:
        SessionNotFound: Unknown, or another tenant's.
    """
    with desk.database.tenant_transaction(desk.tenant_id) as cursor:
        cursor.execute(ASKED, (desk.tenant_id, session_id))
        row = cursor.fetchone()
        if row is None:
            raise SessionNotFound(session_id)
        agents = agent_runs.agent_rows(cursor, desk.tenant_id, session_id)
    return Question(
        prompt=row["prompt"],
        user_id=user_id,
        domain=row["domain"],
        agents=tuple(agent_runs.asked_config_from(agent) for agent in agents),
        require_approval=row["require_approval"],
        context=row["context"],
        system_prompt=row["system_prompt"],
        rerun_of=session_id,
        parent_session_id=row["parent_session_id"],
    )
