"""How RADIANT talks to Postgres: one bounded pool, one way to open a transaction.

A login has no rights of its own. Every transaction steps into exactly one role with
``SET LOCAL ROLE`` (radiant_app, radiant_review, radiant_api, radiant_dispatch, ...) and, for
tenant roles, sets the tenant transaction-locally, so nothing survives on a pooled connection and
row-level security always applies: the roles are neither owner nor superuser.
"""

import os
import uuid
from collections.abc import Generator
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

TenantRole = Literal["radiant_app", "radiant_review", "radiant_api", "radiant_reveal"]
SystemRole = Literal["radiant_dispatch", "radiant_maintenance", "radiant_auth", "radiant_deliver"]
Cursor = psycopg2.extras.RealDictCursor

ENTER_TENANT = "select set_config('role', %s, true), set_config('app.current_tenant_id', %s, true)"
ENTER_ROLE = "select set_config('role', %s, true), set_config('app.current_tenant_id', '', true)"
POOL_WAIT_SECONDS = 10.0


def location(url: str) -> str:
    """Return host, port and database of a URL, without the password."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("postgresql", "postgres"):
            return "an address that cannot be read"
        return f"{parts.hostname or 'local socket'}:{parts.port or 5432}{parts.path}"
    except ValueError:  # its message quotes what stands where the port should be
        return "an address that cannot be read"


def _require_readable(url: str) -> None:
    # An unescaped '@' or '/' in the password moves its rest into host or port, and libpq's
    # message then quotes it; psycopg2's "invalid dsn" quotes the whole URL.
    try:
        options = psycopg2.extensions.parse_dsn(url)
    except psycopg2.ProgrammingError:
        options = {"port": "unreadable"}
    port = str(options.get("port") or "5432")
    if "@" in str(options.get("host", "")) or not port.replace(",", "").isdigit():
        raise ConfigurationError(
            "RADIANT_DATABASE_URL",
            "is not a PostgreSQL URL",
            "Use postgresql://user:password@host:5432/database, with special characters of the "
            "password percent-encoded.",
        )


def connect(url: str, *, application_name: str = "radiant") -> psycopg2.extensions.connection:
    """Open one connection.

    Raises:
        DatabaseUnavailable: With host and reason, never the password.
        ConfigurationError: The URL cannot be read.
    """
    _require_readable(url)
    try:
        return psycopg2.connect(
            url,
            connect_timeout=5,
            application_name=application_name,
            cursor_factory=psycopg2.extras.RealDictCursor,
        )
    except psycopg2.OperationalError as error:
        raise DatabaseUnavailable(location(url), _reason(error)) from None


def _reason(error: psycopg2.Error) -> str:
    if error.diag.message_primary:  # further lines may quote the statement
        return error.diag.message_primary.rstrip(".")
    lines = str(error).strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else type(error).__name__


class Database:
    """A bounded pool of connections to the RADIANT database.

    Args:
        url: Login of this process.
        pool_size: Most connections this process ever holds.
        application_name: Shown in ``pg_stat_activity``, with the process id behind a slash.
        wait_seconds: How long a transaction waits for a free connection.
        tenant_role: What a transaction of a tenant acts as where it names no role.

    The pool is lazy: nothing is opened before the first transaction, so a worker may fork after
    building one.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 3,
        application_name: str = "radiant",
        wait_seconds: float = POOL_WAIT_SECONDS,
        tenant_role: TenantRole = "radiant_app",
    ) -> None:
        self.url = url
        self._tenant_role: TenantRole = tenant_role
        self._pool_size = pool_size
        self._wait_seconds = wait_seconds
        self._application_name = application_name
        self._pool = QueuePool(
            self._connect,
            pool_size=pool_size,
            max_overflow=0,
            timeout=wait_seconds,
            recycle=1800,
            reset_on_return="rollback",  # pyright: ignore[reportArgumentType]
        )

    def _connect(self) -> Any:
        # The process id tells an operator, and the connection count test, who holds what.
        name = f"{self._application_name}/{os.getpid()}"
        connection = connect(self.url, application_name=name)
        psycopg2.extras.register_uuid(conn_or_curs=connection)  # pyright: ignore[reportUnknownMemberType]
        with connection.cursor() as cursor:
            cursor.execute("select 1 from pg_extension where extname = 'vector'")
            present = cursor.fetchone()
        connection.rollback()
        if present:
            register_vector(connection)
        return connection

    @contextmanager
    def tenant_transaction(
        self, tenant_id: uuid.UUID, *, role: TenantRole | None = None
    ) -> Generator[Cursor]:
        """Run one transaction for one tenant: commit on leaving, roll back on an error.

        Args:
            tenant_id: Rows of every other tenant are invisible inside.
            role: ``radiant_review`` for Mission Control and the approvals commands,
                ``radiant_reveal`` for the originals of a review; None for the pool's own.

        Raises:
            DatabaseUnavailable: The server is away, or no connection came free in ten seconds.
        """
        with self._transaction(ENTER_TENANT, (role or self._tenant_role, str(tenant_id))) as cursor:
            yield cursor

    @contextmanager
    def system_transaction(self, role: SystemRole) -> Generator[Cursor]:
        """Run one transaction over all tenants under a narrow system role."""
        with self._transaction(ENTER_ROLE, (role,)) as cursor:
            yield cursor

    @contextmanager
    def _transaction(self, enter: str, parameters: tuple[str, ...]) -> Generator[Cursor]:
        connection = self._checkout(enter, parameters)
        try:
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            connection.invalidate()
            raise DatabaseUnavailable(location(self.url), _reason(error)) from None
        except BaseException:
            try:
                connection.rollback()
            except psycopg2.Error:  # the server went away as well; the first error matters more
                connection.invalidate()
            raise
        finally:
            connection.close()  # returns it to the pool

    def _checkout(self, enter: str, parameters: tuple[str, ...]) -> Any:
        # Every pooled connection may have died with the server; one try more than there are finds
        # a fresh one, which tells a restart from an outage.
        last = self._pool_size
        for attempt in range(last + 1):
            try:
                connection: Any = self._pool.connect()
            except PoolTimeout:
                raise DatabaseUnavailable(
                    location(self.url), f"no free connection in {self._wait_seconds:g} s"
                ) from None
            except psycopg2.OperationalError as error:
                raise DatabaseUnavailable(location(self.url), _reason(error)) from None
            try:
                with connection.cursor() as cursor:
                    cursor.execute(enter, parameters)
            except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
                connection.invalidate()
                if attempt == last:
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
