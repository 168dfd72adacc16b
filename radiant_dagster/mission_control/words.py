"""How Mission Control's pages say things: a reviewer's words for states, reasons, times and money.

Only words: nothing here decides or reads anything.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from radiant_dagster.domain.phi_numbers import PLACEHOLDER
from radiant_dagster.domain.word_diff import word_diff
from radiant_dagster.domain.wording import counted

MAX_PARTS = 20_000

STATES: Mapping[str, str] = {
    "pending": "Waiting for a decision",
    "approved": "Approved",
    "rejected": "Rejected",
    "modified": "Changed by a reviewer",
    "expired": "Expired",
    "cancelled": "Cancelled",
}
SESSION_STATES: Mapping[str, str] = {
    "created": "Waiting to start",
    "running": "The agents are working",
    "awaiting_review": "Waiting for a decision",
    "concluding": "The answer is being finished",
    "completed": "Answered",
    "rejected": "Rejected, no answer",
    "expired": "Expired, no answer",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
HEURISTIC_STATES: Mapping[str, str] = {
    "quarantined": "Candidate",
    "active": "In use",
    "retired": "Retired",
    "expired": "Expired",
    "merged": "Merged",
    "revoked": "Revoked",
}
CAME_TO_IT: Mapping[str, str] = {"stored": "Learned it", "rederived": "Came to it again"}
REASONS: Mapping[str, str] = {
    "requested": "A review was asked for",
    "domain_policy": "This domain is always reviewed",
    "cato_review": "The safety check has doubts",
    "cato_blocked": "The safety check blocked the draft",
    "cato_unavailable": "The safety check could not be asked",
    "swarm_degraded": "Some agents did not answer",
    "low_agreement": "The agents disagree",
    "not_synthesised": "The answers could not be merged",
    "revised": "Written anew after a reviewer's guidance",
}
SAFETY: Mapping[str, str] = {
    "pass": "Passed",
    "review": "Has doubts",
    "block": "Blocked the draft",
    "blocked": "Blocked the draft",
    "unavailable": "Could not be asked",
}
ACTIONS: Mapping[str, str] = {
    "approval.requested": "Review asked for",
    "approval.claimed": "Claimed",
    "approval.released": "Released",
    "approval.claim_broken": "Claim ended by an administrator",
    "approval.reassigned": "Assigned to others",
    "approval.revealed": "Looked at the original",
    "approval.voted": "First of two approvals",
    "approval.approved": "Approved",
    "approval.rejected": "Rejected",
    "approval.modified": "Changed",
    "approval.expired": "Expired",
    "approval.cancelled": "Cancelled",
    "approval.escalated": "Seniors were asked",
    "approval.reminder": "Reminder sent",
    "approval.retried": "Carried out again",
    "approval.stuck": "Not carried out",
    "continuation.failed": "A run of it failed",
    "continuation.lost": "A run of it was lost",
    "heuristic.quarantined": "Learned",
    "heuristic.promoted": "Promoted",
    "heuristic.retired": "Retired",
    "heuristic.revoked": "Revoked",
    "heuristic.edited": "Edited",
    "heuristic.rolled_back": "Earlier text brought back",
    "heuristic.kept_apart": "Kept apart",
    "heuristic.resolved": "Conflict settled",
    "heuristic.unmerged": "Taken out of a merge",
    "heuristic.rebuilt": "Confidence computed again",
    "session.created": "Question asked",
    "session.reduced": "Reduced to fit the budget",
    "session.answered": "Answer released",
    "session.completed": "Answered",
    "session.rejected": "Rejected, no answer",
    "session.expired": "Expired, no answer",
    "session.failed": "Failed",
    "session.cancelled": "Cancelled",
    "session.feedback": "Feedback given",
}
AGENT_STATES: Mapping[str, str] = {
    "pending": "not yet asked",
    "running": "working",
    "success": "answered",
    "failed": "failed",
    "timeout": "too late",
    "rejected": "answer refused",
}
SYSTEM_NAMES: Mapping[str, str] = {
    "system:deadline": "the deadline",
    "system:cancelled": "a cancellation",
    "system:think_tank": "the think tank",
    "system:librarian": "the Librarian",
    "system:evidence": "reviewed sessions",
    "system:maintenance": "the daily maintenance",
    "librarian": "the Librarian",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a scrubbed text: plain, or a redaction with its name."""

    text: str
    chip: str = ""


