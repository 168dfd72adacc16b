"""The fast path launches a decision's continuation once, or leaves it to the sensor."""

import socket
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg2
import pytest

from radiant_dagster.adapters import approvals, continuation, dispatch
from radiant_dagster.adapters.dagster_api import DagsterApi
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import Vote, payload_hash
from tests.adapters.rows import insert_approval
from tests.conftest import run_sql, with_database
from tests.services.dagster_server import DagsterServer


@pytest.fixture
def server() -> Iterator[DagsterServer]:
    with DagsterServer() as dagster:
        yield dagster


@pytest.fixture
def decided(database: Database, tenant: uuid.UUID) -> uuid.UUID:
    return decide(database, tenant)


def decide(database: Database, tenant: uuid.UUID) -> uuid.UUID:
    with database.tenant_transaction(tenant) as cursor:
        approval_id = insert_approval(cursor, tenant)
    vote = Vote("lee", frozenset({"reviewer"}), "approved", payload_hash("The draft."))
    assert approvals.decide(database, tenant, approval_id, vote) == "approved"
    return approval_id


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def let_time_pass(owner_url: str, span: timedelta) -> None:
    connection = psycopg2.connect(owner_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("update radiant.approval_decision set requested_at = requested_at - %s",
                       (span,))  # fmt: skip
    connection.close()


def test_the_decision_is_launched_with_ids_only_and_not_again_by_the_sensor(
    database: Database, tenant: uuid.UUID, decided: uuid.UUID, server: DagsterServer
) -> None:
    run_id = continuation.launch(database, DagsterApi(server.url), tenant, decided)

    assert run_id is not None
    (config,) = server.launched
    assert config == {
        "ops": {
            "claim_decision": {"config": {"tenant_id": str(tenant), "approval_id": str(decided)}}
        }
    }
    assert server.tags[0]["dagster/run_key"] == f"approval:{decided}:1"
    assert dispatch.lease_decisions(database) == []
    assert continuation.launch(database, DagsterApi(server.url), tenant, decided) is None


def test_a_launch_that_came_to_nothing_is_the_sensors_at_its_next_tick(
    database: Database, tenant: uuid.UUID, decided: uuid.UUID, server: DagsterServer
) -> None:
    server.refuse = "PythonError"
    down = DagsterApi(f"http://127.0.0.1:{closed_port()}")

    for dagster in (down, DagsterApi(server.url)):
        assert continuation.launch(database, dagster, tenant, decided) is None

    (due,) = dispatch.lease_decisions(database)
    assert (due.approval_id, due.attempt) == (decided, 1)


def test_a_launch_whose_answer_was_lost_is_left_alone_until_the_lease_lapses(
    database: Database,
    tenant: uuid.UUID,
    decided: uuid.UUID,
    server: DagsterServer,
    owner_url: str,
) -> None:
    answer_now = threading.Event()
    server.on_launch = lambda _config: (answer_now.wait(), str(uuid.uuid4()))[1]

    run_id = continuation.launch(
        database, DagsterApi(server.url, read_seconds=0.3), tenant, decided
    )
    answer_now.set()

    assert run_id is None
    assert len(server.launched) == 1
    assert dispatch.lease_decisions(database) == []
    let_time_pass(owner_url, timedelta(seconds=61))
    assert [item.approval_id for item in dispatch.lease_decisions(database)] == [decided]


def test_a_late_return_does_not_undo_the_sensors_own_lease(
    database: Database, tenant: uuid.UUID, decided: uuid.UUID, owner_url: str
) -> None:
    lease = continuation.lease_decision(database, tenant, decided)
    assert lease is not None
    let_time_pass(owner_url, timedelta(seconds=61))
    assert len(dispatch.lease_decisions(database)) == 1

    continuation.return_decision(database, tenant, decided, lease)

    assert dispatch.lease_decisions(database) == []


def test_sensor_and_fast_path_racing_launch_each_decision_once(
    database_url: str, database: Database, tenant: uuid.UUID, server: DagsterServer
) -> None:
    wide = Database(database_url, pool_size=12)
    dagster = DagsterApi(server.url)
    ids = [decide(database, tenant) for _ in range(30)]
    by_sensor: list[uuid.UUID] = []

    def sensor() -> None:
        for _ in range(10):
            by_sensor.extend(item.approval_id for item in dispatch.lease_decisions(wide, limit=2))

    with ThreadPoolExecutor(10) as pool:
        sensors = [pool.submit(sensor) for _ in range(2)]
        fast = [pool.submit(continuation.launch, wide, dagster, tenant, item) for item in ids * 2]
        for work in (*sensors, *fast):
            work.result()
    wide.close()

    launched = [
        uuid.UUID(config["ops"]["claim_decision"]["config"]["approval_id"])
        for config in server.launched
    ]
    assert sorted([*launched, *by_sensor]) == sorted(ids)


@pytest.mark.parametrize("state", ["undecided", "claimed", "done", "other tenant's", "forged"])
def test_nothing_is_launched_for_what_is_not_due(
    database: Database, tenant: uuid.UUID, server: DagsterServer, owner_url: str, state: str
) -> None:
    approval_id, asking = decide(database, tenant), tenant
    if state == "undecided":
        with database.tenant_transaction(tenant) as cursor:
            approval_id = insert_approval(cursor, tenant)
    elif state == "claimed":
        with database.tenant_transaction(tenant) as cursor:
            dispatch.claim_decision(cursor, tenant, approval_id, run_id="run", ancestors=[])
    elif state == "done":
        run_sql(owner_url, "update radiant.approval_decision set done_at = clock_timestamp()")
    elif state == "other tenant's":
        asking = uuid.uuid4()
    else:
        approval_id = uuid.uuid4()

    assert continuation.launch(database, DagsterApi(server.url), asking, approval_id) is None

    assert server.launched == []


def test_a_reviewers_login_needs_no_right_of_a_dispatcher(
    admin_url: str, database_url: str, database: Database, tenant: uuid.UUID, server: DagsterServer
) -> None:
    login = f"reviewer_{uuid.uuid4().hex[:8]}"
    run_sql(
        admin_url,
        f"create role {login} login noinherit password 'x'",
        f"grant radiant_review to {login}",
    )
    approval_id = decide(database, tenant)
    name = database_url.rsplit("/", 1)[-1]
    reviewers = Database(with_database(admin_url, name, f"{login}:x"))

    thread = continuation.launch_soon(reviewers, DagsterApi(server.url), tenant, approval_id)
    thread.join()
    reviewers.close()

    assert len(server.launched) == 1


def test_a_decision_stands_whatever_becomes_of_the_fast_path(
    tenant: uuid.UUID, decided: uuid.UUID, server: DagsterServer
) -> None:
    away = Database(f"postgresql://radiant:x@127.0.0.1:{closed_port()}/nowhere")

    thread = continuation.launch_soon(away, DagsterApi(server.url), tenant, decided)
    thread.join()

    assert server.launched == []
