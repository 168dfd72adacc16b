"""The human gate: is a person needed, put the draft before one, take up what was decided."""

from uuid import UUID, uuid4

import dagster as dg
from pydantic import Field

from radiant_dagster.adapters import dispatch, ledger, reviews, sessions, tenants
from radiant_dagster.domain.sessions import approval_reasons
from radiant_dagster.engine.steps import ids, ref_of, session_op
from radiant_dagster.errors import DecisionAlreadyClaimed, InvalidInput
from radiant_dagster.resources import DatabaseResource, SafetyResource, process_settings


@session_op(
    description="Decide whether a person has to look: the caller or the domain asks for it, Cato "
    "is unsure or away, agents are missing or disagree. Reasons only add up; nothing waives one.",
    out={
        "review": dg.Out(dict, is_required=False, description="A person has to decide."),
        "direct": dg.Out(dict, is_required=False, description="No approval is needed."),
    },
    tags={"radiant/phase": "approval"},
)
def gate(context: dg.OpExecutionContext, ref: dict, database: DatabaseResource):  # type: ignore[type-arg]  # noqa: D103
    tenant_id, session_id = ids(ref)
    with database.database.tenant_transaction(tenant_id) as cursor:
        row = sessions.get_session(cursor, tenant_id, session_id)
        policy = tenants.domain_policies(cursor, tenant_id)[row["domain"]]
        reasons = approval_reasons(
            requested=row["require_approval"],
            policy=policy,
            cato_verdict=row["cato_verdict"] or "unavailable",
            swarm_status=row["swarm_status"],
            agreement=(row["draft_details"] or {}).get("agreement", "unknown"),
            not_synthesised=sessions.is_not_synthesised(row),
        )
        sessions.update_session(cursor, tenant_id, session_id, approval_reasons=list(reasons))
    metadata = {"approval_needed": bool(reasons), "reasons": list(reasons)}
    yield dg.Output(ref, "review" if reasons else "direct", metadata=metadata)


@session_op(
    description="Scrub prompt, draft and answers of personal data and store the approval request "
    "with its deadline. The run ends here and holds no worker; the approval sensor launches "
    "`synthesis_and_librarian` when somebody has decided or the deadline has passed.",
    tags={"radiant/phase": "approval"},
)
def request_approval(
    context: dg.OpExecutionContext,
    ref: dict,  # type: ignore[type-arg]
    database: DatabaseResource,
    safety: SafetyResource,
) -> None:
    """Scrub the draft and store the approval request."""
    tenant_id, session_id = ids(ref)
    with database.database.tenant_transaction(tenant_id) as cursor:
        row = sessions.get_session(cursor, tenant_id, session_id)
        approval_id, withheld = reviews.submit(
            cursor,
            tenant_id,
            uuid4(),
            row,
            safety.detector,
            draft=row["draft"] or "",
            reasons=row["approval_reasons"],
            attempt=1,
        )
    # A review can last for hours; what the agents and the draft cost counts as spent meanwhile.
    ledger.book(database.database, tenant_id, session_id)
    metadata: dict[str, dg.MetadataValue | str | bool] = {
        "approval_id": str(approval_id),
        "withheld": withheld,
        "next": f"radiant approvals show {approval_id}",
    }
    reviewers_url = process_settings().reviewers_url
    if reviewers_url is not None:
        page = f"{reviewers_url.rstrip('/')}/approvals/{approval_id}"
        metadata["review"] = dg.MetadataValue.url(page)
    context.add_output_metadata(metadata)


class ClaimConfig(dg.Config):
    """Which decision to carry out. The approval sensor fills this in."""

    tenant_id: str = Field(description="Id of the tenant, a UUID.")
    approval_id: str = Field(
        description="Id of a decided approval, a UUID. The verdict is read from the database; "
        "run config cannot carry one."
    )


@session_op(
    description="Take the decision for this run. Exactly one run carries a decision out: where "
    "another has it, this run ends here without effect. A forged or undecided id fails.",
    out={"ref": dg.Out(dict, is_required=False)},
    tags={"radiant/phase": "approval"},
)
def claim_decision(context: dg.OpExecutionContext, config: ClaimConfig, database: DatabaseResource):  # noqa: D103
    try:
        tenant_id, approval_id = UUID(config.tenant_id), UUID(config.approval_id)
    except ValueError:
        raise InvalidInput(
            "approval_id", "or tenant_id is not a UUID", "Copy both from the CLI."
        ) from None
    run = context.run
    ancestors = [run_id for run_id in (run.root_run_id, run.parent_run_id) if run_id]
    with database.database.tenant_transaction(tenant_id) as cursor:
        try:
            decision = dispatch.claim_decision(
                cursor, tenant_id, approval_id, run_id=run.run_id, ancestors=ancestors
            )
        except DecisionAlreadyClaimed as taken:
            context.log.info("Nothing to do: run %s carries this decision out", taken.run_id)
            return
    yield dg.Output(
        ref_of(tenant_id, decision["session_id"]),
        "ref",
        metadata={"verdict": decision["verdict"], "attempt": decision["attempt"]},
    )