def parts(text: str | None) -> list[Part]:
    """Split a scrubbed text at its redactions; ``[PERSON_1]`` is labelled ``person 1``."""
    found: list[Part] = []
    at = 0
    for match in PLACEHOLDER.finditer(text or ""):
        if len(found) >= MAX_PARTS:
            break
        if match.start() > at:
            found.append(Part((text or "")[at : match.start()]))
        label = match[0][1:-1].replace("_", " ").lower()
        found.append(Part(match[0], label))
        at = match.end()
    rest = (text or "")[at:]
    return [*found, Part(rest)] if rest else found


def urgency(row: Mapping[str, Any]) -> str:
    """Return ``calm``, ``soon`` or ``urgent``: more than half of the time left, less than a fifth.

    Args:
        row: created_at, deadline and the database's server_now.
    """
    whole = (row["deadline"] - row["created_at"]).total_seconds()
    left = (row["deadline"] - row["server_now"]).total_seconds()
    share = left / whole if whole > 0 else 0.0
    if share > 0.5:
        return "calm"
    return "soon" if share >= 0.2 else "urgent"


def seconds_left(row: Mapping[str, Any]) -> float:
    """Return the time until the deadline by the database's clock, never below zero."""
    return max((row["deadline"] - row["server_now"]).total_seconds(), 0.0)


def duration(seconds: float | None) -> str:
    """Return a time span in its two largest units, as the countdown writes it."""
    if seconds is None:
        return "–"
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    if minutes:
        return f"{minutes} min {whole % 60:02d} s"
    return f"{whole} s"


def span(seconds: float) -> str:
    """Return a round time span in its largest unit, for the axis of a plot."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def moment(at: datetime | None) -> str:
    """Return a time in UTC, to the minute."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at else "–"


def milliseconds(at: datetime) -> int:
    """Return a time for scripts: milliseconds since the epoch."""
    return int(at.timestamp() * 1000)


def usd(micro_usd: int | None) -> str:
    """Return an amount in dollars; small ones keep what is needed to tell them from nothing."""
    amount = (micro_usd or 0) / 1_000_000
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"


def person(name: str) -> str:
    """Return who acted, in words where it was no person."""
    return SYSTEM_NAMES.get(name, name)


def people(names: Sequence[str]) -> str:
    """Return several names as a list."""
    return ", ".join(map(person, names))


def reason(code: str) -> str:
    """Return why somebody has to look."""
    return REASONS.get(code, readable(code))


def action(name: str) -> str:
    """Return an entry of the audit trail in words."""
    return ACTIONS.get(name, readable(name.rpartition(".")[2]))


def readable(code: str) -> str:
    """Return a code without a word of its own as readable as it gets."""
    return re.sub(r"[._:]+", " ", code).strip().capitalize()


def at_zero(row: Mapping[str, Any]) -> str:
    """Return what happens when nobody decides in time."""
    if row["on_timeout"] == "escalate" and row["extended_at"] is None:
        return "At zero the time is extended once, and only a senior reviewer can decide."
    return "At zero the request expires: the question ends without an answer. Nothing is approved."


FILTERS: Mapping[str, Any] = {
    "parts": parts,
    "urgency": urgency,
    "seconds_left": seconds_left,
    "duration": duration,
    "span": span,
    "moment": moment,
    "milliseconds": milliseconds,
    "usd": usd,
    "person": person,
    "people": people,
    "reason": reason,
    "action": action,
    "readable": readable,
    "at_zero": at_zero,
    "changes": word_diff,
    "counted": counted,
    "state_word": lambda code: STATES.get(code, readable(code)),
    "heuristic_word": lambda code: HEURISTIC_STATES.get(code, readable(code)),
    "came_word": lambda code: CAME_TO_IT.get(code, readable(code)),
    "session_word": lambda code: SESSION_STATES.get(code, readable(code)),
    "agent_word": lambda code: AGENT_STATES.get(code, readable(code)),
    "safety_word": lambda code: SAFETY.get(code or "unavailable", readable(code or "")),
}
