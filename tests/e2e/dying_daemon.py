"""A sensor loop that kills itself at a named point: `python -m tests.e2e.dying_daemon POINT`.

Dagster's own tests crash their daemon at these points. Run in the environment of a stack's daemon.
"""

import logging
import os
import signal
import sys
import time
from pathlib import Path

import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.sensor import execute_sensor_iteration

SENSOR = "approval_sensor"
PATIENCE_SECONDS = 60.0


def main(point: str) -> None:
    """Evaluate all sensors until the one is at the point, where this process dies by SIGKILL."""
    workspace = Path(os.environ["DAGSTER_HOME"]) / "workspace.yaml"
    flags = {SENSOR: {point: signal.SIGKILL}}
    end = time.monotonic() + PATIENCE_SECONDS
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace)])) as context,
    ):
        while time.monotonic() < end:
            list(
                execute_sensor_iteration(
                    context,
                    logging.getLogger(__name__),
                    threadpool_executor=None,
                    submit_threadpool_executor=None,
                    debug_crash_flags=flags,
                )
            )
            time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1])
