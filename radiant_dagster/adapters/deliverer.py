"""Delivers events: fans them out, leases what is due, tries it, writes down what came of it.

At least once, under a constant id. Several may run at once and any may die: what one had leased
comes back when its lease lapses. Woken by Postgres when an event is committed; a poll finds what a
lost wake-up would leave, and retries.
"""

import logging
import os
import secrets
import select
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

import psycopg2

from radiant_dagster.adapters import deliveries, targets
from radiant_dagster.adapters.deliveries import INSTALLATION, Lease
from radiant_dagster.adapters.notifications import Notifier
from radiant_dagster.adapters.postgres import Database, connect
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.vault import Vault
from radiant_dagster.adapters.webhooks import Reply, Sender
from radiant_dagster.domain import webhooks
from radiant_dagster.domain.egress import EgressPolicy, parse_policy
from radiant_dagster.errors import ConfigurationError, DatabaseUnavailable, InvalidInput

HANDS = 8  # tries at once
HANDS_A_TARGET = 2  # of them for one receiver, so that a slow one does not take all
POLL_SECONDS = 2.0
OVERDUE_SECONDS = 0.2  # until the next look at what is due but busy
LISTEN = "listen radiant_event"

log = logging.getLogger(__name__)


class Installation:
    """The one endpoint of all tenants: MISSION_CONTROL_URL.

    Args:
        url: An external Mission Control.
        keys: Of RADIANT_WEBHOOK_SECRET, the newest first.
        policy: Of webhooks; the URL's own host is listed besides, since the operator chose it.
    """

    def __init__(self, url: str, keys: tuple[bytes, ...], policy: EgressPolicy) -> None:
        self.url = url
        self.keys = keys
        host = (urlsplit(url).hostname or "").lower()
        self.sender = Sender(EgressPolicy(policy.hosts | {host}, policy.networks, policy.ports))
        self.sender.check(url)

    @classmethod
    def of(cls, settings: Settings) -> "Installation | None":
        """Return it, None where nothing leaves this machine.

        Raises:
            ConfigurationError: The secret is malformed or the URL may not be called.
        """
        if settings.mission_control_url is None or settings.webhook_secret is None:
            return None
        try:
            words = settings.webhook_secret.get_secret_value().split()
            keys = tuple(webhooks.parse_secret(word) for word in words)
        except InvalidInput as error:
            raise ConfigurationError("RADIANT_WEBHOOK_SECRET", error.problem, error.fix) from None
        try:
            return cls(settings.mission_control_url, keys, policy_of(settings))
        except InvalidInput as error:
            raise ConfigurationError("MISSION_CONTROL_URL", error.problem, error.fix) from None


def policy_of(settings: Settings) -> EgressPolicy:
    """Return which addresses may be reached."""
    return parse_policy(settings.webhook_allow, settings.webhook_ports)


class _Wakeup:
    """Waits for an event in Postgres, for `wake`, or for time to pass."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)

    def wake(self) -> None:
        """End the wait from any thread."""
        try:
            self._writer.send(b".")
        except OSError:
            return  # it is full of wake-ups already, or the wait is over for good

    def wait(self, seconds: float) -> None:
        """Wait; without a connection for time and `wake` alone."""
        self._listen()
        watched = [self._reader] if self._connection is None else [self._reader, self._connection]
        ready = select.select(watched, [], [], max(seconds, 0))[0]
        if self._reader in ready:
            self._reader.recv(65_536)
        if self._connection in ready:
            self._take_notifications()

    def _listen(self) -> None:
        if self._connection is not None:
            return
        try:
            connection = connect(self._url, application_name=f"radiant deliver/{os.getpid()}")
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(LISTEN)
        except (DatabaseUnavailable, psycopg2.Error):
            return  # the poll goes on
        self._connection = connection
        self.wake()  # what was committed before nobody told

    def _take_notifications(self) -> None:
        try:
            self._connection.poll()
            self._connection.notifies.clear()
        except psycopg2.Error:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Close the connection and the pipe."""
        if self._connection is not None:
            self._connection.close()
        self._reader.close()
        self._writer.close()


