"""The threaded executor against a real instance."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.api import execute_run_iterator

from radiant_dagster.engine.cancellation import step_cancelled
from radiant_dagster.engine.executor import STATUS_POLL_SECONDS
from tests.orchestration import engine_jobs
from tests.orchestration.engine_jobs import AGENTS, PROBE


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    folder = tmp_path_factory.mktemp("dagster")
    with dg.DagsterInstance.local_temp(
        str(folder), overrides={"telemetry": {"enabled": False}}
    ) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _fresh_probe() -> None:
    PROBE.reset()


def execute(job: dg.JobDefinition, instance: dg.DagsterInstance, **arguments: Any) -> dg.DagsterRun:
    # As a worker does. dg.execute_job() would set the resources up once more for its result.
    created = instance.create_run_for_job(job_def=job, **arguments)
    for _ in execute_run_iterator(dg.reconstructable(job), created, instance):
        pass
    run = instance.get_run_by_id(created.run_id)
    assert run is not None
    return run


def steps(instance: dg.DagsterInstance, run: dg.DagsterRun, kind: dg.DagsterEventType) -> set[str]:
    return {
        str(entry.get_dagster_event().step_key)
        for entry in instance.all_logs(run.run_id, of_type=kind)
    }


def test_a_mapped_graph_is_executed_and_collected(instance: dg.DagsterInstance) -> None:
    run = execute(engine_jobs.swarm, instance)

    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert PROBE.calls["gather"] == 1
    assert all(PROBE.calls[f"agent-{number}"] == 1 for number in range(AGENTS))


def test_ready_steps_run_at_the_same_moment_each_in_a_thread_of_its_own(
    instance: dg.DagsterInstance,
) -> None:
    run = execute(engine_jobs.concurrent, instance)

    assert run.status is dg.DagsterRunStatus.SUCCESS


def test_resources_are_made_once_a_run(instance: dg.DagsterInstance) -> None:
    execute(engine_jobs.swarm, instance)

    assert PROBE.resources_made == 1


def test_retry_policies_and_requested_retries_work_on_mapped_steps(
    instance: dg.DagsterInstance,
) -> None:
    run = execute(engine_jobs.retried, instance)

    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert all(PROBE.calls[f"agent-{number}"] == 3 for number in range(AGENTS))
    assert all(PROBE.calls[f"agent-{number} asks"] == 2 for number in range(AGENTS))


def test_a_failed_mapped_step_leaves_its_siblings_alone_and_the_collecting_step_out(
    instance: dg.DagsterInstance,
) -> None:
    PROBE.failing = {"agent-2"}

    run = execute(engine_jobs.swarm, instance)

    assert run.status is dg.DagsterRunStatus.FAILURE
    succeeded = steps(instance, run, dg.DagsterEventType.STEP_SUCCESS)
    assert {f"run_agent[agent_{n}]" for n in (0, 1, 3)} <= succeeded
    assert PROBE.calls["gather"] == 0


def test_re_execution_from_failure_runs_only_what_failed_and_loads_the_rest(
    instance: dg.DagsterInstance,
) -> None:
    PROBE.failing = {"agent-1", "agent-3"}
    job = dg.reconstructable(engine_jobs.swarm)
    with dg.execute_job(job, instance=instance) as failed:
        parent = failed.run_id
    PROBE.reset()

    with dg.execute_job(
        job,
        instance=instance,
        reexecution_options=dg.ReexecutionOptions.from_failure(parent, instance),
    ) as result:
        gathered = result.output_for_node("gather")

    assert dict(PROBE.calls) == {"agent-1": 1, "agent-3": 1, "gather": 1}
    assert gathered == AGENTS


def test_a_second_re_execution_finds_values_of_the_grandparent(
    instance: dg.DagsterInstance,
) -> None:
    job = dg.reconstructable(engine_jobs.swarm)
    PROBE.failing = {"agent-1", "agent-3"}
    with dg.execute_job(job, instance=instance) as first:
        grandparent = first.run_id
    PROBE.failing = {"agent-3"}
    options = dg.ReexecutionOptions.from_failure(grandparent, instance)
    with dg.execute_job(job, instance=instance, reexecution_options=options) as second:
        parent = second.run_id
    PROBE.reset()

    options = dg.ReexecutionOptions.from_failure(parent, instance)
    with dg.execute_job(job, instance=instance, reexecution_options=options) as third:
        success = third.success

    assert success
    assert dict(PROBE.calls) == {"agent-3": 1, "gather": 1}


def test_success_and_failure_hooks_run_once_a_step(instance: dg.DagsterInstance) -> None:
    PROBE.failing = {"agent-0"}

    run = execute(engine_jobs.hooked, instance)

    assert sorted(PROBE.hooks) == [
        "failure run_agent[agent_0]",
        "success fan_out",
        "success open_session",
        "success run_agent[agent_1]",
        "success run_agent[agent_2]",
        "success run_agent[agent_3]",
    ]
    assert steps(instance, run, dg.DagsterEventType.HOOK_COMPLETED) >= {"run_agent[agent_0]"}


def test_a_pool_limit_is_kept_and_blocked_steps_run_later(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("narrow", 1)

    run = execute(engine_jobs.pooled, instance)

    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert PROBE.most_running == 1
    assert steps(instance, run, dg.DagsterEventType.STEP_SUCCESS) >= {
        f"pooled_agent[agent_{number}]" for number in range(AGENTS)
    }
    info = instance.event_log_storage.get_concurrency_info("narrow")
    assert info.claimed_slots == []
    assert info.pending_steps == []


def test_a_slot_taken_by_another_run_blocks_until_it_is_free(
    instance: dg.DagsterInstance,
) -> None:
    storage = instance.event_log_storage
    storage.set_concurrency_slots("narrow", 1)
    other = dg.DagsterRun(job_name="other")
    assert storage.claim_concurrency_slot("narrow", other.run_id, "step").is_claimed
    released = threading.Event()

    def release_when_blocked() -> None:
        while len(storage.get_concurrency_info("narrow").pending_steps) < AGENTS:
            time.sleep(0.02)
        released.set()
        storage.free_concurrency_slots_for_run(other.run_id)

    helper = threading.Thread(target=release_when_blocked)
    helper.start()
    run = execute(engine_jobs.pooled, instance)
    helper.join()

    assert released.is_set()
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert PROBE.most_running == 1


def test_max_concurrent_bounds_the_threads(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("narrow", 10)
    config = {"execution": {"config": {"max_concurrent": 2}}}

    run = execute(engine_jobs.pooled, instance, run_config=config)

    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert PROBE.most_running <= 2


@pytest.mark.parametrize("width", [0, 65])
def test_an_impossible_width_fails_the_run_and_names_the_setting(
    instance: dg.DagsterInstance, width: int
) -> None:
    config = {"execution": {"config": {"max_concurrent": width}}}

    run = execute(engine_jobs.swarm, instance, run_config=config)

    assert run.status is dg.DagsterRunStatus.FAILURE
    failure = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)[0]
    assert "max_concurrent: must be 1 to 64" in str(failure.get_dagster_event().job_failure_data)


def cancel_once_started(
    instance: dg.DagsterInstance, *, after_seconds: float = 0.0
) -> threading.Thread:
    """Do what the launcher's Terminate does, when the step runs."""

    def cancel() -> None:
        PROBE.started.wait(30)
        time.sleep(after_seconds)
        (run,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        instance.report_run_canceling(run)

    helper = threading.Thread(target=cancel)
    helper.start()
    return helper


@pytest.mark.parametrize("job", [engine_jobs.listening_job, engine_jobs.deaf_job])
def test_a_terminated_run_ends_cancelled_and_starts_nothing_more(
    instance: dg.DagsterInstance, job: dg.JobDefinition
) -> None:
    helper = cancel_once_started(instance)

    run = execute(job, instance)
    helper.join()

    assert run.status is dg.DagsterRunStatus.CANCELED
    assert PROBE.calls["afterwards"] == 0


def test_a_step_that_polls_the_token_ends_by_itself(instance: dg.DagsterInstance) -> None:
    helper = cancel_once_started(instance)

    run = execute(engine_jobs.listening_job, instance)
    helper.join()

    assert PROBE.heard.is_set()
    assert steps(instance, run, dg.DagsterEventType.STEP_SUCCESS) == {"listening"}


def test_a_run_is_also_cancelled_late(instance: dg.DagsterInstance) -> None:
    # Beyond the first look at the run's status, which also reads its events.
    helper = cancel_once_started(instance, after_seconds=2 * STATUS_POLL_SECONDS)

    run = execute(engine_jobs.listening_job, instance)
    helper.join()

    assert run.status is dg.DagsterRunStatus.CANCELED
    assert PROBE.heard.is_set()


def test_a_step_that_does_not_listen_is_interrupted_not_abandoned(
    instance: dg.DagsterInstance,
) -> None:
    helper = cancel_once_started(instance)

    run = execute(engine_jobs.deaf_job, instance)
    helper.join()

    assert steps(instance, run, dg.DagsterEventType.STEP_FAILURE) == {"deaf"}
    assert not any("abandoned" in entry.user_message for entry in instance.all_logs(run.run_id))


def test_a_step_stuck_in_a_c_call_is_abandoned_and_the_run_still_ends_cancelled(
    instance: dg.DagsterInstance,
) -> None:
    helper = cancel_once_started(instance)

    run = execute(engine_jobs.stuck_job, instance)
    helper.join()

    assert run.status is dg.DagsterRunStatus.CANCELED
    messages = [entry.user_message for entry in instance.all_logs(run.run_id)]
    assert any("abandoned" in message for message in messages)


def test_a_cancellation_that_the_start_of_the_run_overwrote_is_still_obeyed(
    instance: dg.DagsterInstance,
) -> None:
    job = engine_jobs.listening_job
    run = instance.create_run_for_job(job_def=job)
    instance.report_run_canceling(run)
    stale = instance.get_run_by_id(run.run_id)
    assert stale is not None

    # The worker read the run a moment before: its own start event then overwrites the status.
    started = stale.with_status(dg.DagsterRunStatus.STARTING)
    for _ in execute_run_iterator(dg.reconstructable(job), started, instance):
        pass

    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is dg.DagsterRunStatus.CANCELED


def test_outside_a_step_nothing_is_ever_cancelled() -> None:
    assert step_cancelled()() is False


@pytest.mark.parametrize(
    ("number", "job_name"), [(signal.SIGINT, "deaf_job"), (signal.SIGTERM, "listening_job")]
)
def test_a_signal_to_the_run_s_process_ends_the_run_and_the_process(
    tmp_path: Path, number: signal.Signals, job_name: str
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.orchestration.run_one_job", job_name, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    assert any(line.strip() == "step started" for line in lines)

    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)

    assert "run ended FAILURE" in rest
    assert process.returncode == 0
