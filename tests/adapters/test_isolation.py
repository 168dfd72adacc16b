"""No tenant sees another's rows, whatever the connection went through before."""

import io
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
from psycopg2 import sql

from radiant_dagster.adapters import approvals, dispatch, sessions, tenants
from radiant_dagster.adapters.grimoire import curation, reading
from radiant_dagster.adapters.migrations import LOGIN_ROLES, REVIEW_LOGIN_ROLES
from radiant_dagster.adapters.postgres import ENTER_TENANT, Database, location
from radiant_dagster.domain.approvals import Vote, payload_hash
from radiant_dagster.errors import ConfigurationError, DatabaseUnavailable, RadiantError
from tests.adapters.rows import fill_tenant, tenant_tables

APP_ROLES = tuple(dict.fromkeys((*LOGIN_ROLES, *REVIEW_LOGIN_ROLES)))
# Who has a key or a cookie is no business of what runs.
NOT_FOR_RUNS = ("principal", "api_key", "web_session", "librarian_decision", "approval_payload")
OTHER = uuid.UUID(int=0xB0B)


@pytest.fixture
def both(database: Database, tenant: uuid.UUID, owner: Any) -> tuple[uuid.UUID, uuid.UUID]:
    """Two tenants, each with a row in every tenant table."""
    tenants.create_tenant(database, OTHER, "other", "Other Clinic")
    for tenant_id in (tenant, OTHER):
        fill_tenant(owner, tenant_id)
    return tenant, OTHER


def test_every_tenant_table_forces_row_level_security(owner: Any) -> None:
    owner.execute(
        """
        select c.relname, c.relrowsecurity and c.relforcerowsecurity as forced,
               array_agg(p.polname order by p.polname) as policies
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attname in ('tenant_id', 'slug')
        left join pg_policy p on p.polrelid = c.oid
        where c.relnamespace = 'radiant'::regnamespace and c.relkind = 'r'
        group by 1, 2
        """
    )
    rows = owner.fetchall()

    assert len(rows) >= 13
    assert [row["relname"] for row in rows if not row["forced"]] == []
    assert [row["relname"] for row in rows if "tenant_isolation" not in row["policies"]] == []


def test_tenant_keys_lead_every_primary_and_foreign_key(owner: Any) -> None:
    owner.execute(
        """
        select t.relname, c.conname, a.attname
        from pg_constraint c
        join pg_class t on t.oid = c.conrelid
        join pg_attribute a on a.attrelid = t.oid and a.attnum = c.conkey[1]
        where t.relnamespace = 'radiant'::regnamespace and c.contype in ('p', 'u', 'f')
          and exists (select 1 from pg_attribute k where k.attrelid = t.oid
                      and k.attname = 'tenant_id')
          and a.attname <> 'tenant_id'
        """
    )

    # The two that do not: a number of its own, and a table all tenants share.
    assert {row["conname"] for row in owner.fetchall()} == {
        "audit_pkey",
        "knowledge_heuristics_embedding_model_fkey",
    }


def test_no_process_role_owns_anything_or_bypasses_security(owner: Any) -> None:
    owner.execute(
        """
        select rolname, rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolcanlogin
               as mighty,
               (select count(*) from pg_class c where c.relowner = r.oid)
               + (select count(*) from pg_proc p where p.proowner = r.oid) as owned,
               pg_has_role(r.oid, 'radiant_owner', 'member') as owner_too
        from pg_roles r where rolname = any(%s)
        """,
        (list(APP_ROLES),),
    )
    rows = owner.fetchall()

    assert len(rows) == len(APP_ROLES)
    assert all(not row["mighty"] and row["owned"] == 0 and not row["owner_too"] for row in rows)


def test_the_login_itself_may_do_nothing(database_url: str) -> None:
    connection = psycopg2.connect(database_url)
    with (
        connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
    ):
        cursor.execute("select * from radiant.session")
    connection.close()


