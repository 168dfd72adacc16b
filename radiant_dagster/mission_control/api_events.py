"""Events over the API: a session's progress, and what happens to approvals, as they happen."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.responses import Response

from radiant_dagster.adapters.events import Tail
from radiant_dagster.errors import InvalidInput, TransientError
from radiant_dagster.mission_control.api import Operation
from radiant_dagster.mission_control.api_sessions import progress_of
from radiant_dagster.mission_control.guard import Call
from radiant_dagster.mission_control.streams import (
    KEEP_ALIVE_SECONDS,
    EventStream,
    event,
    json_line,
    keep_alive,
)
from radiant_dagster.wire.sessions import SessionProgress

LOOK_SECONDS = 0.5
END = "end"
LAST = "Last-Event-ID"
MOVES_BY_ITSELF = {"elapsed_seconds": True, "review": {"seconds_left"}}


async def session_events(call: Call) -> Response:
    """Stream a session's progress until it ends."""
    first = await call.services.in_thread(lambda: progress_of(call))
    if first.ended and call.request.headers.get(LAST) == END:
        return Response(status_code=204)  # tells a browser not to come back
    return EventStream(call, _session(call, first))


async def _session(call: Call, now: SessionProgress) -> AsyncIterator[bytes]:
    known, silent_since = call.request.headers.get(LAST), anyio.current_time()
    while True:
        version = _version(now)
        if version != known:
            known, silent_since = version, anyio.current_time()
            yield event("progress", now.model_dump_json(), version)
        if now.ended:
            yield event(END, json_line({"status": now.status}), END)
            return
        if anyio.current_time() - silent_since >= KEEP_ALIVE_SECONDS:
            silent_since = anyio.current_time()
            yield keep_alive()
        await anyio.sleep(LOOK_SECONDS)
        try:
            now = await call.services.in_thread(lambda: progress_of(call))
        except TransientError:
            continue  # the database comes back, or the reader gives up


def _version(now: SessionProgress) -> str:
    """Return what changes with anything but the clock."""
    return hashlib.sha256(now.model_dump_json(exclude=MOVES_BY_ITSELF).encode()).hexdigest()[:16]


async def approval_events(call: Call) -> Response:
    """Stream what happens to approvals."""
    given = call.request.headers.get(LAST)
    if given is not None and not (given.isascii() and given.isdecimal() and len(given) < 19):
        raise InvalidInput(LAST, "is not the id of an event", "Leave it out to begin now.")
    tail = Tail(int(given) if given else None)
    # Its place is found before the answer begins: what happens from then on is sent.
    first = await call.services.in_thread(lambda: _read(call, tail))
    return EventStream(call, _approvals(call, tail, first))


async def _approvals(call: Call, tail: Tail, found: list[dict[str, Any]]) -> AsyncIterator[bytes]:
    silent_since = anyio.current_time()
    while True:
        for row in found:
            silent_since = anyio.current_time()
            identifier = str(row.pop("seq"))
            yield event(row["type"], json_line(row), identifier)
        if anyio.current_time() - silent_since >= KEEP_ALIVE_SECONDS:
            silent_since = anyio.current_time()
            yield keep_alive()
        await anyio.sleep(LOOK_SECONDS)
        try:
            found = await call.services.in_thread(lambda: _read(call, tail))
        except TransientError:
            found = []  # the database comes back, or the reader gives up


def _read(call: Call, tail: Tail) -> list[dict[str, Any]]:
    with call.transaction() as cursor:
        return tail.read(cursor, call.tenant_id)


OPERATIONS = (
    Operation(
        "GET", "/sessions/{session_id:uuid}/events", "sessions.read", session_events, "Sessions",
        "Stream a session's progress until it ends.",
        {200: None, 204: None}, headers=(LAST,), problems=(404,), stream=True,
    ),
    Operation(
        "GET", "/approvals/events", "approvals.read", approval_events, "Approvals",
        "Stream what happens to approvals: ids and states, no text.",
        {200: None}, headers=(LAST,), stream=True,
    ),
)  # fmt: skip
