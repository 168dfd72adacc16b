"""A scripted OpenAI-compatible server on a real socket, for tests and benchmarks.

Each call takes the next reply of the script (its agent's own first), else what chance gives it,
else it succeeds. Every request is kept with its headers, so that a test can count the calls that
would have been paid for. What can happen to a call is in `llm_faults`.
"""

import argparse
import asyncio
import contextlib
import json
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

from radiant_dagster.domain.governor import known_models
from radiant_dagster.offline.server import completion
from tests.services.llm_faults import (
    DISCONNECT,
    EMPTY_CHOICES,
    MALFORMED,
    OK,
    Latency,
    RandomFaults,
    Reply,
    content,
    error,
    html,
    slow,
)
from tests.services.llm_streams import send_stream, steps_of

__all__ = [
    "DISCONNECT",
    "EMPTY_CHOICES",
    "MALFORMED",
    "OK",
    "Call",
    "LlmServer",
    "Reply",
    "content",
    "error",
    "html",
    "llm_server",
    "slow",
]
PREFIX = "/v1"
PIECES = 20  # of an answer that trickles


def wants(*calls: tuple[str, Any], text: str | None = None) -> Reply:
    """Ask for tools; arguments that are no text are sent as JSON."""
    asked = [
        {
            "id": f"c{n}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
            },
        }
        for n, (name, arguments) in enumerate(calls)
    ]
    return content(text, "tool_calls", tool_calls=asked)


@dataclass
class Call:
    """One request as it arrived.

    `dropped` turns true when the client went away, `answered` when a reply was made.
    """

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    reply: Reply
    number: int = 1
    dropped: bool = False
    answered: bool = False

    @property
    def key(self) -> str:
        """The idempotency key; empty where none was sent."""
        return self.headers.get("Idempotency-Key", "")

    @property
    def paid(self) -> bool:
        """True where a provider would charge: an answer was generated, whoever received it."""
        return self.answered and self.reply.status == 200


