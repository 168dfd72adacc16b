"""Who works on a pending request: claims, assignment, and an administrator's cancellation.

A claim is a lease: it keeps others from deciding while somebody reads, and lapses by itself, so
that a closed browser never blocks a request. It changes neither state nor version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from radiant_dagster.adapters import audit, events, sessions
from radiant_dagster.adapters.approvals import decide, lock_pending
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.approvals import (
    Reviewer,
    Vote,
    require_eligible,
    require_person,
    require_unclaimed,
    same_person,
    validate_assignees,
)
from radiant_dagster.errors import (
    ApprovalExpired,
    ApprovalForbidden,
    ApprovalStale,
    InvalidInput,
    StateError,
)

CLAIM_SECONDS = 120
MAX_BULK = 100

# Sessions are locked before their requests everywhere; the other order could wait in a circle.
LOCK_SESSION = """
    select s.id from radiant.session s
    where s.tenant_id = %s and s.id = (
        select session_id from radiant.approval_request where tenant_id = %s and id = %s)
    for update
"""
SET_CLAIM = """
    update radiant.approval_request set claimed_by = %s, claim_expires = %s
    where tenant_id = %s and id = %s
"""
SET_ASSIGNEES = """
    update radiant.approval_request
    set assignees = %s, version = version + 1, claimed_by = null, claim_expires = null
    where tenant_id = %s and id = %s
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim that holds.

    Args:
        expires_at: When it lapses, unless it is renewed before.
        server_now: The database's clock, for a countdown.
    """

    approval_id: UUID
    claimed_by: str
    expires_at: datetime
    server_now: datetime


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """What became of one of several requests; ``error`` is None where it worked."""

    approval_id: UUID
    error: StateError | None = None


def claim(database: Database, tenant_id: UUID, approval_id: UUID, reviewer: Reviewer) -> Claim:
    """Claim a request for 120 seconds, or renew one's own claim.

    Raises:
        ApprovalClaimed: Somebody else holds it.
        ApprovalForbidden: Who may not decide may not claim either.
        ApprovalNotFound, ApprovalAlreadyResolved, ApprovalExpired: Nothing can be claimed.
    """
    require_person(reviewer.actor)
    with database.tenant_transaction(tenant_id, role="radiant_review") as cursor:
        pending, row, now = lock_pending(cursor, tenant_id, approval_id)
        if now >= pending.deadline:
            raise ApprovalExpired(approval_id, pending.deadline)
        require_eligible(pending, reviewer)
        require_unclaimed(pending, reviewer.actor, now=now)
        until = now + timedelta(seconds=CLAIM_SECONDS)
        cursor.execute(SET_CLAIM, (reviewer.actor, until, tenant_id, approval_id))
        held = pending.claim_expires is not None and now < pending.claim_expires
        if not held:  # a page renews every minute; the trail tells of the first
            audit.record(
                cursor,
                tenant_id,
                actor=reviewer.actor,
                action="approval.claimed",
                session_id=row["session_id"],
                approval_id=approval_id,
            )
            _show(cursor, tenant_id, approval_id, row, claimed_by=reviewer.actor)
    return Claim(approval_id, reviewer.actor, until, now)


def release(database: Database, tenant_id: UUID, approval_id: UUID, reviewer: Reviewer) -> None:
    """Give a claim back; an ``admin`` may break somebody else's. Without a claim nothing happens.

    Raises:
        ApprovalClaimed: It is somebody else's.
        ApprovalNotFound, ApprovalAlreadyResolved: There is nothing to release.
    """
    with database.tenant_transaction(tenant_id, role="radiant_review") as cursor:
        pending, row, now = lock_pending(cursor, tenant_id, approval_id)
        if pending.claimed_by is None:
            return
        own = same_person(pending.claimed_by, reviewer.actor)
        if "admin" not in reviewer.roles:
            require_unclaimed(pending, reviewer.actor, now=now)
        cursor.execute(SET_CLAIM, (None, None, tenant_id, approval_id))
        audit.record(
            cursor,
            tenant_id,
            actor=reviewer.actor,
            action="approval.released" if own else "approval.claim_broken",
            session_id=row["session_id"],
            approval_id=approval_id,
            detail={} if own else {"claimed_by": pending.claimed_by},
        )
        _show(cursor, tenant_id, approval_id, row, claimed_by=None)


def _show(
    cursor: Cursor,
    tenant_id: UUID,
    approval_id: UUID,
    row: Mapping[str, Any],
    *,
    claimed_by: str | None,
) -> None:
    events.emit(
        cursor,
        tenant_id,
        "approval.claimed",
        session_id=row["session_id"],
        domain=row["domain"],
        approval_id=approval_id,
        detail={"claimed_by": claimed_by},
    )


def reassign(
    database: Database,
    tenant_id: UUID,
    approval_id: UUID,
    admin: Reviewer,
    assignees: Sequence[str],
    *,
    if_version: int | None = None,
) -> None:
    """Set who may decide a request; an empty list means everybody with the role again.

    Raises:
        ApprovalForbidden: Only an ``admin`` may.
        ApprovalStale: The request has another version by now.
        InvalidInput: An assignee is nobody.
        ApprovalNotFound, ApprovalAlreadyResolved: It is not pending.
    """
    names = validate_assignees(assignees)
    with database.tenant_transaction(tenant_id, role="radiant_review") as cursor:
        pending, row, _ = lock_pending(cursor, tenant_id, approval_id)
        _require_admin(admin, approval_id)
        if if_version is not None and if_version != pending.version:
            raise ApprovalStale(approval_id, pending.version)
        cursor.execute(SET_ASSIGNEES, (list(names) or None, tenant_id, approval_id))
        audit.record(
            cursor,
            tenant_id,
            actor=admin.actor,
            action="approval.reassigned",
            session_id=row["session_id"],
            approval_id=approval_id,
            detail={"assignees": list(names)},
        )


def cancel(database: Database, tenant_id: UUID, approval_id: UUID, admin: Reviewer) -> UUID:
    """Cancel a pending request together with its session.

    Returns:
        The session's id.

    Raises:
        ApprovalForbidden: Only an ``admin`` may.
        SessionStateConflict: The session has ended already.
        ApprovalNotFound, ApprovalAlreadyResolved: It is not pending.
    """
    require_person(admin.actor)
    with database.tenant_transaction(tenant_id) as cursor:
        cursor.execute(LOCK_SESSION, (tenant_id, tenant_id, approval_id))
        _, row, _ = lock_pending(cursor, tenant_id, approval_id)
        _require_admin(admin, approval_id)
        sessions.cancel_session(cursor, tenant_id, row["session_id"], actor=admin.actor)
        return row["session_id"]


def _require_admin(reviewer: Reviewer, approval_id: UUID) -> None:
    if "admin" not in reviewer.roles:
        raise ApprovalForbidden(approval_id, "role admin is needed")


def bulk(
    database: Database,
    tenant_id: UUID,
    approvals: Sequence[tuple[UUID, bytes]],
    action: Literal["claim", "reject"],
    reviewer: Reviewer,
    *,
    guidance: str = "",
) -> list[BulkOutcome]:
    """Claim or reject several requests, each in a transaction and with an outcome of its own.

    Args:
        approvals: Each id with the hash of the text that the list showed; a claim ignores it.
        action: Nobody approves a text without having opened it, so there is no bulk approval.
        guidance: Why they are rejected.

    Returns:
        One outcome a request, in the same order.

    Raises:
        InvalidInput: Another action, no or more than 100 requests, or no reason for a rejection.
    """
    if action not in ("claim", "reject"):
        raise InvalidInput("action", "cannot be done in bulk", "Use claim or reject.")
    if not 1 <= len(approvals) <= MAX_BULK:
        raise InvalidInput("ids", f"are not 1 to {MAX_BULK}", "Send fewer at once.")
    outcomes: list[BulkOutcome] = []
    for approval_id, payload_sha256 in approvals:
        try:
            if action == "claim":
                claim(database, tenant_id, approval_id, reviewer)
            else:
                vote = Vote(
                    reviewer.actor,
                    reviewer.roles,
                    "rejected",
                    payload_sha256,
                    guidance,
                    domains=reviewer.domains,
                )
                decide(database, tenant_id, approval_id, vote)
        except StateError as error:
            outcomes.append(BulkOutcome(approval_id, error))
        else:
            outcomes.append(BulkOutcome(approval_id))
    return outcomes
