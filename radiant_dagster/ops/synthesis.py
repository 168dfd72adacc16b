"""From answers to one answer: draft, Cato's check, and what the human decision makes of it."""

from uuid import uuid4

import dagster as dg

from radiant_dagster.adapters import sessions, tenants
from radiant_dagster.adapters.conclusion import Conclusion
from radiant_dagster.adapters.synthesis import Synthesiser, check_draft, verdict_of
from radiant_dagster.engine.cancellation import step_cancelled
from radiant_dagster.engine.steps import ids, retry_model_call, session_op
from radiant_dagster.errors import QuorumNotReached
from radiant_dagster.resources import (
    DatabaseResource,
    EmbeddingsResource,
    ModelsResource,
    SafetyResource,
)


def _synthesiser(
    context: dg.OpExecutionContext,
    database: DatabaseResource,
    models: ModelsResource,
    embeddings: EmbeddingsResource,
) -> Synthesiser:
    return Synthesiser(
        database=database.database,
        llm=models.client,
        embeddings=embeddings.model,
        model=models.synthesis_model,
        fallback_model=models.fallback_synthesis_model,
        timeout_seconds=models.call_timeout_seconds,
        retry=lambda error: retry_model_call(context, error, models.max_retries),
    )


@session_op(
    description="Write the draft: one answer from all of the agents' answers. Skipped where the "
    "domain's policy puts the answers themselves before the reviewer (`review_stage = answers`). A "
    "passing fault is retried, then the fallback model writes it; where neither can, the answers "
    "stand side by side as the draft and a person has to look.",
    tags={"radiant/phase": "synthesis"},
)
def synthesize(
    context: dg.OpExecutionContext,
    ref: dict,  # type: ignore[type-arg]
    database: DatabaseResource,
    models: ModelsResource,
    embeddings: EmbeddingsResource,
) -> dict:  # type: ignore[type-arg]
    """Write the draft from all of the agents' answers."""
    tenant_id, session_id = ids(ref)
    with database.database.tenant_transaction(tenant_id) as cursor:
        row = sessions.get_session(cursor, tenant_id, session_id)
        policy = tenants.domain_policies(cursor, tenant_id)[row["domain"]]
    if row["swarm_status"] == "failed":
        # Re-execution of a dynamic graph can skip the step that collects; so look again here.
        raise QuorumNotReached(session_id, 0, 1, "the swarm failed")
    if policy.drafts_before_review(requested=row["require_approval"]) and row["draft"] is None:
        draft = _synthesiser(context, database, models, embeddings).write_draft(
            tenant_id, session_id, cancelled=step_cancelled()
        )
        context.add_output_metadata(
            {
                "model": draft.model_used or "none",
                "not_synthesised": draft.not_synthesised,
                "agreement": draft.agreement,
                "latency_ms": draft.latency_ms,
                "cost_usd": draft.cost_micro_usd / 1e6,
            }
        )
    with database.database.tenant_transaction(tenant_id) as cursor:
        sessions.advance(cursor, tenant_id, session_id, "synthesised")
    return ref


@session_op(
    description="Ask Cato whether the draft is safe to hand out. Blocked, doubtful or no verdict "
    "at all sends it to a person; nothing is released on a missing check.",
    tags={"radiant/phase": "synthesis"},
)
def check_epistemics(
    context: dg.OpExecutionContext,
    ref: dict,  # type: ignore[type-arg]
    database: DatabaseResource,
    safety: SafetyResource,
) -> dict:  # type: ignore[type-arg]
    """Ask Cato whether the draft is safe to hand out."""
    risk = check_draft(database.database, safety.cato, *ids(ref))
    context.add_output_metadata(
        {"verdict": verdict_of(risk), "risk_level": risk.risk_level, "reasons": list(risk.reasons)}
    )
    return ref


@session_op(
    description="Carry out what was decided. No review or approved: the draft is the answer. "
    "Modified with a text: that text is the answer. Modified with guidance alone: a new draft is "
    "written and goes to review again, since nobody has read it. Rejected or expired: no answer.",
    out={"result": dg.Out(dict, is_required=False)},
    tags={"radiant/phase": "conclude"},
)
def finalize_synthesis(
    context: dg.OpExecutionContext,
    ref: dict,  # type: ignore[type-arg]
    database: DatabaseResource,
    models: ModelsResource,
    embeddings: EmbeddingsResource,
    safety: SafetyResource,
):
    """Carry out what was decided."""
    conclusion = Conclusion(
        database=database.database,
        synthesiser=_synthesiser(context, database, models, embeddings),
        cato=safety.cato,
        detector=safety.detector,
    )
    concluded = conclusion.carry_out(
        *ids(ref), run_id=context.run_id, new_id=uuid4(), cancelled=step_cancelled()
    )
    if concluded.approval_id is not None:
        context.log.info("A new draft goes to review as approval %s", concluded.approval_id)
        return
    metadata = {"verdict": concluded.verdict, "answer_released": concluded.released}
    yield dg.Output(ref, metadata=metadata)
