"""Decides what ends a stack from outside, and keeps its end undisturbed.

SIGTERM and SIGHUP act like Ctrl-C. A script that starts us in the background has SIGINT ignored,
and nohup has SIGHUP ignored: both stay so for us. Our processes must not inherit an ignored
SIGINT, though: Dagster ends on SIGTERM by the handler of SIGINT, and would ignore both.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LIKE_CTRL_C = (signal.SIGTERM, signal.SIGHUP)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _ignore(_number: int, _frame: object) -> None:
    pass  # unlike SIG_IGN, a handler is not inherited by the programs we start


class EndSignals:
    """The signal handlers of a manager; without effect outside of the main thread."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}

    def take(self) -> None:
        """Let SIGTERM and SIGHUP raise KeyboardInterrupt from now on."""
        if not _on_main_thread():
            return
        for number in LIKE_CTRL_C:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, _interrupt)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            self._before[signal.SIGINT] = signal.signal(signal.SIGINT, _ignore)

    def give_back(self) -> None:
        """Restore what `take` replaced."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Ignore all of them inside: a second Ctrl-C would leave processes behind."""
        if not _on_main_thread():
            yield
            return
        numbers = (signal.SIGINT, *LIKE_CTRL_C)
        before = [(number, signal.signal(number, signal.SIG_IGN)) for number in numbers]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
