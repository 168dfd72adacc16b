"""Brings a database to the schema this code needs: roles, extension, numbered SQL files.

Forward only. Files are recorded by name, one transaction each, under an advisory lock so that two
`radiant db migrate` at once do the work once. A released file is never edited.
"""

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from importlib.resources import files
from typing import Any

import psycopg2
from psycopg2 import sql

from radiant_dagster.adapters.postgres import connect, location
from radiant_dagster.errors import ConfigurationError, DatabaseUnavailable

ROLES = (
    "radiant_owner",
    "radiant_app",
    "radiant_review",
    "radiant_dispatch",
    "radiant_maintenance",
    "radiant_reveal",
    "radiant_auth",
    "radiant_api",
    "radiant_deliver",
)
# What the login of runs, sensors and the CLI may step into.
LOGIN_ROLES = ("radiant_app", "radiant_review", "radiant_dispatch", "radiant_maintenance")
# What Mission Control and `radiant keys` may step into, by RADIANT_REVIEW_DATABASE_URL. Not for the
# login above: whoever executes models' text must not make itself a key, read originals as somebody
# of the role `privacy`, or see all tenants' endpoints.
REVIEW_LOGIN_ROLES = (
    "radiant_review",
    "radiant_auth",
    "radiant_api",
    "radiant_reveal",
    "radiant_deliver",
)
MIN_POSTGRES = 150000
MIN_PGVECTOR = (0, 8)
# Asked again and again, not waited for: a waiting statement holds a snapshot, which the one who
# creates an index concurrently would wait for in turn.
LOCK = "select pg_try_advisory_lock(hashtext('radiant migrations')) as held"
LOCK_POLL_SECONDS = 0.1
UNLOCK = "select pg_advisory_unlock(hashtext('radiant migrations'))"
PGVECTOR = "select default_version as version from pg_available_extensions where name = 'vector'"
INSTALLED_PGVECTOR = "select extversion as version from pg_extension where extname = 'vector'"
MIGRATION_TABLE = """
    create table if not exists radiant.schema_migration (
        name text primary key, applied_at timestamptz not null default clock_timestamp())
"""
HAS_MIGRATION_TABLE = "select to_regclass('radiant.schema_migration') is not null as present"
APPLIED = "select name from radiant.schema_migration order by name"


