"""The pooled instance and the grouped event log, on a real Postgres."""

import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg2
import pytest
import sqlalchemy as db
from dagster._core.execution.api import execute_run_iterator
from dagster._core.instance.ref import InstanceRef
from dagster._core.snap.execution_plan_snapshot import create_execution_plan_snapshot_id
from psycopg2 import sql

from radiant_dagster.engine import instance as engine_instance
from radiant_dagster.engine.celery_app import execute_launched_run
from radiant_dagster.engine.instance import flush, open_instance, pooled_ref, process_instance
from radiant_dagster.engine.storage import (
    APPLICATION_NAME,
    MAX_CONNECTIONS,
    GroupingEventLogStorage,
    RadiantPostgresStorage,
)
from radiant_dagster.errors import ConfigurationError
from tests.orchestration import engine_jobs
from tests.orchestration.engine_servers import new_database, write_dagster_home


@pytest.fixture(scope="module")
def database_url(admin_url: str) -> str:
    return new_database(admin_url, f"engine_{uuid.uuid4().hex}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Path:
    return write_dagster_home(tmp_path_factory.mktemp("home"), database_url)


@pytest.fixture(scope="module")
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with open_instance(home) as opened:
        yield opened


@pytest.fixture(scope="module")
def plain(home: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's own view of the same database, as the webserver has it."""
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as opened:
        yield opened


def execute(job: dg.JobDefinition, instance: dg.DagsterInstance) -> dg.DagsterRun:
    created = instance.create_run_for_job(job_def=job)
    for _ in execute_run_iterator(dg.reconstructable(job), created, instance):
        pass
    run = instance.get_run_by_id(created.run_id)
    assert run is not None
    return run


def test_a_finished_run_has_all_its_events_in_order_for_every_other_process(
    instance: dg.DagsterInstance, plain: dg.DagsterInstance
) -> None:
    engine_jobs.PROBE.reset()

    run = execute(engine_jobs.swarm, instance)

    # Read without flushing: whatever the run's end promised must be in the database already.
    seen = plain.get_run_by_id(run.run_id)
    events = [entry.get_dagster_event() for entry in plain.all_logs(run.run_id)]
    kinds = [event.event_type for event in events]
    assert seen is not None
    assert seen.status is dg.DagsterRunStatus.SUCCESS
    assert kinds.count(dg.DagsterEventType.STEP_SUCCESS) == engine_jobs.AGENTS + 3
    assert kinds.index(dg.DagsterEventType.RUN_START) < kinds.index(dg.DagsterEventType.STEP_START)
    last_step = max(n for n, kind in enumerate(kinds) if kind == dg.DagsterEventType.STEP_SUCCESS)
    assert last_step < kinds.index(dg.DagsterEventType.RUN_SUCCESS)
    for step in {event.step_key for event in events if event.step_key}:
        of_step = [event.event_type for event in events if event.step_key == step]
        assert of_step[0] is dg.DagsterEventType.STEP_START
        assert of_step[-1] is dg.DagsterEventType.STEP_SUCCESS


def test_events_from_many_threads_are_all_written_and_each_thread_s_in_its_order(
    instance: dg.DagsterInstance, plain: dg.DagsterInstance
) -> None:
    run = instance.create_run_for_job(job_def=engine_jobs.swarm)
    threads, each = 16, 60

    def write(thread: int) -> None:
        for number in range(each):
            instance.report_engine_event(f"{thread}:{number}", run)

    workers = [threading.Thread(target=write, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    flush(instance)

    written = [entry.get_dagster_event().message for entry in plain.all_logs(run.run_id)]
    assert len(written) == threads * each
    for thread in range(threads):
        mine = [message for message in written if message.startswith(f"{thread}:")]
        assert mine == [f"{thread}:{number}" for number in range(each)]


def test_a_reader_of_the_same_process_sees_what_was_just_written(
    instance: dg.DagsterInstance,
) -> None:
    run = instance.create_run_for_job(job_def=engine_jobs.swarm)

    instance.report_engine_event("just now", run)

    assert [entry.get_dagster_event().message for entry in instance.all_logs(run.run_id)] == [
        "just now"
    ]


def test_an_event_that_could_not_be_written_is_raised_and_written_later(
    home: Path, database_url: str
) -> None:
    with open_instance(home) as instance:
        run = instance.create_run_for_job(job_def=engine_jobs.swarm)
        storage = instance.event_log_storage
        assert isinstance(storage, GroupingEventLogStorage)
        admin = psycopg2.connect(database_url)
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("alter table event_logs rename to event_logs_away")

        instance.report_engine_event("while away", run)
        with pytest.raises(Exception, match="event_logs"):
            storage.flush()
        with admin.cursor() as cursor:
            cursor.execute("alter table event_logs_away rename to event_logs")
        admin.close()
        storage.flush()

        assert [entry.get_dagster_event().message for entry in instance.all_logs(run.run_id)] == [
            "while away"
        ]


def test_events_that_follow_each_other_travel_together_and_need_nobody_to_fetch_them(
    instance: dg.DagsterInstance, database_url: str
) -> None:
    run = instance.create_run_for_job(job_def=engine_jobs.swarm)
    admin = psycopg2.connect(database_url)
    admin.autocommit = True

    for number in range(60):
        instance.report_engine_event(str(number), run)
        time.sleep(0.002)  # as steps beside each other report, not in one breath

    written, inserts = 0, 0
    deadline = time.monotonic() + 30
    while written < 60 and time.monotonic() < deadline:
        with admin.cursor() as cursor:
            cursor.execute(
                "select count(*), count(distinct xmin::text) from event_logs where run_id = %s",
                (run.run_id,),
            )
            ((written, inserts),) = cursor.fetchall()
    admin.close()
    assert written == 60
    assert inserts <= 15


@pytest.fixture
def server_home(tmp_path: Path, database_url: str) -> Path:
    """A dagster.yaml as the servers of the stack have it."""
    storage = {
        "module": RadiantPostgresStorage.__module__,
        "class": RadiantPostgresStorage.__name__,
        "config": {"postgres_url": database_url},
    }
    config = {"storage": {"custom": storage}, "telemetry": {"enabled": False}}
    (tmp_path / "dagster.yaml").write_text(json.dumps(config))
    return tmp_path


def backends_of_servers(database_url: str, action: str) -> set[int]:
    admin = psycopg2.connect(database_url)
    with admin.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "select pid, {} from pg_stat_activity"
                " where application_name like %s and datname = current_database()"
            ).format(sql.SQL(action)),
            (f"{APPLICATION_NAME}-server/%",),
        )
        found = {row[0] for row in cursor.fetchall()}
    admin.close()
    return found


def look_around(home: Path) -> None:
    """Do what the code server does at a tick of a sensor: make an instance, read, forget it."""
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as instance:
        instance.get_runs(limit=1)
        instance.get_daemon_heartbeats()
        instance.all_instigator_state()
        instance.event_log_storage.get_pool_limits()


def test_a_server_s_instances_keep_one_connection_instead_of_opening_one_a_statement(
    server_home: Path, database_url: str
) -> None:
    look_around(server_home)
    first = backends_of_servers(database_url, "true")

    for _ in range(5):
        look_around(server_home)

    assert len(first) == 1
    assert backends_of_servers(database_url, "true") == first


def test_a_server_goes_on_after_its_connections_were_cut(
    server_home: Path, database_url: str
) -> None:
    look_around(server_home)
    cut = backends_of_servers(database_url, "pg_terminate_backend(pid)")

    look_around(server_home)

    assert cut
    assert not backends_of_servers(database_url, "true") & cut


def test_a_webserver_s_storages_share_connections_that_end_long_statements(
    server_home: Path, database_url: str
) -> None:
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(server_home))) as instance:
        instance.optimize_for_webserver(1234, 60, 20)
        storages = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
        engines = {id(storage._engine) for storage in storages}  # type: ignore[union-attr]

        with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
            timeout = connection.execute(db.text("show statement_timeout")).scalar()
        instance.all_instigator_state()
        instance.event_log_storage.get_pool_limits()

    assert timeout == "1234ms"
    assert len(engines) == 1


