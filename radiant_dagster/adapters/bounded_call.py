"""Bounds a blocking HTTP call by the wall clock, whatever the other side does.

A socket's timeout bounds one read: a service that sends a header line now and then keeps a client
for as long as it likes, and looking up a host has no timeout at all. So the call runs in a thread
of its own, who asked waits for as long as agreed, and then the socket under the call is shut down,
which ends the thread.
"""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

Result = TypeVar("Result")


class BoundedCall(Generic[Result]):
    """One call, begun at once.

    Args:
        work: What to do; the connections it makes come from a manager that `watch_connections` saw.
    """

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self._done: Future[Result] = Future()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._given_up = False
        # A daemon: a name server that never answers must not keep the process.
        threading.Thread(target=self._run, name="bounded-call", daemon=True).start()

    def result(self, seconds: float) -> Result:
        """Return what the work returned, or raise what it raised.

        Raises:
            TimeoutError: It took longer; nothing is sent from now on.
        """
        try:
            return self._done.result(timeout=max(seconds, 0))
        except TimeoutError:
            if self._done.done():  # the work itself raised it
                raise
            with self._lock:
                self._given_up = True
                _shut(self._socket)
            raise

    def attach(self, connected: socket.socket | None) -> None:
        """Take note of the socket that the call is about to use.

        Raises:
            TimeoutError: Nobody waits any more.
        """
        with self._lock:
            self._socket = connected
            if self._given_up:
                _shut(connected)
                raise TimeoutError

    def _run(self) -> None:
        _at_work.call = self
        try:
            self._done.set_result(self._work())
        except BaseException as error:  # noqa: BLE001 - raised again where somebody waits for it
            self._done.set_exception(error)


_at_work = threading.local()


def _shut(connected: socket.socket | None) -> None:
    if connected is not None:
        with suppress(OSError):
            # The plain socket's: TLS would want to say good-bye first.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)


def _attach(connected: socket.socket | None) -> None:
    call: BoundedCall[Any] | None = getattr(_at_work, "call", None)
    if call is not None:
        call.attach(connected)


class _WatchedHttp(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _attach(self.sock)

    def send(self, data: Any) -> None:
        if self.sock is not None:  # kept from an earlier call
            _attach(self.sock)
        super().send(data)


class _WatchedHttps(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _attach(self.sock)

    def send(self, data: Any) -> None:
        if self.sock is not None:
            _attach(self.sock)
        super().send(data)


class _HttpPool(urllib3.HTTPConnectionPool):
    # urllib3 declares its own protocol here, which its own classes do not match strictly.
    ConnectionCls: Any = _WatchedHttp


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls: Any = _WatchedHttps


def watch_connections(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """Let calls through a manager be ended by `BoundedCall`; returns the manager."""
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return manager
