"""How RADIANT talks to Postgres: one bounded pool, one way to open a transaction.

A login has no rights of its own. Every transaction steps into exactly one role with
``SET LOCAL ROLE`` (radiant_app, radiant_review, radiant_dispatch, radiant_maintenance) and, for
tenant roles, sets the tenant transaction-locally, so nothing survives on a pooled connection and
row-level security always applies: the roles are neither owner nor superuser.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from pgvector.psycopg2 import register_vector
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from radiant_dagster.errors import ConfigurationError, DatabaseUnavailable

TenantRole = Literal["radiant_app", "radiant_review"]
SystemRole = Literal["radiant_dispatch", "radiant_maintenance"]
Cursor = psycopg2.extras.RealDictCursor

ENTER_TENANT = (
    "select set_config('role', %s, true), set_config('app.current_tenant_id', %s, true)"
)
ENTER_ROLE = "select set_config('role', %s, true), set_config('app.current_tenant_id', '', true)"
POOL_WAIT_SECONDS = 10.0


def location(url: str) -> str:
    """Return host, port and database of a URL, without the password."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'local socket'}:{parts.port or 5432}{parts.path}"


def connect(url: str, *, application_name: str = "radiant") -> psycopg2.extensions.connection:
    """Open one connection.

    Raises:
        DatabaseUnavailable: With host and reason, never the password.
    """
    try:
        return psycopg2.connect(
            url,
            connect_timeout=5,
            application_name=application_name,
            cursor_factory=psycopg2.extras.RealDictCursor,
        )
    except psycopg2.OperationalError as error:
        raise DatabaseUnavailable(location(url), _reason(error)) from None
    except psycopg2.ProgrammingError:
        # "invalid dsn": psycopg2 quotes the URL with its password in the message.
        raise ConfigurationError(
            "RADIANT_DATABASE_URL", "is not a PostgreSQL URL", "Use postgresql://user:password@host/db."
        ) from None


def _reason(error: psycopg2.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else type(error).__name__


class Database:
    """A bounded pool of connections to the RADIANT database.

    Args:
        url: Login of this process.
        pool_size: Most connections this process ever holds.
        application_name: Shown in ``pg_stat_activity``, with the process id behind a slash.

    The pool is lazy: nothing is opened before the first transaction, so a worker may fork after
    building one.
    """

    def __init__(
        self, url: str, *, pool_size: int = 3, application_name: str = "radiant"
    ) -> None:
        self.url = url
        self._application_name = application_name
        self._pool = QueuePool(
            self._connect,
            pool_size=pool_size,
            max_overflow=0,
            timeout=POOL_WAIT_SECONDS,
            recycle=1800,
            reset_on_return="rollback",  # pyright: ignore[reportArgumentType]
        )

    def _connect(self) -> Any:
        # The process id tells an operator, and the connection count test, who holds what.
        name = f"{self._application_name}/{os.getpid()}"
        connection = connect(self.url, application_name=name)
        psycopg2.extras.register_uuid(conn_or_curs=connection)
        with connection.cursor() as cursor:
            cursor.execute("select 1 from pg_extension where extname = 'vector'")
            present = cursor.fetchone()
        connection.rollback()
        if present:
            register_vector(connection)
        return connection

    @contextmanager
    def tenant_transaction(
        self, tenant_id: uuid.UUID, *, role: TenantRole = "radiant_app"
    ) -> Iterator[Cursor]:
        """Run one transaction for one tenant: commit on leaving, roll back on an error.

        Args:
            tenant_id: Rows of every other tenant are invisible inside.
            role: ``radiant_review`` for Mission Control and the approvals commands.

        Raises:
            DatabaseUnavailable: The server is away, or no connection came free in ten seconds.
        """
        with self._transaction(ENTER_TENANT, (role, str(tenant_id))) as cursor:
            yield cursor

    @contextmanager
    def system_transaction(self, role: SystemRole) -> Iterator[Cursor]:
        """Run one transaction over all tenants under a narrow system role."""
        with self._transaction(ENTER_ROLE, (role,)) as cursor:
            yield cursor

    @contextmanager
    def _transaction(self, enter: str, parameters: tuple[str, ...]) -> Iterator[Cursor]:
        connection = self._checkout(enter, parameters)
        try:
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
        except psycopg2.OperationalError as error:
            connection.invalidate()
            raise DatabaseUnavailable(location(self.url), _reason(error)) from None
        except BaseException:
            connection.rollback()
            raise
        finally:
            connection.close()  # returns it to the pool

    def _checkout(self, enter: str, parameters: tuple[str, ...]) -> Any:
        # A pooled connection may have died with the server; one fresh try tells it from an outage.
        for attempt in (1, 2):
            try:
                connection = self._pool.connect()
            except PoolTimeout:
                raise DatabaseUnavailable(
                    location(self.url), f"no free connection in {POOL_WAIT_SECONDS:.0f} s"
                ) from None
            try:
                with connection.cursor() as cursor:
                    cursor.execute(enter, parameters)
            except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
                connection.invalidate()
                if attempt == 2:
                    raise DatabaseUnavailable(location(self.url), _reason(error)) from None
                continue
            except psycopg2.Error as error:
                connection.rollback()
                connection.close()
                raise ConfigurationError(
                    "RADIANT_DATABASE_URL",
                    f"the login cannot act as {parameters[0]} ({type(error).__name__})",
                    "Run `radiant db migrate`; it creates the roles and grants them.",
                ) from None
            return connection
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close every idle connection."""
        self._pool.dispose()
