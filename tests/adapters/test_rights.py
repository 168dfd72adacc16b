"""Who may do what to which table: one table to read, held against the catalogue and tried out."""

import uuid
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
from psycopg2 import sql

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.grimoire import upkeep
from radiant_dagster.adapters.migrations import LOGIN_ROLES, REVIEW_LOGIN_ROLES, ROLES
from radiant_dagster.adapters.postgres import Database
from tests.adapters.rows import fill_tenant, tenant_tables

# S select, I insert, U update, D delete; a small letter: some columns only; - nothing. What a
# migration grants is written down here, where its reviewer sees all rights at once.
RIGHTS = """
table                 app   review  reveal  api   dispatch  maintenance  auth  deliver
agent_progress        SIuD  -       -       SD    sD        -            -     -
agent_run             SIU   -       s       SIu   su        s            -     -
api_key               -     -       -       sIu   -         -            su    -
approval_decision     Su    SI      -       Su    siu       -            -     -
approval_payload      SI    -       s       -     -         -            -     -
approval_request      SIU   Su      s       Su    su        -            -     -
approval_vote         S     SI      -       S     -         -            -     -
audit                 SI    SI      I       SI    I         sI           -     I
audit_head            S     S       -       S     -         -            -     -
audit_link            S     S       -       S     -         -            -     -
budget                SIu   -       -       SIu   -         -            -     -
budget_account        SIu   -       -       Su    su        s            -     -
budget_refusal        SI    -       -       S     -         s            -     -
delivery              S     -       -       S     -         sD           -     SIu
domain_policy         SIU   S       -       S     -         -            -     -
embedding_model       SI    S       -       SI    S         SIu          -     -
erased_tenant         -     -       -       -     -         -            -     -
event                 SI    SI      -       SI    I         sD           -     su
heuristic_link        SIu   -       -       SIu   -         s            -     -
heuristic_usage       SIU   -       -       Su    -         s            -     -
heuristic_version     SI    -       -       SI    -         -            -     -
idempotency           SIu   SIu     -       SIu   sD        -            -     -
knowledge_heuristics  SIU   -       -       SIu   -         suD          -     -
librarian_decision    SIu   -       -       Su    -         s            -     -
notification_route    SID   -       -       s     -         -            -     S
panel                 SIU   -       -       S     -         -            -     -
principal             -     -       -       SIu   -         -            s     -
pseudonym_key         -     -       -       -     -         S            -     -
reservation           SIu   -       -       Su    su        s            -     -
session               SIU   s       s       siu   su        s            -     -
session_feedback      SI    -       -       SI    -         -            -     -
tenant                SI    S       -       S     s         -            s     -
tenant_tool           SIu   -       -       S     -         -            -     -
tool_call             SIu   -       -       -     -         -            -     -
web_session           -     -       -       sD    -         -            SIuD  -
webhook_endpoint      SIuD  -       -       s     -         -            -     Su
"""
# Who may call what not everybody may; the rest of the functions are triggers and helpers.
CALLS = """
function         app  review  reveal  api  dispatch  maintenance  auth  deliver
ledger_accounts  x    -       -       x    x         x            -     -
ledger_begin     x    -       -       -    -         -            -     -
ledger_book      x    -       -       x    x         -            -     -
ledger_close     x    -       -       x    x         -            -     -
ledger_reserve   x    -       -       -    -         -            -     -
ledger_settle    x    -       -       -    -         -            -     -
lease_decision   -    x       -       -    -         -            -     -
return_decision  -    x       -       -    -         -            -     -
revive_decision  -    x       -       -    -         -            -     -
"""
VERBS = ("select", "insert", "update", "delete")
# Their policies show them the rows of one tenant; the other roles work over all of them.
OF_ONE_TENANT = ("app", "review", "reveal", "api")
OTHER = uuid.UUID(int=0xB0B)

GRANTED = """
    select has_table_privilege(%(role)s, t.oid, v.verb) as whole,
           case when v.verb = 'delete' then false
                else has_any_column_privilege(%(role)s, t.oid, v.verb) end as some
    from pg_class t cross join unnest(array['select', 'insert', 'update', 'delete'])
        with ordinality v (verb, place)
    where t.oid = %(table)s::regclass order by v.place
"""

CALLED = """
    select p.proname as name, p.prosecdef as as_owner, p.proconfig as settings,
           array(select r.name from unnest(%(roles)s) r (name)
                 where has_function_privilege('radiant_' || r.name, p.oid, 'execute')) as roles
    from pg_proc p
    where p.pronamespace = 'radiant'::regnamespace
      and not has_function_privilege('public', p.oid, 'execute')
"""


def expected() -> dict[str, dict[str, str]]:
    """Return table -> role -> letters."""
    head, *lines = (line.split() for line in RIGHTS.strip().splitlines())
    return {line[0]: dict(zip(head[1:], line[1:], strict=True)) for line in lines}


def granted(owner: Any, role: str, table: str) -> str:
    """Return the letters of what a role was granted on a table."""
    owner.execute(GRANTED, {"role": f"radiant_{role}", "table": f"radiant.{table}"})
    letters = ""
    for verb, row in zip(VERBS, owner.fetchall(), strict=True):
        letters += verb[0].upper() if row["whole"] else verb[0] if row["some"] else ""
    return letters or "-"