def attempt(connection: Any, statement: Any, parameters: tuple[Any, ...] = ()) -> int:
    """Return how many rows a statement touched; 0 where it was refused. Rolls back."""
    with connection.cursor() as cursor:
        cursor.execute("savepoint before")
        try:
            cursor.execute(statement, parameters)
            touched = cursor.rowcount
        except (
            psycopg2.errors.InsufficientPrivilege,
            psycopg2.errors.InvalidTextRepresentation,
        ):
            touched = 0
        cursor.execute("rollback to savepoint before")
    return touched


CONTEXTS: dict[str, str | None] = {
    "other tenant": str(OTHER),
    "unset": None,
    "empty": "",
    "garbage": "x' or true --",
}


@pytest.mark.parametrize("role", ["radiant_app", "radiant_review", "radiant_api", "radiant_reveal"])
@pytest.mark.parametrize("context", CONTEXTS)
def test_no_statement_on_any_tenant_table_reaches_another_tenants_rows(
    both: tuple[uuid.UUID, uuid.UUID],
    owner: Any,
    database_url: str,
    review_url: str,
    role: str,
    context: str,
) -> None:
    victim, _ = both
    tables = tenant_tables(owner)
    connection = psycopg2.connect(database_url if role in LOGIN_ROLES else review_url)
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    with connection.cursor() as cursor:
        cursor.execute("select set_config('role', %s, true)", (role,))
        if CONTEXTS[context] is not None:
            cursor.execute(
                "select set_config('app.current_tenant_id', %s, true)", (CONTEXTS[context],)
            )

    touched: dict[str, int] = {}
    for table, key in tables.items():
        name, column = sql.Identifier("radiant", table), sql.Identifier(key)
        match = sql.SQL("from {} where {} = %s").format(name, column)
        statements = {
            "select": (sql.SQL("select {} ").format(column) + match, (victim,)),
            "select all": (
                sql.SQL("select 1 from {} where {} is distinct from %s").format(name, column),
                (CONTEXTS[context] or None,),
            ),
            "update": (
                sql.SQL("update {} set {} = {} where {} = %s").format(name, column, column, column),
                (victim,),
            ),
            "delete": (sql.SQL("delete ") + match, (victim,)),
            "insert": copy_of(owner, table, key, victim),
            "upsert": upsert_of(owner, table, key, victim),
            "truncate": (sql.SQL("truncate {}").format(name), ()),
        }
        for kind, (statement, parameters) in statements.items():
            touched[f"{kind} {table}"] = attempt(connection, statement, parameters)
    connection.close()

    assert len(touched) == 7 * len(tables)
    assert {case: count for case, count in touched.items() if count} == {}


def copy_of(
    owner: Any, table: str, key: str, tenant_id: uuid.UUID, *, fresh: bool = True
) -> tuple[Any, Any]:
    """Return an insert of a copy of a tenant's row, with a fresh id where wanted."""
    name = sql.Identifier("radiant", table)
    owner.execute(
        sql.SQL("select to_jsonb(t) as row from {} t where {} = %s limit 1").format(
            name, sql.Identifier(key)
        ),
        (tenant_id,),
    )
    row = owner.fetchone()["row"]
    for computed in ("confidence", "attempt_key"):
        row.pop(computed, None)
    if fresh and "id" in row and key != "id" and table != "audit":
        row["id"] = str(uuid.uuid4())
    columns = sql.SQL(", ").join(map(sql.Identifier, row))
    statement = sql.SQL(
        "insert into {} ({}) overriding system value"
        " select {} from jsonb_populate_record(null::{}, %s)"
    ).format(name, columns, columns, name)
    return statement, (psycopg2.extras.Json(row),)


def upsert_of(owner: Any, table: str, key: str, tenant_id: uuid.UUID) -> tuple[Any, Any]:
    """Return an insert of a tenant's row as it is, which changes the row that is there."""
    owner.execute(
        "select array_agg(a.attname::text) as names from pg_index i"
        " join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)"
        " where i.indrelid = %s::regclass and i.indisprimary",
        (f"radiant.{table}",),
    )
    columns = sql.SQL(", ").join(map(sql.Identifier, owner.fetchone()["names"]))
    statement, parameters = copy_of(owner, table, key, tenant_id, fresh=False)
    change = sql.SQL(" on conflict ({}) do update set {} = excluded.{}").format(
        columns, sql.Identifier(key), sql.Identifier(key)
    )
    return statement + change, parameters


