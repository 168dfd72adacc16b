"""Kills processes of a running stack as a power cut does, and starts them again like a supervisor.

A process is started again with the command, the environment and the folder that it had.
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from radiant_dagster.local.processes import Child, Guard, group_members, spawn, stop
from tests.services.processes import children_of

STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Killed:
    """How a process was called."""

    command: list[str]
    environment: dict[str, str]
    cwd: Path


class PowerCuts:
    """Use as a context manager; what it started again ends with it.

    Args:
        processes: Name and id of the stack's processes, each the leader of its group; ids of what
            is started again are put there.
        logs: Folder for the logs of what is started again.
    """

    def __init__(self, processes: dict[str, int], logs: Path) -> None:
        self._pids = processes
        self._logs = logs
        self._guard = Guard()
        self._children: dict[str, Child] = {}
        self._killed: dict[str, Killed] = {}

    def cut(self, name: str) -> None:
        """Kill a process and all of its children, and start it again."""
        self.kill(name)
        self.restore(name)

    def kill(self, name: str) -> Killed:
        """Kill a process and all of its children; returns how it was called."""
        pid = self._pids[name]
        folder = Path(f"/proc/{pid}")
        killed = Killed(
            command=_words(folder / "cmdline"),
            environment=dict(word.split("=", 1) for word in _words(folder / "environ")),
            cwd=(folder / "cwd").resolve(),
        )
        os.killpg(pid, signal.SIGKILL)
        if name in self._children:
            stop([self._children.pop(name)], grace_seconds=STOP_SECONDS)  # nobody else reaps it
        while group_members(pid):
            time.sleep(0.01)
        self._killed[name] = killed
        return killed

    def restore(self, name: str) -> None:
        """Start a killed process as it was."""
        killed = self._killed.pop(name)
        child = spawn(
            name, killed.command, log=self._logs / f"{name}-again.log", guard=self._guard,
            env=killed.environment, cwd=killed.cwd,
        )  # fmt: skip
        self._children[name] = child
        self._pids[name] = child.pid

    def cut_child(self, name: str, number: int) -> bool:
        """Kill one child of a process, whose parent starts another; False where it has none yet."""
        children = children_of(self._pids[name])
        if not children:
            return False
        os.kill(children[number % len(children)], signal.SIGKILL)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stop(self._children.values(), grace_seconds=STOP_SECONDS)
        self._guard.close()


def _words(path: Path) -> list[str]:
    return [word for word in path.read_text().split("\0") if word]
