"""Tells the code of a step that its run was asked to stop.

Threads cannot be killed, so stopping is a request: the executor sets one token per run, and code
that waits (a model call, a lock, a pause) polls `step_cancelled()` and gives up. Code that ignores
the token gets an exception injected; code that sits in a C call beyond that is abandoned.

    asked to stop -> token set -> (grace) -> exception injected -> (grace) -> thread abandoned
"""

import contextvars
import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CancelCheck = Callable[[], bool]


class CancellationToken:
    """One run's stop flag; safe to read and set from any thread."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask every step of the run to stop. There is no way back."""
        self._event.set()

    def is_set(self) -> bool:
        """Return whether the run was asked to stop."""
        return self._event.is_set()

    def wait(self, timeout_seconds: float) -> bool:
        """Sleep, but wake at once when the run is asked to stop; return `is_set()`."""
        return self._event.wait(timeout_seconds)


def never_cancelled() -> bool:
    """Answer for code that runs under an executor that sets no token."""
    return False


_check: contextvars.ContextVar[CancelCheck] = contextvars.ContextVar(
    "radiant_step_cancelled", default=never_cancelled
)


def step_cancelled() -> CancelCheck:
    """Return a function that tells whether the step that calls this was asked to stop.

    Call it in the step's own thread and hand the function on: a thread that the step starts has
    no context of its own. Under any executor but `threaded_executor` the answer is always False.
    """
    return _check.get()


@contextmanager
def cancelled_by(token: CancellationToken) -> Iterator[None]:
    """Make `step_cancelled()` answer for this token inside the block."""
    reset = _check.set(token.is_set)
    try:
        yield
    finally:
        _check.reset(reset)


def inject(thread: threading.Thread, error: type[BaseException]) -> bool:
    """Raise an error in another thread, at its next Python instruction.

    A thread inside a C call (a socket read, `time.sleep`) sees it when the call returns.

    Returns:
        False where the thread has ended already.
    """
    if thread.ident is None or not thread.is_alive():
        return False
    # The only way CPython offers; documented under "Thread State and the GIL".
    reached = ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(error)
    )
    return reached == 1
