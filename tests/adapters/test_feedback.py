"""Feedback on answers that nobody reviewed, and sessions that follow another."""

import threading
import uuid
from typing import Any, cast

import pytest

from radiant_dagster.adapters import feedback, sessions, tenants
from radiant_dagster.adapters.feedback import FeedbackVerdict, Given
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.submission import prepare, store_session
from radiant_dagster.domain.sessions import MAX_PARENT_CHARACTERS
from radiant_dagster.errors import (
    FeedbackRefused,
    InvalidInput,
    SessionNotFound,
    SessionStateConflict,
)
from tests.adapters.rows import insert, insert_approval, insert_heuristic, insert_session

ANSWER = "Vaccines keep cold for four hours in a closed fridge."


def completed(database: Database, tenant_id: uuid.UUID, **changes: Any) -> uuid.UUID:
    values = {"status": "completed", "draft": ANSWER, "final_response": ANSWER} | changes
    with database.tenant_transaction(tenant_id, role="radiant_app") as cursor:
        return insert_session(cursor, tenant_id, **values)


def cited(database: Database, tenant_id: uuid.UUID, session_id: uuid.UUID) -> uuid.UUID:
    """Let the session's one agent have cited a heuristic."""
    with database.tenant_transaction(tenant_id) as cursor:
        heuristic_id = insert_heuristic(cursor, tenant_id)
        insert(
            cursor, "heuristic_usage", tenant_id=tenant_id, session_id=session_id, agent_id="a",
            heuristic_id=heuristic_id, rank=1, similarity=0.9, cited=True,
        )  # fmt: skip
    return heuristic_id


def confidence(database: Database, tenant_id: uuid.UUID, heuristic_id: uuid.UUID) -> float:
    with database.tenant_transaction(tenant_id) as cursor:
        cursor.execute(
            "select confidence from radiant.knowledge_heuristics where id = %s", (heuristic_id,)
        )
        return round(float(cursor.fetchone()["confidence"]), 3)  # type: ignore[index]


def say(
    database: Database, tenant_id: uuid.UUID, session_id: uuid.UUID, verdict: str = "good",
    actor: str = "ann", **more: Any,
) -> Given:  # fmt: skip
    with database.tenant_transaction(tenant_id) as cursor:
        return feedback.give(
            cursor, tenant_id, session_id,
            actor=actor, verdict=cast("FeedbackVerdict", verdict), **more,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "text", "after"),
    [
        ("good", None, 0.667),  # Beta(1,1) with one success
        ("bad", None, 0.333),
        ("corrected", "Quite another text altogether, of other words.", 0.4),  # worth 0.2
    ],
)
def test_the_first_word_becomes_the_outcome_and_credits(
    database: Database, tenant: uuid.UUID, verdict: str, text: str | None, after: float
) -> None:
    session_id = completed(database, tenant)
    heuristic_id = cited(database, tenant, session_id)

    given = say(database, tenant, session_id, verdict, corrected_text=text)

    assert given == Given(outcome=True, credited=1)
    assert confidence(database, tenant, heuristic_id) == after


def test_a_second_persons_word_is_kept_but_moves_nothing(
    database: Database, tenant: uuid.UUID
) -> None:
    session_id = completed(database, tenant)
    heuristic_id = cited(database, tenant, session_id)
    say(database, tenant, session_id, "good", actor="ann")

    given = say(database, tenant, session_id, "bad", actor="lee")

    assert given == Given(outcome=False, credited=0)
    assert confidence(database, tenant, heuristic_id) == 0.667


def test_nobody_speaks_twice(database: Database, tenant: uuid.UUID) -> None:
    session_id = completed(database, tenant)
    say(database, tenant, session_id, "good", actor="ann")

    with pytest.raises(FeedbackRefused, match="recorded already"):
        say(database, tenant, session_id, "bad", actor=" ANN ")


