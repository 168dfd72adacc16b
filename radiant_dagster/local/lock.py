"""Decides whether a manager runs on a data folder: it holds a file lock for as long as it lives.

The kernel releases the lock however the manager ends. Its guard holds it too, until the servers of
a killed manager have ended, so a new start never meets the old servers.
"""

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from radiant_dagster.errors import ConfigurationError, StackAlreadyRunning
from radiant_dagster.local.processes import started_at_tick

LOCK_FILE = "stack.lock"
GUARD_SECONDS = 20.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Manager:
    """The process that holds the lock.

    Attributes:
        pid: 0 where the file does not say.
        mark: When it started; tells it from a later process with the same pid.
    """

    pid: int
    mark: str

    @property
    def lives(self) -> bool:
        """Whether that very process still runs."""
        return self.pid > 0 and bool(self.mark) and started_at_tick(self.pid) == self.mark


def take_lock(home: Path) -> int:
    """Lock the data folder for this process.

    Returns:
        The descriptor; closing it unlocks.

    Raises:
        StackAlreadyRunning: Another manager lives.
    """
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + GUARD_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            manager = read_manager(home)
            # A dead manager's guard is ending its servers: that takes seconds at most.
            if manager.lives or time.monotonic() > deadline:
                os.close(descriptor)
                raise StackAlreadyRunning(manager.pid, str(home)) from None
            time.sleep(POLL_SECONDS)
    text = json.dumps({"pid": os.getpid(), "mark": started_at_tick(os.getpid())})
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
    return descriptor


def is_locked(home: Path) -> bool:
    """Tell whether a manager, or the guard of a killed one, is at work on the data folder."""
    try:
        descriptor = os.open(home / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except PermissionError:
        raise ConfigurationError(
            "RADIANT_HOME", f"{home} belongs to another user", "Run as the user who started it."
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read_manager(home: Path) -> Manager:
    """Return who holds, or last held, the lock."""
    try:
        value = json.loads((home / LOCK_FILE).read_text())
        return Manager(int(value["pid"]), str(value["mark"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Manager(0, "")
