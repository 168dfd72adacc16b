"""Events reach their receivers: signed, retried, at least once, until nobody needs them."""

import base64
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
import standardwebhooks

from radiant_dagster.adapters import deliveries, events, targets
from radiant_dagster.adapters.deliverer import Deliverer
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.vault import Vault
from radiant_dagster.domain import webhooks as signing
from tests.services.webhook_receiver import Answer, Receiver

KEY = base64.b64encode(bytes(range(32))).decode()
SECRET = bytes(range(40, 72))
CANARY = "Mrs Canary Smith has chest pain"
ROOT = Path(__file__).parents[2]


def whsec(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


class Hooks:
    """A tenant's endpoints and events, and the environment of their deliverers."""

    def __init__(
        self, database: Database, reviewers: Database, tenant: uuid.UUID, owner_url: str
    ) -> None:
        self.database, self.reviewers = database, reviewers
        self.tenant, self.owner_url = tenant, owner_url
        self.environment = {
            "RADIANT_HOME": "/nonexistent/radiant-tests",
            "RADIANT_REVIEW_DATABASE_URL": reviewers.url,
            "RADIANT_SECRET_KEY": KEY,
            "RADIANT_WEBHOOK_ALLOW": "127.0.0.1",
            "RADIANT_PUBLIC_URL": "https://control.example.org",
        }

    @property
    def settings(self) -> Settings:
        return Settings.load(self.environment)

    def add(self, url: str, **choice: Any) -> uuid.UUID:
        endpoint_id = uuid.uuid4()
        sealed = Vault.of(self.settings).seal(SECRET, self.tenant, endpoint_id)
        with self.database.tenant_transaction(self.tenant) as cursor:
            targets.add_endpoint(
                cursor, self.tenant, endpoint_id, url=url, secret=sealed, actor="ann",
                **({"types": (), "domains": ()} | choice),
            )  # fmt: skip
        return endpoint_id

    def emit(self, event: events.EventType = "approval.requested", **more: Any) -> uuid.UUID:
        values: dict[str, Any] = {
            "session_id": uuid.uuid4(),
            "approval_id": uuid.uuid4(),
            "domain": "medical",
            "deadline": datetime.now(UTC) + timedelta(minutes=5),
        }
        values |= more
        with self.database.tenant_transaction(self.tenant) as cursor:
            events.emit(cursor, self.tenant, event, **values)
        return values["approval_id"]

    @contextmanager
    def delivering(self) -> Iterator[Deliverer]:
        pool = Database(self.reviewers.url)
        deliverer = Deliverer.of(self.settings, pool)
        deliverer.start()
        try:
            yield deliverer
        finally:
            deliverer.stop()
            pool.close()

    def rows(self, query: str) -> list[dict[str, Any]]:
        connection = psycopg2.connect(self.owner_url, cursor_factory=psycopg2.extras.RealDictCursor)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def due_now(self) -> None:
        """Let the time until the next try pass."""
        self.rows("update radiant.delivery set next_at = clock_timestamp() - interval '1 second'")

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for the one delivery to be as wanted."""
        limit = time.monotonic() + 20
        while time.monotonic() < limit:
            found = self.rows("select * from radiant.delivery")
            if found and condition(found[0]):
                return found[0]
            time.sleep(0.02)
        raise AssertionError("the delivery never was as wanted")


@pytest.fixture
def hooks(database: Database, api_database: Database, tenant: uuid.UUID, owner_url: str) -> Hooks:
    return Hooks(database, api_database, tenant, owner_url)


def is_delivered(row: dict[str, Any]) -> bool:
    return row["delivered_at"] is not None


def is_given_up(row: dict[str, Any]) -> bool:
    return row["gave_up_at"] is not None


def test_an_event_arrives_signed_as_an_independent_library_wants_it(
    hooks: Hooks, receiver: Receiver
) -> None:
    hooks.add(f"{receiver.url}/hook")

    with hooks.delivering():
        approval_id = hooks.emit()
        (request,) = receiver.wait_for(1)

    body = standardwebhooks.Webhook(whsec(SECRET)).verify(request.body, request.headers)
    assert body["type"] == "approval.requested"
    assert body["data"]["approval_id"] == str(approval_id)
    assert body["data"]["state"] == "pending"
    assert body["data"]["url"] == f"https://control.example.org/approvals/{approval_id}"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(whsec(b"x" * 32)).verify(request.body, request.headers)


def test_a_receiver_can_tell_what_is_forged_old_replayed_or_overtaken(
    hooks: Hooks, receiver: Receiver
) -> None:
    hooks.add(receiver.url)
    receiver.answer = lambda _request: Answer(500 if len(receiver.received) == 1 else 204)
    with hooks.delivering():
        hooks.emit()
        receiver.wait_for(1)
        hooks.until(lambda row: row["last_status"] == 500)
        hooks.due_now()
        first, again = receiver.wait_for(2)
    check = standardwebhooks.Webhook(whsec(SECRET))
    six_minutes_ago = str(int(first.headers["webhook-timestamp"]) - 360)
    old = signing.headers([SECRET], first.id, int(six_minutes_ago), first.body)

    forged = {
        "body": (first.body.replace(b"pending", b"approved"), first.headers),
        "id": (first.body, first.headers | {"webhook-id": str(uuid.uuid4())}),
        "time": (first.body, first.headers | {"webhook-timestamp": six_minutes_ago}),
        "no signature": (first.body, first.headers | {"webhook-signature": ""}),
        "old, though ours": (first.body, first.headers | old),
    }

    for what, (body, headers) in forged.items():
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            pytest.fail(f"{what}: {check.verify(body, headers)}")
    # What came before is known by its id; what was overtaken by the time of its event.
    assert first.id == again.id
    assert check.verify(first.body, first.headers) == check.verify(again.body, again.headers)
    assert first.json["timestamp"]


def test_of_a_claim_nobody_outside_hears(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver.url)
    hooks.environment["MISSION_CONTROL_URL"] = f"{receiver.url}/events"
    hooks.environment["RADIANT_WEBHOOK_SECRET"] = whsec(SECRET)

    with hooks.delivering():
        hooks.emit("approval.claimed")
        stuck = hooks.emit("approval.stuck")
        receiver.wait_for(2)

    told = {(row["type"], row["approval_id"]) for row in hooks.rows(
        "select e.type, e.approval_id::text from radiant.delivery d"
        " join radiant.event e on e.id = d.event_id"
    )}  # fmt: skip
    assert told == {("approval.stuck", str(stuck))}
    assert hooks.rows("select 1 from radiant.event where fanned_out_at is null") == []


def test_a_failed_try_is_repeated_under_the_same_id_with_a_fresh_signature(
    hooks: Hooks, receiver: Receiver
) -> None:
    hooks.add(receiver.url)
    receiver.answer = lambda _request: Answer(500 if len(receiver.received) < 3 else 200)

    with hooks.delivering():
        hooks.emit()
        for attempts in (1, 2):
            hooks.until(lambda row, n=attempts: row["attempts"] == n and row["last_status"] == 500)
            hooks.due_now()
        row = hooks.until(is_delivered)

    assert row["attempts"] == 3
    assert len({request.id for request in receiver.received}) == 1
    for request in receiver.received:
        standardwebhooks.Webhook(whsec(SECRET)).verify(request.body, request.headers)


def test_while_a_secret_is_rotated_both_sign(hooks: Hooks, receiver: Receiver) -> None:
    endpoint_id = hooks.add(receiver.url)
    fresh = b"n" * 32
    sealed = Vault.of(hooks.settings).seal(fresh, hooks.tenant, endpoint_id)
    with hooks.database.tenant_transaction(hooks.tenant) as cursor:
        targets.rotate(cursor, hooks.tenant, endpoint_id, sealed, actor="ann")

    with hooks.delivering():
        hooks.emit()
        receiver.wait_for(1)
        hooks.rows("update radiant.webhook_endpoint set old_secret_until = clock_timestamp()")
        hooks.emit()
        during, after = receiver.wait_for(2)

    for key in (SECRET, fresh):
        standardwebhooks.Webhook(whsec(key)).verify(during.body, during.headers)
    standardwebhooks.Webhook(whsec(fresh)).verify(after.body, after.headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(whsec(SECRET)).verify(after.body, after.headers)


def test_a_receiver_that_says_gone_is_disabled_and_not_told_again(
    hooks: Hooks, receiver: Receiver
) -> None:
    hooks.add(receiver.url)
    receiver.answer = lambda _request: Answer(410)

    with hooks.delivering():
        hooks.emit()
        row = hooks.until(is_given_up)
        hooks.emit()
        while hooks.rows("select 1 from radiant.event where fanned_out_at is null"):
            time.sleep(0.02)

    assert row["last_status"] == 410
    assert len(hooks.rows("select 1 from radiant.delivery")) == 1
    assert hooks.rows("select disabled_reason from radiant.webhook_endpoint") == [
        {"disabled_reason": "gone"}
    ]
    actions = {row["action"] for row in hooks.rows("select action from radiant.audit")}
    assert {"webhook.disabled", "delivery.gave_up"} <= actions


def test_a_redirect_is_a_failure_and_is_not_followed(hooks: Hooks, receiver: Receiver) -> None:
    with Receiver() as elsewhere:
        hooks.add(receiver.url)
        receiver.answer = lambda _request: Answer(307, {"Location": elsewhere.url})

        with hooks.delivering():
            hooks.emit()
            row = hooks.until(lambda row: row["last_status"] is not None)

        assert (row["last_status"], row["last_error"]) == (307, "http_307")
        assert row["delivered_at"] is None
        assert elsewhere.received == []


def test_a_receiver_may_ask_for_patience(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver.url)
    receiver.answer = lambda _request: Answer(429, {"Retry-After": "120"})

    with hooks.delivering():
        hooks.emit()
        row = hooks.until(lambda row: row["last_status"] == 429)

    waits = hooks.rows("select next_at > clock_timestamp() + interval '100 s' as w"
                       " from radiant.delivery")  # fmt: skip
    assert waits == [{"w": True}]
    assert row["delivered_at"] is None


def test_tries_end_at_the_deadline_and_that_is_audited(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver.url)
    receiver.answer = lambda _request: Answer(503)

    with hooks.delivering():
        approval_id = hooks.emit(deadline=datetime.now(UTC) + timedelta(hours=1))
        hooks.until(lambda row: row["last_status"] == 503)
        hooks.rows("update radiant.event set deadline = clock_timestamp()")
        hooks.due_now()
        row = hooks.until(is_given_up)

    assert len(receiver.received) == 1
    assert row["last_error"] == "deadline"
    (entry,) = hooks.rows("select * from radiant.audit where action = 'delivery.gave_up'")
    assert (entry["approval_id"], entry["actor"]) == (str(approval_id), "system:deliver")


def test_an_expired_approval_is_told_of_after_its_deadline(
    hooks: Hooks, receiver: Receiver
) -> None:
    hooks.add(receiver.url)

    with hooks.delivering():
        hooks.emit("approval.expired", deadline=datetime.now(UTC) - timedelta(minutes=1))
        (request,) = receiver.wait_for(1)

    assert request.json["data"]["state"] == "expired"


def test_an_endpoint_is_told_of_the_types_and_domains_it_chose(
    hooks: Hooks, receiver: Receiver
) -> None:
    hooks.add(receiver.url, types=["approval.decided"], domains=["legal"])

    with hooks.delivering():
        hooks.emit("approval.decided", domain="medical")
        hooks.emit("approval.requested", domain="legal")
        hooks.emit("approval.decided", domain="legal", detail={"verdict": "approved"})
        (request,) = receiver.wait_for(1)
        while hooks.rows("select 1 from radiant.event where fanned_out_at is null"):
            time.sleep(0.02)

    assert len(hooks.rows("select 1 from radiant.delivery")) == 1
    assert request.json["data"]["domain"] == "legal"
    assert request.json["data"]["state"] == "approved"


def test_an_endpoint_hears_nothing_of_another_tenant(
    hooks: Hooks, receiver: Receiver, database: Database, api_database: Database, owner_url: str
) -> None:
    from radiant_dagster.adapters import tenants

    other = Hooks(database, api_database, uuid.uuid4(), owner_url)
    tenants.create_tenant(database, other.tenant, "other", "Other")
    hooks.add(receiver.url)

    with hooks.delivering():
        other.emit()
        approval_id = hooks.emit()
        receiver.wait_for(1)
        while hooks.rows("select 1 from radiant.event where fanned_out_at is null"):
            time.sleep(0.02)

    assert [r.json["data"]["approval_id"] for r in receiver.received] == [str(approval_id)]


def test_nothing_an_event_carries_leaves_but_ids_states_and_times(
    hooks: Hooks, receiver: Receiver
) -> None:
    hooks.add(receiver.url)

    with hooks.delivering():
        hooks.emit("approval.decided", detail={"state": CANARY, "guidance": CANARY, "n": 1})
        (request,) = receiver.wait_for(1)

    assert "Canary" not in request.body.decode() + str(request.headers)
    assert request.json["data"]["state"] is None


def test_two_deliverers_send_each_event_once(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver.url)

    with hooks.delivering(), hooks.delivering():
        for _ in range(40):
            hooks.emit()
        while hooks.rows("select 1 from radiant.delivery where delivered_at is null") or len(
            hooks.rows("select 1 from radiant.delivery")
        ) < 40:  # fmt: skip
            time.sleep(0.05)

    ids = [request.id for request in receiver.received]
    assert len(ids) == len(set(ids)) == 40


def test_a_deliverer_killed_in_the_middle_leaves_the_event_to_the_next(
    hooks: Hooks, receiver: Receiver
) -> None:
    hooks.add(receiver.url)
    hooks.emit()
    receiver.hold.set()
    victim = subprocess.Popen(
        [sys.executable, "-m", "radiant_dagster.cli.main", "webhooks", "deliver"],
        env={**os.environ, **hooks.environment, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    receiver.wait_for(1)

    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    receiver.hold.clear()
    hooks.due_now()  # its lease lapses
    with hooks.delivering():
        first, second = receiver.wait_for(2)
        row = hooks.until(is_delivered)

    assert first.id == second.id
    assert row["attempts"] == 2


def test_a_late_result_of_a_lapsed_lease_changes_nothing(hooks: Hooks, receiver: Receiver) -> None:
    hooks.add(receiver.url)
    hooks.emit()
    deliveries.fan_out(hooks.reviewers, to_installation=False)
    (old,) = deliveries.lease(hooks.reviewers, limit=8, except_targets=())
    hooks.due_now()
    (new,) = deliveries.lease(hooks.reviewers, limit=8, except_targets=())

    far = datetime.now(UTC) + timedelta(days=1)
    deliveries.retry(hooks.reviewers, old, far, status=500, error="http_500")
    deliveries.give_up(hooks.reviewers, old, status=500, error="http_500")
    deliveries.delivered(hooks.reviewers, new, 200)

    (row,) = hooks.rows("select * from radiant.delivery")
    assert is_delivered(row)
    assert not is_given_up(row)
    assert row["last_status"] == 200


def test_an_external_mission_control_hears_of_all_tenants(hooks: Hooks, receiver: Receiver) -> None:
    hooks.environment["RADIANT_WEBHOOK_ALLOW"] = ""
    hooks.environment["MISSION_CONTROL_URL"] = f"{receiver.url}/events"
    hooks.environment["RADIANT_WEBHOOK_SECRET"] = whsec(SECRET)

    with hooks.delivering():
        hooks.emit()
        (request,) = receiver.wait_for(1)

    assert request.path == "/events"
    standardwebhooks.Webhook(whsec(SECRET)).verify(request.body, request.headers)


def test_without_an_endpoint_nothing_leaves(hooks: Hooks, receiver: Receiver) -> None:
    hooks.environment["MISSION_CONTROL_URL"] = receiver.url  # but no secret to sign with

    with hooks.delivering():
        hooks.emit()
        while hooks.rows("select 1 from radiant.event where fanned_out_at is null"):
            time.sleep(0.02)

    assert hooks.rows("select 1 from radiant.delivery") == []
    assert receiver.received == []


def test_secrets_are_unreadable_in_the_database_and_bound_to_their_row(hooks: Hooks) -> None:
    endpoint_id = hooks.add("https://hooks.example.org/a")

    (row,) = hooks.rows("select secret from radiant.webhook_endpoint")
    sealed = bytes(row["secret"])

    vault = Vault.of(hooks.settings)
    assert SECRET not in sealed
    assert vault.open(sealed, hooks.tenant, endpoint_id) == SECRET
    for tenant_id, row_id in ((uuid.uuid4(), endpoint_id), (hooks.tenant, uuid.uuid4())):
        with pytest.raises(Exception, match="RADIANT_SECRET_KEY"):
            vault.open(sealed, tenant_id, row_id)
