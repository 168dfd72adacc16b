"""When a human decision counts, and what it turns a request into.

    pending --vote, quorum reached--> approved | rejected | modified     (a person, before deadline)
    pending --deadline passed-------> expired                            (system:deadline)
    pending --session cancelled-----> cancelled

Terminal states never change. With on_timeout = escalate the deadline is extended once, to the role
senior. The clock is an argument: the adapter reads the database's clock after it holds the row.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from radiant_dagster.domain.swarm import require_storable
from radiant_dagster.errors import (
    ApprovalChanged,
    ApprovalExpired,
    ApprovalForbidden,
    InvalidInput,
)

Verdict = Literal["approved", "rejected", "modified"]
ApprovalState = Literal["pending", "approved", "rejected", "modified", "expired", "cancelled"]

SYSTEM_DEADLINE = "system:deadline"
MAX_GUIDANCE_CHARACTERS = 8_000
MAX_EDIT_CHARACTERS = 100_000
MAX_CONTINUATION_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """What the decision rules need to know of a request."""

    id: UUID
    requested_by: str
    deadline: datetime
    quorum: int
    required_role: str
    payload_sha256: bytes
    withheld: bool
    voters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's decision.

    Args:
        actor: Who decides, from the credential and never from the body.
        roles: What the credential allows, e.g. ``reviewer``.
        guidance: What to change, or why it was rejected.
        edited_text: The reviewer's own version of the answer.
        payload_sha256: Hash of the text the reviewer read.
    """

    actor: str
    roles: frozenset[str]
    verdict: Verdict
    payload_sha256: bytes
    guidance: str = ""
    edited_text: str | None = None


def validate_vote(vote: Vote) -> None:
    """Refuse a vote that says too little or too much.

    Raises:
        InvalidInput: Names the field and the fix.
    """
    if not vote.actor.strip():
        raise InvalidInput("actor", "is empty", "Say who decides, for instance with --as NAME.")
    if _name(vote.actor).startswith("system:"):
        raise InvalidInput("actor", "is a name of the system's own", "Use a person's name.")
    if vote.verdict == "rejected" and not vote.guidance.strip():
        raise InvalidInput("guidance", "is empty", "Say why the answer is rejected.")
    if vote.verdict == "modified" and not (
        vote.guidance.strip() or (vote.edited_text or "").strip()
    ):
        raise InvalidInput(
            "edited_text", "is missing", "Pass the corrected answer, or guidance for a new draft."
        )
    if vote.verdict != "modified" and vote.edited_text is not None:
        raise InvalidInput("edited_text", "does not go with this verdict", "Use `modify`.")
    require_storable("actor", vote.actor)
    require_storable("guidance", vote.guidance)
    require_storable("edited_text", vote.edited_text or "")
    if len(vote.guidance) > MAX_GUIDANCE_CHARACTERS:
        raise InvalidInput(
            "guidance", f"is longer than {MAX_GUIDANCE_CHARACTERS:,} characters", "Shorten it."
        )
    if len(vote.edited_text or "") > MAX_EDIT_CHARACTERS:
        raise InvalidInput(
            "edited_text", f"is longer than {MAX_EDIT_CHARACTERS:,} characters", "Shorten it."
        )


def judge_vote(request: PendingApproval, vote: Vote, *, now: datetime) -> Verdict | None:
    """Apply one vote to a pending request.

    Args:
        request: The locked request.
        vote: A vote that passed `validate_vote`.
        now: The database's clock, read after the lock.

    Returns:
        The verdict that now stands, or None while further votes are needed.

    Raises:
        ApprovalExpired: The deadline has passed; the caller records `expired`.
        ApprovalForbidden: Self-approval, missing role, second vote, or a withheld text approved.
        ApprovalChanged: The reviewer read another text.
    """
    if now >= request.deadline:
        raise ApprovalExpired(request.id, request.deadline)
    if _name(vote.actor) == _name(request.requested_by):
        raise ApprovalForbidden(request.id, "the person who asked cannot decide")
    if request.required_role not in vote.roles:
        raise ApprovalForbidden(request.id, f"role {request.required_role} is needed")
    if _name(vote.actor) in map(_name, request.voters):
        raise ApprovalForbidden(request.id, "your vote is recorded already")
    if vote.payload_sha256 != request.payload_sha256:
        raise ApprovalChanged(request.id)
    if request.withheld and vote.verdict != "rejected":
        raise ApprovalForbidden(request.id, "its text is withheld, so it can only be rejected")
    # One rejection, or one correction, ends the request: a second person could only confirm it.
    if vote.verdict != "approved" or len(request.voters) + 1 >= request.quorum:
        return vote.verdict
    return None


def _name(actor: str) -> str:
    """Return a name as it is compared: `Ann ` and `ann` are one person."""
    return actor.strip().casefold()


def payload_hash(draft: str) -> bytes:
    """Return the SHA-256 that binds a decision to the text under review."""
    return hashlib.sha256(draft.encode()).digest()


# The hash of a request whose reviewer saw the agents' answers and no draft.
NO_DRAFT = hashlib.sha256(b"").digest()


def require_reviewed_text(decision: Mapping[str, Any], draft: str | None) -> None:
    """Refuse to release a draft that is not the text the reviewer approved.

    Raises:
        ApprovalChanged: The stored draft has another hash.
    """
    if payload_hash(draft or "") != bytes(decision["payload_sha256"]):
        raise ApprovalChanged(decision["approval_id"])


def may_escalate(on_timeout: str, escalated_at: datetime | None) -> bool:
    """Tell whether a passed deadline is extended, which happens once."""
    return on_timeout == "escalate" and escalated_at is None


def escalated_deadline(created_at: datetime, deadline: datetime, now: datetime) -> datetime:
    """Return the new deadline: the original time again, from now."""
    return now + max(deadline - created_at, timedelta(seconds=1))


def attempt_of(run_key: str | None) -> int | None:
    """Return the attempt that a continuation's run key names, None for other keys."""
    kind, _, rest = (run_key or "").partition(":")
    number = rest.rpartition(":")[2]
    return int(number) if kind == "approval" and number.isdecimal() else None


def continuation_run_key(approval_id: UUID, attempt: int) -> str:
    """Return the run key of one continuation attempt.

    A run key is remembered as long as its run exists, failed ones too, hence the attempt.
    """
    return f"approval:{approval_id}:{attempt}"
