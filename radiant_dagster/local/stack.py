"""Starts the whole stack of one machine, watches it and ends it; nothing is left behind.

::

    postgres, valkey, model -> databases, migrations -> mission, code, worker -> webserver, daemon
                                                                                       |
                                                stack.json, once all are healthy <-----'

The manager owns `stack.lock`, `stack.json` and every process it started. Secrets reach processes
by their environment or a pipe, never by a command line.
"""

import contextlib
import importlib.metadata
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import radiant_dagster
from radiant_dagster.adapters.health import ping_broker
from radiant_dagster.adapters.migrations import (
    LOGIN_ROLES,
    REVIEW_LOGIN_ROLES,
    migrate,
    require_current,
)
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.vector_index import arrange
from radiant_dagster.errors import ServerDied
from radiant_dagster.local.control import StackInfo, clear_record, write_record
from radiant_dagster.local.dagster_home import code_location_loaded, write_dagster_home
from radiant_dagster.local.home import prepare_home, private_folder, write_private
from radiant_dagster.local.lock import take_lock
from radiant_dagster.local.plan import ALL, PORT_OF, Plan, ProcessName, command, make_plan
from radiant_dagster.local.ports import LOOPBACK, accepts, assign_ports
from radiant_dagster.local.postgres import (
    PostgresServer,
    create_databases,
    start_postgres,
    wait_for_postgres,
)
from radiant_dagster.local.processes import Child, Guard, spawn, stop
from radiant_dagster.local.signals import EndSignals
from radiant_dagster.local.valkey import start_valkey, valkey_answers, valkey_url

HEALTHY_SECONDS = 180.0  # cold imports on a slow disk; a warm start takes seconds
POLL_SECONDS = 0.05
WATCH_SECONDS = 0.2
# Ended in this order. Workers get time to end their runs' steps; Postgres goes last.
STOP_ORDER: tuple[tuple[tuple[ProcessName, ...], float], ...] = (
    (("mission", "worker", "daemon", "webserver", "code"), 10.0),
    (("model", "valkey"), 5.0),
    (("postgres",), 20.0),
)
DAGSTER_PROCESSES: tuple[ProcessName, ...] = ("code", "webserver", "daemon", "worker")
# Without the code server they start with an error, and sensors tick late.
NEEDS: dict[ProcessName, ProcessName] = {"webserver": "code", "daemon": "code"}
# Superuser, reviewer, and what opens or makes signatures: not for processes that run jobs.
NOT_FOR_PROCESSES = {
    "RADIANT_OWNER_DATABASE_URL",
    "RADIANT_REVIEW_DATABASE_URL",
    "RADIANT_SECRET_KEY",
    "RADIANT_WEBHOOK_SECRET",
}
# And Mission Control, which people reach, gets the reviewer's login and no other.
NOT_FOR_MISSION = {
    "RADIANT_OWNER_DATABASE_URL",
    "RADIANT_DATABASE_URL",
    "RADIANT_DAGSTER_DATABASE_URL",
    "RADIANT_BROKER_URL",
}
MIGRATED_LOGINS = {"radiant": LOGIN_ROLES, "radiant_reviewer": REVIEW_LOGIN_ROLES}
# These two say nothing on a port; their last line of start-up is all there is.
READY_LINE: dict[ProcessName, re.Pattern[str]] = {
    "daemon": re.compile(r"Instance is configured with the following daemons"),
    "worker": re.compile(r"\bready\.\s*$", re.MULTILINE),
}
READY_LINES = 400
Progress = Callable[[str], None]


def _silent(_message: str) -> None:
    pass