def test_every_role_has_the_rights_that_stand_here_and_no_others(owner: Any) -> None:
    roles = [name.removeprefix("radiant_") for name in ROLES if name != "radiant_owner"]
    owner.execute(
        "select relname as name from pg_class where relnamespace = 'radiant'::regnamespace"
        " and relkind in ('r', 'p', 'v', 'm')"
    )
    tables = {row["name"] for row in owner.fetchall()} - {"schema_migration"}

    found = {table: {role: granted(owner, role, table) for role in roles} for table in tables}

    assert {role for line in expected().values() for role in line} == set(roles)
    assert found == expected()


def test_every_role_may_call_the_functions_that_stand_here_and_no_others(owner: Any) -> None:
    head, *lines = (line.split() for line in CALLS.strip().splitlines())

    owner.execute(CALLED, {"roles": head[1:]})
    found = {row["name"]: row for row in owner.fetchall()}

    assert {name: set(row["roles"]) for name, row in found.items()} == {
        line[0]: {role for role, may in zip(head[1:], line[1:], strict=True) if may == "x"}
        for line in lines
    }
    assert not found["ledger_begin"]["as_owner"]
    assert found["ledger_begin"]["settings"] == ['search_path=""']


COLUMNS = """
    select a.attname as name,
           has_column_privilege(%(role)s, a.attrelid, a.attnum, 'insert') as insert,
           has_column_privilege(%(role)s, a.attrelid, a.attnum, 'update') as update
    from pg_attribute a
    where a.attrelid = %(table)s::regclass and a.attnum > 0 and not a.attisdropped
      and a.attgenerated = '' and a.attidentity = ''
    order by a.attnum
"""


def reaches(cursor: Any, statement: Any, parameters: tuple[Any, ...]) -> bool:
    """Tell whether a statement touched a row, or would have but for a constraint. Undoes it."""
    cursor.execute("savepoint before")
    try:
        cursor.execute(statement, parameters)
        return cursor.rowcount > 0
    except psycopg2.errors.InsufficientPrivilege:
        return False
    except psycopg2.IntegrityError:
        return True
    finally:
        cursor.execute("rollback to savepoint before")


def attempts(
    owner: Any, role: str, table: str, key: str, victim: uuid.UUID
) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Return verb -> a statement on a tenant's rows, within the columns the role was granted."""
    name, column = sql.Identifier("radiant", table), sql.Identifier(key)
    owner.execute(COLUMNS, {"role": f"radiant_{role}", "table": f"radiant.{table}"})
    columns = owner.fetchall()
    mine = [row["name"] for row in columns if row["insert"]] or [key]
    changed = sql.Identifier(next((row["name"] for row in columns if row["update"]), key))
    owner.execute(
        sql.SQL("select to_jsonb(t) as row from {} t where {} = %s limit 1").format(name, column),
        (victim,),
    )
    row = psycopg2.extras.Json(owner.fetchone()["row"])
    names = sql.SQL(", ").join(map(sql.Identifier, mine))
    return {
        "select": (
            sql.SQL("select {} from {} where {} = %s").format(column, name, column),
            (victim,),
        ),
        "insert": (
            sql.SQL(
                "insert into {} ({}) select {} from jsonb_populate_record(null::{}, %s)"
            ).format(name, names, names, name),
            (row,),
        ),
        "update": (
            sql.SQL("update {} set {} = {} where {} = %s").format(name, changed, changed, column),
            (victim,),
        ),
        "delete": (sql.SQL("delete from {} where {} = %s").format(name, column), (victim,)),
    }


@pytest.mark.parametrize("role", OF_ONE_TENANT)
def test_a_right_reaches_the_tenants_own_rows_and_never_anothers(
    database: Database,
    tenant: uuid.UUID,
    owner: Any,
    database_url: str,
    review_url: str,
    role: str,
) -> None:
    tenants.create_tenant(database, OTHER, "other", "Other Clinic")
    for tenant_id in (tenant, OTHER):
        fill_tenant(owner, tenant_id)
    tables = tenant_tables(owner)
    login = database_url if f"radiant_{role}" in LOGIN_ROLES else review_url
    connection = psycopg2.connect(login)
    psycopg2.extras.register_uuid(conn_or_curs=connection)

    reached: dict[tuple[str, str], str] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "select set_config('role', %s, true), set_config('app.current_tenant_id', %s, true)",
            (f"radiant_{role}", str(tenant)),
        )
        for table, key in tables.items():
            for whose, victim in (("own", tenant), ("other", OTHER)):
                tried = attempts(owner, role, table, key, victim)
                letters = [verb[0] for verb in VERBS if reaches(cursor, *tried[verb])]
                reached[table, whose] = "".join(letters) or "-"
    connection.close()

    own = {table: letters for (table, whose), letters in reached.items() if whose == "own"}
    assert f"radiant_{role}" in (*LOGIN_ROLES, *REVIEW_LOGIN_ROLES)
    assert own == {table: expected()[table][role].lower() for table in tables}
    assert {letters for (_, whose), letters in reached.items() if whose == "other"} == {"-"}


@pytest.mark.parametrize(
    "forgotten",
    [
        "create table radiant.planted (tenant_id uuid)",
        "create table radiant.planted (tenant_id uuid);"
        " alter table radiant.planted enable row level security",
        "create table radiant.planted (tenant_id uuid) partition by list (tenant_id)",
    ],
)
def test_a_table_of_tenants_without_forced_security_is_found(
    database: Database, owner: Any, forgotten: str
) -> None:
    before = upkeep.tables_without_forced_rls(database)
    owner.execute(forgotten)

    found = upkeep.tables_without_forced_rls(database)
    owner.execute("alter table radiant.planted enable row level security")
    owner.execute("alter table radiant.planted force row level security")

    assert before == []
    assert found == ["planted"]
    assert upkeep.tables_without_forced_rls(database) == []
