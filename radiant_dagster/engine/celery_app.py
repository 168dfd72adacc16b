"""The Celery application whose workers execute runs, many runs a process.

Task names and arguments are dagster-celery's, the body is ours: it keeps one pooled Dagster
instance a process and reuses the definitions the parent imported, so a launched run begins within
a fraction of a second.

Order of life: the parent imports the definitions, opens nothing, and forks; each child opens its
instance and warms up; then runs come. A pool, thread, channel or model made before the fork would
be shared by all children and break all of them.
"""

import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from celery import Celery
from celery.signals import worker_init, worker_process_init
from dagster._cli.api import _execute_run_command_body
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import unpack_value
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from dagster_celery.make_app import make_app

from radiant_dagster.engine.instance import flush, process_instance

QUEUE = "dagster"
STARTABLE = frozenset({dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING})

SETTINGS: dict[str, Any] = {
    # One run a child at a time, and none held back for it: an idle worker elsewhere takes it.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    # See launcher: a half-done run must not be delivered twice.
    "task_acks_late": False,
    # What a worker took and died before it began comes to the next one after a minute, by default
    # after an hour. What is begun is acknowledged and comes back to nobody.
    "broker_transport_options": {"visibility_timeout": 60},
    "task_track_started": True,
    "task_default_queue": QUEUE,
    # Children warm up before they report alive; on a small machine all at once.
    "worker_proc_alive_timeout": 120.0,
    "worker_hijack_root_logger": False,
    "broker_connection_retry_on_startup": True,
    "result_expires": 86_400,
    "worker_send_task_events": False,
}


def make_worker_app(*, broker_url: str, dagster_home: str) -> Celery:
    """Build the application; connects to nothing.

    Args:
        broker_url: Redis or Valkey URL; results are kept there too.
        dagster_home: Folder with the `dagster.yaml` that the webserver uses as well.
    """
    app = make_app(
        app_args={"broker": broker_url, "backend": broker_url, "config_source": SETTINGS}
    )

    @app.task(name=TASK_EXECUTE_JOB_NAME, track_started=True)
    def execute_job(execute_job_args_packed: dict[str, Any]) -> int:
        args = unpack_value(execute_job_args_packed, as_type=ExecuteRunArgs)
        with _signal_handlers_kept():
            return execute_launched_run(process_instance(dagster_home), args.run_id)

    # weak=False: Celery holds receivers weakly, and these are local.
    worker_init.connect(_before_fork, weak=False)
    worker_process_init.connect(lambda **_: warm_up(dagster_home), weak=False)
    return app


def execute_launched_run(instance: dg.DagsterInstance, run_id: str) -> int:
    """Execute one launched run in this process.

    Returns:
        0 where the run ended as it should, or was none of ours to begin; 1 where it failed.
    """
    run = instance.get_run_by_id(run_id)
    if run is None:
        return 1
    if run.status is dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, "Cancelled before a worker began the run.")
        return 0
    if run.status not in STARTABLE:
        # Delivered twice, or cancelled while it waited; Dagster would fail a run that is going.
        instance.report_engine_event(f"Not begun here: the run is {run.status.value}.", run)
        flush(instance)
        return 0
    try:
        return _execute_run_command_body(
            run_id=run_id,
            instance=instance,
            write_stream_fn=lambda _event: None,
            set_exit_code_on_failure=True,
        )
    finally:
        flush(instance)


def warm_up(dagster_home: str) -> None:
    """Open the process's instance and touch each storage once, so the first run does not pay."""
    instance = process_instance(dagster_home)
    instance.get_runs(limit=1)
    instance.event_log_storage.get_pool_limits()


def _before_fork(**_: object) -> None:
    # What the imports made never dies; without this each child's collector copies its pages.
    gc.collect()
    gc.freeze()


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Give a child its SIGTERM back after a run.

    Dagster's `capture_interrupts` leaves SIGTERM with SIGINT's handler, and a pool's child ignores
    SIGINT: after its first run it could not be ended any more but by SIGKILL.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            if handler is not None:
                signal.signal(number, handler)
