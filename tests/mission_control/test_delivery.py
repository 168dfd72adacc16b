"""Mission Control tells the world of events for as long as it runs."""

import uuid

from radiant_dagster.adapters.postgres import Database
from tests.adapters.test_deliverer import Hooks, is_delivered
from tests.mission_control.conftest import Serve
from tests.services.webhook_receiver import Receiver


def test_it_delivers_while_it_runs_and_ends_with_its_last_try(
    serve: Serve, database: Database, api_database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    hooks = Hooks(database, api_database, tenant, owner_url)
    with Receiver() as receiver:
        hooks.add(receiver.url)

        with serve(**hooks.environment) as site:
            approval_id = hooks.emit()
            receiver.wait_for(1)
            row = hooks.until(is_delivered)
            alive = site("GET", "/healthz").status
        hooks.emit()

        assert (row["attempts"], alive) == (1, 200)
        assert str(approval_id).encode() in receiver.received[0].body
        waiting = hooks.rows("select 1 from radiant.event where fanned_out_at is null")
        assert len(waiting) == 1


def test_without_a_key_for_secrets_it_serves_and_deliveries_wait(
    serve: Serve, database: Database, api_database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    hooks = Hooks(database, api_database, tenant, owner_url)
    with Receiver() as receiver:
        hooks.add(receiver.url)
        del hooks.environment["RADIANT_SECRET_KEY"]

        with serve(**hooks.environment) as site:
            hooks.emit()
            row = hooks.until(lambda found: found["last_error"] is not None)
            alive = site("GET", "/healthz").status

        assert (row["last_error"], alive) == ("no_secret_key", 200)
        assert receiver.received == []
