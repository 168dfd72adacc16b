"""The HTTP client of model calls: one event loop on one background thread per process.

Sync ops call `HttpClient.request` from many threads; the loop carries the sockets. A call that is
no longer wanted is dropped on the wire within a tenth of a second, which sync clients cannot do.
It costs 0.45 ms CPU a call at 32 threads, as urllib3 does (0.40); httpx needs 0.8.

Nothing exists before the first call, and everything belongs to the process that made it: a worker
may fork after building a client, parent and child then each have their own loop.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import aiohttp

from radiant_dagster.errors import Cancelled, RadiantError

T = TypeVar("T")

CONNECTION_LIMIT = 128  # two full swarms of 64 at once; more calls wait for a free connection
CONNECT_SECONDS = 10.0
# Below the 5 s after which uvicorn, LiteLLM's server, closes an idle connection: reusing one at
# that very moment would fail a call that may already have been billed.
KEEP_ALIVE_SECONDS = 4.0
POLL_SECONDS = 0.1
MAX_REPLY_BYTES = 32 * 1024 * 1024

FailureKind = Literal["connect", "timeout", "read", "too_large"]


EVENT_STREAM = "text/event-stream"


def never() -> bool:
    """Return False: the call cannot be cancelled."""
    return False


def nothing() -> None:
    """Do nothing while a call is under way."""


class HttpFailure(RadiantError):
    """No usable HTTP reply; adapters translate it, callers above never see it.

    Args:
        kind: ``connect`` (nothing was sent), ``timeout``, ``read`` or ``too_large``.
        where: Host and port, without user, password or path.
    """

    def __init__(self, kind: FailureKind, where: str) -> None:
        super().__init__(f"No reply from {where} ({kind}).")
        self.kind = kind


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a server answered.

    Args:
        status: HTTP status code.
        headers: Names in lower case.
        body: At most 32 MiB; empty where it was handed over in pieces.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


def where(url: str) -> str:
    """Return host and port of a URL, safe for messages."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.hostname}:{port}"


class _Loop:
    """An event loop on its own daemon thread, and the connections it carries."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._session: aiohttp.ClientSession | None = None
        self.thread = threading.Thread(target=self._serve, name="radiant-model-calls", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def session(self) -> aiohttp.ClientSession:
        """Return the session; called on the loop's thread only."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTION_LIMIT, limit_per_host=0, keepalive_timeout=KEEP_ALIVE_SECONDS
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        """Drop calls in flight and close the connections."""
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        if self._session is not None:
            await self._session.close()
        # Closed TLS transports say goodbye in a later turn of the loop.
        await asyncio.sleep(0)


def _wait(
    done: threading.Event, cancelled: Callable[[], bool], meanwhile: Callable[[], None], what: str
) -> None:
    while not done.wait(POLL_SECONDS):
        if cancelled():
            raise Cancelled(what)
        meanwhile()


class HttpClient:
    """Sync calls from any thread over one loop. Use `process_client` outside tests."""

    def __init__(self) -> None:
        # Keyed by process: after a fork the parent's thread does not exist in the child, and its
        # lock may have been held. `setdefault` is atomic, so this needs no lock of its own.
        self._locks: dict[int, threading.Lock] = {}
        self._loops: dict[int, _Loop] = {}

    def _loop(self) -> _Loop:
        pid = os.getpid()
        running = self._loops.get(pid)
        if running is not None:
            return running
        with self._locks.setdefault(pid, threading.Lock()):
            if pid not in self._loops:
                self._loops[pid] = _Loop()
            return self._loops[pid]

    def run(
        self,
        work: Coroutine[Any, Any, T],
        *,
        cancelled: Callable[[], bool] = never,
        meanwhile: Callable[[], None] = nothing,
        what: str = "The model call",
    ) -> T:
        """Run a coroutine on the loop and wait for it.

        Args:
            work: What to run; it must bound its own time.
            cancelled: Asked every 100 ms; once true, the work is cancelled where it stands.
            meanwhile: Called as often, in the calling thread; the work goes on beside it.
            what: Named in the error.

        Raises:
            Cancelled: `cancelled` turned true.
        """
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop().loop)
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        try:
            _wait(done, cancelled, meanwhile, what)
        except BaseException:
            # Also Dagster's interrupt, raised in this thread: what nobody waits for is dropped.
            future.cancel()
            raise
        if future.cancelled():
            raise Cancelled(what)
        return future.result()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeout_seconds: float,
        cancelled: Callable[[], bool] = never,
        on_chunk: Callable[[bytes], None] | None = None,
        meanwhile: Callable[[], None] = nothing,
    ) -> HttpReply:
        """Send one request and wait for the whole reply; no retry, no redirect, no cookies.

        Args:
            method: ``GET`` or ``POST``.
            url: Where to.
            headers: Sent as they are.
            body: Sent as it is.
            timeout_seconds: For everything together; connecting takes at most ten of them.
            cancelled: Asked every 100 ms; once true, the connection is closed.
            on_chunk: Given the body of a 200 with server-sent events as it arrives, on the loop's
                thread, so it must not wait; what it raises ends the request.
            meanwhile: As for `run`.

        Raises:
            HttpFailure: No complete reply.
            Cancelled: `cancelled` turned true; the server may have billed.
        """
        if cancelled():
            raise Cancelled("The model call")
        work = self._request(method, url, headers, body, timeout_seconds, on_chunk)
        return self.run(work, cancelled=cancelled, meanwhile=meanwhile)

    async def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_seconds: float,
        on_chunk: Callable[[bytes], None] | None,
    ) -> HttpReply:
        timeout = aiohttp.ClientTimeout(
            total=timeout_seconds, sock_connect=min(CONNECT_SECONDS, timeout_seconds)
        )
        session = self._loop().session()
        try:
            async with session.request(
                method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False
            ) as response:
                chunks: list[bytes] = []
                streams = response.status == 200 and response.content_type == EVENT_STREAM
                take = on_chunk if on_chunk is not None and streams else chunks.append
                size = 0
                async for chunk in response.content.iter_any():
                    size += len(chunk)
                    if size > MAX_REPLY_BYTES:
                        raise HttpFailure("too_large", where(url))
                    take(chunk)
                lower = {name.lower(): value for name, value in response.headers.items()}
                return HttpReply(response.status, lower, b"".join(chunks))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise HttpFailure("connect", where(url)) from None
        except TimeoutError:
            raise HttpFailure("timeout", where(url)) from None
        except (aiohttp.ClientError, OSError):
            # `from None`: aiohttp's errors can quote headers and parts of the body.
            raise HttpFailure("read", where(url)) from None

    def close(self) -> None:
        """Close this process's connections and stop its thread; a later call starts anew."""
        running = self._loops.pop(os.getpid(), None)
        if running is None:
            return
        asyncio.run_coroutine_threadsafe(running.close(), running.loop).result()
        running.loop.call_soon_threadsafe(running.loop.stop)
        running.thread.join()
        running.loop.close()


_PROCESS_CLIENT = HttpClient()


def process_client() -> HttpClient:
    """Return the client all model and embedding calls of this process share.

    One per process on purpose: a run builds its resources anew, and a worker that ran a thousand
    of them must not hold a thousand threads.
    """
    return _PROCESS_CLIENT
