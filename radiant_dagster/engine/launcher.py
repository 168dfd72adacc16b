"""Launches runs as Celery tasks, and stops them without harming other runs.

dagster-celery's own launcher kills the worker child that happens to run the task, and reports no
cancellation, so Dagit shows a failed run. Here Terminate writes CANCELING to the run's status and
nothing else; the executor reads it within a second, see `executor`. A run that no worker has begun
is revoked and cancelled at once.

A worker that dies is noticed by Dagster's run monitoring through `check_run_worker_health`. Tasks
are acknowledged when they begin, not when they end: a broker that delivered a half-done run again
after its visibility timeout would start a second worker on it, while agents' answers are stored
anyway and re-execution from failure skips them.
"""

from collections.abc import Mapping
from typing import Any, cast

import dagster as dg
from celery.exceptions import CeleryError
from celery.result import AsyncResult
from dagster import _check as check
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import pack_value
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from radiant_dagster.errors import BrokerUnavailable

PING_SECONDS = 2.0
PINGS = 2  # one missed answer may be a busy moment
NOT_BEGUN = frozenset(
    {
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
    }
)
BROKER_ERRORS = (OperationalError, RedisError, CeleryError, OSError)


class RadiantRunLauncher(CeleryRunLauncher):
    """`CeleryRunLauncher` whose Terminate is a request and whose health check finds the dead."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Hand the run to the broker.

        Raises:
            BrokerUnavailable: Dagster marks the run as failed with it.
        """
        run = context.dagster_run
        arguments = ExecuteRunArgs(
            job_origin=check.not_none(run.job_code_origin),
            run_id=run.run_id,
            instance_ref=self._instance.get_ref(),
            set_exit_code_on_failure=True,
        )
        # By name: the parent class registers a task at each launch, and Celery warns each time.
        signature: Any = self.celery.signature(
            TASK_EXECUTE_JOB_NAME,
            kwargs={"execute_job_args_packed": pack_value(arguments)},
            immutable=True,
        )
        # The task's id is chosen and noted before a worker can begin: a retried run inherits the
        # tags of the lost one, and run monitoring would judge it by that one's dead task.
        task_id = signature.freeze().id
        self._instance.add_run_tags(run.run_id, {DAGSTER_CELERY_TASK_ID_TAG: task_id})
        try:
            self._launch_celery_task_run(run, signature, TASK_EXECUTE_JOB_NAME)
        except (*BROKER_ERRORS, RuntimeError) as error:
            # RuntimeError, bare, is what Celery raises where it cannot reach the result store.
            raise self._unavailable(error) from None

    def terminate(self, run_id: str) -> bool:
        """Ask a run to stop.

        Returns:
            True where it was asked or ended at once, False where it is unknown or over.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        if run.status not in NOT_BEGUN:
            return True
        try:
            waiting = self._revoke_waiting(run)
        except BROKER_ERRORS as error:
            # The run stays CANCELING: whichever worker gets it will not begin it.
            raise self._unavailable(error) from None
        if waiting:
            self._instance.report_run_canceled(run, "Cancelled before a worker began the run.")
        return True

    def _revoke_waiting(self, run: dg.DagsterRun) -> bool:
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id is None:
            return True
        result = self._result(task_id)
        if result.state != "PENDING":
            return False
        result.revoke(terminate=False)
        return True

    @property
    def supports_resume_run(self) -> bool:
        """No: a lost run is re-executed from failure, which skips what is stored."""
        return False

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Tell run monitoring whether somebody still works on the run."""
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "No Celery task was recorded.")
        try:
            result = self._result(task_id)
            state = result.state
            if state == "SUCCESS":
                return CheckRunHealthResult(WorkerStatus.SUCCESS)
            if state in {"FAILURE", "REVOKED"}:
                return CheckRunHealthResult(
                    WorkerStatus.FAILED, f"The Celery task ended as {state}: its worker was lost."
                )
            if state == "STARTED":
                return self._ask_worker(result, task_id)
        except BROKER_ERRORS:
            # Nobody can be asked; failing every running run for that would be worse.
            return CheckRunHealthResult(WorkerStatus.RUNNING, "The broker does not answer.")
        return CheckRunHealthResult(WorkerStatus.RUNNING, f"The Celery task is {state}.")

    def _ask_worker(self, result: AsyncResult, task_id: str) -> CheckRunHealthResult:
        info: Any = result.info
        hostname = info.get("hostname") if isinstance(info, Mapping) else None
        inspect = self.celery.control.inspect(
            destination=[hostname] if hostname else None, timeout=PING_SECONDS
        )
        for _ in range(PINGS):
            answers = cast("dict[str, dict[str, Any]] | None", inspect.query_task(task_id))
            if answers and any(task_id in tasks for tasks in answers.values()):
                return CheckRunHealthResult(WorkerStatus.RUNNING)
            if answers or self._result(task_id).state != "STARTED":
                # A worker of that name lives without the task: it ended just now, or the worker
                # was started anew. The task's own state tells which.
                break
        if self._result(task_id).state == "SUCCESS":
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"Worker {hostname or 'unknown'} no longer runs the task."
        )

    def _result(self, task_id: str) -> AsyncResult:
        return self.celery.AsyncResult(task_id)

    def _unavailable(self, error: Exception) -> BrokerUnavailable:
        # The URL may carry a password; the driver's message may carry the URL.
        return BrokerUnavailable("RADIANT_BROKER_URL", type(error).__name__)
