"""What every response carries and every request has to pass, before any route is looked up.

Plain ASGI and outermost, so that refusals, static files and breakdowns carry the same headers.
"""

import logging
import traceback
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radiant_dagster.mission_control.metrics import Metrics
from radiant_dagster.mission_control.problems import Problem, problem_of

logger = logging.getLogger(__name__)

STATIC_PREFIX = "/static/"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
UNKNOWN_HOST = Problem(
    400,
    "unknown_host",
    "This name is not ours",
    "An operator can name the host in RADIANT_ALLOWED_HOSTS.",
)
HSTS = "max-age=31536000; includeSubDomains"


class Shell:
    """Names each request, allows known hosts only, sets headers, counts, and survives faults.

    Args:
        app: What is inside.
        hosts: Host names to answer to. A page elsewhere whose name is made to resolve to this
            machine (DNS rebinding) would otherwise act with the reviewer's browser.
        https: Whether to ask browsers for TLS in future.
        metrics: Where requests are counted.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: frozenset[str], https: bool, metrics: Metrics
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._https = https
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._dress(MutableHeaders(scope=message), scope["path"], request_id)
            await send(message)

        try:
            if not self._known_host(Headers(scope=scope)):
                await UNKNOWN_HOST.response(request_id)(scope, receive, send_dressed)
                return
            await self._app(scope, receive, send_dressed)
        except Exception as error:  # noqa: BLE001 - the last boundary of a request
            log_unexpected(error, request_id)
            if status == 0:
                await problem_of(error).response(request_id)(scope, receive, send_dressed)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = scope["state"].get("route", "unmatched")
            self._metrics.count(
                "radiant_http_requests_total", method=method, route=route, status=str(status)
            )

    def _known_host(self, headers: Headers) -> bool:
        named = headers.getlist("host")
        return len(named) == 1 and host_name(named[0]) in self._hosts

    def _dress(self, headers: MutableHeaders, path: str, request_id: str) -> None:
        for name, value in SECURITY_HEADERS.items():
            headers[name] = value
        headers["X-Request-Id"] = request_id
        if not path.startswith(STATIC_PREFIX):
            headers["Cache-Control"] = "no-store"
        if self._https:
            headers["Strict-Transport-Security"] = HSTS


def host_name(host: str) -> str:
    """Return a Host header's name without port and brackets, in lower case."""
    text = host.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def log_unexpected(error: Exception, request_id: str) -> None:
    """Log where something broke. A driver's message may quote content, so it is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].name}:{frames[-1].lineno}" if frames else "unknown"
    logger.error("request %s broke: %s in %s", request_id, type(error).__name__, place)
