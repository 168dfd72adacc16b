"""`radiant tenants erase`: nothing of a tenant is left anywhere, and all of the others is."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg2
import psycopg2.extras
import pytest

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.vector_index import arrange
from radiant_dagster.cli.main import EXIT_INPUT, EXIT_STATE, EXIT_UNAVAILABLE
from radiant_dagster.engine.instance import open_instance
from tests.adapters.rows import fill_tenant, insert_session, tenant_tables
from tests.cli.conftest import PROMPT, Radiant, execute
from tests.conftest import World, run_sql, with_database
from tests.orchestration.engine_servers import new_database, write_dagster_home

OTHER = uuid.UUID(int=0xB0B)
CANARY = "zqcanaryvxk"
INDEXES_OF = "select 1 from pg_indexes where position('%s' in indexdef) > 0"


def cursor_of(connection: Any) -> Any:
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    return connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor)


def all_text(url: str, schema: str) -> dict[str, list[str]]:
    """Return every row of every table, as text, past row-level security."""
    found = {}
    with closing(psycopg2.connect(url)) as connection, cursor_of(connection) as cursor:
        cursor.execute(
            "select relname as name from pg_class where relnamespace = %s::regnamespace"
            " and relkind = 'r'",
            (schema,),
        )
        for row in cursor.fetchall():
            cursor.execute(f'select t::text as row from {schema}."{row["name"]}" t')  # noqa: S608
            found[row["name"]] = sorted(item["row"] for item in cursor.fetchall())
    return found


@pytest.fixture(scope="module")
def dagsters_tables(admin_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database with Dagster's tables, which take it 2 s to make, for tests to copy."""
    url = new_database(admin_url, "dagster_template")
    home = write_dagster_home(tmp_path_factory.mktemp("dagster"), url)
    with dg.DagsterInstance.from_config(str(home)):
        return "dagster_template"


@pytest.fixture
def dagster_url(admin_url: str, dagsters_tables: str) -> Iterator[str]:
    name = f"dagster_{uuid.uuid4().hex[:8]}"
    run_sql(admin_url, f"create database {name} template {dagsters_tables} strategy file_copy")
    yield with_database(admin_url, name)
    run_sql(admin_url, f"drop database {name} with (force)")


