"""Finds, ends and removes the embedded stack, from another terminal or after a crash."""

import os
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from radiant_dagster.adapters.settings import STACK_FILE, Settings
from radiant_dagster.errors import ConfigurationError
from radiant_dagster.local.home import MARKER, OWN_ENTRIES, foreign_entries, read_json, write_json
from radiant_dagster.local.lock import is_locked, read_manager
from radiant_dagster.local.processes import end_group, started_at_tick

STOP_SECONDS = 60.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class StackInfo:
    """A running stack as stack.json describes it.

    Attributes:
        pid: The manager's process.
        started_at: When all was healthy.
        environment: RADIANT_* variables by which other processes find its servers; with secrets.
        processes: Name -> process id.
    """

    pid: int
    started_at: datetime
    environment: Mapping[str, str]
    processes: Mapping[str, int]

    @property
    def dagster_url(self) -> str | None:
        """Dagit's address, None where the stack runs without it."""
        return self.environment.get("RADIANT_DAGSTER_URL")

    @property
    def mission_control_url(self) -> str | None:
        """Mission Control's address, None where the stack runs without it."""
        return self.environment.get("RADIANT_MISSION_CONTROL_URL")


def write_record(home: Path, info: StackInfo) -> None:
    """Write stack.json."""
    write_json(
        home / STACK_FILE,
        {
            "pid": info.pid,
            "started_at": info.started_at.isoformat(),
            "environment": dict(info.environment),
            "processes": dict(info.processes),
            "marks": {name: started_at_tick(pid) for name, pid in info.processes.items()},
        },
    )


def read_record(home: Path) -> StackInfo | None:
    """Read stack.json.

    Returns:
        None where there is none.

    Raises:
        ConfigurationError: It is damaged.
    """
    path = home / STACK_FILE
    value = read_json(path)
    if not value:
        return None
    try:
        return StackInfo(
            pid=int(value["pid"]),
            started_at=datetime.fromisoformat(value["started_at"]),
            environment={str(key): str(text) for key, text in value["environment"].items()},
            processes={str(name): int(pid) for name, pid in value["processes"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ConfigurationError(
            "RADIANT_HOME", f"{path} is damaged", "Stop the stack with `radiant down`, delete it."
        ) from None


def clear_record(home: Path) -> Mapping[str, str]:
    """Remove stack.json, ending servers of an earlier stack that it still names.

    Only for who holds the lock. A guard normally ended them; this helps where it was killed too.

    Returns:
        The environment that it recorded; empty where there was none, or a damaged one.
    """
    path = home / STACK_FILE
    try:
        value: dict[str, Any] = read_json(path)
        info = read_record(home)
    except ConfigurationError:
        info, value = None, {}
    if info is not None:
        marks: dict[str, str] = value.get("marks", {})
        for name, pid in info.processes.items():
            # The mark tells our server from a stranger that got its number since.
            if marks.get(name) and started_at_tick(pid) == marks[name]:
                end_group(pid)
    path.unlink(missing_ok=True)
    return info.environment if info else {}


def running_stack(settings: Settings) -> StackInfo | None:
    """Return the running stack of this data folder, None where none runs or it still starts.

    Raises:
        ConfigurationError: Its stack.json is damaged, or belongs to another user.
    """
    if not is_locked(settings.home) or not read_manager(settings.home).lives:
        return None
    return read_record(settings.home)


def down(settings: Settings) -> bool:
    """End the running stack and wait until its processes are gone.

    Returns:
        False where none ran. A stack.json left by a crash is removed in either case.

    Raises:
        ConfigurationError: It belongs to another user, or does not end.
    """
    home = settings.home
    if not home.is_dir():
        return False
    ran = is_locked(home)
    if ran:
        _end_manager(home)
    clear_record(home)
    return ran


def _end_manager(home: Path) -> None:
    # First as Ctrl-C would; then the hard way, after which its guard ends the servers.
    for number in (signal.SIGTERM, signal.SIGKILL):
        manager = read_manager(home)
        if manager.lives:
            try:
                os.kill(manager.pid, number)
            except PermissionError:
                raise ConfigurationError(
                    "RADIANT_HOME",
                    f"the stack at {home} belongs to another user",
                    "Run as the user who started it.",
                ) from None
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if not is_locked(home):
                return
            time.sleep(POLL_SECONDS)
    raise ConfigurationError(
        "RADIANT_HOME", f"the stack at {home} does not end", f"End process {manager.pid} by hand."
    )


def reset(settings: Settings) -> tuple[str, ...]:
    """End the stack and delete its data for good.

    Returns:
        The names that were deleted in the data folder.

    Raises:
        ConfigurationError: The folder holds files that RADIANT did not make; nothing is deleted.
    """
    home = settings.home
    if not home.is_dir():
        return ()
    foreign = foreign_entries(home)
    if foreign or not (home / MARKER).exists():
        raise ConfigurationError(
            "RADIANT_HOME",
            f"{home} holds files that RADIANT did not make ({', '.join(foreign[:5]) or 'no mark'})",
            "Move them away, or delete the folder yourself.",
        )
    down(settings)
    removed = sorted(entry.name for entry in home.iterdir())
    # The marker goes last: a reset that was cut short can be run again.
    for name in sorted(OWN_ENTRIES, key=lambda name: name == MARKER):
        path = home / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return tuple(removed)