@pytest.mark.parametrize("role", ["radiant_app", "radiant_review", "radiant_api", "radiant_reveal"])
def test_copying_a_table_out_gives_no_other_tenants_rows(
    both: tuple[uuid.UUID, uuid.UUID], owner: Any, database_url: str, review_url: str, role: str
) -> None:
    victim, other = both
    connection = psycopg2.connect(database_url if role in LOGIN_ROLES else review_url)

    copied = ""
    with connection.cursor() as cursor:
        cursor.execute(ENTER_TENANT, (role, str(other)))
        for table, key in tenant_tables(owner).items():
            cursor.execute("savepoint before")
            out = io.StringIO()
            try:
                cursor.copy_expert(
                    sql.SQL("copy {} ({}) to stdout").format(
                        sql.Identifier("radiant", table), sql.Identifier(key)
                    ),
                    out,
                )
            except psycopg2.errors.InsufficientPrivilege:
                cursor.execute("rollback to savepoint before")
            copied += out.getvalue()
    connection.close()

    assert str(other) in copied
    assert str(victim) not in copied


def test_the_same_statements_do_reach_the_tenants_own_rows(
    both: tuple[uuid.UUID, uuid.UUID], owner: Any, database: Database
) -> None:
    own, _ = both
    tables = tenant_tables(owner)

    with database.tenant_transaction(own) as cursor:
        for table, key in tables.items():
            if table in NOT_FOR_RUNS or key == "id":
                continue
            cursor.execute(
                sql.SQL("select {} as owner from {}").format(
                    sql.Identifier(key), sql.Identifier("radiant", table)
                )
            )
            assert {row["owner"] for row in cursor.fetchall()} == {own}, table


def test_the_api_reaches_its_tenants_rows_but_no_unreleased_draft_and_no_hash(
    both: tuple[uuid.UUID, uuid.UUID], owner: Any, api_database: Database
) -> None:
    own, _ = both
    tables = tenant_tables(owner)

    with api_database.tenant_transaction(own) as cursor:
        for table, key in tables.items():
            if table in ("approval_payload", "tool_call") or key == "id":
                continue
            cursor.execute(
                sql.SQL("select {} as owner from {}").format(
                    sql.Identifier(key), sql.Identifier("radiant", table)
                )
            )
            assert {row["owner"] for row in cursor.fetchall()} == {own}, table

    for column, table in (
        ("draft", "session"), ("draft_details", "session"), ("draft", "approval_payload"),
        ("sha256", "api_key"), ("sha256", "web_session"), ("secret", "webhook_endpoint"),
        ("url", "notification_route"),
    ):  # fmt: skip
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
            api_database.tenant_transaction(own) as cursor,
        ):
            cursor.execute(
                sql.SQL("select {} from radiant.{}").format(
                    sql.Identifier(column), sql.Identifier(table)
                )
            )


@pytest.mark.parametrize("role", sorted({*REVIEW_LOGIN_ROLES} - {*LOGIN_ROLES}))
def test_a_worker_cannot_step_into_what_is_mission_controls(
    database: Database, tenant: uuid.UUID, role: Any
) -> None:
    with (
        pytest.raises(ConfigurationError, match=f"cannot act as {role}"),
        database.tenant_transaction(tenant, role=role),
    ):
        pass


def test_a_row_cannot_be_moved_to_another_tenant(
    both: tuple[uuid.UUID, uuid.UUID], database: Database
) -> None:
    own, other = both

    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        database.tenant_transaction(own) as cursor,
    ):
        cursor.execute("update radiant.panel set tenant_id = %s", (other,))