def test_a_plan_that_was_read_is_not_read_again_and_stored_again_where_it_is_gone(
    instance: dg.DagsterInstance, database_url: str
) -> None:
    def delete(plan_id: str) -> int:
        admin = psycopg2.connect(database_url)
        with admin, admin.cursor() as cursor:
            cursor.execute("delete from snapshots where snapshot_id = %s", (plan_id,))
            deleted = cursor.rowcount
        admin.close()
        return deleted

    run = instance.create_run_for_job(job_def=engine_jobs.swarm)
    plan_id = run.execution_plan_snapshot_id
    assert plan_id is not None
    first = instance.get_execution_plan_snapshot(plan_id)

    assert delete(plan_id) == 1
    assert instance.get_execution_plan_snapshot(plan_id) == first
    assert instance.create_run_for_job(job_def=engine_jobs.swarm).execution_plan_snapshot_id
    assert delete(plan_id) == 1


def test_a_plan_that_was_looked_for_too_early_is_found_later(
    instance: dg.DagsterInstance,
) -> None:
    run = instance.create_run_for_job(job_def=engine_jobs.swarm)
    assert run.execution_plan_snapshot_id is not None
    stored = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    plan = stored._replace(job_snapshot_id=f"job-{uuid.uuid4()}")
    plan_id = create_execution_plan_snapshot_id(plan)
    storage = instance.run_storage

    before = storage.has_execution_plan_snapshot(plan_id)
    nothing: object = storage.get_execution_plan_snapshot(plan_id)
    storage.add_execution_plan_snapshot(plan)

    assert (before, nothing) == (False, None)
    assert storage.has_execution_plan_snapshot(plan_id)
    assert storage.get_execution_plan_snapshot(plan_id) == plan