class LlmServer:
    """The server on its own thread; use as a context manager.

    Args:
        latency_seconds: Of every reply, on top of its own delay; a `Latency` makes it vary.
        faults: What happens to calls by chance, where no script says otherwise.
        api_key: Where set, every other key is refused with 401.
        dimensions: Length of embedding vectors.

    What `on_embed` does happens while somebody waits for vectors.
    """

    def __init__(
        self,
        *,
        latency_seconds: float | Latency = 0.0,
        faults: RandomFaults | None = None,
        api_key: str | None = None,
        dimensions: int = 1536,
    ) -> None:
        self.calls: list[Call] = []
        self.models: list[str] = sorted(known_models())
        self.models_reply: Reply = OK
        self.peers: set[Any] = set()
        self.most_at_once = 0
        self.go_on = threading.Event()
        self.on_embed: Callable[[], object] = lambda: None
        self._running = 0
        self._scripts: dict[str | None, deque[Reply]] = defaultdict(deque)
        varies = isinstance(latency_seconds, Latency)
        self._latency = latency_seconds if varies else Latency(latency_seconds)
        self._faults = faults
        self._numbers: Counter[str] = Counter()
        self._key = api_key
        self._dimensions = dimensions
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self.url = ""

    def script(self, *replies: Reply, agent: str | None = None) -> None:
        """Queue replies for the next calls, or for the next calls of one agent."""
        with self._lock:
            self._scripts[agent].extend(replies)

    def forget(self) -> None:
        """Drop the replies that nobody has asked for yet."""
        with self._lock:
            self._scripts.clear()

    @property
    def paid(self) -> list[Call]:
        """Calls that a provider would have charged for: an answer was generated."""
        return [call for call in self.calls if call.paid]

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return what a chat call gets where its reply says nothing else."""
        return completion(body)

    def start(self, host: str = "127.0.0.1", port: int = 0) -> Self:
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._serve(host, port), self._loop).result()
        return self

    def stop(self) -> None:
        assert self._runner is not None
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _serve(self, host: str, port: int) -> str:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get(f"{PREFIX}/models", self._list_models)
        app.router.add_post(f"{PREFIX}/chat/completions", self._chat)
        app.router.add_post(f"{PREFIX}/embeddings", self._embed)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        bound = self._runner.addresses[0][1]
        return f"http://{host}:{bound}"

    def _next(self, agent: str | None, key: str, number: int) -> Reply:
        for queue in (agent, None):
            if self._scripts[queue]:
                return self._scripts[queue].popleft()
        return self._faults.reply(key, number) if self._faults and key else OK

    async def _record(self, request: web.Request) -> tuple[Call, web.StreamResponse | None]:
        body = await request.json()
        key = request.headers.get("Idempotency-Key", "")
        with self._lock:
            self._numbers[key] += 1
            number = self._numbers[key]
            reply = self._next(request.headers.get("X-Radiant-Agent"), key, number)
            call = Call(request.path, dict(request.headers), body, reply, number)
            self.calls.append(call)
            self.peers.add(request.transport and request.transport.get_extra_info("peername"))
        if self._key and request.headers.get("Authorization") != f"Bearer {self._key}":
            call.reply = error(401)
            return call, _send(call.reply, b"")
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        try:
            await asyncio.sleep(self._latency.seconds(key, number) + reply.delay_seconds)
        except asyncio.CancelledError:
            call.dropped = True
            raise
        finally:
            self._running -= 1
        if reply.disconnect:
            assert request.transport is not None
            request.transport.close()
            return call, web.Response()
        if reply.body is not None:
            call.answered = True
            return call, _send(reply, reply.body)
        return call, None

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        call, done = await self._record(request)
        if done is not None:
            return done
        answer = self.answer(call.body)
        del answer["radiant_offline"]
        answer["id"] = f"call-{len(self.calls)}"
        answer |= call.reply.change
        call.answered = True
        if call.body.get("stream"):
            steps = call.reply.stream
            if steps is None:
                steps = steps_of(answer, usage="stream_options" in call.body)
            try:
                return await send_stream(
                    request, steps, headers=call.reply.headers, go_on=self.go_on
                )
            except asyncio.CancelledError:
                call.dropped = True
                raise
        return await _deliver(request, call.reply, json.dumps(answer).encode())

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        call, done = await self._record(request)
        if done is not None:
            return done
        await asyncio.to_thread(self.on_embed)
        data = [
            {"index": n, "embedding": [float(len(text)), 1.0] + [0.0] * (self._dimensions - 2)}
            for n, text in enumerate(call.body["input"])
        ]
        # Reversed: the order of the reply means nothing, the index does.
        answer = {"data": data[::-1], "model": call.body["model"], **call.reply.change}
        call.answered = True
        return _send(call.reply, json.dumps(answer).encode())

    async def _list_models(self, request: web.Request) -> web.StreamResponse:
        if self._key and request.headers.get("Authorization") != f"Bearer {self._key}":
            return _send(error(401), b"")
        if self.models_reply.body is not None:
            return _send(self.models_reply, self.models_reply.body)
        return web.json_response({"data": [{"id": name} for name in self.models]})


def _send(reply: Reply, body: bytes) -> web.Response:
    headers = {"Content-Type": "application/json", **reply.headers}
    return web.Response(status=reply.status, body=body, headers=headers)


async def _deliver(request: web.Request, reply: Reply, body: bytes) -> web.StreamResponse:
    """Send an answer as its reply wants it: whole, in pieces, or not to its end."""
    if reply.cut is None and not reply.trickle_seconds:
        return _send(reply, body)
    stream = web.StreamResponse(headers={"Content-Type": "application/json", **reply.headers})
    stream.content_length = len(body)
    await stream.prepare(request)
    if reply.cut:
        await stream.write(body[: len(body) // 2] if reply.cut == "body" else b"")
        assert request.transport is not None
        request.transport.close()
        return stream
    piece = max(1, len(body) // PIECES)
    for start in range(0, len(body), piece):
        await stream.write(body[start : start + piece])
        await asyncio.sleep(reply.trickle_seconds / PIECES)
    await stream.write_eof()
    return stream


@contextlib.contextmanager
def llm_server(**options: Any) -> Iterator[LlmServer]:
    """Run a server for the length of a test."""
    with LlmServer(**options) as server:
        yield server


def main() -> None:
    """Serve until interrupted: ``python -m tests.services.llm_server --port 4010``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=int, default=200)
    options = parser.parse_args()
    server = LlmServer(latency_seconds=options.latency_ms / 1000).start(port=options.port)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    main()
