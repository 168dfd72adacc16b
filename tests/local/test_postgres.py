import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from radiant_dagster.errors import ConfigurationError
from radiant_dagster.local.postgres import (
    buffer_megabytes,
    create_databases,
    embedded_postgres,
    login_url,
    machine_megabytes,
)

NOBODY = 65534
NORMAL_USER_SCRIPT = """
import sys
from pathlib import Path
import psycopg2
from radiant_dagster.local.postgres import embedded_postgres
with embedded_postgres(Path(sys.argv[1]), durable=False) as url:
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        cursor.execute("select current_setting('data_directory')")
        print(cursor.fetchone()[0])
    connection.close()
"""


def run(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


@pytest.fixture(scope="module")
def with_databases(running_server: tuple[Path, str]) -> tuple[Path, str]:
    home, url = running_server
    connection = psycopg2.connect(url)
    connection.autocommit = True
    create_databases(connection, home)
    create_databases(connection, home)  # as at every later start
    connection.close()
    return home, url


def test_a_restart_keeps_data_and_port(home: Path) -> None:
    with embedded_postgres(home) as url:
        run(url, "create table kept as select 42 as answer")

    with embedded_postgres(home) as again:
        rows = run(again, "select answer from kept")

    assert rows == [(42,)]
    assert again == url


def test_pgvector_is_there_and_the_server_is_durable_unless_told_otherwise(home: Path) -> None:
    query = (
        "select default_version >= '0.8', current_setting('fsync'), current_setting('jit') "
        "from pg_available_extensions where name = 'vector'"
    )

    with embedded_postgres(home) as url:
        durable = run(url, query)
    with embedded_postgres(home, durable=False) as url:
        fast = run(url, query)

    assert durable == [(True, "on", "off")]
    assert fast == [(True, "off", "off")]


def test_nobody_enters_without_the_password(running_server: tuple[Path, str]) -> None:
    home, url = running_server
    port = port_of(url)

    for host in ("127.0.0.1", str(home / "run")):
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(host=host, port=port, user="postgres", password="guess", dbname="x")
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(host=host, port=port, user="postgres", dbname="x", passfile="/none")

    assert run(url, "select current_setting('listen_addresses')") == [("127.0.0.1",)]


def test_logins_have_no_rights_of_their_own(with_databases: tuple[Path, str]) -> None:
    _, url = with_databases

    rows = run(
        url,
        "select rolname, rolsuper or rolbypassrls or rolcreaterole or rolcreatedb, rolinherit "
        "from pg_roles where rolcanlogin and rolname <> 'postgres' order by 1",
    )

    assert rows == [
        ("radiant", False, False),
        ("radiant_dagster", False, True),
        ("radiant_reviewer", False, False),
    ]


def test_each_login_opens_its_own_database_alone(with_databases: tuple[Path, str]) -> None:
    home, url = with_databases
    port = port_of(url)

    own = {
        "radiant": "radiant",
        "radiant_reviewer": "radiant",
        "radiant_dagster": "dagster",
    }

    for login, database in own.items():
        other = "dagster" if database == "radiant" else "radiant"
        assert run(login_url(home, port, login, database), "select 1") == [(1,)]
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            run(login_url(home, port, login, other), "select 1")


def test_only_dagsters_login_commits_without_waiting(with_databases: tuple[Path, str]) -> None:
    home, url = with_databases
    port = port_of(url)
    query = "select setting, source from pg_settings where name = 'synchronous_commit'"

    dagster = run(login_url(home, port, "radiant_dagster", "dagster"), query)
    ours = run(login_url(home, port, "radiant", "radiant"), query)

    assert dagster == [("off", "user")]
    assert ours[0][1] != "user"


def test_failing_statements_leave_no_content_in_the_log(running_server: tuple[Path, str]) -> None:
    home, url = running_server

    with pytest.raises(psycopg2.Error):
        run(url, "select 'canary-one'::int")
    with pytest.raises(psycopg2.Error):
        run(url, "create temp table t (a text check (a = '')); insert into t values ('canary-two')")

    log = (home / "logs/postgres.log").read_text()
    assert "violates check constraint" in log
    assert "canary-two" not in log
    assert "select 'canary" not in log


def test_a_lost_password_file_is_explained(home: Path) -> None:
    with embedded_postgres(home, durable=False):
        pass
    (home / "secrets.json").unlink()

    with (
        pytest.raises(ConfigurationError, match=r"RADIANT_HOME.*secrets\.json.*reset"),
        embedded_postgres(home, durable=False),
    ):
        pass


def test_a_first_start_that_was_cut_short_begins_anew(home: Path) -> None:
    with embedded_postgres(home, durable=False):
        pass
    (home / "postgres/PG_VERSION").unlink()

    with embedded_postgres(home, durable=False) as url:
        rows = run(url, "select 1")

    assert rows == [(1,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs under another account")
def test_roots_server_runs_as_nobody_and_reads_no_secret(running_server: tuple[Path, str]) -> None:
    home, url = running_server

    pid = int((home / "postgres/postmaster.pid").read_text().splitlines()[0])
    can_read = subprocess.run(
        ["cat", str(home / "secrets.json")],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        check=False,
    )

    assert Path(f"/proc/{pid}").stat().st_uid == NOBODY
    assert can_read.returncode != 0
    assert run(url, "select 1") == [(1,)]


def _reachable_python() -> str | None:
    """Return a Python of this version that the unprivileged account can run with our packages."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, shutil.which(version, path="/usr/bin:/usr/local/bin")):
        if candidate is None:
            continue
        probe = [candidate, "-c", "import psycopg2, pydantic_settings, radiant_dagster"]
        try:
            done = _as_nobody(probe, cwd=Path("/"))
        except PermissionError:
            continue
        if done.returncode == 0:
            return candidate
    return None


def _as_nobody(command: list[str], *, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = Path(__file__).parents[2]
    return subprocess.run(
        command,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd=cwd,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": f"{code}{os.pathsep}{sysconfig.get_path('platlib')}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="all the other tests run as a normal user here")
def test_a_normal_user_runs_the_server_from_the_environment(home: Path) -> None:
    python = _reachable_python()
    if python is None:
        pytest.skip("no Python that a normal user can reach: the clone or Python is root's alone")
    os.chown(home, NOBODY, NOBODY)

    done = _as_nobody([python, "-c", NORMAL_USER_SCRIPT, str(home)], cwd=home)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(home.resolve() / "postgres")
    assert not (home / "bin").exists()
    assert {path.stat().st_uid for path in home.iterdir()} == {NOBODY}


def test_the_server_takes_a_sixteenth_of_the_memory_within_bounds(
    running_server: tuple[Path, str],
) -> None:
    ((shown,),) = run(running_server[1], "select pg_size_bytes(current_setting('shared_buffers'))")

    assert [buffer_megabytes(gigabytes * 1024) for gigabytes in (1, 4, 64)] == [128, 256, 1024]
    assert shown == buffer_megabytes(machine_megabytes()) * 2**20
