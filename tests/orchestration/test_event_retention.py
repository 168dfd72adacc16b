"""Old events are forgotten, and nothing that somebody still has to be told of."""

import uuid
from typing import Any

import dagster as dg
import pytest

from radiant_dagster.adapters.event_retention import BATCH, forget_old
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.definitions import defs
from tests.adapters.rows import insert
from tests.conftest import World


def add_event(owner: Any, tenant: uuid.UUID, *, days: float, **delivery: Any) -> uuid.UUID:
    """Insert an event of that age, with a delivery where columns of one are given."""
    event_id = uuid.uuid4()
    owner.execute("select clock_timestamp() - make_interval(secs => %s) as at", (days * 86400,))
    at = owner.fetchone()["at"]
    insert(
        owner, "event", tenant_id=tenant, id=event_id, type="session.completed",
        session_id=uuid.uuid4(), domain="general", at=at, fanned_out_at=at,
    )  # fmt: skip
    if delivery:
        insert(
            owner, "delivery", tenant_id=tenant, event_id=event_id, target=uuid.uuid4(),
            kind="webhook", **delivery,
        )  # fmt: skip
    return event_id


def left(owner: Any) -> set[uuid.UUID]:
    owner.execute("select id from radiant.event")
    return {row["id"] for row in owner.fetchall()}


def test_old_events_go_with_what_was_told_of_them_and_open_deliveries_stay(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    when = "2026-01-01"
    for options in ({}, {"delivered_at": when}, {"gave_up_at": when}):
        add_event(owner, tenant, days=91, **options)
    kept = {
        add_event(owner, tenant, days=89, delivered_at=when),
        add_event(owner, tenant, days=89),
        add_event(owner, tenant, days=400, attempts=3),
    }

    first = forget_old(database, days=90)
    second = forget_old(database, days=90)

    assert first == {"deliveries": 2, "events": 3}
    assert second == {"deliveries": 0, "events": 0}
    assert left(owner) == kept
    owner.execute("select count(*) as n from radiant.delivery")
    assert owner.fetchone() == {"n": 2}


def test_more_than_one_batch_is_forgotten_at_once(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    owner.execute(
        "insert into radiant.event (tenant_id, type, session_id, domain, at)"
        " select %s, 'session.completed', gen_random_uuid(), 'general', '2020-01-01'"
        " from generate_series(1, %s)",
        (tenant, BATCH + 1),
    )

    assert forget_old(database, days=1)["events"] == BATCH + 1


def test_maintenance_itself_cannot_delete_what_is_new_or_still_to_be_told(
    database: Database, tenant: uuid.UUID, owner: Any
) -> None:
    new = add_event(owner, tenant, days=0.9)
    untold = add_event(owner, tenant, days=400, attempts=1)

    with database.system_transaction("radiant_maintenance") as cursor:
        cursor.execute("delete from radiant.delivery")
        deliveries = cursor.rowcount
        cursor.execute("delete from radiant.event where id = %s", (new,))
        events = cursor.rowcount

    assert (deliveries, events) == (0, 0)
    assert left(owner) == {new, untold}


def test_the_daily_job_keeps_to_the_setting_and_shows_its_counts(
    world: World, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADIANT_EVENT_DAYS", "30")
    old, new = (add_event(owner, world.tenant, days=days) for days in (31, 29))
    job = defs.resolve_job_def("event_maintenance")

    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance)

    (event,) = (item for item in result.all_events if item.event_type_value == "STEP_OUTPUT")
    shown = {name: value.value for name, value in event.step_output_data.metadata.items()}
    assert result.success
    assert left(owner) == {new}
    assert old not in left(owner)
    assert {key: shown[key] for key in ("older_than_days", "deliveries", "events")} == {
        "older_than_days": 30, "deliveries": 0, "events": 1,
    }  # fmt: skip
