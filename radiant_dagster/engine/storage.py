"""Dagster's Postgres storage for a process that runs many runs: one pool, events in groups.

dagster-postgres opens a connection an event, or a pool for each of its three storages, and writes
each event in two transactions while the step waits. In a worker that is most of a session's
overhead. Here the three storages share one bounded pool, and events of steps are written behind
the step's back by one thread, several at a time, in the order they happened.

Invariants: a change of the run's status, an asset's event and any read through this storage wait
until everything before them is written, so nobody in this process sees the log out of order and a
run is never finished before its events are. What a killed process can lose is the last
LINGER_SECONDS of a step's events; the step then counts as not finished, as it would without.
A failed write is raised to whoever writes next, as Dagster does.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, ClassVar, Self

import dagster as dg
import psycopg2
import sqlalchemy as db
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.snap.execution_plan_snapshot import ExecutionPlanSnapshot
from dagster._core.storage.event_log import SqlEventLogStorageTable
from dagster._core.storage.runs.schema import RunsTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from dagster_postgres.utils import (
    create_pg_connection,
    pg_url_from_config,
    set_pg_statement_timeout,
)
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DisconnectionError

# Connections to Postgres that Dagster may hold in one process.
MAX_CONNECTIONS = 3
# What a server process (webserver, daemon, code server) keeps, and how many more it may open.
KEPT_CONNECTIONS = 5
MOST_IN_A_RUSH = 20
PLANS = 16  # remembered; some hundred kilobytes each at the most
GROUP_SIZE = 200  # events in one INSERT
MOST_WAITING = 2_000  # then writers wait for the database
# Lets the events of steps that work side by side travel together: an INSERT costs the same for one
# event as for ten. Nothing waits for it: whoever needs the log in order writes it out first.
LINGER_SECONDS = 0.05
RETRY_SECONDS = 0.5
IDLE_SECONDS = 5.0  # a connection that rested longer is asked whether it lives
APPLICATION_NAME = "radiant-dagster"


def pooled_engine(postgres_url: str) -> Engine:
    """Return an engine whose pool never holds more than MAX_CONNECTIONS. It opens none yet."""
    engine = db.create_engine(
        postgres_url,
        isolation_level="AUTOCOMMIT",
        pool_size=MAX_CONNECTIONS,
        max_overflow=0,
        pool_timeout=30,
        pool_recycle=1800,
        # With the process id, as our own connections have it.
        connect_args={"application_name": f"{APPLICATION_NAME}/{os.getpid()}"},
    )
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", _ping_idle)
    return engine


@cache
def server_engine(postgres_url: str, pid: int) -> Engine:
    """Return the one engine of the daemon or the code server.

    Args:
        postgres_url: Dagster's database.
        pid: Of this process; a fork makes an engine of its own.
    """
    # They rest for seconds and must not stumble over a server that was restarted meanwhile.
    return _server_engine(postgres_url, pid, MOST_IN_A_RUSH, pool_recycle=1800, pool_pre_ping=True)


@cache
def webserver_engine(
    postgres_url: str, pid: int, statement_timeout_ms: int, pool_recycle_seconds: int, overflow: int
) -> Engine:
    """Return the one engine of the webserver, with the limits of its command line."""
    engine = _server_engine(postgres_url, pid, overflow, pool_recycle=pool_recycle_seconds)
    event.listen(
        engine,
        "connect",
        lambda connection, _: set_pg_statement_timeout(connection, statement_timeout_ms),
    )
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", _ping_idle)
    return engine


def _server_engine(postgres_url: str, pid: int, overflow: int, **options: Any) -> Engine:
    return db.create_engine(
        postgres_url,
        isolation_level="AUTOCOMMIT",
        pool_size=KEPT_CONNECTIONS,
        max_overflow=overflow,
        pool_use_lifo=True,  # what a rush needed grows old unused
        connect_args={"application_name": f"{APPLICATION_NAME}-server/{pid}"},
        **options,
    )


def _note_use(_connection: Any, record: Any) -> None:
    record.info["used"] = time.monotonic()


def _ping_idle(connection: Any, record: Any, _proxy: Any) -> None:
    """Find out about a restarted server before the first event after it fails.

    `pool_pre_ping` asks at every use: 45 times a session.
    """
    if time.monotonic() - record.info.get("used", 0.0) < IDLE_SECONDS:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error:
        raise DisconnectionError from None  # SQLAlchemy takes a fresh connection then


class _Shared:
    """A storage on its process's engine, which asks once whether the tables are as new as the code.

    Dagster reflects them at every read and write of a run and at every tick of a sensor, which was
    a sixth of a worker's CPU and half of what an idle daemon asked for. What is there stays there;
    what is missing may come with a migration, so it is asked for again.
    """

    postgres_url: str
    _engine: Engine
    _there: ClassVar[set[tuple[str, str]]] = set()

    def share(self, engine: Engine) -> None:
        self._engine = engine

    def optimize_for_webserver(
        self, statement_timeout: int, pool_recycle: int, max_overflow: int
    ) -> None:
        # Dagster would keep one connection a storage, so that each rush opens and closes some.
        self._engine = webserver_engine(
            self.postgres_url, os.getpid(), statement_timeout, pool_recycle, max_overflow
        )

    def _has(self, what: str, look: Callable[[], bool]) -> bool:
        key = (self.postgres_url, what)
        if key not in self._there and look():
            self._there.add(key)
        return key in self._there


class _RunStorage(_Shared, PostgresRunStorage):
    def share(self, engine: Engine) -> None:
        super().share(engine)
        self._plans: dict[str, ExecutionPlanSnapshot] = {}

    def get_execution_plan_snapshot(self, execution_plan_snapshot_id: str) -> ExecutionPlanSnapshot:
        # A run reads its plan twice, and all sessions have the same. Its id is its content's hash.
        plan = self._plans.get(execution_plan_snapshot_id)
        if plan is None:
            plan = super().get_execution_plan_snapshot(execution_plan_snapshot_id)
            if len(self._plans) >= PLANS:
                self._plans.clear()
            if plan:  # Dagster returns None for one that is not stored yet
                self._plans[execution_plan_snapshot_id] = plan
        return plan

    def has_execution_plan_snapshot(self, execution_plan_snapshot_id: str) -> bool:
        # Whether it is there now; Dagster reads and unpacks it for that.
        return self._has_snapshot_id(execution_plan_snapshot_id)

    def has_run_stats_index_cols(self) -> bool:
        return self._has("run stats", super().has_run_stats_index_cols)

    def has_backfill_id_column(self) -> bool:
        return self._has("backfill id", super().has_backfill_id_column)

    def run_status(self, run_id: str) -> dg.DagsterRunStatus | None:
        """Return a run's status alone; reading the whole run costs twenty times as much."""
        query = db.select(RunsTable.c.status).where(RunsTable.c.run_id == run_id)
        with self.connect() as connection:
            status = connection.execute(query).scalar()
        return None if status is None else dg.DagsterRunStatus(status)


