"""Runs launched through GraphQL onto Celery workers, as an operator does it in Dagit."""

import os
import re
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import psycopg2
import pytest
import redis
from dagster._core.launcher import LaunchRunContext, WorkerStatus
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG, DAGSTER_CELERY_TASK_ID_TAG

from radiant_dagster.engine.celery_app import execute_launched_run
from radiant_dagster.engine.instance import open_instance
from radiant_dagster.engine.launcher import RadiantRunLauncher
from radiant_dagster.engine.storage import APPLICATION_NAME, MAX_CONNECTIONS
from radiant_dagster.errors import BrokerUnavailable
from radiant_dagster.sensors.runs import fail_lost_starts
from tests.orchestration.engine_jobs import AGENTS, swarm
from tests.orchestration.engine_servers import Stack, eventually, free_port, stack

CONNECTIONS = "select count(*) from pg_stat_activity where application_name like %s"
NOBODYS = "nobodys"  # a queue without a worker
Status = dg.DagsterRunStatus
Settled = Callable[[str], dg.DagsterRun]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, admin_url: str) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("stack"), admin_url) as running:
        yield running


@pytest.fixture(scope="module")
def instance(servers: Stack) -> Iterator[dg.DagsterInstance]:
    with open_instance(servers.home) as opened:
        yield opened


@pytest.fixture
def settled(instance: dg.DagsterInstance) -> Settled:
    def wait(run_id: str) -> dg.DagsterRun:
        def finished() -> dg.DagsterRun | None:
            run = instance.get_run_by_id(run_id)
            return run if run is not None and run.is_finished else None

        return eventually(finished, what=f"run {run_id} ends")

    return wait


def wait_for_step(instance: dg.DagsterInstance, run_id: str) -> None:
    kind = dg.DagsterEventType.STEP_START
    eventually(lambda: instance.all_logs(run_id, of_type=kind), what="a step begins")


def worker_pid(instance: dg.DagsterInstance, run_id: str) -> int:
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        found = re.search(r"threads \(pid: (\d+)\)", entry.user_message)
        if found:
            return int(found[1])
    raise AssertionError("no step ran")


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.fixture(scope="module")
def worker(servers: Stack) -> Iterator[None]:
    with servers.worker(children=1):
        yield


