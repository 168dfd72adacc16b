"""When a human decision counts, and what it turns a request into.

    pending --vote, quorum reached--> approved | rejected | modified     (a person, before deadline)
    pending --deadline passed-------> expired                            (system:deadline)
    pending --session cancelled-----> cancelled

Terminal states never change. A claim is a lease on a pending request, not a state. Half way to the
deadline a reminder is due, at 80 % seniors are asked as well; with on_timeout = escalate the
deadline itself is extended once, to the role senior alone. The clock is an argument: the adapter
reads the database's clock after it holds the row.
"""

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from radiant_dagster.domain.swarm import require_storable
from radiant_dagster.errors import (
    ApprovalChanged,
    ApprovalClaimed,
    ApprovalExpired,
    ApprovalForbidden,
    ApprovalStale,
    InvalidInput,
)

Verdict = Literal["approved", "rejected", "modified"]
Action = Literal["approve", "reject", "modify"]
ReviewStage = Literal["draft", "answers"]
ACTION: Mapping[Verdict, Action] = {
    "approved": "approve",
    "rejected": "reject",
    "modified": "modify",
}

SYSTEM_DEADLINE = "system:deadline"
MAX_GUIDANCE_CHARACTERS = 8_000
MAX_EDIT_CHARACTERS = 100_000
MAX_REASON_CHARACTERS = 200
MAX_ASSIGNEES = 100
MAX_CONTINUATION_FAILURES = 3
# Lost workers are no fault of the decision, but one that kills every worker must stop as well.
MAX_CONTINUATION_LOSSES = 20


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """What the decision rules need to know of a request.

    Args:
        required_role: Of the first voter.
        second_role: Of the second, where the quorum is two.
        escalated: Seniors are asked as well, whoever was assigned.
        assignees: Who may decide; empty means everybody with the role.
        allow: What may be decided.
        claimed_by: Who holds a claim that may have lapsed, with its end.
        version: Counts what is decided upon: votes, deadline, role and assignees, not claims.
        withheld: The text could not be scrubbed, so nobody has read it.
        voters: Who has voted.
    """

    id: UUID
    domain: str
    requested_by: str
    deadline: datetime
    quorum: int
    required_role: str
    payload_sha256: bytes
    withheld: bool
    voters: tuple[str, ...]
    second_role: str = "reviewer"
    escalated: bool = False
    assignees: tuple[str, ...] = ()
    allow: frozenset[str] = frozenset(ACTION.values())
    claimed_by: str | None = None
    claim_expires: datetime | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Who acts, from the credential and never from the body.

    Args:
        actor: The person's name.
        roles: What the credential allows, e.g. ``reviewer``.
        domains: Which domains the person is qualified for; None means all.
    """

    actor: str
    roles: frozenset[str]
    domains: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's decision.

    Args:
        actor: Who decides, from the credential and never from the body.
        roles: What the credential allows, e.g. ``reviewer``.
        guidance: What to change, or why it was rejected.
        edited_text: The reviewer's own version of the answer.
        payload_sha256: Hash of the text the reviewer read.
        domains: Which domains the person is qualified for; None means all.
    """

    actor: str
    roles: frozenset[str]
    verdict: Verdict
    payload_sha256: bytes
    guidance: str = ""
    edited_text: str | None = None
    domains: frozenset[str] | None = None

    @property
    def reviewer(self) -> Reviewer:
        """Return who votes."""
        return Reviewer(self.actor, self.roles, self.domains)


def require_person(actor: str) -> None:
    """Refuse an actor that is nobody, or the system itself.

    Raises:
        InvalidInput: Names the field and the fix.
    """
    if not actor.strip():
        raise InvalidInput("actor", "is empty", "Say who decides, for instance with --as NAME.")
    if _name(actor).startswith("system:"):
        raise InvalidInput("actor", "is a name of the system's own", "Use a person's name.")
    require_storable("actor", actor)


def validate_vote(vote: Vote) -> None:
    """Refuse a vote that says too little or too much.

    Raises:
        InvalidInput: Names the field and the fix.
    """
    require_person(vote.actor)
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


def judge_vote(
    request: PendingApproval, vote: Vote, *, now: datetime, if_version: int | None = None
) -> Verdict | None:
    """Apply one vote to a pending request.

    Args:
        request: The locked request.
        vote: A vote that passed `validate_vote`.
        now: The database's clock, read after the lock.
        if_version: The version that the reviewer read, None where the caller does not say.

    Returns:
        The verdict that now stands, or None while further votes are needed.

    Raises:
        ApprovalExpired: The deadline has passed; the caller records `expired`.
        ApprovalStale: The request has another version by now.
        ApprovalChanged: The reviewer read another text.
        ApprovalForbidden: See `require_eligible`; or the verdict is not one that is allowed.
        ApprovalClaimed: Somebody else is reading it.
    """
    if now >= request.deadline:
        raise ApprovalExpired(request.id, request.deadline)
    if if_version is not None and if_version != request.version:
        raise ApprovalStale(request.id, request.version)
    if vote.payload_sha256 != request.payload_sha256:
        raise ApprovalChanged(request.id)
    require_eligible(request, vote.reviewer)
    require_unclaimed(request, vote.actor, now=now)
    if request.withheld and vote.verdict != "rejected":
        raise ApprovalForbidden(request.id, "its text is withheld, so it can only be rejected")
    if ACTION[vote.verdict] not in request.allow:
        allowed = ", ".join(sorted(request.allow))
        raise ApprovalForbidden(request.id, f"its domain's policy allows only: {allowed}")
    # One rejection, or one correction, ends the request: a second person could only confirm it.
    if vote.verdict != "approved" or len(request.voters) + 1 >= request.quorum:
        return vote.verdict
    return None


