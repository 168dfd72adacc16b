"""Puts Mission Control together: middleware, routes, the database pool and the templates."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files

import anyio
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from radiant_dagster.adapters.dagster_api import DagsterApi
from radiant_dagster.adapters.deliverer import Deliverer
from radiant_dagster.adapters.grimoire.texts import Checks
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.errors import ConfigurationError
from radiant_dagster.mission_control.guard import (
    ATTEMPTS_PER_MINUTE,
    HANDLER_THREADS,
    Endpoint,
    GuardedRoute,
    Services,
    problem_page,
)
from radiant_dagster.mission_control.limits import Buckets, Streams
from radiant_dagster.mission_control.metrics import Metrics
from radiant_dagster.mission_control.middleware import Shell
from radiant_dagster.mission_control.problems import Problem, not_found, problem_of
from radiant_dagster.mission_control.routes import ENDPOINTS, build_routes
from radiant_dagster.mission_control.words import FILTERS


def create_app(settings: Settings, *, endpoints: Sequence[Endpoint] = ENDPOINTS) -> Starlette:
    """Build the application; nothing is opened before it starts.

    Args:
        settings: RADIANT_REVIEW_DATABASE_URL is the login it works with.
        endpoints: What it serves.

    Raises:
        ConfigurationError, InvalidInput: There is no database, or a setting about webhooks is
            malformed.
    """
    url = settings.review_database_url
    if url is None:
        raise ConfigurationError(
            "RADIANT_REVIEW_DATABASE_URL",
            "is not set and no embedded stack runs",
            "Start one with `radiant up`, or set it to a login that `radiant db migrate` has "
            "granted the reviewers' roles.",
        )
    metrics = Metrics()
    # Connections of its own: a page never waits for a slow receiver.
    deliveries = Database(
        url.get_secret_value(), application_name="radiant deliver", tenant_role="radiant_api"
    )
    deliverer = Deliverer.of(settings, deliveries)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        # One connection a handler thread; more could not be used, fewer would make threads wait.
        database = Database(
            url.get_secret_value(),
            pool_size=HANDLER_THREADS,
            application_name="radiant mission control",
            tenant_role="radiant_api",
        )
        app.state.services = Services(
            settings=settings,
            database=database,
            templates=_templates(),
            metrics=metrics,
            rate=Buckets(settings.api_rate_per_minute),
            attempts=Buckets(ATTEMPTS_PER_MINUTE),
            threads=anyio.CapacityLimiter(HANDLER_THREADS),
            imports=anyio.CapacityLimiter(1),
            dagster=DagsterApi(settings.dagster_url, public_url=settings.dagster_public_url),
            streams=Streams(),
            checks=Checks.of(settings),
        )
        deliverer.start()
        try:
            yield
        finally:
            # It waits for tries in flight, which the loop's other work need not.
            await anyio.to_thread.run_sync(deliverer.stop)
            deliveries.close()
            database.close()

    return Starlette(
        routes=build_routes(endpoints),
        lifespan=lifespan,
        exception_handlers={HTTPException: _unrouted},
        middleware=[
            Middleware(
                Shell,
                hosts=settings.answered_hosts,
                https=settings.serves_https,
                metrics=metrics,
            )
        ],
    )


def _templates() -> Environment:
    folder = files("radiant_dagster.mission_control") / "templates"
    # Everything is escaped, whatever a file is called: what models write is hostile.
    environment = Environment(
        loader=FileSystemLoader(str(folder)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment


def _methods(request: Request) -> list[str]:
    """Return the methods of an address; Starlette knows those of its first route only."""
    matching = (
        route
        for route in request.app.routes
        if isinstance(route, GuardedRoute) and route.matches(request.scope)[0] is Match.PARTIAL
    )
    return sorted({method for route in matching for method in route.methods or ()})


async def _unrouted(request: Request, error: Exception) -> Response:
    """Answer for addresses and methods that no endpoint has."""
    problem = problem_of(not_found())
    if isinstance(error, HTTPException) and error.status_code == 405:
        allow = {"Allow": ", ".join(_methods(request))}
        problem = Problem(405, "method_not_allowed", "Not this method", "See Allow.", allow)
    if "text/html" in request.headers.get("accept", ""):
        return problem_page(request.app.state.services, problem, request, None)
    return problem.response(request.state.request_id)
