import threading
import uuid
from collections.abc import Iterator

import psycopg2
import pytest

from radiant_dagster.adapters.migrations import (
    LOGIN_ROLES,
    migrate,
    migration_names,
    pending_migrations,
    require_current,
)
from radiant_dagster.errors import ConfigurationError, DatabaseUnavailable
from tests.conftest import run_sql, with_database

SCHEMA = """
    select string_agg(item, E'\\n' order by item) from (
        select format('column %s.%s %s %s %s', table_name, column_name, data_type, is_nullable,
                      column_default) as item
        from information_schema.columns where table_schema = 'radiant'
        union all select format('index %s', indexdef) from pg_indexes where schemaname = 'radiant'
        union all select format('constraint %s %s', conrelid::regclass, pg_get_constraintdef(oid))
        from pg_constraint where connamespace = 'radiant'::regnamespace
        union all select format('policy %s %s %s %s %s %s', tablename, policyname, roles, cmd, qual,
                                with_check) from pg_policies where schemaname = 'radiant'
        union all select format('grant %s %s %s', relname, relacl, relforcerowsecurity)
        from pg_class where relnamespace = 'radiant'::regnamespace
    ) items
"""


def value(url: str, query: str) -> object:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
            return row and row[0]
    finally:
        connection.close()


@pytest.fixture
def empty_url(admin_url: str, template: str) -> Iterator[str]:
    """Superuser URL of a database without RADIANT's schema."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    run_sql(admin_url, f"create database {name}")
    try:
        yield with_database(admin_url, name)
    finally:
        run_sql(admin_url, f"drop database {name} with (force)")


def as_login(url: str) -> str:
    return with_database(url, url.rsplit("/", 1)[-1], "radiant:radiant")


def test_migrating_twice_does_nothing_the_second_time(empty_url: str) -> None:
    logins = {"radiant": LOGIN_ROLES}

    first = migrate(empty_url, logins=logins)
    schema = value(empty_url, SCHEMA)
    second = migrate(empty_url, logins=logins)

    assert tuple(first) == migration_names()
    assert second == []
    assert value(empty_url, SCHEMA) == schema


def test_a_fresh_schema_is_the_migrated_schema(empty_url: str, owner_url: str) -> None:
    migrate(empty_url, logins={"radiant": LOGIN_ROLES})

    assert value(empty_url, SCHEMA) == value(owner_url, SCHEMA)


def test_migrations_at_the_same_time_do_the_work_once(empty_url: str) -> None:
    done: list[list[str]] = []
    start = threading.Barrier(3)

    def work() -> None:
        start.wait()
        done.append(migrate(empty_url, logins={"radiant": LOGIN_ROLES}))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(len, done)) == [0, 0, len(migration_names())]


def test_a_failing_migration_leaves_nothing_behind(empty_url: str) -> None:
    run_sql(
        empty_url,
        "create schema radiant authorization radiant_owner",
        "create table radiant.audit (made_by_somebody_else int)",
    )

    with pytest.raises(ConfigurationError, match=r"0001_create_radiant\.sql cannot be applied"):
        migrate(empty_url, logins={})

    tables = (
        "select string_agg(tablename, ' ' order by 1) from pg_tables where schemaname = 'radiant'"
    )
    assert value(empty_url, tables) == "audit schema_migration"
    assert tuple(pending_migrations(as_login(empty_url))) == migration_names()


def test_a_database_behind_is_refused_with_the_command_that_mends_it(empty_url: str) -> None:
    url = as_login(empty_url)

    assert tuple(pending_migrations(url)) == migration_names()
    with pytest.raises(ConfigurationError) as caught:
        require_current(url)

    text = str(caught.value)
    assert "Run `radiant db migrate`." in text
    assert migration_names()[0] in text
    assert "radiant:radiant" not in text


def test_a_current_database_is_accepted_by_every_login(database_url: str) -> None:
    require_current(database_url)

    assert pending_migrations(database_url) == []


def test_a_schema_of_another_owner_counts_as_behind(empty_url: str) -> None:
    run_sql(
        empty_url,
        "create schema radiant",
        "create table radiant.schema_migration (name text, applied_at timestamptz)",
    )

    assert tuple(pending_migrations(as_login(empty_url))) == migration_names()


def shadow_pgvector(url: str, available: str) -> None:
    """Let the server's catalogue look like one with another pgvector, for this database."""
    name = url.rsplit("/", 1)[-1]
    run_sql(
        url,
        "create schema shadow",
        "create view shadow.pg_available_extensions as " + available,
        f"alter database {name} set search_path = shadow, pg_catalog, public",
    )


def test_a_server_without_pgvector_is_refused_before_anything_is_made(empty_url: str) -> None:
    shadow_pgvector(
        empty_url, "select * from pg_catalog.pg_available_extensions where name <> 'vector'"
    )

    with pytest.raises(ConfigurationError, match="the server has no pgvector") as caught:
        migrate(empty_url, logins={"radiant": LOGIN_ROLES})

    assert "Install the pgvector 0.8 extension" in str(caught.value)
    assert value(empty_url, "select to_regnamespace('radiant')") is None


def test_an_old_pgvector_is_refused(empty_url: str) -> None:
    shadow_pgvector(empty_url, "select 'vector'::name as name, '0.7.4'::text as default_version")

    with pytest.raises(ConfigurationError, match=r"pgvector 0\.7\.4 is too old"):
        migrate(empty_url, logins={})

    assert value(empty_url, "select to_regnamespace('radiant')") is None


def test_a_login_that_may_not_create_roles_is_refused_with_the_setting_to_change(
    admin_url: str, empty_url: str
) -> None:
    name = f"poor_{uuid.uuid4().hex[:8]}"
    run_sql(admin_url, f"create role {name} login password 'poor-secret'")
    url = with_database(empty_url, empty_url.rsplit("/", 1)[-1], f"{name}:poor-secret")

    with pytest.raises(ConfigurationError, match="RADIANT_OWNER_DATABASE_URL") as caught:
        migrate(url, logins={})

    run_sql(admin_url, f"drop role {name}")
    assert "CREATEROLE" in str(caught.value)
    assert "poor-secret" not in str(caught.value)


def test_an_owner_who_is_no_superuser_can_migrate_its_own_database(
    admin_url: str, empty_url: str
) -> None:
    name = empty_url.rsplit("/", 1)[-1]
    owner = f"owner_{uuid.uuid4().hex[:8]}"
    run_sql(empty_url, "create extension vector")
    run_sql(
        admin_url,
        f"create role {owner} login createrole password 'x'",
        f"alter database {name} owner to {owner}",
        *(f"grant {role} to {owner} with admin option" for role in ("radiant_owner", *LOGIN_ROLES)),
    )

    done = migrate(with_database(empty_url, name, f"{owner}:x"), logins={"radiant": LOGIN_ROLES})

    run_sql(empty_url, f"alter database {name} owner to postgres")
    run_sql(empty_url, f"drop owned by {owner} cascade", f"drop role {owner}")
    assert tuple(done) == migration_names()


def test_an_unreachable_server_is_named_without_the_password() -> None:
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/none") as caught:
        migrate("postgresql://owner:top-secret@127.0.0.1:1/none", logins={})

    assert "top-secret" not in str(caught.value)
