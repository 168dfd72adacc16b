"""Reading the audit trail, and proving that nobody changed it."""

import pytest

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Database
from tests.adapters.rows import insert_approval
from tests.cli.conftest import Radiant
from tests.conftest import run_sql


@pytest.fixture
def used(radiant: Radiant, database: Database) -> Radiant:
    """A tenant with a trail of two rows."""
    with database.tenant_transaction(radiant.tenant) as cursor:
        audit.record(cursor, radiant.tenant, actor="ann", action="session.created")
        insert_approval(cursor, radiant.tenant)
    return radiant


def test_the_trail_names_who_did_what_and_no_text(used: Radiant) -> None:
    shown = used("audit", "show")
    document = used.json("audit", "show")["audit"]

    assert shown.exit_code == 0
    assert "session.created" in shown.stdout
    assert "The draft." not in shown.stdout + str(document)
    assert "heuristic" in shown.stdout.splitlines()[0]
    assert (document[-1]["actor"], document[-1]["position"]) == ("ann", 1)


def test_an_older_page_begins_before_a_number(used: Radiant) -> None:
    newest = used.json("audit", "show", "--limit", "1")["audit"][0]["id"]

    older = used.json("audit", "show", "--before", str(newest))["audit"]

    assert all(row["id"] < newest for row in older)


def test_an_untouched_trail_is_said_to_hold_and_its_head_is_found_again(used: Radiant) -> None:
    head = used.json("audit", "verify")["head"]

    again = used("audit", "verify", "--head", head)

    assert again.exit_code == 0
    assert f"holds. Head: {head}" in again.stdout


def test_a_changed_row_is_named_with_exit_code_one(used: Radiant) -> None:
    ((number,),) = used.rows("select min(id) from radiant.audit")
    run_sql(
        used.owner_url,
        "set session_replication_role = replica; update radiant.audit set actor = 'x'",
    )

    result = used("audit", "verify")
    document = used("audit", "verify", "--json")

    assert (result.exit_code, document.exit_code) == (1, 1)
    assert f"Row {number} was changed after it was written." in result.stdout
    assert '"problem": "changed"' in document.stdout


def test_a_head_that_is_no_link_is_found_missing_and_one_that_is_no_hash_refused(
    used: Radiant,
) -> None:
    other = used("audit", "verify", "--head", "ab" * 32)
    wrong = used("audit", "verify", "--head", "xyz")

    assert other.exit_code == 1
    assert "does not contain the given head" in other.stdout
    assert wrong.exit_code == 2
    assert "--head: is not a hash" in wrong.stderr
