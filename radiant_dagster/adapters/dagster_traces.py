"""What Dagster's own tables know of some ids, and how they forget them.

Runs are deleted through Dagster (`DagsterApi.delete_run`), events and materialisations with them.
What names an id elsewhere, a sensor's ticks for instance, is found here in every table of Dagster's
database, whatever it is called, and the id is replaced by zeros. Nothing relies on what Dagster's
columns mean, but for the ids and the text of its runs.
"""

import re
from collections.abc import Collection, Generator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from psycopg2 import sql

from radiant_dagster.adapters.postgres import connect, location
from radiant_dagster.errors import ConfigurationError, DatabaseUnavailable

# Deleted through Dagster; whatever is left of them has to be seen, not painted over.
RUN_TABLES = frozenset({"runs", "run_tags"})
NOBODY = "00000000-0000-0000-0000-000000000000"
UUID_TEXT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

TABLES = """
    select c.relname as name,
           array_agg(a.attname::text order by a.attnum)
               filter (where a.atttypid::regtype::text in ('text', 'character varying', 'json'))
               as columns
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
    group by 1 order by 1
"""
# Every id that stands anywhere in a row's text is looked up, so that the time does not grow with
# the number of wanted ids.
NAMING = """
    from {table} t
    where exists (
        select 1
        from regexp_matches(
            t::text, '[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}', 'g') id
        where id[1] in (select w.id from wanted_id w))
"""
COUNT = "select count(*) as n " + NAMING
ROWS = "select ctid::text as place, {columns} " + NAMING + " for update"
REWRITE = "update {table} set {assignments} where ctid = %s::tid"
WANTED = "create temporary table wanted_id (id text primary key) on commit drop"
WANT = "insert into wanted_id select distinct unnest(%s::text[])"
HAS_RUNS = "select to_regclass('public.runs') is not null as present"
RUNS = """
    select run_id, status from public.runs
    where run_body like '%%' || %s || '%%' or run_id in (select id from wanted_id) order by run_id
"""


@contextmanager
def _transaction(url: str, ids: Collection[str]) -> Generator[Any]:
    with closing(connect(url, application_name="radiant erase")) as connection:
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(WANTED)
                cursor.execute(WANT, (list(ids),))
                yield cursor
        except psycopg2.OperationalError as error:
            raise DatabaseUnavailable(location(url), type(error).__name__) from None


def runs(url: str, tenant_id: str, ids: Collection[str]) -> dict[str, str]:
    """Return the runs that work, or worked, for a tenant.

    Args:
        url: Dagster's database.
        tenant_id: Named by the config of every run that works for it.
        ids: Further ids, those of runs among them.

    Returns:
        Run id -> Dagster's status.

    Raises:
        ConfigurationError: This is not Dagster's database.
        DatabaseUnavailable: It cannot be reached.
    """
    with _transaction(url, ids) as cursor:
        cursor.execute(HAS_RUNS)
        if not cursor.fetchone()["present"]:
            raise ConfigurationError(
                "RADIANT_DAGSTER_DATABASE_URL",
                f"names {location(url)}, which has no runs of Dagster",
                "Set it to the database of Dagster's own tables.",
            )
        cursor.execute(RUNS, (tenant_id,))
        return {row["run_id"]: row["status"] for row in cursor.fetchall()}


def count(url: str, ids: Collection[str]) -> dict[str, int]:
    """Return how many rows of each of Dagster's tables name one of the ids; tables with 0 too."""
    found: dict[str, int] = {}
    with _transaction(url, ids) as cursor:
        for table, _ in _tables(cursor):
            cursor.execute(sql.SQL(COUNT).format(table=sql.Identifier("public", table)))
            found[table] = cursor.fetchone()["n"]
    return found


def forget(url: str, ids: Collection[str]) -> int:
    """Replace the ids by zeros wherever Dagster's tables still name them, its runs excepted.

    Returns:
        How many rows were rewritten.
    """
    unwanted = frozenset(ids)
    rewritten = 0
    with _transaction(url, ids) as cursor:
        for table, columns in _tables(cursor):
            if table not in RUN_TABLES and columns:
                rewritten += _rewrite(cursor, table, columns, unwanted)
    return rewritten


def _tables(cursor: Any) -> list[tuple[str, list[str]]]:
    cursor.execute(TABLES)
    return [(row["name"], row["columns"] or []) for row in cursor.fetchall()]


def _rewrite(cursor: Any, table: str, columns: list[str], unwanted: frozenset[str]) -> int:
    name = sql.Identifier("public", table)
    select = sql.SQL(ROWS).format(
        table=name, columns=sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = %s").format(sql.Identifier(column)) for column in columns
    )
    update = sql.SQL(REWRITE).format(table=name, assignments=assignments)
    cursor.execute(select)
    rows: list[Mapping[str, Any]] = cursor.fetchall()
    for row in rows:
        values = [_without(row[column], unwanted) for column in columns]
        cursor.execute(update, (*values, row["place"]))
    return len(rows)


def _without(value: str | None, unwanted: frozenset[str]) -> str | None:
    if value is None:
        return None
    return UUID_TEXT.sub(lambda found: NOBODY if found[0] in unwanted else found[0], value)
