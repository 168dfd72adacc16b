"""Votes on approval requests, and the decisions they make, in Postgres.

Order inside `decide`: lock the row, then read the clock, then judge and stamp with that one
reading; so no decision is ever stamped after its deadline, whatever waits for the lock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit, events
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.approvals import (
    SYSTEM_DEADLINE,
    PendingApproval,
    Vote,
    judge_vote,
    may_extend,
    validate_vote,
)
from radiant_dagster.errors import (
    ApprovalAlreadyResolved,
    ApprovalExpired,
    ApprovalNotFound,
    StandingDecision,
)

LOCK_REQUEST = """
    select id, session_id, domain, requested_by, state, version, deadline, quorum, required_role,
           second_role, allow, assignees, payload_sha256, withheld, on_timeout, escalated_at,
           extended_at, created_at, claimed_by, claim_expires
    from radiant.approval_request where tenant_id = %s and id = %s for update
"""
VOTERS = "select actor from radiant.approval_vote where tenant_id = %s and approval_id = %s"
NOW = "select clock_timestamp() as now"
INSERT_VOTE = """
    insert into radiant.approval_vote (tenant_id, approval_id, actor, verdict, guidance,
        edited_text, payload_sha256, at)
    values (%s, %s, %s, %s, %s, %s, %s, %s)
"""
SET_STATE = """
    update radiant.approval_request set state = %s, version = version + 1
    where tenant_id = %s and id = %s and state = 'pending'
"""
# A first vote is counted in the version, and gives the request free for the second voter.
COUNT_VOTE = """
    update radiant.approval_request
    set version = version + 1, claimed_by = null, claim_expires = null
    where tenant_id = %s and id = %s
"""
INSERT_DECISION = """
    insert into radiant.approval_decision (tenant_id, approval_id, session_id, verdict, decided_by,
        decided_at{extra}) values (%s, %s, %s, %s, %s, %s{marks})
"""
INSERT_HUMAN_DECISION = INSERT_DECISION.format(extra=", guidance, edited_text", marks=", %s, %s")
INSERT_SYSTEM_DECISION = INSERT_DECISION.format(extra="", marks="")
DECISION = """
    select verdict, decided_by, decided_at from radiant.approval_decision
    where tenant_id = %s and approval_id = %s
"""
APPROVAL = """
    select r.*, clock_timestamp() as server_now, d.verdict, d.decided_by, d.decided_at, d.guidance,
           d.claimed_run_id, d.done_at,
           case when r.state = 'pending' and clock_timestamp() >= r.deadline
                     and (r.on_timeout = 'reject' or r.extended_at is not null)
                then 'expired' else r.state end as shown_state
    from radiant.approval_request r
    left join radiant.approval_decision d on d.tenant_id = r.tenant_id and d.approval_id = r.id
    where r.tenant_id = %s and r.id = %s
"""
APPROVALS = """
    select r.id, r.session_id, r.attempt, r.domain, r.requested_by, r.state, r.deadline,
           r.created_at, r.withheld, r.reasons, clock_timestamp() as server_now,
           case when r.state = 'pending' and clock_timestamp() >= r.deadline
                     and (r.on_timeout = 'reject' or r.extended_at is not null)
                then 'expired' else r.state end as shown_state
    from radiant.approval_request r
    where r.tenant_id = %s and (not %s or r.state = 'pending')
    order by (r.state = 'pending') desc, r.deadline limit %s
"""
DECISION_OF_SESSION = """
    select d.approval_id, d.verdict, d.decided_by, d.decided_at, d.guidance, d.edited_text,
           r.attempt, r.payload_sha256, r.review_stage
    from radiant.approval_decision d
    join radiant.approval_request r on r.tenant_id = d.tenant_id and r.id = d.approval_id
    where d.tenant_id = %s and d.session_id = %s order by r.attempt desc limit 1