def run_status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus | None:
    """Return a run's status, cheaply where the storage is ours; None for an unknown run."""
    storage = instance.run_storage
    if isinstance(storage, _RunStorage):
        return storage.run_status(run_id)
    run = instance.get_run_by_id(run_id)
    return None if run is None else run.status


class _ScheduleStorage(_Shared, PostgresScheduleStorage):
    def has_instigators_table(self) -> bool:
        return self._has("instigators", super().has_instigators_table)

    def _has_instigators_table(self, conn: Connection) -> bool:
        return self._has("instigators", partial(super()._has_instigators_table, conn))

    def has_secondary_index_table(self) -> bool:
        return self._has("secondary indexes", super().has_secondary_index_table)


class _EventLogStorage(_Shared, PostgresEventLogStorage):
    pass


class GroupingEventLogStorage(_EventLogStorage):
    """Event log that writes steps' events in groups, behind the step's back."""

    def share(self, engine: Engine) -> None:
        """Use the process's engine, and start to group."""
        self._waiting: deque[EventLogEntry] = deque()
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._writer: threading.Thread | None = None
        self._closed = False
        super().share(engine)

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event now or within milliseconds, in order."""
        if not _may_wait(event):
            super().store_event(event)  # connects, which writes everything before it
            return
        with self._changed:
            self._waiting.append(event)
            crowded = len(self._waiting) >= MOST_WAITING
            self._start_writer()
            if len(self._waiting) == 1:  # a writer that lingers over the first waits for the rest
                self._changed.notify()
        if crowded:
            self.flush()

    def flush(self) -> None:
        """Write everything that waits; raises what the database raises."""
        while self._waiting:
            self._write_group()

    def dispose(self) -> None:
        """Write what waits, stop the writer and close the pool."""
        self.flush()
        with self._changed:
            self._closed = True
            self._changed.notify()
        super().dispose()
        self._engine.dispose()  # the pool of all three storages

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        # Every statement of this storage passes here: readers see their own writes.
        if getattr(self, "_waiting", None):
            self.flush()
        with create_pg_connection(self._engine) as connection:
            yield connection

    def _write_group(self) -> None:
        with self._writing:
            group = [self._waiting[i] for i in range(min(GROUP_SIZE, len(self._waiting)))]
            if not group:
                return
            rows = [self._event_to_row(event) for event in group]
            with create_pg_connection(self._engine) as connection:
                connection.execute(SqlEventLogStorageTable.insert(), rows)
            # Only now: a failed INSERT keeps its events, and order, for the next attempt.
            for _ in group:
                self._waiting.popleft()

    def _start_writer(self) -> None:
        if self._writer is None:
            self._writer = threading.Thread(
                target=self._write_forever, name="event log writer", daemon=True
            )
            self._writer.start()

    def _write_forever(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                self._changed.wait(LINGER_SECONDS)
            try:
                self.flush()
            except Exception:  # noqa: BLE001 - stays queued; the next synchronous write raises it
                threading.Event().wait(RETRY_SECONDS)


def _may_wait(event: EventLogEntry) -> bool:
    if not event.is_dagster_event:
        return True
    dagster_event = event.get_dagster_event()
    return not (
        dagster_event.is_job_event
        or dagster_event.event_type in ASSET_EVENTS
        or dagster_event.event_type in ASSET_CHECK_EVENTS
    )


class RadiantPostgresStorage(DagsterPostgresStorage):
    """`DagsterPostgresStorage` for the webserver, the daemon and the code server.

    They ask all the time, see `_Shared`. Dagster's own opens a connection a statement in the last
    two, and three more wherever an instance is made, which the code server does at each tick of
    each sensor, to ask whether the tables are there. Here a process keeps a few, and asks once.
    """

    _prepared: ClassVar[set[str]] = set()

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        create = should_autocreate_tables and postgres_url not in self._prepared
        super().__init__(postgres_url, create, inst_data)
        self._prepared.add(postgres_url)
        events = _EventLogStorage(postgres_url, should_autocreate_tables=False)
        self._share(server_engine(postgres_url, os.getpid()), events)

    def _share(self, engine: Engine, events: _EventLogStorage) -> None:
        runs = _RunStorage(self.postgres_url, should_autocreate_tables=False)
        schedules = _ScheduleStorage(self.postgres_url, should_autocreate_tables=False)
        for storage in (runs, events, schedules):
            storage.share(engine)
        self._run_storage, self._event_log_storage = runs, events
        self._schedule_storage = schedules
        self.engine = engine

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Build it from the same configuration as Dagster's own class."""
        return cls(
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
        )


class PooledPostgresStorage(RadiantPostgresStorage):
    """`DagsterPostgresStorage` with one pool of MAX_CONNECTIONS and grouped events."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        super().__init__(postgres_url, should_autocreate_tables, inst_data)
        events = GroupingEventLogStorage(postgres_url, should_autocreate_tables=False)
        self._share(pooled_engine(postgres_url), events)
