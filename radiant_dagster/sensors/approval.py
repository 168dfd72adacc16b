"""Launches the continuation of decided approvals; sweeps deadlines, reservations and drafts.

The sensor keeps no cursor: it selects what is undispatched, so a decision that commits late, a
daemon that dies or a tick that is lost costs a minute at most and never a decision.
"""

import dagster as dg

from radiant_dagster.adapters import agent_progress, dispatch, ledger
from radiant_dagster.domain.approvals import continuation_run_key
from radiant_dagster.jobs import synthesis_and_librarian
from radiant_dagster.resources import DatabaseResource


@dg.sensor(
    name="approval_sensor",
    job=synthesis_and_librarian,
    # Dagster's sensor loop turns every five seconds at the fastest.
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Watches the decisions table. Launches `synthesis_and_librarian` once for every "
    "decision that nobody carries out yet, and turns approvals whose deadline has passed into "
    "recorded `expired` decisions. Reminds of pending ones at half their time and asks seniors as "
    "well at 80 %. Charges money that is still held for a session long after its last deadline. "
    "Deletes agents' drafts that killed workers left. A skipped tick says how many approvals wait "
    "and until when.",
)
def approval_sensor(
    context: dg.SensorEvaluationContext, database: DatabaseResource
) -> dg.SensorResult | dg.SkipReason:
    """Launch continuations of decided approvals."""
    swept = dispatch.sweep(database.database)
    if swept != dispatch.Swept(0, 0, 0, 0):
        context.log.info(
            "Deadlines: %s reminded, %s escalated, %s extended, %s expired",
            swept.reminded,
            swept.escalated,
            swept.extended,
            swept.expired,
        )
    abandoned = ledger.sweep(database.database)
    if abandoned:
        context.log.warning("Reservations nobody settled, charged in full: %s", abandoned)
    forgotten = agent_progress.sweep(database.database)
    if forgotten:
        context.log.info("Drafts that dead workers left, deleted: %s", forgotten)
    due = dispatch.lease_decisions(database.database)
    if not due:
        pending, seconds = dispatch.pending_summary(database.database)
        if seconds is None:
            return dg.SkipReason("No approval is pending.")
        return dg.SkipReason(f"{pending} pending, next deadline in {seconds:.0f} s.")
    return dg.SensorResult(run_requests=[_run_request(item) for item in due])


def _run_request(item: dispatch.Dispatch) -> dg.RunRequest:
    config = {"tenant_id": str(item.tenant_id), "approval_id": str(item.approval_id)}
    return dg.RunRequest(
        run_key=continuation_run_key(item.approval_id, item.attempt),
        run_config={"ops": {"claim_decision": {"config": config}}},
        tags={
            "radiant/session_id": str(item.session_id),
            "radiant/tenant_id": str(item.tenant_id),
            "radiant/approval_id": str(item.approval_id),
        },
    )
