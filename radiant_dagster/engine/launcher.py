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

import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import dagster as dg
from celery.exceptions import CeleryError
from celery.result import AsyncResult
from dagster import _check as check
from dagster._core.events import EngineEventData
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import pack_value
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from dagster_celery.launcher import CeleryRunLauncher, _get_run_priority
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG, DAGSTER_CELERY_TASK_ID_TAG
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from radiant_dagster.errors import BrokerUnavailable

PING_SECONDS = 2.0
PINGS = 2  # one missed answer may be a busy moment
FLIGHT_SECONDS = 2.0  # from the broker's queue to a worker's note of it, on a busy machine
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
        queue = run.tags.get(DAGSTER_CELERY_QUEUE_TAG, self.default_queue)
        try:
            # Not the parent's way, which writes the tag, and with it the whole run, once more.
            signature.apply_async(
                priority=_get_run_priority(run),
                queue=queue,
                routing_key=f"{queue}.{TASK_EXECUTE_JOB_NAME}",
            )
        except (*BROKER_ERRORS, RuntimeError) as error:
            # RuntimeError, bare, is what Celery raises where it cannot reach the result store.
            raise self._unavailable(error) from None
        self._instance.report_engine_event(
            "Celery task has been forwarded to the broker.",
            run,
            EngineEventData({"Celery Task ID": task_id, "Celery Queue": queue}),
            cls=self.__class__,
        )

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
            if state == "SUCCESS" and self._has_ended(run):
                return CheckRunHealthResult(WorkerStatus.SUCCESS)
            if state in {"FAILURE", "REVOKED"}:
                return CheckRunHealthResult(
                    WorkerStatus.FAILED, f"The Celery task ended as {state}: its worker was lost."
                )
            if state in {"STARTED", "SUCCESS"}:
                return self._ask_worker(run, result, task_id)
        except BROKER_ERRORS:
            # Nobody can be asked; failing every running run for that would be worse.
            return CheckRunHealthResult(WorkerStatus.RUNNING, "The broker does not answer.")
        return CheckRunHealthResult(WorkerStatus.RUNNING, f"The Celery task is {state}.")

    def lost_tasks(self, runs: Sequence[dg.DagsterRun]) -> dict[str, str]:
        """Return which launched runs nobody will begin, each with the reason.

        A task that nobody has noted anything of waits in the broker, or is lost: its launcher died
        before it handed it over, or a worker took it from the queue and died before it noted that.

        Args:
            runs: Runs that are STARTING.
        """
        lost: dict[str, str] = {}
        waiting: list[dg.DagsterRun] = []
        for run in runs:
            health = self.check_run_worker_health(run)
            if health.status in (WorkerStatus.FAILED, WorkerStatus.NOT_FOUND):
                lost[run.run_id] = health.msg or ""
            else:
                waiting.append(run)
        try:
            adrift = self._not_held(waiting)
            if adrift:  # one may be on its way from the queue to a worker at this very moment
                time.sleep(FLIGHT_SECONDS)
                adrift = self._not_held(adrift)
        except BROKER_ERRORS:
            return lost
        return lost | {run.run_id: "The broker has no task for it." for run in adrift}

    def _not_held(self, runs: Sequence[dg.DagsterRun]) -> list[dg.DagsterRun]:
        """Return the runs whose tasks neither worker nor broker knows of."""
        if not runs:
            return []
        queues = {run.tags.get(DAGSTER_CELERY_QUEUE_TAG, self.default_queue) for run in runs}
        messages = self._messages(queues)
        tasks = {run.run_id: run.tags[DAGSTER_CELERY_TASK_ID_TAG] for run in runs}
        held = {run_id for run_id, task in tasks.items() if task.encode() in messages}
        # Read after the broker: what left the queue meanwhile has a state by now.
        return [
            run
            for run in runs
            if run.run_id not in held and self._result(tasks[run.run_id]).state == "PENDING"
        ]

    def _messages(self, queues: set[str]) -> bytes:
        """Return what waits in queues, and what workers have taken and not begun."""
        with self.celery.connection_for_read() as connection:
            channel: Any = connection.default_channel
            keys = [
                channel._q_for_pri(queue, n) for queue in queues for n in channel.priority_steps
            ]
            waiting = [item for key in keys for item in channel.client.lrange(key, 0, -1)]
            return b"\n".join((*waiting, *channel.client.hvals(channel.unacked_key)))

    def _has_ended(self, run: dg.DagsterRun) -> bool:
        now = self._instance.get_run_by_id(run.run_id)
        return now is None or now.is_finished

    def _ask_worker(
        self, run: dg.DagsterRun, result: AsyncResult, task_id: str
    ) -> CheckRunHealthResult:
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
        # A task delivered again to another worker succeeds there at once and begins nothing; the
        # run that the first worker began and died with is as lost as without that.
        if self._result(task_id).state == "SUCCESS" and self._has_ended(run):
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"Worker {hostname or 'unknown'} no longer runs the task."
        )

    def _result(self, task_id: str) -> AsyncResult:
        return self.celery.AsyncResult(task_id)

    def _unavailable(self, error: Exception) -> BrokerUnavailable:
        # The URL may carry a password; the driver's message may carry the URL.
        return BrokerUnavailable("RADIANT_BROKER_URL", type(error).__name__)