def test_a_thousand_interleaved_checkouts_leak_nothing_and_lose_no_connection(
    database_url: str, database: Database, owner: Any
) -> None:
    ids = [uuid.uuid4() for _ in range(20)]
    for number, tenant_id in enumerate(ids):
        tenants.create_tenant(database, tenant_id, f"t{number}", "T")
    pool = Database(database_url, pool_size=3, application_name="interleaved")
    foreign: list[str] = []
    seen = [0]
    lock = threading.Lock()

    def work(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(125):
            tenant_id = dice.choice(ids)
            try:
                with pool.tenant_transaction(tenant_id) as cursor:
                    cursor.execute("select tenant_id from radiant.panel")
                    rows = cursor.fetchall()
                    with lock:
                        seen[0] += len(rows)
                        foreign.extend(
                            str(row["tenant_id"]) for row in rows if row["tenant_id"] != tenant_id
                        )
                    {}["on purpose"] if dice.random() < 0.2 else None
                    cursor.execute("select 1/%s", (dice.randint(0, 4),))
            except (KeyError, psycopg2.errors.DivisionByZero):
                pass

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    owner.execute(
        "select count(*) as n from pg_stat_activity where application_name like 'interl%'"
    )
    held = owner.fetchone()["n"]
    checked_out = pool._pool.checkedout()
    pool.close()
    assert foreign == []
    assert seen[0] >= 1000
    assert held <= 3
    assert checked_out == 0


def test_nothing_of_a_tenant_stays_on_a_pooled_connection(
    database_url: str, tenant: uuid.UUID
) -> None:
    pool = Database(database_url, pool_size=1)
    with pool.tenant_transaction(tenant) as cursor:
        cursor.execute("select 1")

    connection = pool._pool.connect()
    with connection.cursor() as cursor:
        cursor.execute(
            "select current_user as who, session_user as login,"
            " current_setting('app.current_tenant_id', true) as tenant"
        )
        left = dict(cursor.fetchone())
    connection.close()
    pool.close()

    assert left["who"] == left["login"]
    assert not left["tenant"]


def test_an_exhausted_pool_is_a_clear_error(database_url: str, tenant: uuid.UUID) -> None:
    pool = Database(database_url, pool_size=1, wait_seconds=0.05)

    with (
        pool.tenant_transaction(tenant),
        pytest.raises(DatabaseUnavailable, match=r"no free connection in 0\.05 s"),
        pool.tenant_transaction(tenant),
    ):
        pass

    with pool.tenant_transaction(tenant) as cursor:
        cursor.execute("select 1")
    pool.close()


def kill(owner: Any, application_name: str) -> int:
    owner.execute(
        "select count(pg_terminate_backend(pid, 5000)) as n from pg_stat_activity"
        " where application_name like %s",
        (f"{application_name}%",),
    )
    return owner.fetchone()["n"]


def test_killed_connections_are_replaced_without_an_error(
    database_url: str, tenant: uuid.UUID, owner: Any
) -> None:
    pool = Database(database_url, pool_size=3, application_name="victim")
    with (
        pool.tenant_transaction(tenant),
        pool.tenant_transaction(tenant),
        pool.tenant_transaction(tenant),
    ):
        pass
    killed = kill(owner, "victim")

    with pool.tenant_transaction(tenant) as cursor:
        cursor.execute("select count(*) as n from radiant.panel")
        panels = cursor.fetchone()

    pool.close()
    assert killed == 3
    assert panels
    assert panels["n"] >= 1


def test_a_connection_killed_in_use_is_a_transient_error_and_the_pool_goes_on(
    database_url: str, tenant: uuid.UUID, owner: Any
) -> None:
    pool = Database(database_url, pool_size=1, application_name="victim")

    def transact(after_the_kill: Callable[[Any], object]) -> None:
        with pool.tenant_transaction(tenant) as cursor:
            kill(owner, "victim")
            after_the_kill(cursor)

    with pytest.raises(DatabaseUnavailable):
        transact(lambda cursor: cursor.execute("select 1"))
    with pytest.raises(DatabaseUnavailable):  # noticed at the commit only
        transact(lambda _cursor: None)
    with pytest.raises(KeyError):  # the caller's own error matters more
        transact(lambda _cursor: {}["missing"])
    with pool.tenant_transaction(tenant) as cursor:
        cursor.execute("select 1 as one")
        assert cursor.fetchone() == {"one": 1}
    pool.close()


FORBIDDEN: dict[str, tuple[str, ...]] = {
    "radiant_review": (
        "select prompt from radiant.session",
        "select context from radiant.session",
        "select system_prompt from radiant.session",
        "select draft from radiant.session",
        "select final_response from radiant.session",
        "select heuristics from radiant.session",
        "select * from radiant.session",
        "select response from radiant.agent_run",
        "select 1 from radiant.agent_progress",
        "select draft from radiant.approval_payload",
        "select 1 from radiant.knowledge_heuristics",
        "update radiant.approval_request set deadline = clock_timestamp() + interval '1 h'",
        "update radiant.approval_request set review_sanitized = '{}'",
        "update radiant.approval_decision set verdict = 'approved'",
        "update radiant.approval_vote set verdict = 'approved'",
        "delete from radiant.approval_vote",
        "update radiant.audit set actor = 'x'",
        "delete from radiant.audit",
        "update radiant.approval_request set quorum = 1",
        "update radiant.approval_request set required_role = 'viewer'",
        "delete from radiant.idempotency",
    ),
    "radiant_reveal": (
        "select final_response from radiant.session",
        "select context from radiant.session",
        "select review_sanitized from radiant.approval_request",
        "update radiant.approval_request set state = 'approved'",
        "select 1 from radiant.approval_vote",
        "select 1 from radiant.approval_decision",
        "select 1 from radiant.knowledge_heuristics",
        "select 1 from radiant.audit",
        "insert into radiant.approval_vote (tenant_id, approval_id, actor, verdict,"
        " payload_sha256, at) select id, id, 'x', 'approved', '', now() from radiant.tenant",
    ),
    "radiant_api": (
        "select draft from radiant.session",
        "select 1 from radiant.tool_call",
        "select draft from radiant.approval_payload",
        "update radiant.session set final_response = 'x'",
        "update radiant.agent_progress set text = 'x'",
        "update radiant.tenant_tool set allowed = true",
        "update radiant.approval_decision set verdict = 'approved'",
        "insert into radiant.approval_vote (tenant_id, approval_id, actor, verdict,"
        " payload_sha256, at) select id, id, 'x', 'approved', '', now() from radiant.tenant",
        "delete from radiant.audit",
    ),
    "radiant_dispatch": (
        "select prompt from radiant.session",
        "select draft from radiant.session",
        "select final_response from radiant.session",
        "select user_id from radiant.session",
        "update radiant.session set final_response = 'x'",
        "select response from radiant.agent_run",
        "select text from radiant.agent_progress",
        "update radiant.agent_progress set tokens = 1",
        "select review_sanitized from radiant.approval_request",
        "select payload_sha256 from radiant.approval_request",
        "select draft from radiant.approval_payload",
        "select guidance from radiant.approval_vote",
        "select guidance from radiant.approval_decision",
        "select edited_text from radiant.approval_decision",
        "update radiant.approval_decision set verdict = 'approved'",
        "select action_template from radiant.knowledge_heuristics",
        "select detail from radiant.audit",
        "select body from radiant.idempotency",
        "update radiant.approval_request set assignees = null",
    ),
    "radiant_maintenance": (
        "select trigger_pattern from radiant.knowledge_heuristics",
        "select action_template from radiant.knowledge_heuristics",
        "select embedding from radiant.knowledge_heuristics",
        "select source_user from radiant.knowledge_heuristics",
        "select prompt from radiant.session",
        "select response from radiant.agent_run",
        "update radiant.knowledge_heuristics set action_template = 'x'",
        "update radiant.knowledge_heuristics set alpha = 99",
        "update radiant.knowledge_heuristics set expires_at = clock_timestamp()",
        "delete from radiant.audit",
        "select 1 from radiant.approval_request",
    ),
    "radiant_deliver": (
        "select 1 from radiant.session",
        "select 1 from radiant.approval_request",
        "select 1 from radiant.approval_decision",
        "select 1 from radiant.tenant",
        "select detail from radiant.audit",
        "update radiant.event set detail = '{}'",
        "update radiant.webhook_endpoint set url = 'https://example.org'",
        "update radiant.webhook_endpoint set secret = ''",
        "delete from radiant.delivery",
        "select radiant.lease_decision(gen_random_uuid())",
    ),
    "radiant_app": (
        "select radiant.lease_decision(gen_random_uuid())",
        "select radiant.return_decision(gen_random_uuid(), now())",
        "insert into radiant.delivery (tenant_id, event_id, target, kind)"
        " select tenant_id, id, id, 'webhook' from radiant.event",
        "update radiant.webhook_endpoint set url = 'https://example.org'",
        "delete from radiant.knowledge_heuristics",
        "delete from radiant.session",
        "delete from radiant.audit",
        "update radiant.audit set actor = 'x'",
        "update radiant.approval_vote set verdict = 'approved'",
        "update radiant.approval_decision set verdict = 'approved'",
        "update radiant.approval_decision set edited_text = 'x'",
        "insert into radiant.approval_vote (tenant_id, approval_id, actor, verdict,"
        " payload_sha256, at) select tenant_id, approval_id, 'x', 'approved', '', now()"
        " from radiant.approval_vote",
        "update radiant.approval_payload set draft = 'x'",
        "set row_security = off; select * from radiant.session",
    ),
}


@pytest.mark.parametrize(
    ("role", "statement"), [(role, text) for role, texts in FORBIDDEN.items() for text in texts]
)
def test_a_role_is_refused_what_is_not_its_work(
    refusing_connection: Callable[[str], Any], role: str, statement: str
) -> None:
    cursor = refusing_connection(role)

    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute(statement)


@pytest.fixture(scope="module")
def shared_connections(admin_url: str, template: str) -> Iterator[dict[str, Any]]:
    """Both logins on one database for the many refusals, which change nothing."""
    from tests.conftest import run_sql, with_database

    name = f"refusals_{uuid.uuid4().hex[:8]}"
    run_sql(admin_url, f"create database {name} template {template}")
    logins = {"radiant": LOGIN_ROLES, "radiant_reviewer": REVIEW_LOGIN_ROLES}
    passwords = {"radiant": "radiant", "radiant_reviewer": "reviewer"}
    connections = {
        login: psycopg2.connect(with_database(admin_url, name, f"{login}:{passwords[login]}"))
        for login in logins
    }
    yield {role: connections[login] for login, roles in logins.items() for role in roles}
    for connection in connections.values():
        connection.close()
    run_sql(admin_url, f"drop database {name} with (force)")


@pytest.fixture
def refusing_connection(shared_connections: dict[str, Any]) -> Iterator[Callable[[str], Any]]:
    def enter(role: str) -> Any:
        cursor = shared_connections[role].cursor()
        cursor.execute(ENTER_TENANT, (role, str(OTHER)))
        return cursor

    yield enter
    for connection in shared_connections.values():
        connection.rollback()


def test_maintenance_neither_deletes_nor_changes_live_rows(
    both: tuple[uuid.UUID, uuid.UUID], database: Database
) -> None:
    with database.system_transaction("radiant_maintenance") as cursor:
        cursor.execute("delete from radiant.knowledge_heuristics")
        deleted = cursor.rowcount
        cursor.execute("update radiant.knowledge_heuristics set state = 'expired'")
        expired = cursor.rowcount
        cursor.execute("update radiant.knowledge_heuristics set updated_at = '2020-01-01'")
        backdated = cursor.rowcount

    assert (deleted, expired, backdated) == (0, 0, 0)


def error_text(call: Callable[[], object], wanted: uuid.UUID) -> str:
    with pytest.raises(RadiantError) as caught:
        call()
    return f"{type(caught.value).__name__}: {caught.value}".replace(str(wanted), "ID")


def test_another_tenants_id_answers_exactly_like_an_unknown_one(
    both: tuple[uuid.UUID, uuid.UUID], owner: Any, database: Database
) -> None:
    own, other = both

    def theirs(table: str) -> uuid.UUID:
        name = sql.Identifier("radiant", table)
        owner.execute(sql.SQL("select id from {} where tenant_id = %s").format(name), (other,))
        return owner.fetchone()["id"]

    def inside(action: Callable[[Any], object], role: Any = "radiant_app") -> Callable[[], object]:
        def run() -> object:
            with database.tenant_transaction(own, role=role) as cursor:
                return action(cursor)

        return run

    vote = Vote("dr-lee", frozenset({"reviewer"}), "approved", payload_sha256=payload_hash(""))
    calls: dict[str, tuple[str, Callable[[uuid.UUID], Callable[[], object]]]] = {
        "session": ("session", lambda i: inside(lambda c: sessions.get_session(c, own, i))),
        "advance": ("session", lambda i: inside(lambda c: sessions.advance(c, own, i, "running"))),
        "cancel": (
            "session",
            lambda i: inside(lambda c: sessions.cancel_session(c, own, i, actor="x")),
        ),
        "approval": (
            "approval_request",
            lambda i: inside(lambda c: approvals.get_approval(c, own, i), "radiant_review"),
        ),
        "decide": ("approval_request", lambda i: lambda: approvals.decide(database, own, i, vote)),
        "claim": (
            "approval_request",
            lambda i: inside(
                lambda c: dispatch.claim_decision(c, own, i, run_id="r", ancestors=[])
            ),
        ),
        "heuristic": (
            "knowledge_heuristics",
            lambda i: inside(lambda c: reading.get_heuristic(c, own, i)),
        ),
        "promote": (
            "knowledge_heuristics",
            lambda i: inside(lambda c: curation.promote(c, own, i, actor="x")),
        ),
        "retire": (
            "knowledge_heuristics",
            lambda i: inside(lambda c: curation.retire(c, own, i, actor="x")),
        ),
    }
    for name, (table, call) in calls.items():
        known, unknown = theirs(table), uuid.uuid4()
        assert error_text(call(known), known) == error_text(call(unknown), unknown), name


PASSWORD = "s3cr3t-p4ss"


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("postgresql://radiant:{}@127.0.0.1:1/none", DatabaseUnavailable),
        ("postgresql://radiant:{}@no-such-host.invalid/none", DatabaseUnavailable),
        ("postgresql://radiant:{}/x@127.0.0.1:5432/none", ConfigurationError),
        ("postgresql://radiant:a@{}@127.0.0.1/none", ConfigurationError),
        ("postgresql://radiant:{}@127.0.0.1:port/none", ConfigurationError),
        ("postgresql://radiant:{}@[::1/none", ConfigurationError),
        ("postgresql://radiant:{}@127.0.0.1/none?nonsense=1", ConfigurationError),
        ("nonsense {}", ConfigurationError),
    ],
)
def test_an_unusable_address_is_refused_without_its_password(
    url: str, error: type[RadiantError]
) -> None:
    pool = Database(url.format(PASSWORD))

    with pytest.raises(error) as caught, pool.system_transaction("radiant_dispatch"):
        pass

    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None
    assert PASSWORD not in location(url.format(PASSWORD))


def test_a_wrong_password_is_refused_without_quoting_it(database_url: str) -> None:
    pool = Database(database_url.replace("radiant:radiant@", f"radiant:{PASSWORD}@"))

    with (
        pytest.raises(DatabaseUnavailable, match="password authentication failed") as caught,
        pool.system_transaction("radiant_dispatch"),
    ):
        pass

    assert PASSWORD not in str(caught.value)


def test_a_login_without_the_role_is_a_configuration_error(
    admin_url: str, database_url: str
) -> None:
    from tests.conftest import run_sql, with_database

    run_sql(
        admin_url,
        "drop role if exists outsider",
        "create role outsider login password 'outsider'",
    )
    pool = Database(
        with_database(database_url, database_url.rsplit("/", 1)[-1], "outsider:outsider")
    )

    with (
        pytest.raises(ConfigurationError, match="cannot act as radiant_app") as caught,
        pool.tenant_transaction(OTHER),
    ):
        pass

    pool.close()
    run_sql(admin_url, "drop role outsider")
    assert "radiant db migrate" in str(caught.value)
