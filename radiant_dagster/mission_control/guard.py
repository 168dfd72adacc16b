"""The one way into every handler: who asks, may they, how often, and is the body bearable.

An `Endpoint` cannot be made without saying who may use it, and only endpoints become routes. Its
handler gets a `Call`: a checked identity and a body that is read already. Handlers are plain
functions and run on a bounded number of threads, since the database driver blocks; one that is a
coroutine function (a stream of events) runs on the event loop and must not block it.
"""

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeVar
from urllib.parse import quote
from uuid import UUID

import anyio
import anyio.to_thread
from jinja2 import Environment
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from radiant_dagster.adapters import web_sessions
from radiant_dagster.adapters.dagster_api import DagsterApi
from radiant_dagster.adapters.grimoire.texts import Checks
from radiant_dagster.adapters.postgres import Cursor, Database, TenantRole
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.principals import Permission, Principal
from radiant_dagster.mission_control import auth, bodies
from radiant_dagster.mission_control.auth import Identity
from radiant_dagster.mission_control.limits import Buckets, Streams
from radiant_dagster.mission_control.metrics import Metrics
from radiant_dagster.mission_control.middleware import log_unexpected
from radiant_dagster.mission_control.problems import (
    Problem,
    Refusal,
    forbidden,
    problem_of,
    too_large,
    too_many,
    unauthenticated,
)

MAX_BODY_BYTES = 1024 * 1024
HANDLER_THREADS = 8
ATTEMPTS_PER_MINUTE = 20  # failed logins and useless keys of one address

