"""The end of a session: what is learned, what is credited, what it ended as."""

from datetime import UTC, datetime
from uuid import uuid4

import dagster as dg

from radiant_dagster.adapters import approvals, audit, dispatch, ledger, sessions
from radiant_dagster.adapters.grimoire import credit
from radiant_dagster.adapters.librarian import Librarian
from radiant_dagster.domain.posterior import reward
from radiant_dagster.domain.sessions import final_outcome
from radiant_dagster.engine.cancellation import step_cancelled
from radiant_dagster.engine.steps import ids, session_op
from radiant_dagster.resources import (
    DatabaseResource,
    EmbeddingsResource,
    ModelsResource,
    SafetyResource,
)


@session_op(
    description="Let the Librarian distil at most one heuristic: what to do from a released "
    "answer, what to avoid from a draft that was rejected with guidance. It is scrubbed, checked "
    "by Cato twice and stored as quarantined: no prompt gets it before a curator or reviewed "
    "sessions of two different users have vouched for it. A fault here never holds the answer "
    "back.",
    tags={"radiant/phase": "conclude"},
)
def librarian_review(
    context: dg.OpExecutionContext,
    ref: dict,  # type: ignore[type-arg]
    database: DatabaseResource,
    models: ModelsResource,
    embeddings: EmbeddingsResource,
    safety: SafetyResource,
) -> dict:  # type: ignore[type-arg]
    """Let the Librarian distil at most one heuristic."""
    tenant_id, session_id = ids(ref)
    with database.database.tenant_transaction(tenant_id) as cursor:
        decision = approvals.decision_of_session(cursor, tenant_id, session_id)
    librarian = Librarian(
        database=database.database,
        llm=models.client,
        model=models.librarian_model,
        embeddings=embeddings.model,
        cato=safety.cato,
        detector=safety.detector,
        timeout_seconds=models.call_timeout_seconds,
        caps=models.learning_caps,
    )
    outcome = librarian.review(
        tenant_id,
        session_id,
        decision=decision,
        new_id=uuid4(),
        now=datetime.now(UTC),
        cancelled=step_cancelled(),
    )
    metadata = {
        "decision": outcome.decision,
        "reason": outcome.reason,
        "cost_usd": outcome.cost_micro_usd / 1e6,
        "heuristic_id": str(outcome.heuristic_id or ""),
        "promoted": outcome.promoted,
    }
    if outcome.decision == "stored" and not outcome.repeated:
        context.log_event(
            dg.AssetMaterialization(
                "grimoire", description="One quarantined heuristic", metadata=metadata
            )
        )
    context.add_output_metadata(metadata)
    return ref


@session_op(
    description="Credit the heuristics that the agents cited, by the human decision, and close the "
    "session as completed, rejected or expired.",
    tags={"radiant/phase": "conclude"},
)
def close_session(
    context: dg.OpExecutionContext,
    ref: dict,  # type: ignore[type-arg]
    database: DatabaseResource,
) -> None:
    """Credit what was cited and close the session."""
    tenant_id, session_id = ids(ref)
    with database.database.tenant_transaction(tenant_id) as cursor:
        row = sessions.get_session(cursor, tenant_id, session_id)
        decision = approvals.decision_of_session(cursor, tenant_id, session_id)
        verdict = decision["verdict"] if decision else None
        worth = reward(verdict, row["draft"] or "", row["final_response"])
        credited = (
            0 if worth is None else credit.credit_session(cursor, tenant_id, session_id, worth)
        )
        status = final_outcome(verdict)
        sessions.advance(cursor, tenant_id, session_id, status)
        dispatch.finish_decisions(cursor, tenant_id, session_id)
        audit.record(
            cursor,
            tenant_id,
            actor="system:think_tank",
            action=f"session.{status}",
            session_id=session_id,
            detail={"credited": credited},
        )
    ledger.book(database.database, tenant_id, session_id)
    context.add_output_metadata(
        {"status": status, "cost_usd": row["cost_micro_usd"] / 1e6, "heuristics_credited": credited}
    )
