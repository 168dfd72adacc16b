"""How a session follows its run, the retries of that run, and runs that nobody reported."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import PARENT_RUN_ID_TAG, ROOT_RUN_ID_TAG, WILL_RETRY_TAG

from radiant_dagster.definitions import defs
from radiant_dagster.sensors.runs import STUCK_SECONDS, mark_stuck
from tests.adapters.rows import insert_session
from tests.conftest import World
from tests.orchestration.test_definitions import report, status


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(settings={"run_retries": {"enabled": True}}) as ephemeral:
        yield ephemeral


def make_run(
    instance: dg.DagsterInstance,
    tenant: uuid.UUID,
    session_id: uuid.UUID,
    *,
    retry_of: dg.DagsterRun | None = None,
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.FAILURE,
    will_retry: bool = False,
) -> dg.DagsterRun:
    config = {"tenant_id": str(tenant), "session_id": str(session_id)}
    tags = {WILL_RETRY_TAG: str(will_retry).lower()}
    if retry_of is not None:
        tags[PARENT_RUN_ID_TAG] = retry_of.run_id
        tags[ROOT_RUN_ID_TAG] = retry_of.root_run_id or retry_of.run_id
    return instance.create_run_for_job(
        job_def=defs.resolve_job_def("think_tank"),
        run_config={"ops": {"open_session": {"config": config}}},
        status=status,
        tags=tags,
        parent_run_id=tags.get(PARENT_RUN_ID_TAG),
        root_run_id=tags.get(ROOT_RUN_ID_TAG),
    )


def running_session(world: World, owner: Any, run_id: str, *, hours_old: int = 1) -> uuid.UUID:
    session_id = insert_session(owner, world.tenant, status="running", dagster_run_id=run_id)
    owner.execute(
        "update radiant.session set created_at = created_at - %s where id = %s",
        (timedelta(hours=hours_old), session_id),
    )
    return session_id


@pytest.mark.parametrize(("canceled", "expected"), [(False, "failed"), (True, "cancelled")])
def test_the_end_of_a_retry_ends_the_session_that_the_first_run_opened(
    world: World, owner: Any, instance: dg.DagsterInstance, canceled: bool, expected: str
) -> None:
    session_id, other = uuid.uuid4(), insert_session(owner, world.tenant, status="running")
    first = make_run(instance, world.tenant, session_id, will_retry=True)
    second = make_run(instance, world.tenant, session_id, retry_of=first, will_retry=True)
    third = make_run(instance, world.tenant, session_id, retry_of=second)
    session_id = insert_session(owner, world.tenant, status="running", dagster_run_id=first.run_id)

    report(instance, third, canceled=canceled)

    assert status(owner, session_id) == expected
    assert status(owner, other) == "running"


def test_a_session_whose_announced_retry_never_came_is_marked_failed(
    world: World, owner: Any, instance: dg.DagsterInstance
) -> None:
    run = make_run(instance, world.tenant, uuid.uuid4(), will_retry=True)
    session_id = running_session(world, owner, run.run_id)
    report(instance, run)
    before = status(owner, session_id)

    mark_stuck(instance, world.database, grace_seconds=0.0)

    assert before == "running"
    assert status(owner, session_id) == "failed"


def test_a_session_whose_run_was_deleted_is_marked_failed(
    world: World, owner: Any, instance: dg.DagsterInstance
) -> None:
    session_id = running_session(world, owner, str(uuid.uuid4()))

    mark_stuck(instance, world.database, grace_seconds=STUCK_SECONDS)

    assert status(owner, session_id) == "failed"


@pytest.mark.parametrize("ended", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED])
def test_a_session_whose_run_works_or_ended_just_now_is_left_alone(
    world: World, owner: Any, instance: dg.DagsterInstance, ended: dg.DagsterRunStatus
) -> None:
    run = make_run(instance, world.tenant, uuid.uuid4(), status=ended)
    session_id = running_session(world, owner, run.run_id)

    mark_stuck(instance, world.database, grace_seconds=STUCK_SECONDS)

    assert status(owner, session_id) == "running"


def test_a_session_whose_retry_works_is_left_alone(
    world: World, owner: Any, instance: dg.DagsterInstance
) -> None:
    first = make_run(instance, world.tenant, uuid.uuid4(), will_retry=True)
    started = dg.DagsterRunStatus.STARTED
    make_run(instance, world.tenant, uuid.uuid4(), retry_of=first, status=started)
    session_id = running_session(world, owner, first.run_id)

    mark_stuck(instance, world.database, grace_seconds=0.0)

    assert status(owner, session_id) == "running"
