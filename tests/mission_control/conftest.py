"""Mission Control on a real port, against real Postgres."""

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import urllib3

from radiant_dagster.adapters import principals
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.principals import Principal
from radiant_dagster.mission_control.app import create_app
from radiant_dagster.mission_control.guard import Endpoint
from radiant_dagster.mission_control.routes import ENDPOINTS
from radiant_dagster.mission_control.server import build_server

STARTUP_SECONDS = 20.0


@dataclass
class Site:
    """A running Mission Control and how a test talks to it."""

    url: str
    pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False))

    def __call__(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> urllib3.BaseHTTPResponse:
        """Send one request; redirects are not followed."""
        return self.pool.request(
            method, self.url + path, headers=headers, redirect=False, timeout=20, **more
        )

    def form(
        self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Post a form as a page does."""
        return self("POST", path, headers=headers, fields=dict(fields), encode_multipart=False)

    def log_in(self, key: str, **headers: str) -> dict[str, str]:
        """Log in and return the headers of the browser that did."""
        reply = self.form("/login", {"key": key}, headers)
        assert reply.status == 303, reply.data
        return {"Cookie": reply.headers["Set-Cookie"].partition(";")[0]}

    def csrf(self, browser: Mapping[str, str]) -> str:
        """Return the token in a browser's pages."""
        text = self("GET", "/", browser).data.decode()
        return text.partition('name="csrf_token" value="')[2].partition('"')[0]


Serve = Callable[..., AbstractContextManager[Site]]


@contextmanager
def running(settings: Settings, endpoints: Sequence[Endpoint]) -> Iterator[Site]:
    """Run the server that `radiant mission-control` runs, on a free port of a thread's own."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = build_server(create_app(settings, endpoints=endpoints), "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        end = time.monotonic() + STARTUP_SECONDS
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < end, "the server does not start"
            time.sleep(0.01)
        site = Site(f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield site
        site.pool.clear()
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def serve(review_url: str, tenant: uuid.UUID) -> Serve:
    """Start sites: `serve(RADIANT_API_RATE_PER_MINUTE="2")`."""
    del tenant  # there is one in the database

    def start(
        *, endpoints: Sequence[Endpoint] = ENDPOINTS, **env: str
    ) -> AbstractContextManager[Site]:
        environment = {
            "RADIANT_HOME": "/nonexistent/radiant-tests",
            "RADIANT_REVIEW_DATABASE_URL": review_url,
            **env,
        }
        return running(Settings.load(environment), endpoints)

    return start


@pytest.fixture
def site(serve: Serve) -> Iterator[Site]:
    """Mission Control with default settings."""
    with serve() as running_site:
        yield running_site


@dataclass
class People:
    """Makes principals and their keys in the tenant acme."""

    database: Database
    tenant: uuid.UUID

    def make(self, name: str, *roles: str, **more: Any) -> Principal:
        """Create a person, or a service where the role is that."""
        kind = "service" if roles == ("service",) else "person"
        with self.database.tenant_transaction(self.tenant) as cursor:
            return principals.create_principal(
                cursor, self.tenant, uuid.uuid4(), name=name, kind=kind, roles=frozenset(roles),
                actor="test", **more,
            )  # fmt: skip

    def key(self, principal: Principal) -> str:
        """Return a fresh key's text."""
        with self.database.tenant_transaction(self.tenant) as cursor:
            return principals.create_key(cursor, principal, uuid.uuid4(), actor="test").key.text

    def key_for(self, name: str, *roles: str, **more: Any) -> str:
        """Create a principal and return a key of it."""
        return self.key(self.make(name, *roles, **more))


@pytest.fixture
def people(api_database: Database, tenant: uuid.UUID) -> People:
    """Principals of the tenant acme."""
    return People(api_database, tenant)


def bearer(key: str) -> dict[str, str]:
    """Return the header that shows a key."""
    return {"Authorization": f"Bearer {key}"}
