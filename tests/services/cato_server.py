"""A Cato service on a real socket: the embedded rules over HTTP, with scripted faults.

Each call takes the next reply of the script, or answers with the rules. Every request is kept, so
that a test can count what was sent.
"""

import asyncio
import contextlib
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from radiant_dagster.adapters.cato import Cato, EmbeddedCato
from radiant_dagster.domain.phi import RuleDetector
from radiant_dagster.domain.safety import CatoRisk

SAFE = b'{"safe": true, "risk_level": "none", "reasons": [], "blocked": false}'


@dataclass(frozen=True)
class Reply:
    """What the server does with one call.

    Args:
        status: 200 without a body answers with the rules.
        body: Sent as it is instead.
        delay_seconds: Waited first.
        drip_seconds: Sends the body byte by byte with this pause.
        cut: Closes the connection in the middle of the body.
    """

    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    cut: bool = False


class RunningApp:
    """Serve an app on a free port until `close`.

    Args:
        app: What answers.
    """

    def __init__(self, app: Starlette) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="critical", ws="none", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the server did not start")
            threading.Event().wait(0.01)

    def close(self) -> None:
        """Stop and wait for it."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(timeout=10)
        self._socket.close()


class CatoServer:
    """Serve until `close`.

    Args:
        cato: Who judges.
    """

    def __init__(self, cato: Cato | None = None) -> None:
        self.cato = cato or EmbeddedCato(RuleDetector())
        self.script: deque[Reply] = deque()
        self.always: Reply | None = None
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.headers: list[Mapping[str, str]] = []
        app = Starlette(
            routes=[
                Route("/v1/check/{kind}", self._check, methods=["POST"]),
                Route("/elsewhere", self._elsewhere, methods=["GET", "POST"]),
            ]
        )
        self._running = RunningApp(app)
        self.url = self._running.url

    def close(self) -> None:
        """Stop and wait for it."""
        self._running.close()

    async def _elsewhere(self, request: Request) -> Response:
        self.requests.append(("elsewhere", {}))
        return JSONResponse(_document(CatoRisk(True, "none", (), blocked=False)))

    async def _check(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        body = await request.json()
        self.requests.append((kind, body))
        self.headers.append(request.headers)
        reply = self.script.popleft() if self.script else self.always or Reply()
        await asyncio.sleep(reply.delay_seconds)
        if reply.cut or reply.drip_seconds:
            return StreamingResponse(_pieces(reply), media_type="application/json")
        if reply.body is not None or reply.status != 200:
            return Response(reply.body or b"", reply.status, dict(reply.headers))
        if kind == "epistemic":
            risk = self.cato.check_epistemic_safety(body["content"], body["domain"])
        else:
            risk = self.cato.check_storage_safety(body["content"], body["content_type"])
        return JSONResponse(_document(risk))


def _document(risk: CatoRisk) -> dict[str, Any]:
    return {
        "safe": risk.safe,
        "risk_level": risk.risk_level,
        "reasons": list(risk.reasons),
        "blocked": risk.blocked,
    }


async def _pieces(reply: Reply) -> AsyncIterator[bytes]:
    body = reply.body or SAFE
    for index in range(len(body)):
        if reply.cut and index == 20:
            raise ConnectionAbortedError
        yield body[index : index + 1]
        await asyncio.sleep(reply.drip_seconds)


@contextlib.contextmanager
def cato_server() -> Iterator[CatoServer]:
    """Run a server for a `with` block."""
    server = CatoServer()
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def running_app(app: Starlette) -> Iterator[str]:
    """Run an app for a `with` block; gives its URL."""
    running = RunningApp(app)
    try:
        yield running.url
    finally:
        running.close()


class DrippingHeaders:
    """A service that sends header lines for ever, each soon enough for a timeout of one read.

    `ended` is set once the client hangs up.

    Args:
        answers: Proper answers on the same connection before that.
    """

    def __init__(self, answers: int = 0) -> None:
        self._answers = answers
        self.ended = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listening.accept()
            with client:
                for _ in range(self._answers):
                    client.recv(65536)
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(SAFE))
                    client.sendall(SAFE)
                client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
                while not self.ended.wait(0.05):
                    client.sendall(b"x")
        self.ended.set()

    def close(self) -> None:
        """Stop."""
        self.ended.set()
        self._listening.close()


@contextlib.contextmanager
def silent_port() -> Iterator[str]:
    """Give the URL of a port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        yield f"http://127.0.0.1:{held.getsockname()[1]}"