# public: anybody. signed_in: whoever is known. operator: an admin, or a program on this machine.
Access = Permission | Literal["public", "signed_in", "operator"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers work with.

    Args:
        settings: Of this process.
        database: Its tenant transactions act as radiant_api unless they name another role.
        templates: The pages.
        metrics: Counters.
        rate: Requests of each identity.
        attempts: Failed credentials of each address.
        threads: Bounds the handlers that run at once.
        imports: Lets one import run at a time, which takes minutes, beside those handlers.
        dagster: Asked to launch what was asked or decided; the sensor does what it misses.
        streams: Connections that stay open.
        checks: What a curator's texts have to pass; loads its model with the first of them.
    """

    settings: Settings
    database: Database
    templates: Environment
    metrics: Metrics
    rate: Buckets
    attempts: Buckets
    threads: anyio.CapacityLimiter
    imports: anyio.CapacityLimiter
    dagster: DagsterApi
    streams: Streams
    checks: Checks

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run something that blocks."""
        return await anyio.to_thread.run_sync(work, limiter=self.threads)


@dataclass(frozen=True, slots=True)
class Call:
    """One request that may be served.

    Args:
        request: Path parameters, query and headers; its body is in `body`.
        services: What to work with.
        identity: Who asks; None on public endpoints for nobody in particular.
        body: All of it.
        request_id: Shown in problems and the log.
    """

    request: Request
    services: Services
    identity: Identity | None
    body: bytes
    request_id: str

    @property
    def principal(self) -> Principal:
        """Who asks."""
        if self.identity is None:
            raise unauthenticated()
        return self.identity.principal

    @property
    def tenant_id(self) -> UUID:
        """The tenant of the credential, the only one there is."""
        return self.principal.tenant_id

    def transaction(self, role: TenantRole | None = None) -> AbstractContextManager[Cursor]:
        """Open a transaction for the caller's tenant, as radiant_api unless a role is named."""
        return self.services.database.tenant_transaction(self.tenant_id, role=role)

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            Refusal: Another media type, no JSON, or more of it than anything here needs.
        """
        return bodies.parse_json(self.request, self.body)

    def lines(self) -> str:
        """Return the body as a text of lines.

        Raises:
            Refusal: Another media type, or no UTF-8.
        """
        return bodies.parse_lines(self.request, self.body)

    def form(self) -> dict[str, str]:
        """Return the fields of a form; empty for other bodies.

        Raises:
            Refusal: It cannot be read.
        """
        return bodies.parse_form(self.request, self.body)

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page; templates see `identity` and `csrf_token` beside the values."""
        return HTMLResponse(render(self.services, template, self.identity, **values), status)


Handler = Callable[[Call], Response] | Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route that says who may use it.

    Args:
        method: One HTTP method; GET answers HEAD too.
        path: As Starlette writes it, ``/api/v1/sessions/{session_id:uuid}``.
        access: A permission, or one of the words of `Access`.
        handler: What to do.
        kind: Pages answer people: a login instead of 401, HTML instead of problem documents.
        max_body_bytes: More of a body is refused unread.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    access: Access
    handler: Handler = field(repr=False)
    kind: Literal["api", "page"] = "api"
    max_body_bytes: int = MAX_BODY_BYTES


class GuardedRoute(Route):
    """The route of an `Endpoint`; nothing else but `PublicFiles` may be a route."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.declared = endpoint
        super().__init__(
            endpoint.path,
            partial(serve, endpoint),
            methods=[endpoint.method],
            name=f"{endpoint.method} {endpoint.path}",
        )


async def serve(endpoint: Endpoint, request: Request) -> Response:
    """Check a request, run its handler and turn errors into problems."""
    services: Services = request.app.state.services
    request_id: str = request.state.request_id
    request.state.route = endpoint.path
    identity = None
    try:
        identity = await _identity(endpoint, request, services)
        _require_access(endpoint, identity, request)
        _require_rate(identity, services)
        body = await _body(request, endpoint.max_body_bytes)
        call = Call(request, services, identity, body, request_id)
        if identity is not None and endpoint.access != "public":
            auth.require_csrf(identity, request, call.form())
        if inspect.iscoroutinefunction(endpoint.handler):
            response: Response = await endpoint.handler(call)
        else:
            response = await services.in_thread(partial(_run, endpoint.handler, call))
        return await _with_session(endpoint, call, response)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    except Exception as error:  # noqa: BLE001 - every fault of a handler is answered in its kind
        problem = problem_of(error)
        if problem.status >= 500:
            log_unexpected(error, request_id)
        if endpoint.kind == "page":
            return problem_page(services, problem, request, identity)
        return problem.response(request_id)


def _run(handler: Any, call: Call) -> Response:
    return handler(call)


async def _identity(endpoint: Endpoint, request: Request, services: Services) -> Identity | None:
    address = auth.client_address(request, services.settings)
    try:
        shown = auth.credentials_of(request, services.settings)
        if not shown.shown:
            return None
        # Useless keys are counted before the database is asked about yet another one.
        if shown.bearer and (wait := services.attempts.wait_seconds(address)):
            raise too_many(wait)
        return await services.in_thread(partial(auth.identify, services.database, shown))
    except Refusal as refusal:
        if refusal.status == 401:
            services.attempts.take(address)
        if refusal.status == 401 and endpoint.access == "public":
            return None
        raise


def _require_access(endpoint: Endpoint, identity: Identity | None, request: Request) -> None:
    access = endpoint.access
    if access == "public":
        return
    if access == "operator" and identity is None and auth.is_local(request):
        return
    if identity is None:
        raise unauthenticated()
    if access == "signed_in":
        return
    wanted: Permission = "approvals.admin" if access == "operator" else access
    if not identity.principal.may(wanted):
        raise forbidden(wanted)


def _require_rate(identity: Identity | None, services: Services) -> None:
    if identity is not None and (wait := services.rate.take(identity.rate_name)):
        raise too_many(wait)


async def _body(request: Request, limit: int) -> bytes:
    """Read the body, as far as it is bearable."""
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limit:
        raise too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


async def _with_session(endpoint: Endpoint, call: Call, response: Response) -> Response:
    """Give a browser behind the proxy a session, for its pages need a token that is its own."""
    identity = call.identity
    opened = (
        endpoint.kind == "page"
        and call.request.method == "GET"
        and identity is not None
        and identity.via == "proxy"
        and identity.csrf is None
    )
    if opened and identity is not None:
        session = await call.services.in_thread(
            partial(web_sessions.open_session, call.services.database, identity.principal, None)
        )
        # The page just rendered holds no token yet; it is asked for again, now with the cookie.
        response = RedirectResponse(_target(call.request), 303)
        auth.set_cookie(response, call.services.settings, session.token)
    return response


def _target(request: Request) -> str:
    """Return the path and query that were asked for."""
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path


def problem_page(
    services: Services, problem: Problem, request: Request, identity: Identity | None
) -> Response:
    """Return a problem for people: a login where that helps, else a page that says it."""
    if problem.status == 401 and request.method == "GET":
        return RedirectResponse(f"/login?next={quote(_target(request), safe='/')}", 303)
    text = render(
        services, "problem.html", identity, problem=problem, request_id=request.state.request_id
    )
    return HTMLResponse(text, problem.status, dict(problem.headers))


def render(services: Services, template: str, identity: Identity | None, **values: Any) -> str:
    """Return a page's text."""
    token = identity.csrf if identity is not None else None
    page = services.templates.get_template(template)
    return page.render(identity=identity, csrf_token=token or "", **values)
