"""Answers that stay open: server-sent events, and waiting for a change.

A reader holds one of a bounded number of places and no thread: each look runs on a handler's thread
and gives it back. A stream ends after a quarter of an hour, so that a revoked key does not read on;
readers come back by themselves with Last-Event-ID.
"""

import json
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Any

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from radiant_dagster.mission_control.guard import Call
from radiant_dagster.mission_control.problems import Refusal

KEEP_ALIVE_SECONDS = 15.0
LIFETIME_SECONDS = 900.0
RETRY_MS = 2_000  # what readers wait before they come back


class EventStream(Response):
    """Server-sent events, for as long as the reader stays.

    Args:
        call: Whose place it takes.
        pieces: What is sent, from `event` and `keep_alive`.

    Raises:
        Refusal: Too many are open.
    """

    media_type = "text/event-stream"

    def __init__(self, call: Call, pieces: AsyncIterator[bytes]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self.headers["X-Accel-Buffering"] = "no"  # nginx would keep events back
        self._pieces = pieces
        self._head = call.request.method == "HEAD"
        self._place = _take(call)
        self._streams = call.services.streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until there is no more, or nobody reads."""
        del scope
        try:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            if not self._head:
                await self._send(receive, send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._streams.give_back(self._place)

    async def _send(self, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:

            async def until_gone() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(until_gone)
            with anyio.move_on_after(LIFETIME_SECONDS):
                await send(_body(f"retry: {RETRY_MS}\n\n".encode()))
                async for piece in self._pieces:
                    await send(_body(piece))
            group.cancel_scope.cancel()


def _body(piece: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": piece, "more_body": True}


def event(name: str, data: str, identifier: str) -> bytes:
    """Return one event; `data` is JSON, which has no line breaks of its own."""
    return f"id: {identifier}\nevent: {name}\ndata: {data}\n\n".encode()


def json_line(value: Any) -> str:
    """Return a value as JSON in one line."""
    return json.dumps(value, default=str, separators=(",", ":"))


def keep_alive() -> bytes:
    """Return what says that we are still here."""
    return b": still here\n\n"


@contextmanager
def waiting(call: Call) -> Generator[None]:
    """Hold a place while a request waits for a change.

    Raises:
        Refusal: Too many are open.
    """
    place = _take(call)
    try:
        yield
    finally:
        call.services.streams.give_back(place)


def _take(call: Call) -> str:
    place = call.identity.rate_name if call.identity else "nobody"
    if not call.services.streams.take(place):
        raise Refusal(
            429,
            "too_many_streams",
            "Too many connections are open",
            "Close one that you do not read any more.",
            {"Retry-After": "5"},
        )
    return place