@pytest.fixture
def instance(dagster_url: str, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster with its tables in Postgres, as workers open it."""
    with open_instance(write_dagster_home(tmp_path, dagster_url)) as opened:
        yield opened


@pytest.fixture
def two_tenants(
    radiant: Radiant,
    world: World,
    instance: dg.DagsterInstance,
    dagster_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Radiant:
    """The tenants acme and other: a finished session of each, and a row in every table."""
    monkeypatch.setenv("RADIANT_OWNER_DATABASE_URL", radiant.owner_url)
    monkeypatch.setenv("RADIANT_DAGSTER_DATABASE_URL", dagster_url)
    radiant.dagster.on_delete = instance.delete_run
    radiant.dagster.on_launch = lambda config: execute("think_tank", config, instance)
    tenants.create_tenant(world.database, OTHER, "other", "Other Clinic")
    for slug in ("acme", "other"):
        radiant.json("think", "--tenant", slug, f"{PROMPT} Is {CANARY}-{slug} one?")
    with closing(psycopg2.connect(radiant.owner_url)) as connection, connection:
        cursor = cursor_of(connection)
        for tenant_id in (radiant.tenant, OTHER):
            fill_tenant(cursor, tenant_id)
            cursor.execute(
                "update radiant.session set status = 'completed' where tenant_id = %s", (tenant_id,)
            )
    return radiant


def ids_of(radiant: Radiant, tenant: uuid.UUID) -> set[str]:
    """Return the ids by which Dagster may know a tenant."""
    found = radiant.rows(
        f"select id::text, dagster_run_id from radiant.session where tenant_id = '{tenant}'"  # noqa: S608
    )
    return {str(tenant)} | {value for row in found for value in row if value}


def naming(tables: dict[str, list[str]], words: set[str]) -> dict[str, int]:
    counts = {
        table: sum(any(word in row for word in words) for row in rows)
        for table, rows in tables.items()
    }
    return {table: count for table, count in counts.items() if count}


def test_an_erased_tenant_is_nowhere_and_the_other_is_as_it_was(
    two_tenants: Radiant, instance: dg.DagsterInstance, dagster_url: str, world: World
) -> None:
    arrange(world.database, two_tenants.owner_url, 0)
    # A sensor's tick and its state name what they launched.
    words = ids_of(two_tenants, two_tenants.tenant)
    others = ids_of(two_tenants, OTHER)
    (run_id,) = (run.run_id for run in instance.get_runs() if run.run_id in words)
    note = json.dumps({"last_run_key": f"approval:{two_tenants.tenant}:1", "run_ids": [run_id]})
    with closing(psycopg2.connect(dagster_url)) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(
            "insert into job_ticks (job_origin_id, selector_id, status, type, tick_body)"
            " values ('o', 's', 'SUCCESS', 'SENSOR', %s)",
            (note,),
        )
        cursor.execute(
            "insert into kvs (key, value) values ('cursor', %s)", (f"{note} {min(others)}",)
        )
    ours, theirs = all_text(two_tenants.owner_url, "radiant"), all_text(dagster_url, "public")
    kept = {table: [row for row in rows if str(OTHER) in row] for table, rows in ours.items()}
    before = naming(ours, words | {f"{CANARY}-acme"})
    assert before["session"] == 2
    assert [len(two_tenants.rows(INDEXES_OF % one)) for one in (two_tenants.tenant, OTHER)] == [
        1,
        1,
    ]
    assert set(naming(theirs, words)) >= {"runs", "event_logs", "job_ticks", "kvs", "run_tags"}
    kept_runs = naming(theirs, others)

    result = two_tenants(
        "tenants", "erase", "acme", "--yes", "--as", "ada", "--json", stdin="acme\n"
    )

    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert set(told["left"].values()) == {0}
    assert told["erased"]["radiant.session"] == 2
    assert all(told["erased"][f"radiant.{table}"] > 0 for table in before)
    ours, theirs = all_text(two_tenants.owner_url, "radiant"), all_text(dagster_url, "public")
    assert naming(ours, words | {f"{CANARY}-acme", "acme"}) == {}
    assert naming(theirs, words | {f"{CANARY}-acme", "acme"}) == {}
    assert {
        table: [row for row in rows if str(OTHER) in row] for table, rows in ours.items()
    } == kept
    assert naming(theirs, others) == kept_runs
    assert [len(two_tenants.rows(INDEXES_OF % one)) for one in (two_tenants.tenant, OTHER)] == [
        0,
        1,
    ]
    (stone,) = ours["erased_tenant"]
    assert "ada" in stone
    assert two_tenants.rows("select counts ->> 'session' from radiant.erased_tenant") == [("2",)]
    assert two_tenants("tenants", "erase", "acme").exit_code == EXIT_INPUT


def test_without_yes_it_counts_and_changes_nothing(two_tenants: Radiant, dagster_url: str) -> None:
    before = all_text(two_tenants.owner_url, "radiant"), all_text(dagster_url, "public")

    told = two_tenants.json("tenants", "erase", "acme")
    shown = two_tenants("tenants", "erase", "acme").stdout

    after = all_text(two_tenants.owner_url, "radiant"), all_text(dagster_url, "public")
    assert after == before
    assert told["would_erase"]["radiant.session"] == 2
    assert told["would_erase"]["dagster.runs"] == told["runs"] == 1
    assert "radiant.session" in shown
    assert "Nothing was changed" in shown


@pytest.mark.parametrize("typed", ["other\n", ""])
def test_another_slug_typed_erases_nothing(
    two_tenants: Radiant, dagster_url: str, typed: str
) -> None:
    before = all_text(two_tenants.owner_url, "radiant")

    result = two_tenants("tenants", "erase", "acme", "--yes", stdin=typed)

    assert result.exit_code != 0
    assert all_text(two_tenants.owner_url, "radiant") == before


def test_a_tenant_with_an_open_session_is_refused_unless_forced(
    two_tenants: Radiant, instance: dg.DagsterInstance
) -> None:
    with closing(psycopg2.connect(two_tenants.owner_url)) as connection, connection:
        cursor = cursor_of(connection)
        insert_session(cursor, two_tenants.tenant, status="awaiting_review")

    refused = two_tenants("tenants", "erase", "acme", "--yes", stdin="acme\n")
    there = two_tenants.rows("select count(*) from radiant.session")
    forced = two_tenants("tenants", "erase", "acme", "--yes", "--force", stdin="acme\n")

    assert refused.exit_code == EXIT_STATE
    assert "sessions: 1" in refused.stderr
    assert there == [(5,)]
    assert forced.exit_code == 0, forced.stderr
    assert two_tenants.rows("select count(*) from radiant.session") == [(2,)]
    assert {run.tags.get("radiant/tenant_id") for run in instance.get_runs()} <= {str(OTHER), None}


def test_what_is_written_again_after_the_erasure_is_told_with_exit_code_3(
    two_tenants: Radiant, instance: dg.DagsterInstance, dagster_url: str
) -> None:
    # A run that Dagster says it deleted and did not.
    two_tenants.dagster.on_delete = lambda _run_id: None

    result = two_tenants("tenants", "erase", "acme", "--yes", stdin="acme\n")

    assert result.exit_code == EXIT_STATE
    assert "dagster.runs" in result.stderr


def test_erasure_needs_to_look_into_dagsters_tables(
    two_tenants: Radiant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RADIANT_DAGSTER_DATABASE_URL")

    result = two_tenants("tenants", "erase", "acme")

    assert result.exit_code == EXIT_UNAVAILABLE
    assert "RADIANT_DAGSTER_DATABASE_URL" in result.stderr


def test_a_table_out_of_the_owners_reach_stops_the_erasure(two_tenants: Radiant) -> None:
    run_sql(two_tenants.owner_url, "drop policy erasure on radiant.tool_call")

    result = two_tenants("tenants", "erase", "acme", "--yes", stdin="acme\n")

    assert result.exit_code == EXIT_UNAVAILABLE
    assert "tool_call" in result.stderr
    assert len(two_tenants.rows("select 1 from radiant.session")) == 4


def test_the_owner_can_erase_from_every_tenant_table(two_tenants: Radiant) -> None:
    with closing(psycopg2.connect(two_tenants.owner_url)) as connection:
        tables = set(tenant_tables(cursor_of(connection)))

    reached = {
        name
        for (name,) in two_tenants.rows(
            "select c.relname from pg_policy p join pg_class c on c.oid = p.polrelid"
            " where p.polname = 'erasure'"
        )
    }

    # A new table with a tenant needs the policy `erasure`; 0017_erase_tenants.sql shows how.
    assert tables - reached == set()