def migration_names() -> tuple[str, ...]:
    """Return the names of all migrations in order."""
    folder = files("radiant_dagster.adapters") / "sql"
    return tuple(sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql")))


def migrate(owner_url: str, *, logins: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Create missing roles, grant them, apply missing migrations.

    Args:
        owner_url: Login that may create roles and schemas in the database.
        logins: Existing login -> roles it may step into.

    Returns:
        Names of the migrations that were applied now.

    Raises:
        ConfigurationError: pgvector is missing or too old, or the login may not create roles.
        DatabaseUnavailable: The server cannot be reached.
    """
    try:
        with _locked(owner_url) as cursor:
            _require_versions(cursor, cursor.connection.server_version)
            _create_roles(cursor, logins)
            return _apply(cursor)
    except psycopg2.errors.UndefinedObject as error:
        raise ConfigurationError(
            "RADIANT_DATABASE_URL",
            (error.diag.message_primary or "its login does not exist").strip(),
            "Create the login on the server first, then run `radiant db migrate` again.",
        ) from None
    except psycopg2.errors.InsufficientPrivilege as error:
        message = (error.diag.message_primary or "permission denied").strip()
        raise ConfigurationError(
            "RADIANT_OWNER_DATABASE_URL",
            f"this login may not do what a migration does ({message})",
            "Use a login with CREATEROLE that owns the database. Where pgvector is not created in "
            "it, a superuser has to run `create extension vector` there first.",
        ) from None


@contextmanager
def owner_session(owner_url: str) -> Generator[Any, None, None]:
    """Yield a cursor of the tables' owner, outside of a transaction, beside no other such.

    Raises:
        ConfigurationError: The login may not step into the owner's role.
        DatabaseUnavailable: The server cannot be reached.
    """
    with _locked(owner_url) as cursor:
        try:
            cursor.execute("set role radiant_owner")
        except (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.InvalidParameterValue):
            raise ConfigurationError(
                "RADIANT_OWNER_DATABASE_URL",
                "this login does not own RADIANT's tables",
                "Use the login that `radiant db migrate` was run with.",
            ) from None
        yield cursor


@contextmanager
def _locked(owner_url: str) -> Generator[Any, None, None]:
    connection = connect(owner_url, application_name="radiant migrate")
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            _lock(cursor)
            try:
                yield cursor
            finally:
                cursor.execute("reset role")
                cursor.execute(UNLOCK)
    except psycopg2.OperationalError as error:
        raise DatabaseUnavailable(location(owner_url), type(error).__name__) from None
    finally:
        connection.close()


def pending_migrations(url: str) -> list[str]:
    """Return the migrations the database still lacks, in order."""
    connection = connect(url, application_name="radiant migrate")
    try:
        with connection.cursor() as cursor:
            cursor.execute(HAS_MIGRATION_TABLE)
            row: Any = cursor.fetchone()
            applied: set[str] = set()
            if row["present"]:
                cursor.execute(APPLIED)
                rows: Any = cursor.fetchall()
                applied = {item["name"] for item in rows}
            return [name for name in migration_names() if name not in applied]
    except psycopg2.errors.InsufficientPrivilege:
        # The schema is there but this login was granted nothing yet: all grants are pending.
        return list(migration_names())
    finally:
        connection.close()


def require_current(url: str) -> None:
    """Refuse to work on a database that lacks migrations or pgvector.

    Raises:
        ConfigurationError: Names what is missing and the command that mends it.
    """
    pending = pending_migrations(url)
    if pending:
        raise ConfigurationError(
            "RADIANT_DATABASE_URL",
            f"the database at {location(url)} lacks {len(pending)} migration(s), "
            f"first {pending[0]}",
            "Run `radiant db migrate`.",
        )


def _require_versions(cursor: "psycopg2.extensions.cursor", server_version: int) -> None:
    if server_version < MIN_POSTGRES:
        raise ConfigurationError(
            "RADIANT_DATABASE_URL",
            f"PostgreSQL {server_version // 10000} is too old",
            "Use PostgreSQL 15 or newer.",
        )
    for query in (INSTALLED_PGVECTOR, PGVECTOR):
        cursor.execute(query)
        row = cursor.fetchone()
        if row is not None:
            version = tuple(int(part) for part in row["version"].split(".")[:2])  # type: ignore[call-overload]
            if version < MIN_PGVECTOR:
                raise ConfigurationError(
                    "RADIANT_DATABASE_URL",
                    f"pgvector {row['version']} is too old",  # type: ignore[call-overload]
                    "Install pgvector 0.8 or newer and run `alter extension vector update`.",
                )
            return
    raise ConfigurationError(
        "RADIANT_DATABASE_URL",
        "the server has no pgvector",
        "Install the pgvector 0.8 extension on the server, then run `radiant db migrate`.",
    )


def _lock(cursor: Any) -> None:
    cursor.execute(LOCK)
    while not cursor.fetchone()["held"]:
        time.sleep(LOCK_POLL_SECONDS)
        cursor.execute(LOCK)


def _create_roles(
    cursor: "psycopg2.extensions.cursor", logins: Mapping[str, tuple[str, ...]]
) -> None:
    for role in ROLES:
        cursor.execute("select 1 from pg_roles where rolname = %s", (role,))
        if cursor.fetchone() is None:
            # Roles belong to the server, the lock to one database: another may migrate meanwhile.
            with suppress(psycopg2.errors.DuplicateObject, psycopg2.errors.UniqueViolation):
                cursor.execute(sql.SQL("create role {} nologin").format(sql.Identifier(role)))
    cursor.execute(
        sql.SQL(
            "grant radiant_owner to current_user; grant create on database {} to radiant_owner"
        ).format(sql.Identifier(cursor.connection.info.dbname))
    )
    for login, roles in logins.items():
        for role in roles:
            cursor.execute(
                sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(login))
            )
    cursor.execute("create extension if not exists vector")


def _apply(cursor: "psycopg2.extensions.cursor") -> list[str]:
    cursor.execute("set role radiant_owner")
    cursor.execute("create schema if not exists radiant")
    cursor.execute(MIGRATION_TABLE)
    # Every login may ask what is applied, so that each process can refuse a stale database.
    cursor.execute("grant usage on schema radiant to public")
    cursor.execute("grant select on radiant.schema_migration to public")
    cursor.execute(APPLIED)
    applied = {row["name"] for row in cursor.fetchall()}  # type: ignore[call-overload]
    done: list[str] = []
    for name in migration_names():
        if name in applied:
            continue
        text = (files("radiant_dagster.adapters") / "sql" / name).read_text()
        cursor.execute("begin")
        try:
            cursor.execute(text)
            cursor.execute("insert into radiant.schema_migration (name) values (%s)", (name,))
            cursor.execute("commit")
        except psycopg2.OperationalError:  # the connection is gone, and the transaction with it
            raise
        except psycopg2.Error as error:
            cursor.execute("rollback")
            if isinstance(error, psycopg2.errors.InsufficientPrivilege):
                raise
            raise ConfigurationError(
                "RADIANT_OWNER_DATABASE_URL",
                f"migration {name} cannot be applied ({error.diag.message_primary})",
                "Nothing of it was kept. The schema `radiant` holds what no migration made: remove "
                "that, or use another database.",
            ) from None
        done.append(name)
    return done
