"""Starts, watches and ends child processes: whole process groups, one log each, none left behind.

Each child leads its own session, so Ctrl-C reaches the manager alone, which then ends the children
in order. A guard process ends them where the manager itself is killed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from radiant_dagster.local import guard
from radiant_dagster.local.home import PRESENT_ACCOUNT, Account

POLL_SECONDS = 0.02
TAIL_BYTES = 16_384
# Servers get nothing of our environment: no PG* setting, no key of the user's.
SERVER_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


class Guard:
    """Our end of the guard's pipe."""

    def __init__(self, lock: int | None = None) -> None:
        # With our lock's descriptor it keeps the data folder locked until its work is done.
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(guard.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={},
            pass_fds=() if lock is None else (lock,),
        )

    def watch(self, pid: int, stop_signal: int) -> None:
        """End that process group when this process dies."""
        self._write(f"+{pid} {int(stop_signal)}\n")

    def forget(self, pid: int) -> None:
        """Stop watching: the process has ended."""
        self._write(f"-{pid}\n")

    def _write(self, line: str) -> None:
        pipe = self._process.stdin
        if pipe is None:
            return
        with contextlib.suppress(BrokenPipeError, ValueError):
            pipe.write(line.encode())
            pipe.flush()

    def close(self) -> None:
        """Let the guard end; it ends what is still watched first."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait(guard.GRACE_SECONDS + 5)


@dataclass(slots=True)
class Child:
    """A started process.

    Attributes:
        name: As people know it: postgres, valkey, worker.
        popen: Its handle; the leader of its own process group.
        log: Where its output goes.
        stop_signal: What asks it to end quickly and cleanly.
    """

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals
    guard: Guard

    @property
    def pid(self) -> int:
        """Process id, also of the group."""
        return self.popen.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code, None while it runs."""
        return self.popen.poll()

    def log_tail(self, lines: int = 12) -> str:
        """Return the last lines of its log."""
        return tail(self.log, lines)


def spawn(
    name: str,
    command: list[str],
    *,
    log: Path,
    guard: Guard,
    env: Mapping[str, str],
    cwd: Path,
    stop_signal: signal.Signals = signal.SIGTERM,
    stdin_text: str | None = None,
    account: Account = PRESENT_ACCOUNT,
) -> Child:
    """Start a process in its own session, its output going to a fresh log file.

    The log of the start before is kept beside it as ``.old``.
    """
    if log.exists():
        log.replace(log.with_suffix(".old"))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if stdin_text is None else subprocess.PIPE,
            stdout=descriptor,
            stderr=descriptor,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            user=account.uid,
            group=account.gid,
            extra_groups=account.extra_groups,
            umask=0o077,
        )
    finally:
        os.close(descriptor)
    guard.watch(popen.pid, stop_signal)
    if popen.stdin is not None:
        with contextlib.suppress(BrokenPipeError):  # it died at once; its exit code tells
            popen.stdin.write((stdin_text or "").encode())
            popen.stdin.close()
    return Child(name, popen, log, stop_signal, guard)


def stop(children: Iterable[Child], *, grace_seconds: float) -> None:
    """End process groups: ask all, wait, then SIGKILL what remains."""
    waiting = list(children)
    for child in waiting:
        _signal_group(child.pid, child.stop_signal)
    deadline = time.monotonic() + grace_seconds
    while waiting and time.monotonic() < deadline:
        waiting = [child for child in waiting if _lives(child)]
        if waiting:
            time.sleep(POLL_SECONDS)
    for child in waiting:
        _signal_group(child.pid, signal.SIGKILL)
    for child in waiting:
        child.popen.wait()
        child.guard.forget(child.pid)


def _lives(child: Child) -> bool:
    if child.exit_code is None or group_members(child.pid):
        return True
    child.guard.forget(child.pid)
    return False


def end_group(group: int, *, grace_seconds: float = 5.0) -> None:
    """End a process group that is not our child: ask, wait, SIGKILL."""
    _signal_group(group, signal.SIGINT)
    _signal_group(group, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while group_members(group) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    _signal_group(group, signal.SIGKILL)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def group_members(group: int) -> bool:
    """Tell whether a process group has a member that still runs (a zombie does not)."""
    if not Path("/proc/self/stat").exists():
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _proc_stat(int(name))
            # In a container whose first process reaps nobody, orphans stay zombies for good.
            if fields and int(fields[2]) == group and fields[0] not in "ZX":
                return True
    return False


def _proc_stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the third on: state, parent, group, ..."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def started_at_tick(pid: int) -> str:
    """Return a mark of when a process started; with the pid it names one process for ever.

    Returns:
        Empty where no such process runs.
    """
    fields = _proc_stat(pid)
    if fields:
        return "" if fields[0] in "ZX" else fields[19]
    if Path("/proc/self/stat").exists():
        return ""
    shown = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip()


def tail(path: Path, lines: int) -> str:
    """Return the last lines of a text file, an empty string where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