class Stack:
    """The processes of `radiant up`.

    Args:
        settings: Best loaded with ``Settings.load(env, stack=False)``.
        processes: What to start at most; pieces that settings point elsewhere are left out.
        log_dir: Folder of the logs, by default ``<home>/logs``.
        env: Environment that the processes inherit, by default this process's.

    Use it as a context manager, or call `start` and `stop`. Both belong on the main thread, where
    SIGTERM and SIGHUP then raise KeyboardInterrupt as Ctrl-C does, until `stop`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        processes: tuple[ProcessName, ...] = ALL,
        log_dir: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._wanted = processes
        self._log_dir = log_dir
        # Handed on to the processes, as subprocess does by itself; nothing is read from it here.
        self._env = dict(os.environ if env is None else env)  # allowed: environment - handed on
        self._children: dict[ProcessName, Child] = {}
        self._ports: dict[str, int] = {}
        self._environment: dict[str, str] = {}
        self._home = settings.home
        self._lock: int | None = None
        self._guard: Guard | None = None
        self._signals = EndSignals()

    def start(self, on_progress: Progress = _silent) -> StackInfo:
        """Start everything and wait until it is healthy.

        Args:
            on_progress: Called with a line for people at each step.

        Raises:
            StackAlreadyRunning: Another manager works on the data folder.
            KeyboardInterrupt: Ctrl-C or `radiant down` meanwhile; nothing keeps running.
            ConfigurationError: A port is taken, or the data folder or a setting is unusable.
            ServerDied: A process did not come up; nothing keeps running.
        """
        begun = time.monotonic()
        self._home = prepare_home(self._settings.home)
        self._lock = take_lock(self._home)
        try:
            self._signals.take()
            info = self._start(on_progress)
        except BaseException:
            self.stop()
            raise
        on_progress(f"Everything is up after {time.monotonic() - begun:.1f} s.")
        return info

    def _start(self, on_progress: Progress) -> StackInfo:
        plan = make_plan(self._settings, self._wanted, clear_record(self._home))
        self._ports = assign_ports(self._home, plan.ports)
        self._log_dir = self._log_dir or private_folder(self._home, "logs")
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._guard = Guard(self._lock)
        self._environment = self._addresses(plan)
        postgres = self._start_servers(plan)
        self._prepare_databases(plan, postgres, on_progress)
        if "mission" in plan.processes:
            self._spawn("mission", plan)
        self._start_dagster(plan)
        self._wait_healthy(plan, on_progress)
        info = StackInfo(
            pid=os.getpid(),
            started_at=datetime.now(UTC),
            environment=self._recorded(plan),
            processes={name: child.pid for name, child in self._children.items()},
        )
        write_record(self._home, info)
        return info

    def _addresses(self, plan: Plan) -> dict[str, str]:
        """Return the variables by which processes find each other."""
        addresses = {"RADIANT_HOME": str(self._home), **plan.external}
        if "valkey" in plan.processes:
            addresses["RADIANT_BROKER_URL"] = valkey_url(self._home, self._ports["valkey"])
        if "model" in plan.processes:
            addresses["RADIANT_OFFLINE_MODEL_URL"] = f"http://{LOOPBACK}:{self._ports['model']}"
        if "webserver" in plan.processes:
            addresses["RADIANT_DAGSTER_URL"] = f"http://{LOOPBACK}:{self._ports['dagster']}"
        if "mission" in plan.processes:
            own = f"http://{LOOPBACK}:{self._ports['mission_control']}"
            addresses.setdefault("RADIANT_MISSION_CONTROL_URL", own)
        return addresses

    def _recorded(self, plan: Plan) -> dict[str, str]:
        """Return what stack.json tells other terminals: our own servers, nobody else's."""
        return {
            name: value
            for name, value in self._environment.items()
            if name != "RADIANT_HOME" and name not in plan.external
        }

    def _start_servers(self, plan: Plan) -> PostgresServer | None:
        guard, logs = self._running_guard(), self._logs()
        server = None
        if "valkey" in plan.processes:
            self._children["valkey"] = start_valkey(
                self._home, self._ports["valkey"], guard=guard, log=logs / "valkey.log"
            )
        if "model" in plan.processes:
            self._spawn("model", plan)
        if "postgres" in plan.processes:
            server = start_postgres(self._home, self._ports["postgres"], guard=guard, log_dir=logs)
            self._children["postgres"] = server.child
        return server

    def _prepare_databases(
        self, plan: Plan, server: PostgresServer | None, on_progress: Progress
    ) -> None:
        if server is not None:
            with contextlib.closing(wait_for_postgres(server)) as connection:
                create_databases(connection, self._home)
            self._environment |= {
                "RADIANT_DATABASE_URL": server.url("radiant", "radiant"),
                "RADIANT_OWNER_DATABASE_URL": server.url("postgres", "radiant"),
                "RADIANT_REVIEW_DATABASE_URL": server.url("radiant_reviewer", "radiant"),
                "RADIANT_DAGSTER_DATABASE_URL": server.url("radiant_dagster", "dagster"),
            } | dict(plan.external)
            on_progress(f"Postgres listens on {LOOPBACK}:{server.port}.")
            applied = migrate(
                self._environment["RADIANT_OWNER_DATABASE_URL"], logins=MIGRATED_LOGINS
            )
            if applied:
                on_progress(f"Applied {len(applied)} migration(s), last {applied[-1]}.")
            self._index_large_domains(on_progress)
        elif "RADIANT_DATABASE_URL" in plan.external:
            # Somebody else's database is changed by `radiant db migrate` alone.
            require_current(plan.external["RADIANT_DATABASE_URL"])
        if "RADIANT_BROKER_URL" in plan.external:
            ping_broker(plan.external["RADIANT_BROKER_URL"])

    def _index_large_domains(self, on_progress: Progress) -> None:
        with contextlib.closing(Database(self._environment["RADIANT_DATABASE_URL"])) as database:
            arrange(
                database,
                self._environment["RADIANT_OWNER_DATABASE_URL"],
                self._settings.grimoire_exact_rows,
                on_progress=lambda large: on_progress(
                    f"Indexing {large.rows} heuristics of one domain, {large.domain}."
                ),
            )

    def _start_dagster(self, plan: Plan) -> None:
        """Bring Dagster's tables up to date, then start the code server and the worker.

        The webserver and the daemon follow once the code server answers, see NEEDS.
        """
        names: list[ProcessName] = [name for name in plan.processes if name in DAGSTER_PROCESSES]
        if not names:
            return
        write_dagster_home(self._home, self._ports.get("code", 0))
        if "postgres" in plan.processes:
            self._migrate_dagster()
        for name in names:
            if NEEDS.get(name) not in names:
                self._spawn(name, plan)

    def _migrate_dagster(self) -> None:
        # Left to themselves, all processes create the tables at once and some fail at it.
        stamp = self._home / "dagster" / "tables"
        version = importlib.metadata.version("dagster")
        if stamp.exists() and stamp.read_text() == version:
            return
        child = spawn(
            "dagster instance migrate",
            [sys.executable, "-m", "dagster", "instance", "migrate"],
            log=self._logs() / "migrate.log",
            guard=self._running_guard(),
            env=self._child_environment(NOT_FOR_PROCESSES),
            cwd=self._home / "dagster",
        )
        try:
            child.popen.wait(HEALTHY_SECONDS)
        except subprocess.TimeoutExpired:
            raise ServerDied(child.name, None, str(child.log), child.log_tail()) from None
        finally:
            stop([child], grace_seconds=1.0)
        if child.exit_code != 0:
            raise ServerDied(child.name, child.exit_code, str(child.log), child.log_tail())
        write_private(stamp, version)

    def _spawn(self, name: ProcessName, plan: Plan) -> None:
        self._children[name] = spawn(
            name,
            command(name, self._ports, self._home / "dagster", plan.workers),
            log=self._logs() / f"{name}.log",
            guard=self._running_guard(),
            env=self._child_environment(
                NOT_FOR_MISSION if name == "mission" else NOT_FOR_PROCESSES
            ),
            # `python -m` makes its folder importable: a quiet one of our own.
            cwd=private_folder(self._home, "dagster"),
        )

    def _child_environment(self, withheld: set[str]) -> dict[str, str]:
        code = str(Path(radiant_dagster.__file__).parents[1])
        path = self._env.get("PYTHONPATH")
        env = {
            **self._env,
            **self._environment,
            "DAGSTER_HOME": str(self._home / "dagster"),
            # The very code that runs here, installed or not.
            "PYTHONPATH": f"{code}{os.pathsep}{path}" if path else code,
            "PYTHONUNBUFFERED": "1",
            # litellm otherwise downloads its price map while it is imported.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        return {name: value for name, value in env.items() if name not in withheld}

    def _wait_healthy(self, plan: Plan, on_progress: Progress) -> None:
        begun = time.monotonic()
        waiting: list[ProcessName] = [name for name in plan.processes if name != "postgres"]
        while waiting:
            self._raise_for_dead()
            for name in tuple(waiting):
                if name not in self._children:
                    if NEEDS[name] not in waiting:
                        self._spawn(name, plan)
                elif self._healthy(name):
                    waiting.remove(name)
                    seconds = time.monotonic() - begun
                    on_progress(f"{name} is ready{self._where(name)} ({seconds:.1f} s).")
            if waiting and time.monotonic() - begun > HEALTHY_SECONDS:
                child = self._children[waiting[0]]
                raise ServerDied(child.name, None, str(child.log), child.log_tail())
            time.sleep(POLL_SECONDS)

    def _healthy(self, name: ProcessName) -> bool:
        if name == "valkey":
            return valkey_answers(self._home, self._ports["valkey"])
        if name == "webserver":
            # It answers before our code location is loaded; a launch needs both.
            loaded = "code" in self._children
            port = self._ports["dagster"]
            return code_location_loaded(port) if loaded else accepts(port)
        if name in READY_LINE:
            return bool(READY_LINE[name].search(self._children[name].log_tail(READY_LINES)))
        return accepts(self._ports[PORT_OF[name]])

    def _where(self, name: ProcessName) -> str:
        if name == "webserver":
            return f" on {self._environment['RADIANT_DAGSTER_URL']}"
        return f" on {LOOPBACK}:{self._ports[PORT_OF[name]]}" if name in PORT_OF else ""

    def wait(self) -> None:
        """Watch until Ctrl-C, SIGTERM or SIGHUP; returns then, without stopping.

        Raises:
            ServerDied: A process ended by itself; names it, its log and the last lines.
        """
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                self._raise_for_dead()
                time.sleep(WATCH_SECONDS)

    def _raise_for_dead(self) -> None:
        for child in self._children.values():
            if child.exit_code is not None:
                raise ServerDied(child.name, child.exit_code, str(child.log), child.log_tail())

    def stop(self) -> None:
        """End everything that was started. May be called again, and after a failed start."""
        with self._signals.undisturbed():
            for names, grace in STOP_ORDER:
                stop(
                    [self._children.pop(name) for name in names if name in self._children],
                    grace_seconds=grace,
                )
            if self._guard is not None:
                self._guard.close()
                self._guard = None
            if self._lock is not None:
                clear_record(self._home)
                os.close(self._lock)
                self._lock = None
        self._signals.give_back()

    def _running_guard(self) -> Guard:
        assert self._guard is not None, "start() makes it first"  # noqa: S101
        return self._guard

    def _logs(self) -> Path:
        return self._log_dir or self._home / "logs"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