"""


@dataclass(frozen=True, slots=True)
class VoteOutcome:
    """What became of a vote.

    Args:
        verdict: The verdict that stands, None while another vote is needed or where it came late.
        session_id: The session that waits for it.
        votes: How many votes count so far, with this one.
        quorum: How many are needed.
        expired: The deadline had passed; the vote was not recorded.
    """

    verdict: str | None
    session_id: UUID
    votes: int
    quorum: int
    expired: ApprovalExpired | None = None


def decide(
    database: Database,
    tenant_id: UUID,
    approval_id: UUID,
    vote: Vote,
    *,
    if_version: int | None = None,
) -> str | None:
    """Record one person's vote and, with the quorum, the decision, in a transaction of its own.

    Args:
        vote: Who, what and on which text.
        if_version: The version that the reviewer read, None to take any.

    Returns:
        The verdict that stands, or None while another vote is needed.

    Raises:
        ApprovalExpired: Too late; `expired` is recorded.
        RadiantError: As `cast_vote`.
    """
    with database.tenant_transaction(tenant_id, role="radiant_review") as cursor:
        outcome = cast_vote(cursor, tenant_id, approval_id, vote, if_version=if_version)
    if outcome.expired is not None:  # raised here, since the record of it has to be committed
        raise outcome.expired
    return outcome.verdict


def cast_vote(
    cursor: Cursor,
    tenant_id: UUID,
    approval_id: UUID,
    vote: Vote,
    *,
    if_version: int | None = None,
) -> VoteOutcome:
    """Record one person's vote in the caller's transaction, as radiant_review.

    A late vote is an outcome and no error: what it writes, `expired`, has to be committed.

    Raises:
        InvalidInput: The vote lacks guidance or text.
        ApprovalNotFound: Unknown, or another tenant's.
        ApprovalAlreadyResolved: With the standing decision.
        ApprovalForbidden, ApprovalChanged, ApprovalStale, ApprovalClaimed: See
            `domain.approvals.judge_vote`.
    """
    validate_vote(vote)
    pending, row, now = lock_pending(cursor, tenant_id, approval_id)
    votes = len(pending.voters)
    try:
        verdict = judge_vote(pending, vote, now=now, if_version=if_version)
    except ApprovalExpired as error:
        # Recorded here too, so that a dead daemon never lets a late approval in. A request that
        # may still be extended stays for the sweep.
        if not may_extend(row["on_timeout"], row["extended_at"]):
            expire(cursor, tenant_id, row, now)
        return VoteOutcome(None, row["session_id"], votes, pending.quorum, error)
    _record_vote(cursor, tenant_id, row, vote, verdict, now)
    return VoteOutcome(verdict, row["session_id"], votes + 1, pending.quorum)


def lock_pending(
    cursor: Cursor, tenant_id: UUID, approval_id: UUID
) -> tuple[PendingApproval, dict[str, Any], datetime]:
    """Lock a pending request and read the database's clock after it.

    Returns:
        What the rules need, the row itself, and the time to judge and stamp with.

    Raises:
        ApprovalNotFound: Unknown, or another tenant's.
        ApprovalAlreadyResolved: It is not pending any more; with the standing decision.
    """
    cursor.execute(LOCK_REQUEST, (tenant_id, approval_id))
    row = cursor.fetchone()
    if row is None:
        raise ApprovalNotFound(approval_id)
    if row["state"] != "pending":
        raise ApprovalAlreadyResolved(approval_id, _standing(cursor, tenant_id, approval_id, row))
    now = _now(cursor)
    cursor.execute(VOTERS, (tenant_id, approval_id))
    pending = PendingApproval(
        id=approval_id,
        domain=row["domain"],
        requested_by=row["requested_by"],
        deadline=row["deadline"],
        quorum=row["quorum"],
        required_role=row["required_role"],
        payload_sha256=bytes(row["payload_sha256"]),
        withheld=row["withheld"],
        voters=tuple(item["actor"] for item in cursor.fetchall()),
        second_role=row["second_role"],
        escalated=row["escalated_at"] is not None,
        assignees=tuple(row["assignees"] or ()),
        allow=frozenset(row["allow"]),
        claimed_by=row["claimed_by"],
        claim_expires=row["claim_expires"],
        version=row["version"],
    )
    return pending, dict(row), now


def _record_vote(
    cursor: Cursor,
    tenant_id: UUID,
    row: Mapping[str, Any],
    vote: Vote,
    verdict: str | None,
    now: datetime,
) -> None:
    approval_id = row["id"]
    cursor.execute(
        INSERT_VOTE,
        (
            tenant_id,
            approval_id,
            vote.actor,
            vote.verdict,
            vote.guidance,
            vote.edited_text,
            vote.payload_sha256,
            now,
        ),
    )
    if verdict is None:
        cursor.execute(COUNT_VOTE, (tenant_id, approval_id))
    else:
        cursor.execute(VOTERS, (tenant_id, approval_id))
        decided_by = [item["actor"] for item in cursor.fetchall()]
        cursor.execute(SET_STATE, (verdict, tenant_id, approval_id))
        cursor.execute(
            INSERT_HUMAN_DECISION,
            (
                tenant_id,
                approval_id,
                row["session_id"],
                verdict,
                decided_by,
                now,
                vote.guidance,
                vote.edited_text,
            ),
        )
    audit.record(
        cursor,
        tenant_id,
        actor=vote.actor,
        action="approval.voted" if verdict is None else f"approval.{verdict}",
        session_id=row["session_id"],
        approval_id=approval_id,
    )
    if verdict is not None:
        _emit(cursor, tenant_id, "approval.decided", row, {"verdict": verdict})


def expire(cursor: Cursor, tenant_id: UUID, row: Mapping[str, Any], now: datetime) -> None:
    """Record that a request's deadline decided.

    Args:
        row: The locked request: id, session_id and domain.
        now: The database's clock, read after the lock.
    """
    cursor.execute(SET_STATE, ("expired", tenant_id, row["id"]))
    cursor.execute(
        INSERT_SYSTEM_DECISION,
        (tenant_id, row["id"], row["session_id"], "expired", [SYSTEM_DEADLINE], now),
    )
    audit.record(
        cursor,
        tenant_id,
        actor=SYSTEM_DEADLINE,
        action="approval.expired",
        session_id=row["session_id"],
        approval_id=row["id"],
    )
    _emit(cursor, tenant_id, "approval.expired", row, {})


def _emit(
    cursor: Cursor,
    tenant_id: UUID,
    event: events.EventType,
    row: Mapping[str, Any],
    detail: Mapping[str, Any],
) -> None:
    events.emit(
        cursor,
        tenant_id,
        event,
        session_id=row["session_id"],
        domain=row["domain"],
        approval_id=row["id"],
        detail=detail,  # no deadline: whoever waits has to hear of the end after it as well
    )


def _now(cursor: Cursor) -> datetime:
    cursor.execute(NOW)
    row = cursor.fetchone()
    assert row is not None  # noqa: S101 - a select without FROM has one row
    return row["now"]


def _standing(
    cursor: Cursor, tenant_id: UUID, approval_id: UUID, request: Mapping[str, Any]
) -> StandingDecision:
    cursor.execute(DECISION, (tenant_id, approval_id))
    row = cursor.fetchone()
    if row is None:  # cancelled requests have no decision
        return StandingDecision(request["state"], ("system:cancelled",), request["created_at"])
    return StandingDecision(row["verdict"], tuple(row["decided_by"]), row["decided_at"])


def get_approval(cursor: Cursor, tenant_id: UUID, approval_id: UUID) -> dict[str, Any]:
    """Return a request with its decision; `shown_state` counts a passed deadline as expired.

    Raises:
        ApprovalNotFound: Unknown, or another tenant's.
    """
    cursor.execute(APPROVAL, (tenant_id, approval_id))
    row = cursor.fetchone()
    if row is None:
        raise ApprovalNotFound(approval_id)
    return dict(row)


def list_approvals(
    cursor: Cursor, tenant_id: UUID, *, pending_only: bool, limit: int = 100
) -> list[dict[str, Any]]:
    """Return requests, pending ones first, the nearest deadline first."""
    cursor.execute(APPROVALS, (tenant_id, pending_only, limit))
    return [dict(row) for row in cursor.fetchall()]


def decision_of_session(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> dict[str, Any] | None:
    """Return the decision on the newest approval attempt, None where nobody was asked."""
    cursor.execute(DECISION_OF_SESSION, (tenant_id, session_id))
    row = cursor.fetchone()
    return dict(row) if row else None
