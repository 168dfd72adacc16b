"""Ends the servers of a manager that died without stopping them (SIGKILL, crash, power button).

Runs as its own tiny process, reading lines ``+pid signal`` and ``-pid`` from the manager's pipe.
The pipe closes when the manager ends, however it ends; what is still watched then is stopped.
Only the standard library, so that it starts in milliseconds and outlives a broken environment.
"""

import contextlib
import os
import signal
import sys
import time

GRACE_SECONDS = 10.0


def main() -> None:
    """Watch until the pipe closes, then end every process group still watched."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    watched: dict[int, int] = {}
    for line in sys.stdin:
        pid, _, number = line[1:].partition(" ")
        if line.startswith("+"):
            watched[int(pid)] = int(number)
        else:
            watched.pop(int(pid), None)
    _end(watched)


def _end(watched: dict[int, int]) -> None:
    for pid, number in watched.items():
        _signal(pid, number)
    deadline = time.monotonic() + GRACE_SECONDS
    while watched and time.monotonic() < deadline:
        time.sleep(0.05)
        watched = {pid: number for pid, number in watched.items() if _signal(pid, 0)}
    for pid in watched:
        _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
        return True
    return False


if __name__ == "__main__":
    main()
