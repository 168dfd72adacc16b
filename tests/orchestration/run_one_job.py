"""Executes one engine job in this process's main thread: `run_one_job.py JOB FOLDER`."""

import sys
import threading

import dagster as dg

from tests.orchestration import engine_jobs


def main() -> None:
    job_name, folder = sys.argv[1:]
    job = getattr(engine_jobs, job_name)

    def announce() -> None:
        engine_jobs.PROBE.started.wait()
        print("step started", flush=True)

    threading.Thread(target=announce, daemon=True).start()
    with dg.DagsterInstance.local_temp(
        folder, overrides={"telemetry": {"enabled": False}}
    ) as instance:
        run = instance.create_run_for_job(job_def=job)
        list(dg._core.execution.api.execute_run_iterator(dg.reconstructable(job), run, instance))
        ended = instance.get_run_by_id(run.run_id)
        assert ended is not None
        print(f"run ended {ended.status.value}", flush=True)


if __name__ == "__main__":
    main()
