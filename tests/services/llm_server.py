"""A scripted OpenAI-compatible server on a real socket, for tests and benchmarks.

Each call takes the next reply of the script (its agent's own first), or succeeds. Every request is
kept with its headers, so that a test can count the calls that would have been paid for.
"""

import argparse
import asyncio
import contextlib
import json
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from radiant_dagster.domain.governor import known_models
from radiant_dagster.offline.server import completion

PREFIX = "/v1"


@dataclass(frozen=True)
class Reply:
    """What the server does with one call.

    Args:
        status: 200 answers as the demo model does, changed by `change`.
        body: Sent as it is instead.
        change: Replaces top-level keys of the answer.
        delay_seconds: Waited first.
        disconnect: Close the connection without a reply.
    """

    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    change: Mapping[str, Any] = field(default_factory=dict)
    delay_seconds: float = 0.0
    disconnect: bool = False


OK = Reply()
DISCONNECT = Reply(disconnect=True)
MALFORMED = Reply(body=b'{"choices": [{"mess')
EMPTY_CHOICES = Reply(change={"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}})


def error(
    status: int, message: str = "SECRET-BODY", *, headers: Mapping[str, str] | None = None
) -> Reply:
    """Fail as an OpenAI-compatible server does."""
    body = json.dumps({"error": {"message": message, "code": str(status)}}).encode()
    return Reply(status, body, headers or {})


def html(status: int) -> Reply:
    """Fail as a load balancer does."""
    return Reply(status, b"<html>SECRET-BODY Bad Gateway</html>", {"Content-Type": "text/html"})


def slow(seconds: float) -> Reply:
    """Answer late."""
    return Reply(delay_seconds=seconds)


def content(text: Any, finish_reason: str = "stop", **extra: Any) -> Reply:
    """Answer with this message content."""
    message = {"role": "assistant", "content": text, **extra}
    choices = [{"index": 0, "message": message, "finish_reason": finish_reason}]
    return Reply(change={"choices": choices})


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
    """One request as it arrived; `dropped` turns true when the client went away."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    reply: Reply
    dropped: bool = False
    answered: bool = False


class LlmServer:
    """The server on its own thread; use as a context manager.

    Args:
        latency_seconds: Of every reply, on top of its own delay.
        api_key: Where set, every other key is refused with 401.
        dimensions: Length of embedding vectors.
    """

    def __init__(
        self, *, latency_seconds: float = 0.0, api_key: str | None = None, dimensions: int = 1536
    ) -> None:
        self.calls: list[Call] = []
        self.models: list[str] = sorted(known_models())
        self.models_reply: Reply = OK
        self.peers: set[Any] = set()
        self.most_at_once = 0
        self._running = 0
        self._scripts: dict[str | None, deque[Reply]] = defaultdict(deque)
        self._latency = latency_seconds
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

    @property
    def paid(self) -> list[Call]:
        """Calls that a provider would have charged for: answered with 200."""
        return [call for call in self.calls if call.answered and call.reply.status == 200]

    def start(self, host: str = "127.0.0.1", port: int = 0) -> "LlmServer":
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._serve(host, port), self._loop).result()
        return self

    def stop(self) -> None:
        assert self._runner is not None
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> "LlmServer":
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

    def _next(self, agent: str | None) -> Reply:
        with self._lock:
            for key in (agent, None):
                if self._scripts[key]:
                    return self._scripts[key].popleft()
        return OK

    async def _record(self, request: web.Request) -> tuple[Call, web.StreamResponse | None]:
        body = await request.json()
        reply = self._next(request.headers.get("X-Radiant-Agent"))
        call = Call(request.path, dict(request.headers), body, reply)
        with self._lock:
            self.calls.append(call)
            self.peers.add(request.transport and request.transport.get_extra_info("peername"))
        if self._key and request.headers.get("Authorization") != f"Bearer {self._key}":
            call.reply = error(401)
            return call, _send(call.reply, b"")
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        try:
            await asyncio.sleep(self._latency + reply.delay_seconds)
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
        answer = completion(call.body)
        del answer["radiant_offline"]
        answer["id"] = f"call-{len(self.calls)}"
        answer |= call.reply.change
        call.answered = True
        return _send(call.reply, json.dumps(answer).encode())

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        call, done = await self._record(request)
        if done is not None:
            return done
        data = [
            {"index": n, "embedding": [float(len(text)), 1.0] + [0.0] * (self._dimensions - 2)}
            for n, text in enumerate(call.body["input"])
        ]
        # Reversed: the order of the reply means nothing, the index does.
        answer = {"data": data[::-1], "model": call.body["model"]} | call.reply.change
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
