"""Real parts for tests: one embedded Postgres a session, one database a test, real HTTP models."""

import os
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psycopg2
import psycopg2.extras
import pytest
from xdist.remote import Producer

from radiant_dagster import resources
from radiant_dagster.adapters import migrations, tenants
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.local.postgres import embedded_postgres
from tests.parallel import Scheduling, rank, workers_for
from tests.services.folders import fresh_folder
from tests.services.llm_server import LlmServer

SOURCE_DESIGN_NAMES = ("LITELLM_", "CATO_", "MISSION_CONTROL_", "DB_", "DAGSTER_HOME")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Answer `-n auto`, as `make test` has it."""
    return workers_for(config.args)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Distribute tests as `tests.parallel` tells."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give workers what takes long first; alone, the order is that of the folders."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not see the developer's own settings, nor a stack that runs beside them.

    They scrub by rules: the model takes seconds to load in each process. `test_detectors.py` and
    `test_scrub.py` take the default.
    """
    for name in os.environ:
        if name.startswith(("RADIANT_", *SOURCE_DESIGN_NAMES)):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RADIANT_HOME", "/nonexistent/radiant-tests")
    monkeypatch.setenv("RADIANT_PHI_ENGINE", "rules")


@pytest.fixture(scope="session")
def admin_url() -> Iterator[str]:
    """Superuser URL of a Postgres server that lives as long as the test session."""
    with fresh_folder() as folder:
        folder.chmod(0o755)
        with embedded_postgres(folder / "home", durable=False) as url:
            yield url


def run_sql(url: str, *statements: str) -> None:
    """Run statements outside of a transaction."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def with_database(url: str, name: str, login: str | None = None) -> str:
    """Return a URL of the same server with another database and, perhaps, another login."""
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(url)
    netloc = parts.netloc if login is None else f"{login}@{parts.netloc.rsplit('@', 1)[-1]}"
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{name}"))


@pytest.fixture(scope="session")
def template(admin_url: str) -> str:
    """Name of a migrated database that tests copy, with the logins of workers and reviewers."""
    run_sql(
        admin_url,
        "create role radiant login noinherit password 'radiant'",
        "create role radiant_reviewer login noinherit password 'reviewer'",
        "create database radiant_template",
    )
    migrations.migrate(
        with_database(admin_url, "radiant_template"),
        logins={
            "radiant": migrations.LOGIN_ROLES,
            "radiant_reviewer": migrations.REVIEW_LOGIN_ROLES,
        },
    )
    return "radiant_template"


@pytest.fixture
def database_url(admin_url: str, template: str) -> Iterator[str]:
    """URL of a fresh migrated database, as the processes' login."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    # Copied as files, as the server loses nothing that matters: half of what its log costs.
    run_sql(admin_url, f"create database {name} template {template} strategy file_copy")
    try:
        yield with_database(admin_url, name, "radiant:radiant")
    finally:
        run_sql(admin_url, f"drop database {name} with (force)")


@pytest.fixture
def owner_url(admin_url: str, database_url: str) -> str:
    """Superuser URL of the same database, for looking past row-level security."""
    return with_database(admin_url, database_url.rsplit("/", 1)[-1])


@contextmanager
def superuser(url: str) -> Generator[Any]:
    """Yield a cursor over rows as dicts, which sees past row-level security."""
    connection = psycopg2.connect(url, cursor_factory=psycopg2.extras.RealDictCursor)
    connection.autocommit = True
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


@pytest.fixture
def owner(owner_url: str) -> Iterator[Any]:
    """A superuser's cursor in the test's database, see `superuser`."""
    with superuser(owner_url) as cursor:
        yield cursor


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A pool on the test's database."""
    pool = Database(database_url)
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture
def review_url(admin_url: str, database_url: str) -> str:
    """URL of the same database as the login of Mission Control and of `radiant keys`."""
    return with_database(admin_url, database_url.rsplit("/", 1)[-1], "radiant_reviewer:reviewer")


@pytest.fixture
def api_database(review_url: str) -> Iterator[Database]:
    """A pool as Mission Control's: its tenant transactions act as radiant_api."""
    pool = Database(review_url, tenant_role="radiant_api")
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture
def tenant(database: Database) -> uuid.UUID:
    """A tenant with the seeded domains and panels."""
    tenant_id = uuid.uuid4()
    tenants.create_tenant(database, tenant_id, "acme", "Acme Clinic")
    return tenant_id


@pytest.fixture
def models() -> Iterator[LlmServer]:
    """A scripted OpenAI-compatible server on a free port; answers like the demo model."""
    with LlmServer() as server:
        yield server


@dataclass
class World:
    """Everything a run in this process needs, wired to real servers."""

    database: Database
    tenant: uuid.UUID
    models: LlmServer
    settings: Settings


@pytest.fixture
def world(
    database: Database,
    tenant: uuid.UUID,
    models: LlmServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """Point this process' resources at the test's database and model server."""
    monkeypatch.setenv("RADIANT_DATABASE_URL", database.url)
    monkeypatch.setenv("LITELLM_PROXY_URL", models.url)
    caches = (
        resources.process_settings,
        resources.process_llm,
        resources.process_planner,
        resources.process_cato,
        resources.process_toolbox,
        resources.process_database,
    )
    for cache in caches:
        cache.cache_clear()
    yield World(database, tenant, models, Settings.load(os.environ))
    resources.process_database(database.url).close()
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's storages in memory.

    Those of `dg.instance_for_test` are files: 0.4 s a test, and 0.2 s more for every run in it.
    """
    with dg.DagsterInstance.ephemeral() as in_memory:
        yield in_memory