def test_thirty_two_threads_share_three_connections(
    instance: dg.DagsterInstance, database_url: str
) -> None:
    run = instance.create_run_for_job(job_def=engine_jobs.swarm)
    counts: list[int] = []
    admin = psycopg2.connect(database_url)
    admin.autocommit = True

    def load() -> None:
        for _ in range(10):
            instance.get_run_by_id(run.run_id)
            instance.report_engine_event("load", run)
            instance.event_log_storage.get_pool_limits()

    workers = [threading.Thread(target=load) for _ in range(32)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        with admin.cursor() as cursor:
            cursor.execute(
                "select count(*) from pg_stat_activity where application_name like %s",
                (f"{APPLICATION_NAME}/%",),
            )
            ((count,),) = cursor.fetchall()
            counts.append(count)
    admin.close()

    assert max(counts) == MAX_CONNECTIONS


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELED])
def test_a_run_that_is_going_or_over_is_not_begun_by_a_second_delivery(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    run = instance.create_run_for_job(job_def=engine_jobs.swarm, status=status)

    code = execute_launched_run(instance, run.run_id)

    after = instance.get_run_by_id(run.run_id)
    assert code == 0
    assert after is not None
    assert after.status is status


def test_a_run_asked_to_stop_while_it_waited_is_cancelled_instead_of_begun(
    instance: dg.DagsterInstance,
) -> None:
    run = instance.create_run_for_job(job_def=engine_jobs.swarm)
    instance.report_run_canceling(run)

    code = execute_launched_run(instance, run.run_id)

    after = instance.get_run_by_id(run.run_id)
    assert code == 0
    assert after is not None
    assert after.status is dg.DagsterRunStatus.CANCELED


def test_an_instance_in_files_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}")
    ref = InstanceRef.from_dir(str(tmp_path))

    assert pooled_ref(ref) is ref


def test_a_missing_dagster_home_is_refused_with_the_setting_s_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="DAGSTER_HOME"):
        open_instance(tmp_path / "nowhere")


def test_the_process_s_instance_is_made_once_and_anew_in_a_forked_child(home: Path) -> None:
    first = process_instance(home)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        same = engine_instance._instance is not None and process_instance(home) is first
        os.write(writing, b"same" if same else b"anew")
        os._exit(0)

    os.waitpid(child, 0)

    assert os.read(reading, 4) == b"anew"
    assert process_instance(home) is first