def require_eligible(request: PendingApproval, reviewer: Reviewer) -> None:
    """Refuse a person who may not decide this request, whatever the verdict.

    Raises:
        ApprovalForbidden: Self-approval, missing role, not assigned, not qualified for the domain,
            or a second vote.
    """
    name = _name(reviewer.actor)
    if name == _name(request.requested_by):
        raise ApprovalForbidden(request.id, "the person who asked cannot decide")
    needed = request.second_role if request.voters else request.required_role
    senior = "senior" in reviewer.roles and request.escalated
    if needed not in reviewer.roles and not senior:
        raise ApprovalForbidden(request.id, f"role {needed} is needed")
    if request.assignees and name not in map(_name, request.assignees) and not senior:
        raise ApprovalForbidden(request.id, "it is assigned to others")
    if reviewer.domains is not None and request.domain not in reviewer.domains:
        raise ApprovalForbidden(
            request.id, f"you are not qualified for the domain {request.domain}"
        )
    if name in map(_name, request.voters):
        raise ApprovalForbidden(request.id, "your vote is recorded already")


def require_unclaimed(request: PendingApproval, actor: str, *, now: datetime) -> None:
    """Refuse where somebody else holds a claim that has not lapsed.

    Raises:
        ApprovalClaimed: Says who and until when.
    """
    if request.claimed_by is None or request.claim_expires is None:
        return
    if now < request.claim_expires and not same_person(actor, request.claimed_by):
        raise ApprovalClaimed(request.id, request.claimed_by, request.claim_expires)


def same_person(one: str, other: str) -> bool:
    """Tell whether two names are one person's: `Ann ` and `ann` are."""
    return _name(one) == _name(other)


def count_people(names: Iterable[str]) -> int:
    """Return how many people these names are, see `same_person`."""
    return len({_name(name) for name in names})


def validate_assignees(names: Sequence[str]) -> tuple[str, ...]:
    """Return the people a request is assigned to, each once, or refuse one that is nobody.

    Raises:
        InvalidInput: Names the field and the fix.
    """
    if len(names) > MAX_ASSIGNEES:
        raise InvalidInput("assignees", f"are more than {MAX_ASSIGNEES}", "Name fewer people.")
    people: dict[str, str] = {}
    for name in names:
        require_person(name)
        people.setdefault(_name(name), name.strip())
    return tuple(people.values())


def validate_reason(reason: str) -> str:
    """Return why somebody wants to see an original, or refuse an empty or endless reason.

    Raises:
        InvalidInput: Names the field and the fix.
    """
    short = " ".join(reason.split())
    require_storable("reason", short)
    if not short:
        raise InvalidInput("reason", "is empty", "Say why the original has to be seen.")
    if len(short) > MAX_REASON_CHARACTERS:
        raise InvalidInput(
            "reason", f"is longer than {MAX_REASON_CHARACTERS} characters", "Shorten it."
        )
    return short


def _name(actor: str) -> str:
    """Return a name as it is compared: `Ann ` and `ann` are one person, however it is typed."""
    return " ".join(unicodedata.normalize("NFKC", actor).casefold().split())


def payload_hash(draft: str) -> bytes:
    """Return the SHA-256 that binds a decision to the text under review."""
    return hashlib.sha256(draft.encode()).digest()


def answers_text(agents: Sequence[Mapping[str, Any]]) -> str:
    """Return the answers of a swarm as the one text that a review of them is bound to.

    Args:
        agents: Rows with ``agent_id``, ``status`` and ``response``, in any order.
    """
    answers = sorted(
        (row["agent_id"], row["response"])
        for row in agents
        if row["status"] == "success" and row["response"]
    )
    return json.dumps(answers, ensure_ascii=False)


# What requests for answers were bound to before they were bound to the answers themselves.
NO_DRAFT = hashlib.sha256(b"").digest()


def require_reviewed_text(decision: Mapping[str, Any], text: str | None) -> None:
    """Refuse to go on with a text that is not the one the reviewer approved.

    Args:
        decision: With ``approval_id`` and ``payload_sha256``.
        text: The stored draft, or `answers_text` where the answers were reviewed.

    Raises:
        ApprovalChanged: The stored text has another hash.
    """
    if payload_hash(text or "") != bytes(decision["payload_sha256"]):
        raise ApprovalChanged(decision["approval_id"])


def may_extend(on_timeout: str, extended_at: datetime | None) -> bool:
    """Tell whether a passed deadline is extended, which happens once."""
    return on_timeout == "escalate" and extended_at is None


def extended_deadline(created_at: datetime, deadline: datetime, now: datetime) -> datetime:
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