@pytest.mark.usefixtures("worker")
class TestOnOneChild:
    """One worker with a single child, so that every run meets what the run before left."""

    def test_launched_runs_succeed_one_after_the_other_in_the_same_process(
        self, servers: Stack, instance: dg.DagsterInstance, settled: Settled
    ) -> None:
        first, second = servers.launch("swarm"), servers.launch("swarm")

        ended = [settled(first), settled(second)]

        assert [run.status for run in ended] == [Status.SUCCESS, Status.SUCCESS]
        assert worker_pid(instance, first) == worker_pid(instance, second)

    @pytest.mark.parametrize("job_name", ["listening_job", "deaf_job", "stuck_job"])
    def test_terminate_in_dagit_cancels_the_run_and_the_child_takes_the_next(
        self, servers: Stack, instance: dg.DagsterInstance, settled: Settled, job_name: str
    ) -> None:
        run_id = servers.launch(job_name)
        wait_for_step(instance, run_id)

        servers.terminate(run_id)
        ended = settled(run_id)
        following = servers.launch("swarm")

        assert ended.status is Status.CANCELED
        assert settled(following).status is Status.SUCCESS
        assert worker_pid(instance, following) == worker_pid(instance, run_id)

    @pytest.mark.parametrize("way", ["launcher", "forced in Dagit"])
    def test_a_waiting_run_is_cancelled_at_once_and_never_begins(
        self, servers: Stack, instance: dg.DagsterInstance, settled: Settled, way: str
    ) -> None:
        blocking = servers.launch("listening_job")
        wait_for_step(instance, blocking)
        waiting = servers.launch("swarm")

        if way == "launcher":
            instance.run_launcher.terminate(waiting)
        else:
            servers.terminate(waiting, force=True)
        ended = status(instance, waiting)
        servers.terminate(blocking)
        settled(blocking)
        following = servers.launch("swarm")

        assert ended is Status.CANCELED
        assert settled(following).status is Status.SUCCESS
        assert status(instance, waiting) is Status.CANCELED
        assert not instance.all_logs(waiting, of_type=dg.DagsterEventType.STEP_START)

    def test_a_healthy_run_is_reported_running_and_a_finished_one_successful(
        self, servers: Stack, instance: dg.DagsterInstance, settled: Settled
    ) -> None:
        running = servers.launch("listening_job")
        wait_for_step(instance, running)
        run = instance.get_run_by_id(running)
        assert run is not None

        health = instance.run_launcher.check_run_worker_health(run)
        servers.terminate(running)
        settled(running)

        assert health.status is WorkerStatus.RUNNING
        later = eventually(
            lambda: (
                instance.run_launcher.check_run_worker_health(run).status is WorkerStatus.SUCCESS
            ),
            what="the task ends",
        )
        assert later

    def test_a_run_delivered_twice_is_begun_once(
        self, servers: Stack, instance: dg.DagsterInstance, settled: Settled
    ) -> None:
        run_id = servers.launch("swarm")
        settled(run_id)

        code = execute_launched_run(instance, run_id)

        assert code == 0
        starts = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_START)
        assert len(starts) == AGENTS + 3
        assert status(instance, run_id) is Status.SUCCESS

    def test_the_child_still_ends_on_sigterm_after_a_run(
        self, servers: Stack, instance: dg.DagsterInstance, settled: Settled
    ) -> None:
        run = settled(servers.launch("swarm"))
        child = worker_pid(instance, run.run_id)
        health = instance.run_launcher.check_run_worker_health
        eventually(lambda: health(run).status is WorkerStatus.SUCCESS, what="the task ends")

        os.kill(child, signal.SIGTERM)

        eventually(lambda: not Path(f"/proc/{child}").exists(), what="the child ends")
        assert status(instance, run.run_id) is Status.SUCCESS  # its end undid nothing


def test_busy_children_hold_no_more_than_three_connections_each(
    servers: Stack, instance: dg.DagsterInstance
) -> None:
    children = 8
    counts: list[int] = []
    connection = psycopg2.connect(servers.database_url)
    connection.autocommit = True

    def all_ended() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(CONNECTIONS, (f"{APPLICATION_NAME}/%",))
            ((count,),) = cursor.fetchall()
        counts.append(count)
        return all(status(instance, run_id) is Status.SUCCESS for run_id in launched)

    with servers.worker(children):
        launched = [servers.launch("swarm") for _ in range(4 * children)]
        eventually(all_ended, what="all runs succeed")
    connection.close()

    assert len({worker_pid(instance, run_id) for run_id in launched}) > 1
    # The test's own instance has a pool of that name beside the children's.
    assert children < max(counts) <= MAX_CONNECTIONS * (children + 1)


@pytest.mark.parametrize("victim", ["child", "worker"])
def test_a_killed_worker_is_found_by_the_health_check(
    servers: Stack, instance: dg.DagsterInstance, settled: Settled, victim: str
) -> None:
    with servers.worker(children=1) as parent:
        run_id = servers.launch("listening_job")
        wait_for_step(instance, run_id)
        child = worker_pid(instance, run_id)
        if victim == "worker":
            parent.kill()
        os.kill(child, signal.SIGKILL)
        run = instance.get_run_by_id(run_id)
        assert run is not None

        eventually(
            lambda: (
                instance.run_launcher.check_run_worker_health(run).status is WorkerStatus.FAILED
            ),
            what="the health check finds the dead worker",
        )
    instance.report_run_failed(run)


