"""Makes sessions end when their run ended without them: a killed worker, a terminated run."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import dagster as dg
from dagster._core.errors import DagsterRunNotFoundError

from radiant_dagster.adapters import recovery, run_outcomes
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import attempt_of, continuation_run_key
from radiant_dagster.domain.wording import counted
from radiant_dagster.engine.launcher import RadiantRunLauncher
from radiant_dagster.jobs import synthesis_and_librarian
from radiant_dagster.resources import DatabaseResource

TAG_LOOKS, TAG_PAUSE_SECONDS = 30, 0.1
WILL_RETRY = "dagster/will_retry"  # Dagster's own tags on a failed run
FAILURE_REASON = "dagster/failure_reason"
FAILED_INSIDE = ("STEP_FAILURE", "RUN_EXCEPTION", "JOB_INITIALIZATION_FAILURE")
LOST_START_SECONDS = 30.0  # from the launch of a run to its task's id at the very most
STUCK_SECONDS = 60.0  # a retry is launched within ten seconds of the failure it follows
MOST_LOOKED_AT = 200  # in one tick; the oldest come first, and those that are stuck leave the list
MOST_ANCESTORS = 20
JOBS = ("think_tank", "synthesis_and_librarian")


@dg.run_failure_sensor(
    name="session_failure_sensor",
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks the session of a failed run as failed, where the run could not do so "
    "itself. A continuation that failed gives its decision back, at most twice, one that was lost "
    "with its worker up to twenty times; then it waits for `radiant approvals retry`.",
)
def session_failure_sensor(context: dg.RunFailureSensorContext, database: DatabaseResource) -> None:
    """Mark the session of a failed run as failed."""
    run = context.dagster_run
    # Never a SkipReason: Dagster refuses a tick in which one run gives a reason and another none,
    # and meets the same runs at the next tick, so that no end would ever be noticed again.
    if run.job_name not in JOBS or _will_retry(context.instance, run.run_id):
        return
    approval_id = _approval_of(run)
    if approval_id is None:
        run_outcomes.mark_failed(
            database.database,
            run.run_id,
            session=_session_of(run),
            ancestors=_ancestors(context.instance, run),
        )
        return
    given_back = recovery.give_back(
        database.database,
        approval_id,
        run.run_id,
        attempt=attempt_of(run.tags.get("dagster/run_key")),
        lost=_is_lost(run),
    )
    if given_back and given_back.stuck:
        context.log.error(
            "Approval %s: its decision is not carried out by itself any more. See run %s, mend the "
            "cause, then: radiant approvals retry %s",
            approval_id,
            run.run_id,
            approval_id,
        )


def _is_lost(run: dg.DagsterRun) -> bool:
    """Tell whether a failed run was ended from outside, since nothing in it failed."""
    return run.tags.get(FAILURE_REASON) not in FAILED_INSIDE


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
def session_canceled_sensor(context: dg.RunStatusSensorContext, database: DatabaseResource) -> None:
    """Mark the session of a terminated run as cancelled."""
    run = context.dagster_run
    if run.job_name not in JOBS:
        return
    run_outcomes.mark_cancelled(
        database.database,
        run.run_id,
        session=_session_of(run),
        ancestors=_ancestors(context.instance, run),
    )


@dg.sensor(
    name="stuck_session_sensor",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks after sessions that say they are at work although their run, and every "
    "retry of it, has ended or was deleted: Dagster announced a retry and could not launch it, or "
    "a status sensor missed the end. They are marked as failed, so that none waits for ever. Runs "
    "that no worker will ever begin (the daemon died while it launched them, or a worker before it "
    "had begun them) are failed and so retried in a minute instead of an hour. Decisions "
    "whose run ended unnoticed are given back.",
)
def stuck_session_sensor(
    context: dg.SensorEvaluationContext, database: DatabaseResource
) -> dg.SkipReason:
    """Mark sessions whose runs have all ended as failed, and runs that can never begin."""
    lost = fail_lost_starts(context.instance, grace_seconds=LOST_START_SECONDS)
    if lost:
        context.log.warning("Runs that no worker would have begun, marked failed: %s", lost)
    orphans = give_back_orphans(context.instance, database.database, grace_seconds=STUCK_SECONDS)
    if orphans:
        context.log.warning("Decisions whose run ended unnoticed, given back: %s", orphans)
    at_work, stuck = mark_stuck(context.instance, database.database, grace_seconds=STUCK_SECONDS)
    if stuck:
        context.log.warning("Sessions whose runs had ended without them, marked failed: %s", stuck)
    return dg.SkipReason(f"{counted(at_work, 'session')} at work; stuck: {stuck}.")


def fail_lost_starts(instance: dg.DagsterInstance, *, grace_seconds: float) -> int:
    """Fail launched runs that no worker has and no broker holds, so that they are retried.

    Dagster's run monitoring asks for the worker of a begun run only. One that was lost before it
    began would wait for `start_timeout_seconds`, which has to be long, since runs that wait for a
    free worker look the same; and its run key would keep the approval sensor from another one.

    Args:
        grace_seconds: Younger launches may still be under way.

    Returns:
        How many runs were failed.
    """
    launcher = instance.run_launcher
    if not isinstance(launcher, RadiantRunLauncher):
        return 0
    before = datetime.now(UTC) - timedelta(seconds=grace_seconds)
    starting = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING], updated_before=before)
    runs = instance.get_runs(starting, limit=MOST_LOOKED_AT, ascending=True)
    lost = launcher.lost_tasks(runs)
    for run in runs:
        if run.run_id in lost:
            # A worker that gets it after all sees that it has ended and leaves it.
            instance.report_run_failed(run, f"Lost before it began. {lost[run.run_id]}".strip())
    return len(lost)


def mark_stuck(
    instance: dg.DagsterInstance, database: Database, *, grace_seconds: float
) -> tuple[int, int]:
    """Mark sessions as failed whose run and all its re-executions ended without them.

    Args:
        grace_seconds: Sessions and ends of runs that are younger are left to the other sensors.

    Returns:
        How many sessions were looked at, and how many were marked.
    """
    at_work = run_outcomes.sessions_at_work(
        database, older_than_seconds=grace_seconds, limit=MOST_LOOKED_AT
    )
    stuck = 0
    for tenant_id, session_id, run_id in at_work:
        if _all_over(instance, run_id, grace_seconds):
            key = (tenant_id, session_id)
            stuck += run_outcomes.mark_failed(database, run_id, session=key)
    return len(at_work), stuck


def give_back_orphans(
    instance: dg.DagsterInstance, database: Database, *, grace_seconds: float
) -> int:
    """Give back decisions whose run and all its re-executions ended, and nobody told of it.

    One that no run has claimed is among them where the run that was launched for it is over: its
    run key keeps the approval sensor from another one.

    Args:
        grace_seconds: Claims and ends of runs that are younger are left to the other sensors.

    Returns:
        How many decisions were given back.
    """
    found = 0
    for item in recovery.open_decisions(
        database, older_than_seconds=grace_seconds, limit=MOST_LOOKED_AT
    ):
        if item.run_id is None:
            run_id = _launched_in_vain(instance, item, grace_seconds)
        else:
            run_id = item.run_id if _all_over(instance, item.run_id, grace_seconds) else None
        if run_id is None:
            continue
        run = instance.get_run_by_id(run_id)
        given_back = recovery.give_back(
            database,
            item.approval_id,
            run_id,
            attempt=item.attempt,
            lost=run is None or _is_lost(run),
        )
        found += given_back is not None
    return found


def _launched_in_vain(
    instance: dg.DagsterInstance, item: recovery.OpenDecision, grace_seconds: float
) -> str | None:
    """Return a run of an unclaimed decision's present attempt where all such runs are over."""
    key = continuation_run_key(item.approval_id, item.attempt)
    records = instance.get_run_records(dg.RunsFilter(tags={"dagster/run_key": key}))
    if records and _ended(records, grace_seconds):
        return records[0].dagster_run.run_id
    return None


def _all_over(instance: dg.DagsterInstance, run_id: str, grace_seconds: float) -> bool:
    """Tell whether a run and all its re-executions ended a while ago, or are gone."""
    try:
        group = instance.get_run_group(run_id)
    except DagsterRunNotFoundError:
        return True
    ids = [run.run_id for run in group[1]] if group else [run_id]
    return _ended(instance.get_run_records(dg.RunsFilter(run_ids=ids)), grace_seconds)


def _ended(records: Sequence[dg.RunRecord], grace_seconds: float) -> bool:
    now = datetime.now(UTC)
    return all(
        record.dagster_run.is_finished
        and (now - record.update_timestamp).total_seconds() >= grace_seconds
        for record in records
    )


def _ancestors(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """Return the runs that a run re-executes, the nearest first."""
    found: list[str] = []
    parent = run.parent_run_id
    while parent is not None and parent not in found and len(found) < MOST_ANCESTORS:
        found.append(parent)
        older = instance.get_run_by_id(parent)
        parent = older.parent_run_id if older else None
    return found
