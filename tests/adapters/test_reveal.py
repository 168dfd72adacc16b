"""Originals: who may see them, and what is left of having seen them."""

import uuid
from dataclasses import replace

import psycopg2
import pytest

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.reveal import reveal
from radiant_dagster.domain.approvals import Reviewer
from radiant_dagster.errors import (
    ApprovalForbidden,
    ApprovalNotFound,
    InvalidInput,
    OriginalErased,
    RadiantError,
)
from tests.adapters.rows import insert, insert_approval
from tests.conftest import run_sql

OFFICER = Reviewer("dr-lee", frozenset({"reviewer", "privacy"}))
REASON = "Is [PERSON_1] the patient or the doctor?"


@pytest.fixture
def approval(database: Database, tenant: uuid.UUID) -> uuid.UUID:
    with database.tenant_transaction(tenant) as cursor:
        approval_id = insert_approval(cursor, tenant, payload="Tell John Smith.")
        cursor.execute("select session_id from radiant.approval_request")
        row = cursor.fetchone()
        assert row is not None
        for position, status in enumerate(("success", "failed")):
            insert(
                cursor, "agent_run", tenant_id=tenant, session_id=row["session_id"],
                agent_id=f"a{position}", position=position, role="r", model="m", temperature=0,
                max_tokens=9, status=status, response="Ask John Smith.",
            )  # fmt: skip
    return approval_id


def revealed(database: Database, tenant: uuid.UUID, approval_id: uuid.UUID) -> list[dict[str, str]]:
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        rows = audit.of_approval(cursor, tenant, approval_id)
    return [row for row in rows if row["action"] == "approval.revealed"]


def test_the_originals_are_shown_and_the_look_at_them_is_written_down(
    database: Database, api_database: Database, tenant: uuid.UUID, approval: uuid.UUID
) -> None:
    originals = reveal(api_database, tenant, approval, OFFICER, reason=f" {REASON}\n")

    rows = revealed(database, tenant, approval)
    assert (originals.prompt, originals.draft) == ("Why?", "Tell John Smith.")
    assert originals.answers == {"a0": "Ask John Smith."}
    assert [(row["actor"], row["detail"]) for row in rows] == [("dr-lee", {"reason": REASON})]


REFUSED: dict[str, tuple[Reviewer, str, type[RadiantError]]] = {
    "no role": (replace(OFFICER, roles=frozenset({"reviewer", "admin"})), "x", ApprovalForbidden),
    "no reason": (OFFICER, " \n", InvalidInput),
    "an essay": (OFFICER, "x" * 201, InvalidInput),
    "nobody": (replace(OFFICER, actor="system:deadline"), "x", InvalidInput),
}


@pytest.mark.parametrize("case", REFUSED)
def test_without_role_or_reason_nothing_is_shown(
    database: Database, api_database: Database, tenant: uuid.UUID, approval: uuid.UUID, case: str
) -> None:
    reviewer, reason, error = REFUSED[case]

    with pytest.raises(error):
        reveal(api_database, tenant, approval, reviewer, reason=reason)

    assert revealed(database, tenant, approval) == []


def test_without_its_audit_row_nothing_is_shown(
    database: Database,
    api_database: Database,
    tenant: uuid.UUID,
    approval: uuid.UUID,
    owner_url: str,
) -> None:
    run_sql(owner_url, "revoke insert on radiant.audit from radiant_reveal")

    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        reveal(api_database, tenant, approval, OFFICER, reason=REASON)


def test_another_tenants_originals_are_not_found(
    api_database: Database, approval: uuid.UUID
) -> None:
    with pytest.raises(ApprovalNotFound):
        reveal(api_database, uuid.uuid4(), approval, OFFICER, reason=REASON)


def test_nothing_is_shown_once_the_originals_were_erased(
    database: Database,
    api_database: Database,
    tenant: uuid.UUID,
    approval: uuid.UUID,
    owner_url: str,
) -> None:
    run_sql(owner_url, "delete from radiant.approval_payload")

    with pytest.raises(OriginalErased):
        reveal(api_database, tenant, approval, OFFICER, reason=REASON)

    assert revealed(database, tenant, approval) == []
