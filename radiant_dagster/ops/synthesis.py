"""From answers to one answer: draft, Cato's check, and what the human decision makes of it."""

from uuid import uuid4

import dagster as dg

from radiant_dagster.adapters import approvals, dispatch, reviews, sessions, tenants
from radiant_dagster.adapters.synthesis import check_draft, verdict_of, write_draft
from radiant_dagster.domain.approvals import NO_DRAFT, require_reviewed_text
from radiant_dagster.domain.sessions import release
from radiant_dagster.engine.cancellation import step_cancelled
from radiant_dagster.engine.steps import ids, session_op
from radiant_dagster.errors import QuorumNotReached
from radiant_dagster.resources import DatabaseResource, ModelsResource, SafetyResource


@session_op(
    description="Write the draft: one answer from all of the agents' answers. Skipped where the "
    "domain's policy puts the answers themselves before the reviewer (`review_stage = answers`).",
    tags={"radiant/phase": "synthesis"},
)
def synthesize(
    context: dg.OpExecutionContext,
    ref: dict,  # type: ignore[type-arg]
    database: DatabaseResource,
    models: ModelsResource,
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
        draft = write_draft(
            database.database,
            models.client,
            models.synthesis_model,
            tenant_id,
            session_id,
            timeout_seconds=models.call_timeout_seconds,
            cancelled=step_cancelled(),
        )
        context.add_output_metadata(
            {
                "model": draft.model_used,
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
    safety: SafetyResource,
):
    """Carry out what was decided."""
    tenant_id, session_id = ids(ref)
    pool = database.database
    with pool.tenant_transaction(tenant_id) as cursor:
        sessions.advance(
            cursor, tenant_id, session_id, "concluding", conclude_run_id=context.run_id
        )
        row = sessions.get_session(cursor, tenant_id, session_id)
        decision = approvals.decision_of_session(cursor, tenant_id, session_id)
    reviewed = decision is not None and bytes(decision["payload_sha256"]) != NO_DRAFT
    if decision is not None and decision["verdict"] == "approved" and reviewed:
        require_reviewed_text(decision, row["draft"])
    outcome = release(
        verdict=decision["verdict"] if decision else None,
        draft=row["draft"],
        draft_reviewed=reviewed,
        edited_text=decision["edited_text"] if decision else None,
    )
    text, note = outcome.text, outcome.note
    if outcome.needs_draft:
        # Written before and lost to a crash: it is checked below, so it need not be bought again.
        text = None if outcome.review_again else row["draft"]
        if text is None:
            text = write_draft(
                pool,
                models.client,
                models.synthesis_model,
                tenant_id,
                session_id,
                timeout_seconds=models.call_timeout_seconds,
                cancelled=step_cancelled(),
                guidance=decision["guidance"] if decision else None,
            ).text
        verdict = verdict_of(check_draft(pool, safety.cato, tenant_id, session_id))
        reasons = (("revised",) if outcome.review_again else ()) + (
            (f"cato_{verdict}",) if verdict != "safe" else ()
        )
        if reasons:
            with pool.tenant_transaction(tenant_id) as cursor:
                dispatch.finish_decisions(cursor, tenant_id, session_id)
                approval_id, _ = reviews.submit(
                    cursor,
                    tenant_id,
                    uuid4(),
                    sessions.get_session(cursor, tenant_id, session_id),
                    safety.detector,
                    draft=text,
                    reasons=reasons,
                    attempt=decision["attempt"] + 1 if decision else 1,
                )
            context.log.info("A new draft goes to review as approval %s", approval_id)
            return
    with pool.tenant_transaction(tenant_id) as cursor:
        sessions.release_answer(cursor, tenant_id, session_id, text, note)
    yield dg.Output(
        ref,
        metadata={
            "verdict": decision["verdict"] if decision else "no review",
            "answer_released": text is not None,
        },
    )