class Deliverer:
    """Delivers until it is stopped; see the module.

    Args:
        database: A login that may step into radiant_deliver; its pool serves all hands.
        sender: For tenants' endpoints.
        notifier: For people.
        vault: Opens stored secrets; None where RADIANT_SECRET_KEY is unset, they then wait.
        installation: The endpoint of all tenants.
        page_base: Mission Control as people reach it.
    """

    def __init__(
        self,
        database: Database,
        *,
        sender: Sender,
        notifier: Notifier,
        vault: Vault | None,
        installation: Installation | None = None,
        page_base: str | None = None,
    ) -> None:
        self._database = database
        self._sender = sender
        self._notifier = notifier
        self._vault = vault
        self._installation = installation
        self._page_base = page_base
        self._lock = threading.Lock()
        self._busy: list[UUID] = []
        self._stop = threading.Event()
        self._wakeup: _Wakeup | None = None
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, settings: Settings, database: Database) -> Self:
        """Return the deliverer that the settings describe.

        Raises:
            ConfigurationError, InvalidInput: A setting is malformed.
        """
        sender = Sender(policy_of(settings))
        return cls(
            database,
            sender=sender,
            notifier=Notifier(sender),
            vault=Vault.of(settings) if settings.secret_key else None,
            installation=Installation.of(settings),
            page_base=settings.reviewers_url,
        )

    def start(self) -> None:
        """Deliver on a thread of its own, beside what else this process does."""
        self._thread = threading.Thread(
            target=self.run, args=(self._stop,), name="radiant-deliver", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread; waits for tries in flight, which are bounded."""
        self._stop.set()
        if self._wakeup is not None:
            self._wakeup.wake()
        if self._thread is not None:
            self._thread.join()
        self._sender.close()
        if self._installation is not None:
            self._installation.sender.close()

    def run(self, stop: threading.Event) -> None:
        """Deliver until the event is set.

        Args:
            stop: Looked at every two seconds.
        """
        wakeup = self._wakeup = _Wakeup(self._database.url)
        try:
            with ThreadPoolExecutor(HANDS, thread_name_prefix="radiant-deliver") as hands:
                while not stop.is_set():
                    try:
                        seconds = self._round(hands, wakeup)
                    except DatabaseUnavailable as error:
                        log.warning("Deliveries wait: %s", error.code)
                        seconds = POLL_SECONDS
                    wakeup.wait(seconds)
        finally:
            self._wakeup = None
            wakeup.close()

    def _round(self, hands: ThreadPoolExecutor, wakeup: _Wakeup) -> float:
        """Hand out what is due and return how long to wait."""
        to_installation = self._installation is not None
        while deliveries.fan_out(self._database, to_installation=to_installation):
            pass
        with self._lock:
            free = HANDS - len(self._busy)
            taken = {item for item in self._busy if self._busy.count(item) >= HANDS_A_TARGET}
        if free == 0:
            return POLL_SECONDS  # a hand that comes free wakes us
        for item in deliveries.lease(self._database, limit=free, except_targets=tuple(taken)):
            with self._lock:
                self._busy.append(item.target)
            future = hands.submit(self.attempt, item)
            future.add_done_callback(lambda done, item=item: self._free(done, item, wakeup))
        due = deliveries.seconds_until_due(self._database)
        return POLL_SECONDS if due is None else min(max(due, OVERDUE_SECONDS), POLL_SECONDS)

    def _free(self, done: "Future[None]", item: Lease, wakeup: _Wakeup) -> None:
        with self._lock:
            self._busy.remove(item.target)
        error = done.exception()
        if error is not None:  # its lease lapses; the type alone, a message may quote a URL
            log.error("Delivery of event %s failed: %s", item.event.id, type(error).__name__)
        wakeup.wake()

    def attempt(self, item: Lease) -> None:
        """Try one leased delivery and record the result."""
        event = item.event
        if webhooks.needless(event.type, event.deadline, item.now):
            deliveries.give_up(self._database, item, status=None, error="deadline")
            return
        reply = self._try(item)
        if reply.error is None:
            deliveries.delivered(self._database, item, reply.status)
            return
        if reply.error == "target_removed":
            deliveries.give_up(self._database, item, status=None, error=reply.error)
            return
        if webhooks.judge(reply.status) == "gone":
            disable = item.kind == "webhook"
            deliveries.give_up(
                self._database, item, status=reply.status, error="gone", disable=disable
            )
            return
        at = webhooks.next_try(
            event.type,
            event.deadline,
            attempts=item.attempts,
            now=deliveries.database_now(self._database),
            jitter=secrets.SystemRandom().random(),
            retry_after_seconds=reply.retry_after_seconds,
        )
        if at is None:
            deliveries.give_up(
                self._database, item, status=reply.status, error=f"{reply.error}, no try left"
            )
        else:
            deliveries.retry(self._database, item, at, status=reply.status, error=reply.error)

    def _try(self, item: Lease) -> Reply:
        event = item.event
        body = webhooks.payload(event, self._page_base)
        if item.target == INSTALLATION:
            if self._installation is None:
                return Reply(None, "target_removed")
            there = self._installation
            return there.sender.send(there.url, there.keys, str(event.id), body)
        find = targets.endpoint if item.kind == "webhook" else targets.route
        with self._database.system_transaction("radiant_deliver") as cursor:
            row = find(cursor, event.tenant_id, item.target)
        if row is None or row.get("disabled_at"):
            return Reply(None, "target_removed")
        if self._vault is None:
            return Reply(None, "no_secret_key")
        try:
            if item.kind == "notification":
                url = self._vault.open(bytes(row["url"]), event.tenant_id, item.target).decode()
                return self._notifier.send(url, webhooks.sentence(event, self._page_base))
            keys = endpoint_keys(self._vault, event.tenant_id, row)
        except ConfigurationError:
            return Reply(None, "wrong_secret_key")
        return self._sender.send(row["url"], keys, str(event.id), body)


def endpoint_keys(vault: Vault, tenant_id: UUID, row: dict[str, Any]) -> tuple[bytes, ...]:
    """Return the keys that sign for an endpoint, the newest first."""
    sealed = [item for item in (row["secret"], row["old_secret"]) if item is not None]
    return tuple(vault.open(bytes(item), tenant_id, row["id"]) for item in sealed)