def test_of_eight_at_once_one_is_the_outcome(database_url: str, tenant: uuid.UUID) -> None:
    pool = Database(database_url, pool_size=8)
    session_id = completed(pool, tenant)
    heuristic_id = cited(pool, tenant, session_id)
    given: list[Given] = []

    threads = [
        threading.Thread(
            target=lambda n=number: given.append(say(pool, tenant, session_id, actor=f"p{n}"))
        )
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    moved = confidence(pool, tenant, heuristic_id)
    pool.close()
    assert sorted(item.outcome for item in given) == [False] * 7 + [True]
    assert moved == 0.667


def test_what_a_person_decided_stands(database: Database, tenant: uuid.UUID) -> None:
    with database.tenant_transaction(tenant) as cursor:
        approval_id = insert_approval(cursor, tenant)
        cursor.execute("select session_id from radiant.approval_request")
        session_id = cursor.fetchone()["session_id"]  # type: ignore[index]
        sessions.update_session(
            cursor, tenant, session_id, status="completed", final_response=ANSWER
        )
    with database.tenant_transaction(tenant, role="radiant_review") as cursor:
        insert(
            cursor, "approval_decision", tenant_id=tenant, approval_id=approval_id,
            session_id=session_id, verdict="approved", decided_by=["lee"],
            decided_at="2026-01-01",
        )  # fmt: skip

    with pytest.raises(FeedbackRefused, match="a person has decided"):
        say(database, tenant, session_id)


@pytest.mark.parametrize("status", ["running", "awaiting_review", "rejected", "failed"])
def test_only_a_completed_session_takes_feedback(
    database: Database, tenant: uuid.UUID, status: str
) -> None:
    session_id = completed(database, tenant, status=status)

    with pytest.raises(FeedbackRefused, match=status):
        say(database, tenant, session_id)


def test_another_tenants_session_is_unknown(database: Database, tenant: uuid.UUID) -> None:
    other = uuid.uuid4()
    tenants.create_tenant(database, other, "other", "Other Clinic")
    session_id = completed(database, tenant)

    with pytest.raises(SessionNotFound):
        say(database, other, session_id)
    with pytest.raises(SessionNotFound):
        follow(database, other, session_id)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("corrected_text", {"verdict": "corrected"}),
        ("corrected_text", {"verdict": "good", "corrected_text": "x"}),
        ("verdict", {"verdict": "fine"}),
        ("actor", {"actor": " "}),
        ("actor", {"actor": "System:up"}),
        ("note", {"note": "x" * 8001}),
        ("note", {"note": "a\0b"}),
    ],
)
def test_feedback_that_says_too_little_or_too_much_is_refused(
    database: Database, tenant: uuid.UUID, field: str, changes: dict[str, Any]
) -> None:
    session_id = completed(database, tenant)

    with pytest.raises(InvalidInput) as caught:
        say(database, tenant, session_id, **changes)

    assert caught.value.field == field


def test_the_api_gives_feedback_as_the_command_line_does_and_audits_no_text(
    database: Database, api_database: Database, tenant: uuid.UUID
) -> None:
    session_id = completed(database, tenant)
    heuristic_id = cited(database, tenant, session_id)

    say(api_database, tenant, session_id, "corrected", note="n0te", corrected_text="c0rrected")

    assert confidence(database, tenant, heuristic_id) == 0.4
    with database.tenant_transaction(tenant) as cursor:
        cursor.execute("select actor, action, detail from radiant.audit")
        (row,) = cursor.fetchall()
    assert (row["actor"], row["action"]) == ("ann", "session.feedback")
    assert row["detail"] == {"verdict": "corrected", "outcome": True, "credited": 1}


def follow(database: Database, tenant_id: uuid.UUID, parent: uuid.UUID, **more: Any) -> uuid.UUID:
    settings = Settings.load({"RADIANT_HOME": "/nonexistent/radiant-tests"})
    request, estimate = prepare(
        database, settings, tenant_id, prompt="And then?", domain="general", user_id="ann",
        parent_session_id=parent, **more,
    )  # fmt: skip
    session_id = uuid.uuid4()
    store_session(database, settings, tenant_id, session_id, request, estimate)
    return session_id


@pytest.mark.parametrize("through", ["database", "api_database"])
def test_a_follow_up_carries_the_released_answer_and_never_the_draft(
    database: Database, tenant: uuid.UUID, through: str, request: pytest.FixtureRequest
) -> None:
    parent = completed(database, tenant, draft="UNRELEASED", final_response="As corrected.")
    pool = request.getfixturevalue(through)

    session_id = follow(pool, tenant, parent, context={"mine.txt": "m"})

    with database.tenant_transaction(tenant) as cursor:
        row = sessions.get_session(cursor, tenant, session_id)
    assert row["parent_session_id"] == parent
    assert row["context"] == {
        "mine.txt": "m",
        f"answer of the session before, {parent}": "As corrected.",
    }


def test_a_long_answer_is_cut_and_says_so(database: Database, tenant: uuid.UUID) -> None:
    parent = completed(database, tenant, final_response="x" * (MAX_PARENT_CHARACTERS + 1))

    session_id = follow(database, tenant, parent)

    with database.tenant_transaction(tenant) as cursor:
        (text,) = sessions.get_session(cursor, tenant, session_id)["context"].values()
    assert text == "x" * MAX_PARENT_CHARACTERS + "\n[cut off here]"


@pytest.mark.parametrize("status", ["running", "awaiting_review", "rejected", "cancelled"])
def test_a_session_without_a_released_answer_cannot_be_followed(
    database: Database, tenant: uuid.UUID, status: str
) -> None:
    parent = completed(database, tenant, status=status, final_response=None)

    with pytest.raises(SessionStateConflict, match=status):
        follow(database, tenant, parent)
