import json
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from radiant_dagster.adapters import approvals, reviews, sessions
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import Vote
from radiant_dagster.domain.phi import RuleDetector, Span
from tests.adapters.rows import insert, insert_session

PROMPT = "Mr. John Q. Smithers, MRN: 48213377, asks how long vaccines keep."
DRAFT = "Tell Mr. John Q. Smithers, MRN 48213377, that they keep four hours."
ANSWER = "John Q. Smithers should call 555-010-4477 about his vaccines."
DETAILS = {
    "claims": [{"text": "John Q. Smithers keeps vaccines.", "agents": ["agent-0"]}],
    "dissent": ["MRN 48213377 was not considered."],
    "agreement": "low",
}
RAW = ("Smithers", "48213377", "4477")


class BrokenDetector:
    """Fails as a missing model would, quoting what it was given."""

    def detect(self, text: str) -> tuple[Span, ...]:
        raise RuntimeError(f"cannot tokenise {text}")


class GreedyDetector:
    """Returns offsets outside of the text."""

    def detect(self, text: str) -> tuple[Span, ...]:
        return (Span(-5, len(text) + 99, "PERSON", 1.0, "greedy"),)


@pytest.fixture
def session(database: Database, tenant: uuid.UUID) -> Mapping[str, Any]:
    with database.tenant_transaction(tenant) as cursor:
        session_id = insert_session(
            cursor, tenant, prompt=PROMPT, draft=DRAFT, status="synthesised",
            draft_details=json.dumps(DETAILS),
        )  # fmt: skip
        for position, (status, response) in enumerate((("success", ANSWER), ("failed", ANSWER))):
            insert(
                cursor,
                "agent_run",
                tenant_id=tenant,
                session_id=session_id,
                agent_id=f"agent-{position}",
                position=position,
                role="analyst",
                model="m",
                temperature=0.5,
                max_tokens=10,
                status=status,
                response=response,
            )
        return sessions.get_session(cursor, tenant, session_id)


def submit(
    database: Database, tenant: uuid.UUID, session: Mapping[str, Any], detector: Any
) -> dict[str, Any]:
    with database.tenant_transaction(tenant) as cursor:
        approval_id, withheld = reviews.submit(
            cursor, tenant, uuid.uuid4(), session, detector, draft=DRAFT, reasons=["x"], attempt=1
        )
        row = approvals.get_approval(cursor, tenant, approval_id)
    assert row["withheld"] == withheld
    return row


def test_a_reviewer_reads_the_whole_bundle_without_identifiers(
    database: Database, tenant: uuid.UUID, session: Mapping[str, Any]
) -> None:
    row = submit(database, tenant, session, RuleDetector())

    review = row["review_sanitized"]
    assert not row["withheld"]
    assert list(review["answers"]) == ["agent-0"]
    assert "keep four hours" in review["draft"]
    assert "[PERSON_1]" in review["draft"]
    assert "[PERSON_1]" in review["prompt"]
    assert review["claims"] == [{"text": "[PERSON_1] keeps vaccines.", "agents": ["agent-0"]}]
    assert "was not considered" in review["dissent"][0]
    assert not any(raw in json.dumps(review) for raw in RAW)


def test_a_reviewer_reads_tool_calls_without_identifiers(
    database: Database, tenant: uuid.UUID, session: Mapping[str, Any]
) -> None:
    with database.tenant_transaction(tenant) as cursor:
        insert(
            cursor, "tool_call", tenant_id=tenant, session_id=session["id"], agent_id="agent-0",
            position=0, round=1, name="call_555-010-4477", status="ok", output=ANSWER,
            arguments={"patient": "John Q. Smithers", "mrn": "MRN 48213377"},
            flags=["injection:override"], output_cut=True,
        )  # fmt: skip

    row = submit(database, tenant, session, RuleDetector())

    (call,) = row["review_sanitized"]["tool_calls"]
    assert not any(raw in json.dumps(call) for raw in RAW)
    assert "[PERSON_1]" in call["arguments"]
    assert "should call" in call["output"]
    assert (call["agent_id"], call["status"], call["output_cut"]) == ("agent-0", "ok", True)
    assert call["flags"] == ["injection:override"]


def test_a_detector_that_breaks_shows_the_reviewer_nothing(
    database: Database, tenant: uuid.UUID, session: Mapping[str, Any]
) -> None:
    row = submit(database, tenant, session, BrokenDetector())

    text = json.dumps(row["review_sanitized"])
    words = {
        word
        for raw in (PROMPT, DRAFT, ANSWER, *DETAILS["dissent"])
        for word in raw.split()
        if len(word) > 3
    }
    assert row["withheld"]
    assert row["review_sanitized"]["withheld_because"] == "RuntimeError"
    assert {word for word in words if word in text} == set()


def test_a_detector_with_impossible_offsets_leaks_nothing(
    database: Database, tenant: uuid.UUID, session: Mapping[str, Any]
) -> None:
    row = submit(database, tenant, session, GreedyDetector())

    assert not any(raw in json.dumps(row["review_sanitized"]) for raw in RAW)


def test_asking_moves_the_session_and_asking_again_changes_nothing(
    database: Database, tenant: uuid.UUID, session: Mapping[str, Any]
) -> None:
    first = submit(database, tenant, session, RuleDetector())
    second = submit(database, tenant, session, BrokenDetector())

    with database.tenant_transaction(tenant) as cursor:
        status = sessions.get_session(cursor, tenant, session["id"])["status"]
    assert status == "awaiting_review"
    assert second["id"] == first["id"]
    assert second["review_sanitized"] == first["review_sanitized"]


def test_asking_again_after_the_decision_leaves_the_session_to_its_continuation(
    database: Database, tenant: uuid.UUID, session: Mapping[str, Any]
) -> None:
    row = submit(database, tenant, session, RuleDetector())
    vote = Vote("lee", frozenset({"reviewer"}), "approved", bytes(row["payload_sha256"]))
    approvals.decide(database, tenant, row["id"], vote)
    with database.tenant_transaction(tenant) as cursor:
        sessions.advance(cursor, tenant, session["id"], "concluding")

    again = submit(database, tenant, session, RuleDetector())

    assert again["id"] == row["id"]
    with database.tenant_transaction(tenant) as cursor:
        assert sessions.get_session(cursor, tenant, session["id"])["status"] == "concluding"


def test_the_unscrubbed_draft_is_kept_where_reviewers_cannot_read(
    database: Database, tenant: uuid.UUID, session: Mapping[str, Any], owner_url: str
) -> None:
    import psycopg2

    row = submit(database, tenant, session, RuleDetector())

    connection = psycopg2.connect(owner_url)
    with connection.cursor() as cursor:
        cursor.execute(
            "select draft, has_table_privilege('radiant_review', 'radiant.approval_payload',"
            " 'select') from radiant.approval_payload where approval_id = %s",
            (str(row["id"]),),
        )
        assert cursor.fetchone() == (DRAFT, False)
    connection.close()
