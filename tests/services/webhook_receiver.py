"""A receiver of webhooks on a real socket: keeps what it was sent, answers as it is told."""

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Received:
    """One request; header names in lower case, `genuine` as the receiver's check says."""

    path: str
    headers: dict[str, str]
    body: bytes
    genuine: bool = False

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Receiver:
    """The server on its own thread; use as a context manager.

    Attributes:
        received: Every request, before it was answered.
        check: Says on arrival whether a request is genuine; a signature is good for minutes only.
        answer: What a request is answered.
        hold: While set, requests are kept waiting.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        check: Callable[[Received], bool] = lambda _request: False,
    ) -> None:
        self.received: list[Received] = []
        self.check = check
        self.answer: Callable[[Received], Answer] = lambda _request: Answer()
        self.hold = threading.Event()
        self._let_go = threading.Event()
        self._arrived = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                lower = {name.lower(): value for name, value in self.headers.items()}
                outer.serve(self, Received(self.path, lower, body))

            do_GET = do_POST

            def log_message(self, *_args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_args: object) -> None:
                pass  # a sender that was killed

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def serve(self, handler: BaseHTTPRequestHandler, request: Received) -> None:
        request = replace(request, genuine=self.check(request))
        with self._arrived:
            self.received.append(request)
            self._arrived.notify_all()
        if self.hold.is_set():
            self._let_go.wait()
        answer = self.answer(request)
        try:
            handler.send_response(answer.status)
            for name, value in answer.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(answer.body)))
            handler.end_headers()
            handler.wfile.write(answer.body)
        except OSError:
            pass  # nobody waits for it any more

    def wait_for(self, count: int, seconds: float = 20) -> list[Received]:
        """Return the first requests once there are as many."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.received) >= count, seconds)
            return self.received[:count]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._let_go.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
