"""A changed audit trail shows, whoever changed it."""

import threading
import uuid
from dataclasses import replace
from importlib.resources import files

import psycopg2
import pytest

from radiant_dagster.adapters import audit, migrations
from radiant_dagster.adapters.audit import Verification
from radiant_dagster.adapters.postgres import Database
from tests.conftest import run_sql

ROLES = migrations.LOGIN_ROLES


def tamper(owner_url: str, statements: str) -> None:
    """Change rows as a superuser who switched the guards off."""
    run_sql(owner_url, "set session_replication_role = replica;" + statements)


def write(database: Database, tenant: uuid.UUID, *actions: str) -> None:
    for action in actions:
        with database.tenant_transaction(tenant) as cursor:
            audit.record(cursor, tenant, actor="ann", action=action, detail={"n": 1, "ü": "é"})


def verify(database: Database, tenant: uuid.UUID, *, anchor: str | None = None) -> Verification:
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        return audit.verify(cursor, tenant, anchor=bytes.fromhex(anchor) if anchor else None)


def numbers(database: Database, tenant: uuid.UUID) -> list[int]:
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        return sorted(row["id"] for row in audit.page(cursor, tenant))


def test_an_untouched_trail_holds_and_its_head_moves_with_each_row(
    database: Database, tenant: uuid.UUID
) -> None:
    empty = verify(database, tenant)
    write(database, tenant, "one", "two")
    before = verify(database, tenant)
    write(database, tenant, "three")

    after = verify(database, tenant, anchor=before.head)

    assert (empty.rows, before.rows, after.rows) == (0, 2, 3)
    assert empty.holds
    assert after.holds
    assert len({empty.head, before.head, after.head}) == 3


CHANGES: dict[str, tuple[str, str]] = {
    "actor": ("update radiant.audit set actor = 'bob' where id = {id}", "changed"),
    "action": ("update radiant.audit set action = 'x' where id = {id}", "changed"),
    "time": ("update radiant.audit set at = at + interval '1 us' where id = {id}", "changed"),
    "detail": ("""update radiant.audit set detail = '{{"n": 2}}' where id = {id}""", "changed"),
    "session": ("update radiant.audit set session_id = tenant_id where id = {id}", "changed"),
    "row gone": ("delete from radiant.audit where id = {id}", "deleted"),
    "link gone": ("delete from radiant.audit_link where audit_id = {id}", "link_missing"),
    "row and link gone": (
        "delete from radiant.audit where id = {id};"
        " delete from radiant.audit_link where audit_id = {id}",
        "link_missing",
    ),
    "link redone": (
        "update radiant.audit set actor = 'bob' where id = {id};"
        " update radiant.audit_link l set hash = sha256(l.prev_hash || convert_to("
        "(select radiant.audit_text(a) from radiant.audit a where a.id = {id}), 'UTF8'))"
        " where l.audit_id = {id}",
        "link_changed",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_a_superuser_changes_in_one_row_is_found_there(
    database: Database, tenant: uuid.UUID, owner_url: str, case: str
) -> None:
    statement, problem = CHANGES[case]
    write(database, tenant, "one", "two", "three", "four")
    _, second, third, _ = numbers(database, tenant)

    tamper(owner_url, statement.format(id=second))

    result = verify(database, tenant)
    # A missing or rebuilt link shows at the link behind it.
    assert result.problem == problem
    assert result.broken_id == (second if problem in ("changed", "deleted") else third)
    assert result.rows == (2 if problem == "link_changed" else 1)


def test_a_row_slipped_in_past_the_trigger_is_found(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    write(database, tenant, "one")

    tamper(
        owner_url,
        "insert into radiant.audit (tenant_id, actor, action)"
        " select id, 'dr-lee', 'approval.approved' from radiant.tenant",
    )

    assert verify(database, tenant).problem == "not_linked"


def test_a_trail_cut_off_at_its_end_is_found(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    write(database, tenant, "one", "two")

    tamper(
        owner_url,
        "delete from radiant.audit; delete from radiant.audit_link",
    )

    assert verify(database, tenant).problem == "end_missing"


def test_a_whole_trail_written_anew_is_found_by_a_head_noted_before(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    write(database, tenant, "one", "two")
    noted = verify(database, tenant).head

    tamper(
        owner_url,
        "delete from radiant.audit; delete from radiant.audit_link; delete from radiant.audit_head",
    )
    write(database, tenant, "one", "something else")

    assert verify(database, tenant).holds
    assert verify(database, tenant, anchor=noted).problem == "anchor_missing"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "statement",
    [
        "update radiant.audit set actor = 'x'",
        "delete from radiant.audit",
        "truncate radiant.audit",
        "insert into radiant.audit_link values (%s, 9, 9, '', '')",
        "update radiant.audit_link set hash = ''",
        "delete from radiant.audit_link",
        "update radiant.audit_head set position = 0",
        "delete from radiant.audit_head",
    ],
)
def test_no_role_may_change_what_was_written(
    database: Database, tenant: uuid.UUID, role: str, statement: str
) -> None:
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        database._transaction(
            "select set_config('role', %s, true), set_config('app.current_tenant_id', %s, true)",
            (role, str(tenant)),
        ) as cursor,
    ):
        cursor.execute(statement, (str(tenant),) if "%s" in statement else None)


def test_the_owner_meets_a_guard_too(owner_url: str) -> None:
    for table in ("audit", "audit_link"):
        for statement in ("delete from radiant.{}", "truncate radiant.{}"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="insert only"):
                run_sql(owner_url, statement.format(table))


def test_rows_written_at_once_by_many_form_one_chain(database_url: str, tenant: uuid.UUID) -> None:
    pool = Database(database_url, pool_size=8)
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for _ in range(20):
            with pool.tenant_transaction(tenant) as cursor:
                audit.record(cursor, tenant, actor="ann", action="a")
                audit.record(cursor, tenant, actor="ann", action="b")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result = verify(pool, tenant)
    pool.close()

    assert result == replace(result, rows=320, broken_id=None, problem=None)


def test_an_undone_transaction_leaves_no_gap(database: Database, tenant: uuid.UUID) -> None:
    write(database, tenant, "one")
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("savepoint before")
        audit.record(cursor, tenant, actor="ann", action="undone")
        cursor.execute("set constraints all immediate")
        cursor.execute("rollback to savepoint before")
    write(database, tenant, "two")

    result = verify(database, tenant)

    assert (result.rows, result.problem) == (2, None)


def test_the_chain_holds_whatever_the_time_zone_of_who_looks(
    database: Database, tenant: uuid.UUID
) -> None:
    write(database, tenant, "one")
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        cursor.execute("set local timezone = 'Asia/Kathmandu'")
        result = audit.verify(cursor, tenant)

    assert result.holds


def test_rows_from_before_the_chain_are_linked_by_the_migration(
    database: Database, tenant: uuid.UUID, owner_url: str
) -> None:
    """The migration's own block, run again on rows whose links are gone."""
    text = (files("radiant_dagster.adapters") / "sql" / "0007_extend_approvals.sql").read_text()
    start = text.index("do $$", text.index("-- Rows from before"))
    block = text[start : text.index("end $$;", start) + len("end $$;")]
    write(database, tenant, "one", "two", "three")
    tamper(
        owner_url,
        "delete from radiant.audit_link; delete from radiant.audit_head",
    )
    missing = verify(database, tenant)

    run_sql(owner_url, block)
    write(database, tenant, "four")

    assert missing.problem == "not_linked"
    assert verify(database, tenant) == replace(verify(database, tenant), rows=4, problem=None)