# Celery's result store calls a method that its driver has renamed.
@pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")
@pytest.mark.parametrize("task_state", [None, "PENDING", "FAILURE", "SUCCESS"])
def test_a_run_that_nobody_will_begin_is_failed(
    instance: dg.DagsterInstance, task_state: str | None
) -> None:
    run_id = instance.create_run_for_job(swarm, status=Status.STARTING).run_id
    task_id = str(uuid.uuid4())
    if task_state is not None:  # else its launcher died before it chose the task's id
        instance.add_run_tags(run_id, {DAGSTER_CELERY_TASK_ID_TAG: task_id})
    if task_state not in (None, "PENDING"):  # PENDING is a task that nobody wrote of
        launcher = instance.run_launcher
        assert isinstance(launcher, RadiantRunLauncher)
        outcome = OSError("lost") if task_state == "FAILURE" else 0
        launcher.celery.backend.store_result(task_id, outcome, task_state)

    early = fail_lost_starts(instance, grace_seconds=600)
    unharmed = status(instance, run_id)
    lost = fail_lost_starts(instance, grace_seconds=0)

    assert early == 0
    assert unharmed is Status.STARTING
    assert lost == 1
    assert status(instance, run_id) is Status.FAILURE


@pytest.fixture
def queue(servers: Stack) -> Iterator[redis.Redis]:
    """The broker itself, to do what a worker does that is killed."""
    client = redis.Redis.from_url(servers.broker_url)
    yield client
    client.close()


def test_a_run_that_waits_for_a_worker_is_left_alone_until_its_message_is_lost(
    servers: Stack, instance: dg.DagsterInstance, queue: redis.Redis
) -> None:
    run_id = servers.launch("swarm", {DAGSTER_CELERY_QUEUE_TAG: NOBODYS})

    waiting = fail_lost_starts(instance, grace_seconds=0)
    message = queue.rpop(NOBODYS)
    assert isinstance(message, bytes)
    queue.hset("unacked", "tag", message)  # taken by a worker that has not begun it yet
    taken = fail_lost_starts(instance, grace_seconds=0)
    queue.hdel("unacked", "tag")
    lost = fail_lost_starts(instance, grace_seconds=0)

    assert (waiting, taken, lost) == (0, 0, 1)
    assert status(instance, run_id) is Status.FAILURE


@pytest.mark.usefixtures("worker")
def test_a_begun_run_whose_task_was_delivered_again_and_ended_is_found_lost(
    servers: Stack, instance: dg.DagsterInstance, queue: redis.Redis
) -> None:
    run_id = servers.launch("swarm", {DAGSTER_CELERY_QUEUE_TAG: NOBODYS})
    run = instance.get_run_by_id(run_id)
    launcher = instance.run_launcher
    assert run is not None
    assert isinstance(launcher, RadiantRunLauncher)
    begun = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name)
    instance.report_dagster_event(begun, run_id=run_id)

    queue.rpoplpush(NOBODYS, "dagster")
    task = launcher.celery.AsyncResult(run.tags[DAGSTER_CELERY_TASK_ID_TAG])
    eventually(lambda: task.state == "SUCCESS", what="the second worker leaves the run alone")
    health = launcher.check_run_worker_health(run)

    assert status(instance, run_id) is Status.STARTED
    assert health.status is WorkerStatus.FAILED
    instance.report_run_failed(run)


def test_a_retried_run_is_never_judged_by_the_task_of_the_lost_one(
    servers: Stack, instance: dg.DagsterInstance
) -> None:
    run_id = servers.launch("swarm")
    instance.add_run_tags(run_id, {DAGSTER_CELERY_TASK_ID_TAG: "the-lost-task"})
    run = instance.get_run_by_id(run_id)
    assert run is not None
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    at_once = {"retry_policy": {"max_retries": 0}}
    launcher = RadiantRunLauncher(
        default_queue="dagster",
        broker=nobody,
        backend=nobody,
        config_source={"result_backend_transport_options": at_once},
    )
    launcher.register_instance(instance)

    with pytest.raises(BrokerUnavailable):
        launcher.launch_run(LaunchRunContext(run, None))

    launched = instance.get_run_by_id(run_id)
    assert launched is not None
    assert launched.tags[DAGSTER_CELERY_TASK_ID_TAG] != "the-lost-task"
    instance.report_run_canceled(launched)
