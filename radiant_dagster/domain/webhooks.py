"""What a webhook says, how it is signed, and when it is tried again.

Standard Webhooks (standardwebhooks.com): the id stays over all tries, each try has its own
timestamp, and the signature covers both and the body. Payloads are thin: ids, states and times, no
text, since a receiver stands outside of the boundary that personal data stays within.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from radiant_dagster.errors import InvalidInput

EVENT_TYPES = (
    "approval.requested",
    "approval.reminder",
    "approval.escalated",
    "approval.decided",
    "approval.expired",
    "approval.cancelled",
    "approval.stuck",
    "session.completed",
)
# A person is asked to act: after the deadline nobody needs to hear of it. The others are outcomes.
CALLS_TO_ACT = frozenset({"approval.requested", "approval.reminder", "approval.escalated"})
# A medical request waits five minutes: tries are this many seconds after the first, then doubling.
QUICK_OFFSETS = (0, 2, 5, 10, 20, 40)
MAX_QUICK_ATTEMPTS = 15  # of outcomes: doubled up to 43 minutes, then hourly; about five hours
# The specification's example schedule: seconds from one try to the next.
SLOW_DELAYS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
MAX_RETRY_AFTER_SECONDS = 86_400.0
JITTER = 0.1  # of a delay, to either side
SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
# Words that may leave; whatever else an event's detail holds stays.
STATES = frozenset({
    "pending", "approved", "rejected", "modified", "expired", "cancelled", "completed", "failed",
})  # fmt: skip

Judgement = Literal["delivered", "gone", "retry"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event as its receivers may know it."""

    id: UUID
    tenant_id: UUID
    type: str
    session_id: UUID
    approval_id: UUID | None
    domain: str
    state: str | None
    deadline: datetime | None
    at: datetime


def state_of(event_type: str, detail: dict[str, Any]) -> str | None:
    """Return the state that an event tells of, None where it names none that may leave."""
    if event_type in CALLS_TO_ACT:
        return "pending"
    if event_type in ("approval.expired", "approval.cancelled"):
        return event_type.removeprefix("approval.")
    for key in ("state", "verdict", "status"):
        word = detail.get(key)
        if isinstance(word, str) and word in STATES:
            return word
    return None


def page_of(event: Event, base: str | None) -> str | None:
    """Return the page to look at, None where no Mission Control is configured."""
    if not base:
        return None
    if event.approval_id is not None:
        return f"{base.rstrip('/')}/approvals/{event.approval_id}"
    return f"{base.rstrip('/')}/sessions/{event.session_id}"


def payload(event: Event, base: str | None) -> dict[str, Any]:
    """Return a webhook's body.

    Args:
        base: Mission Control as people reach it.
    """
    return {
        "type": event.type,
        "timestamp": event.at.astimezone(UTC).isoformat(),
        "data": {
            "tenant_id": str(event.tenant_id),
            "session_id": str(event.session_id),
            "approval_id": str(event.approval_id) if event.approval_id else None,
            "state": event.state,
            "domain": event.domain,
            "deadline": event.deadline.astimezone(UTC).isoformat() if event.deadline else None,
            "url": page_of(event, base),
        },
    }


SENTENCES = {
    "approval.requested": "An approval in {domain} waits until {until}",
    "approval.reminder": "An approval in {domain} still waits, until {until}",
    "approval.escalated": "An approval in {domain} needs a senior reviewer until {until}",
    "approval.decided": "The approval in {domain} was decided",
    "approval.expired": "The approval in {domain} expired without a decision",
    "approval.cancelled": "The approval in {domain} was cancelled",
    "approval.stuck": "A decision in {domain} could not be carried out",
    "session.completed": "A session in {domain} is completed",
}


def sentence(event: Event, base: str | None) -> str:
    """Return a notification's text: domain, deadline and link, or the id where there is none."""
    until = "it is decided"
    if event.deadline is not None:
        soon = event.deadline - event.at < timedelta(hours=12)
        until = f"{event.deadline.astimezone(UTC):{'%H:%M' if soon else '%Y-%m-%d %H:%M'}} UTC"
    text = SENTENCES[event.type].format(domain=event.domain, until=until)
    return f"{text}: {page_of(event, base) or event.approval_id or event.session_id}"


def parse_secret(text: str) -> bytes:
    """Return the key of a ``whsec_`` secret.

    Raises:
        InvalidInput: Not ``whsec_`` and base64 of 24 to 64 bytes.
    """
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(SECRET_PREFIX) or not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise InvalidInput(
            "secret",
            "is not a webhook secret",
            "Pass whsec_ and base64 of 24 to 64 random bytes, or leave it out to get a new one.",
        )
    return key


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return ``v1,<base64 HMAC-SHA256 of id.timestamp.body>``."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def headers(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of one try; several keys sign while a secret is rotated."""
    return {
        "content-type": "application/json",
        "user-agent": "radiant-webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(key, message_id, timestamp, body) for key in keys),
    }


def judge(status: int | None) -> Judgement:
    """Say what a reply means: 2xx alone is success, redirects are not followed, 410 ends it."""
    if status is not None and 200 <= status < 300:
        return "delivered"
    return "gone" if status == 410 else "retry"


def needless(event_type: str, deadline: datetime | None, now: datetime) -> bool:
    """Tell whether nobody needs to hear of an event any more."""
    return event_type in CALLS_TO_ACT and deadline is not None and now >= deadline


def next_try(
    event_type: str,
    deadline: datetime | None,
    *,
    attempts: int,
    now: datetime,
    jitter: float,
    retry_after_seconds: float | None = None,
) -> datetime | None:
    """Return when to try again, None where to give up.

    Args:
        attempts: Tries so far, at least 1.
        now: The database's clock.
        jitter: Random, 0 to 1.
        retry_after_seconds: What the receiver asked for.
    """
    ends_at_deadline = event_type in CALLS_TO_ACT and deadline is not None
    delay = _delay(event_type, attempts, endless=ends_at_deadline)
    if delay is None:
        return None
    delay *= 1 + JITTER * (2 * jitter - 1)
    if retry_after_seconds is not None:
        delay = max(delay, min(retry_after_seconds, MAX_RETRY_AFTER_SECONDS))
    at = now + timedelta(seconds=delay)
    return None if needless(event_type, deadline, at) else at


def _delay(event_type: str, attempts: int, *, endless: bool) -> float | None:
    if event_type.startswith("approval."):
        if attempts >= MAX_QUICK_ATTEMPTS and not endless:
            return None
        return float(_offset(attempts) - _offset(attempts - 1))
    return float(SLOW_DELAYS[attempts - 1]) if attempts <= len(SLOW_DELAYS) else None


def _offset(number: int) -> int:
    last = len(QUICK_OFFSETS) - 1
    if number <= last:
        return QUICK_OFFSETS[number]
    # Bounded, so that a deadline a month away is still approached once an hour.
    return QUICK_OFFSETS[last] * 2 ** min(number - last, 6) + 3_600 * max(number - last - 6, 0)
