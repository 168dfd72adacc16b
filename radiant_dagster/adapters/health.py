"""Asks the pieces around a session whether they work; changes nothing anywhere.

For `radiant doctor`, and for refusing a session before it is stored where its run could not start.
"""

import contextlib
import importlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from radiant_dagster.adapters.migrations import (
    INSTALLED_PGVECTOR,
    LOGIN_ROLES,
    pending_migrations,
)
from radiant_dagster.adapters.postgres import Database, connect, location
from radiant_dagster.errors import BrokerUnavailable, ConfigurationError

# What this login cannot step into. A role that does not exist counts as missing.
MISSING_ROLES = """
    select wanted.name from unnest(%s::text[]) as wanted (name)
    left join pg_roles r on r.rolname = wanted.name
    where r.oid is null or not pg_has_role(current_user, r.oid, 'member') order by 1
"""
ANSWER = "select 1"
ANSWER_SECONDS = 3.0
BROKER_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What a database is.

    Args:
        location: host:port/database, without login or password.
        server_version: As 180000 for PostgreSQL 18.
        pgvector: Installed version, None where the extension is not installed.
        missing_roles: Roles that the login should be able to step into and is not.
        pending: Migrations that are not applied.
    """

    location: str
    server_version: int
    pgvector: str | None
    missing_roles: tuple[str, ...]
    pending: tuple[str, ...]


def database_facts(url: str, *, roles: tuple[str, ...] = LOGIN_ROLES) -> DatabaseFacts:
    """Look at a database.

    Args:
        url: The login to look with.
        roles: What that login should be able to step into.

    Raises:
        DatabaseUnavailable: It cannot be reached.
    """
    with contextlib.closing(connect(url, application_name="radiant doctor")) as connection:
        with connection.cursor() as cursor:
            cursor.execute(INSTALLED_PGVECTOR)
            installed: Any = cursor.fetchone()
            cursor.execute(MISSING_ROLES, (list(roles),))
            missing: list[Any] = cursor.fetchall()
        version = connection.server_version
    return DatabaseFacts(
        location(url),
        version,
        installed["version"] if installed else None,
        tuple(row["name"] for row in missing),
        tuple(pending_migrations(url)),
    )


def require_answer(database: Database) -> None:
    """Find out whether a pool's database answers to the role that credentials are checked with.

    Raises:
        DatabaseUnavailable: It does not.
        ConfigurationError: The login cannot step into that role.
    """
    with database.system_transaction("radiant_auth") as cursor:
        cursor.execute(ANSWER)


def mission_control_ready(url: str) -> bool:
    """Tell whether Mission Control answers at an address, and its database does."""
    import urllib3  # only doctor asks

    try:
        reply = urllib3.request(
            "GET", f"{url}/readyz", timeout=ANSWER_SECONDS, retries=False, redirect=False
        )
    except urllib3.exceptions.HTTPError:
        return False
    return reply.status == 200


def broker_location(url: str) -> str:
    """Return host and port of a broker's URL, without the password."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
    except ValueError:
        return "RADIANT_BROKER_URL"


def ping_broker(url: str) -> None:
    """Find out whether the broker answers.

    Raises:
        BrokerUnavailable: It does not, or refuses the login.
        ConfigurationError: The URL is malformed.
    """
    import redis  # half the start-up time of commands that never ask

    client_class: Any = redis.Redis  # its stubs leave keyword arguments untyped
    try:
        with contextlib.closing(
            client_class.from_url(
                url.replace("valkey://", "redis://", 1),
                socket_connect_timeout=BROKER_SECONDS,
                socket_timeout=BROKER_SECONDS,
            )
        ) as client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        raise BrokerUnavailable(broker_location(url), type(error).__name__) from None
    except ValueError:
        raise ConfigurationError(
            "RADIANT_BROKER_URL", "is not a Redis URL", "Use redis://:password@host:port/0."
        ) from None


def live_workers(broker_url: str, *, timeout_seconds: float = 2.0) -> tuple[str, ...]:
    """Return the names of the Celery workers that answer in time; empty where none does.

    Raises:
        BrokerUnavailable: The broker is away.
    """
    ping_broker(broker_url)  # Celery itself would try again for minutes
    celery: Any = importlib.import_module("celery")  # untyped, and slow to import
    app: Any = celery.Celery(broker=broker_url, set_as_current=False)
    try:
        answers: dict[str, Any] | None = app.control.inspect(timeout=timeout_seconds).ping()
    except OSError as error:  # kombu's connection errors derive from it
        raise BrokerUnavailable(broker_location(broker_url), type(error).__name__) from None
    finally:
        app.close()
    return tuple(sorted(answers or {}))
