"""Makes sessions end when their run ended without them: a killed worker, a terminated run."""

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import dagster as dg

from radiant_dagster.adapters import dispatch, run_outcomes
from radiant_dagster.domain.approvals import attempt_of
from radiant_dagster.jobs import synthesis_and_librarian
from radiant_dagster.resources import DatabaseResource

TAG_LOOKS, TAG_PAUSE_SECONDS = 30, 0.1
WILL_RETRY = "dagster/will_retry"  # Dagster's own tag on a failed run
JOBS = ("think_tank", "synthesis_and_librarian")


@dg.run_failure_sensor(
    name="session_failure_sensor",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks the session of a failed run as failed, where the run could not do so "
    "itself. A failed continuation gives its decision back, at most twice; then the decision waits "
    "for an operator (re-execute the run from failure in Dagit).",
)
def session_failure_sensor(
    context: dg.RunFailureSensorContext, database: DatabaseResource
) -> dg.SkipReason | None:
    """Mark the session of a failed run as failed."""
    run = context.dagster_run
    if run.job_name not in JOBS:
        return dg.SkipReason("Not a session's run.")
    if _will_retry(context.instance, run.run_id):
        return dg.SkipReason("The worker was lost; Dagster runs it again from where it broke.")
    run_outcomes.mark_failed(database.database, run.run_id, session=_session_of(run))
    approval_id = _approval_of(run)
    if approval_id is not None:
        attempt = attempt_of(run.tags.get("dagster/run_key"))
        following = dispatch.retry_continuation(
            database.database, approval_id, run.run_id, attempt=attempt
        )
        if following == "stuck":
            context.log.error(
                "Approval %s: no attempt is left to carry its decision out. Mend the cause, then "
                "re-execute run %s from failure.",
                approval_id,
                run.run_id,
            )
    return None


def _will_retry(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Tell whether Dagster runs a failed run again.

    It writes its answer just after the status that wakes this sensor, hence the short wait.
    """
    if not instance.run_retries_enabled:
        return False
    for _ in range(TAG_LOOKS):
        run = instance.get_run_by_id(run_id)
        tag = run.tags.get(WILL_RETRY) if run else "false"
        if tag is not None:
            return tag == "true"
        time.sleep(TAG_PAUSE_SECONDS)
    return False


def _session_of(run: dg.DagsterRun) -> tuple[UUID, UUID] | None:
    if run.job_name != JOBS[0]:
        return None
    config = _op_config(run, "open_session")
    tenant_id, session_id = _uuid(config.get("tenant_id")), _uuid(config.get("session_id"))
    return (tenant_id, session_id) if tenant_id and session_id else None


def _approval_of(run: dg.DagsterRun) -> UUID | None:
    # From the config, which says what the run did; tags are only what its launcher wrote.
    if run.job_name != synthesis_and_librarian.name:
        return None
    return _uuid(_op_config(run, "claim_decision").get("approval_id"))


def _op_config(run: dg.DagsterRun, op: str) -> Mapping[str, Any]:
    config: Any = run.run_config
    return config.get("ops", {}).get(op, {}).get("config", {})


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELED,
    name="session_canceled_sensor",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks the session of a terminated run as cancelled, with its pending approval.",
)
def session_canceled_sensor(
    context: dg.RunStatusSensorContext, database: DatabaseResource
) -> dg.SkipReason | None:
    """Mark the session of a terminated run as cancelled."""
    run = context.dagster_run
    if run.job_name not in JOBS:
        return dg.SkipReason("Not a session's run.")
    run_outcomes.mark_cancelled(database.database, run.run_id, session=_session_of(run))
    return None
