"""What people say of answers that nobody reviewed; the first word becomes the session's outcome.

Only outcomes teach, and a session without review has none: its heuristics wait uncredited until
somebody who got the answer says how good it was. Where a person decided on the session, their
decision is the outcome and feedback is refused.
"""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.grimoire import credit, evidence
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.approvals import MAX_EDIT_CHARACTERS, MAX_GUIDANCE_CHARACTERS
from radiant_dagster.domain.posterior import reward
from radiant_dagster.domain.swarm import require_storable
from radiant_dagster.errors import FeedbackRefused, InvalidInput, SessionNotFound

FeedbackVerdict = Literal["good", "bad", "corrected"]
# What a human decision of the same meaning is called, for the one function that weighs both.
DECISION_OF: dict[FeedbackVerdict, str] = {
    "good": "approved",
    "bad": "rejected",
    "corrected": "modified",
}

# Locked, so that of two people at once one is first.
LOCK_SESSION = """
    select status, final_response from radiant.session where tenant_id = %s and id = %s
    for no key update
"""
DECIDED = """
    select 1 from radiant.approval_decision where tenant_id = %s and session_id = %s limit 1
"""
GIVEN = """
    select lower(actor) as actor from radiant.session_feedback
    where tenant_id = %s and session_id = %s
"""
INSERT_FEEDBACK = """
    insert into radiant.session_feedback
        (tenant_id, session_id, actor, verdict, note, corrected_text)
    values (%s, %s, %s, %s, %s, %s)
"""


@dataclass(frozen=True, slots=True)
class Given:
    """What feedback did.

    Args:
        outcome: It was the first, so it is the session's outcome.
        credited: Heuristics whose confidence moved.
    """

    outcome: bool
    credited: int


def give(
    cursor: Cursor,
    tenant_id: UUID,
    session_id: UUID,
    *,
    actor: str,
    verdict: FeedbackVerdict,
    note: str = "",
    corrected_text: str | None = None,
) -> Given:
    """Record what somebody thinks of an answer that nobody reviewed.

    Args:
        actor: Who says it; once a session each.
        note: Why, for people.
        corrected_text: The answer as it should have been, with `corrected` only.

    Raises:
        InvalidInput: Names the field and the fix.
        FeedbackRefused: Not completed, decided by a person, or said already.
        SessionNotFound: Unknown, or another tenant's.
    """
    actor = actor.strip()
    _validate(actor, verdict, note, corrected_text)
    cursor.execute(LOCK_SESSION, (tenant_id, session_id))
    row = cursor.fetchone()
    if row is None:
        raise SessionNotFound(session_id)
    if row["status"] != "completed" or row["final_response"] is None:
        raise FeedbackRefused(session_id, f"it is {row['status']} and has no answer to judge")
    cursor.execute(DECIDED, (tenant_id, session_id))
    if cursor.fetchone() is not None:
        raise FeedbackRefused(session_id, "a person has decided on it already")
    cursor.execute(GIVEN, (tenant_id, session_id))
    earlier = {item["actor"] for item in cursor.fetchall()}
    if actor.lower() in earlier:
        raise FeedbackRefused(session_id, "yours is recorded already")
    cursor.execute(INSERT_FEEDBACK, (tenant_id, session_id, actor, verdict, note, corrected_text))
    credited = 0
    worth = reward(DECISION_OF[verdict], row["final_response"], corrected_text)
    if not earlier and worth is not None:
        credited = credit.credit_session(cursor, tenant_id, session_id, worth)
        evidence.judge_session(cursor, tenant_id, session_id, worth)
    audit.record(
        cursor,
        tenant_id,
        actor=actor,
        action="session.feedback",
        session_id=session_id,
        detail={"verdict": verdict, "outcome": not earlier, "credited": credited},
    )
    return Given(outcome=not earlier, credited=credited)


def _validate(actor: str, verdict: FeedbackVerdict, note: str, corrected_text: str | None) -> None:
    if not actor or actor.casefold().startswith("system:"):
        raise InvalidInput("actor", "is empty or the system's own", "Say who judges.")
    if verdict not in DECISION_OF:
        raise InvalidInput("verdict", "is unknown", "Use good, bad or corrected.")
    if (verdict == "corrected") != bool((corrected_text or "").strip()):
        raise InvalidInput(
            "corrected_text",
            "goes with the verdict corrected, and with no other",
            "Pass the answer as it should have been, or another verdict.",
        )
    for field, text, limit in (
        ("note", note, MAX_GUIDANCE_CHARACTERS),
        ("corrected_text", corrected_text or "", MAX_EDIT_CHARACTERS),
    ):
        require_storable(field, text)
        if len(text) > limit:
            raise InvalidInput(field, f"is longer than {limit:,} characters", "Shorten it.")
