"""Every route says who may use it, and only they can. New endpoints join these tests unasked."""

import json
import re
import uuid
from collections.abc import Sequence

import pytest
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from radiant_dagster.domain.principals import PERMISSIONS, ROLES, Role
from radiant_dagster.mission_control.guard import Endpoint, GuardedRoute
from radiant_dagster.mission_control.routes import ENDPOINTS, PublicFiles, build_routes
from tests.mission_control.conftest import People, Site, bearer

PARAMETER = re.compile(r"\{[a-z_]+(?::([a-z]+))?\}")
SAMPLES = {"uuid": str(uuid.UUID(int=7)), "int": "7", None: "x", "str": "x", "path": "x"}


def address(endpoint: Endpoint) -> str:
    """Return a path of an endpoint, of something that does not exist."""
    return PARAMETER.sub(lambda match: SAMPLES[match[1]], endpoint.path)


def allowed(endpoint: Endpoint, role: Role) -> bool:
    """Tell by the table of permissions whether a role may use an endpoint."""
    if endpoint.access in ("public", "signed_in"):
        return True
    if endpoint.access == "operator":
        return role == "admin"
    return role in PERMISSIONS[endpoint.access]


def named(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def undeclared(routes: Sequence[BaseRoute]) -> list[str]:
    """Return the routes that do not say who may use them; there must be none."""
    return [
        getattr(route, "path", repr(route))
        for route in routes
        if not isinstance(route, (GuardedRoute, PublicFiles))
    ]


def test_every_route_declares_who_may_use_it() -> None:
    assert undeclared(build_routes()) == []
    assert len({named(endpoint) for endpoint in ENDPOINTS}) == len(ENDPOINTS)


def test_an_undeclared_route_is_found() -> None:
    async def open_to_all(_request: object) -> Response:
        return Response()

    routes = [*build_routes(), Route("/secret", open_to_all), Mount("/more", routes=[])]

    assert undeclared(routes) == ["/secret", "/more"]


def test_little_is_public() -> None:
    public = {named(endpoint) for endpoint in ENDPOINTS if endpoint.access == "public"}

    assert public == {"GET /login", "POST /login", "GET /healthz", "GET /readyz"}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reaches_the_routes_of_its_permissions_and_no_other(
    site: Site, people: People, role: Role
) -> None:
    key = bearer(people.key_for("somebody", role))

    for endpoint in ENDPOINTS:
        reply = site(endpoint.method, address(endpoint), key, preload_content=False)

        if reply.headers.get("Content-Type", "").startswith("text/event-stream"):
            refused = False  # and it would go on
            reply.close()
        else:
            refused = reply.status == 403 and b"permission_denied" in reply.data
        assert refused is not allowed(endpoint, role), named(endpoint)
        assert reply.status < 500, named(endpoint)


def test_nobody_reaches_more_than_the_public_routes(site: Site) -> None:
    proxied = {"X-Forwarded-For": "203.0.113.9"}  # or /metrics would answer this machine

    for endpoint in ENDPOINTS:
        reply = site(endpoint.method, address(endpoint), proxied)

        if endpoint.access == "public":
            assert "/login?" not in reply.headers.get("Location", ""), named(endpoint)
        elif endpoint.kind == "page" and endpoint.method == "GET":
            assert reply.headers["Location"].startswith("/login?next="), named(endpoint)
        else:
            assert reply.status == 401, named(endpoint)


def test_no_browser_acts_without_its_token(site: Site, people: People) -> None:
    browser = site.log_in(people.key_for("all", *(role for role in ROLES if role != "service")))

    for endpoint in ENDPOINTS:
        if endpoint.method == "GET" or endpoint.access == "public":
            continue
        reply = site(endpoint.method, address(endpoint), browser)

        assert reply.status == 403, named(endpoint)
        assert b"csrf_token" in reply.data, named(endpoint)
    assert json.loads(site("GET", "/api/v1/me", browser).data)["name"] == "all"
