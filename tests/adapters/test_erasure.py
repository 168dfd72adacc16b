"""Erasing a tenant as the tables' owner: all or nothing, and nothing slips in meanwhile."""

import threading
import time
import uuid
from typing import Any

import psycopg2
import psycopg2.extras
import pytest

from radiant_dagster.adapters import erasure, tenants
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.errors import ConfigurationError, TenantNotFound
from tests.adapters.rows import fill_tenant, insert_session

OTHER = uuid.UUID(int=0xB0B)
WAITING = "select count(*) as n from pg_stat_activity where wait_event_type = 'Lock'"


@pytest.fixture
def filled(database: Database, tenant: uuid.UUID, owner: Any) -> uuid.UUID:
    """A tenant with a row in every table, beside another that has one as well."""
    tenants.create_tenant(database, OTHER, "other", "Other Clinic")
    for tenant_id in (tenant, OTHER):
        fill_tenant(owner, tenant_id)
    return tenant


def test_a_session_that_arrives_meanwhile_waits_and_finds_no_tenant(
    filled: uuid.UUID, owner_url: str, owner: Any
) -> None:
    refused: list[str] = []

    def submit() -> None:
        connection = psycopg2.connect(owner_url)
        psycopg2.extras.register_uuid(conn_or_curs=connection)
        try:
            with connection, connection.cursor() as cursor:
                insert_session(cursor, filled)
        except psycopg2.errors.ForeignKeyViolation as error:
            refused.append(str(error.diag.constraint_name))
        finally:
            connection.close()

    late = threading.Thread(target=submit)
    with erasure.owner_transaction(owner_url, filled) as cursor:
        erasure.erase(cursor, filled, actor="ada")
        late.start()
        while late.is_alive():
            owner.execute(WAITING)
            if owner.fetchone()["n"]:
                break
            time.sleep(0.02)
    late.join()

    with erasure.owner_transaction(owner_url, filled) as cursor:
        held = erasure.holdings(cursor, filled)
    assert refused == ["session_tenant_id_fkey"]
    assert set(held.rows.values()) == {0}


def test_a_session_that_is_being_stored_is_waited_for_and_erased_as_well(
    filled: uuid.UUID, owner_url: str, owner: Any
) -> None:
    storing = psycopg2.connect(owner_url)
    psycopg2.extras.register_uuid(conn_or_curs=storing)
    insert_session(storing.cursor(), filled)
    counts: list[int] = []

    def erase() -> None:
        with erasure.owner_transaction(owner_url, filled) as cursor:
            counts.append(erasure.erase(cursor, filled, actor="ada")["session"])

    erasing = threading.Thread(target=erase)
    erasing.start()
    while erasing.is_alive():
        owner.execute(WAITING)
        if owner.fetchone()["n"]:
            break
        time.sleep(0.02)
    storing.commit()
    erasing.join()
    storing.close()

    with erasure.owner_transaction(owner_url, filled) as cursor:
        held = erasure.holdings(cursor, filled)
    assert counts == [2]
    assert set(held.rows.values()) == {0}


def test_an_erasure_that_breaks_leaves_everything(
    filled: uuid.UUID, owner_url: str, owner: Any
) -> None:
    with erasure.owner_transaction(owner_url, filled) as cursor:
        before = erasure.holdings(cursor, filled)
    owner.execute("alter table radiant.erased_tenant add check (erased_by <> 'ada')")

    with (
        pytest.raises(psycopg2.errors.CheckViolation),
        erasure.owner_transaction(owner_url, filled) as cursor,
    ):
        erasure.erase(cursor, filled, actor="ada")

    with erasure.owner_transaction(owner_url, filled) as cursor:
        assert erasure.holdings(cursor, filled) == before
    assert min(before.rows.values()) > 0


def test_the_audit_trail_of_others_is_insert_only_again_afterwards(
    filled: uuid.UUID, owner_url: str, owner: Any
) -> None:
    with erasure.owner_transaction(owner_url, filled) as cursor:
        erasure.erase(cursor, filled, actor="ada")

    for table in ("audit", "audit_link"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="insert only"):
            owner.execute(f"delete from radiant.{table}")  # noqa: S608
    with erasure.owner_transaction(owner_url, OTHER) as cursor:
        assert min(erasure.holdings(cursor, OTHER).rows.values()) > 0


def test_a_transaction_of_the_owner_reaches_one_tenant_only(
    filled: uuid.UUID, owner_url: str
) -> None:
    with erasure.owner_transaction(owner_url, filled) as cursor:
        other = erasure.holdings(cursor, OTHER)
        cursor.execute("delete from radiant.session_feedback")
        deleted = cursor.rowcount

    # The trigger that links the audit's rows works for all tenants, as the owner.
    assert {table for table, rows in other.rows.items() if rows} == {"audit_head", "audit_link"}
    assert deleted == 1
    with erasure.owner_transaction(owner_url, OTHER) as cursor:
        assert erasure.holdings(cursor, OTHER).rows["session_feedback"] == 1


def test_the_tombstone_knows_its_slug_and_no_other_and_does_not_hold_it(
    filled: uuid.UUID, owner_url: str, owner: Any
) -> None:
    with erasure.owner_transaction(owner_url, filled) as cursor:
        counts = erasure.erase(cursor, filled, actor="ada")
    with erasure.owner_transaction(owner_url, filled) as cursor:
        stone, none = erasure.tombstone(cursor, "acme"), erasure.tombstone(cursor, "other")
        with pytest.raises(TenantNotFound):
            erasure.erase(cursor, filled, actor="ada")

    owner.execute("select t::text as row from radiant.erased_tenant t")
    assert stone is not None
    assert (stone.erased_by, stone.counts) == ("ada", counts)
    assert none is None
    assert "acme" not in owner.fetchone()["row"]


def test_a_login_that_is_not_the_owners_is_refused(filled: uuid.UUID, database_url: str) -> None:
    with (
        pytest.raises(ConfigurationError, match="RADIANT_OWNER_DATABASE_URL"),
        erasure.owner_transaction(database_url, filled),
    ):
        pass
