"""Every route of Mission Control. A new module adds its ENDPOINTS here and nowhere else.

Static files are the one thing that is no endpoint: `PublicFiles`, readable by anybody.
"""

from collections.abc import Sequence

from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from radiant_dagster.mission_control import (
    api_operations,
    login,
    pages,
    pages_account,
    pages_grimoire,
    pages_review,
    pages_sessions,
    probes,
)
from radiant_dagster.mission_control.guard import Endpoint, GuardedRoute

ENDPOINTS: tuple[Endpoint, ...] = (
    *login.ENDPOINTS,
    *pages.ENDPOINTS,
    *pages_review.ENDPOINTS,
    *pages_sessions.ENDPOINTS,
    *pages_grimoire.ENDPOINTS,
    *pages_account.ENDPOINTS,
    *probes.ENDPOINTS,
    *api_operations.ENDPOINTS,
)


class PublicFiles(Mount):
    """The style sheet and scripts."""

    def __init__(self) -> None:
        package = "radiant_dagster.mission_control"
        super().__init__("/static", StaticFiles(packages=[(package, "static")]), name="static")


def build_routes(endpoints: Sequence[Endpoint] = ENDPOINTS) -> list[BaseRoute]:
    """Return the routes of endpoints, and the static files."""
    return [*(GuardedRoute(endpoint) for endpoint in endpoints), PublicFiles()]
