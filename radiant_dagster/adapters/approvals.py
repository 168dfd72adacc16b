"""Approval requests, votes, decisions and their dispatch in Postgres.

Order inside `decide`: lock the row, then read the clock, then judge and stamp with that one
reading; so no decision is ever stamped after its deadline, whatever waits for the lock.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.approvals import (
    SYSTEM_DEADLINE,
    PendingApproval,
    Vote,
    judge_vote,
    may_escalate,
    payload_hash,
    validate_vote,
)
from radiant_dagster.errors import (
    ApprovalAlreadyResolved,
    ApprovalExpired,
    ApprovalNotFound,
    StandingDecision,
)

INSERT_REQUEST = """
    insert into radiant.approval_request (tenant_id, id, session_id, attempt, domain, requested_by,
        quorum, on_timeout, reasons, deadline, review_sanitized, withheld, payload_sha256)
    select %(tenant_id)s, %(id)s, %(session_id)s, %(attempt)s, %(domain)s, %(requested_by)s,
        p.quorum, p.on_timeout, %(reasons)s,
        clock_timestamp() + make_interval(secs => p.deadline_seconds),
        %(review)s, %(withheld)s, %(payload_sha256)s
    from radiant.domain_policy p where p.tenant_id = %(tenant_id)s and p.name = %(domain)s
    on conflict (tenant_id, session_id, attempt) do nothing
    returning id
"""
INSERT_PAYLOAD = """
    insert into radiant.approval_payload (tenant_id, approval_id, draft) values (%s, %s, %s)
"""
REQUEST_OF_ATTEMPT = """
    select id from radiant.approval_request
    where tenant_id = %s and session_id = %s and attempt = %s
"""
LOCK_REQUEST = """
    select id, session_id, requested_by, state, deadline, quorum, required_role, payload_sha256,
           withheld, on_timeout, escalated_at, created_at
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
                     and (r.on_timeout = 'reject' or r.escalated_at is not null)
                then 'expired' else r.state end as shown_state
    from radiant.approval_request r
    left join radiant.approval_decision d on d.tenant_id = r.tenant_id and d.approval_id = r.id
    where r.tenant_id = %s and r.id = %s
"""
APPROVALS = """
    select r.id, r.session_id, r.attempt, r.domain, r.requested_by, r.state, r.deadline,
           r.created_at, r.withheld, r.reasons, clock_timestamp() as server_now,
           case when r.state = 'pending' and clock_timestamp() >= r.deadline
                     and (r.on_timeout = 'reject' or r.escalated_at is not null)
                then 'expired' else r.state end as shown_state
    from radiant.approval_request r
    where r.tenant_id = %s and (not %s or r.state = 'pending')
    order by (r.state = 'pending') desc, r.deadline limit %s
"""
DECISION_OF_SESSION = """
    select d.approval_id, d.verdict, d.decided_by, d.decided_at, d.guidance, d.edited_text,
           r.attempt, r.payload_sha256
    from radiant.approval_decision d
    join radiant.approval_request r on r.tenant_id = d.tenant_id and r.id = d.approval_id
    where d.tenant_id = %s and d.session_id = %s order by r.attempt desc limit 1
"""


def request_approval(
    cursor: Cursor,
    tenant_id: UUID,
    approval_id: UUID,
    session: Mapping[str, Any],
    *,
    attempt: int,
    draft: str,
    review: Mapping[str, Any],
    withheld: bool,
    reasons: Sequence[str],
) -> UUID:
    """Store a request with the deadline of the session's domain.

    Args:
        attempt: 1 for the first draft, one more for each new one; repeats return the same request.
        draft: The unscrubbed text, kept where reviewers have no grant.
        review: What reviewers see, scrubbed.
        withheld: True where scrubbing failed and nothing may be shown.

    Returns:
        The request's id.
    """
    values = {
        "tenant_id": tenant_id,
        "id": approval_id,
        "session_id": session["id"],
        "attempt": attempt,
        "domain": session["domain"],
        "requested_by": session["user_id"],
        "reasons": list(reasons),
        "review": json.dumps(review),
        "withheld": withheld,
        "payload_sha256": payload_hash(draft),
    }
    cursor.execute(INSERT_REQUEST, values)
    if cursor.fetchone() is None:
        cursor.execute(REQUEST_OF_ATTEMPT, (tenant_id, session["id"], attempt))
        row = cursor.fetchone()
        assert row is not None  # noqa: S101 - the conflict that got us here is this row
        return row["id"]
    cursor.execute(INSERT_PAYLOAD, (tenant_id, approval_id, draft))
    audit.record(
        cursor,
        tenant_id,
        actor="system:think_tank",
        action="approval.requested",
        session_id=session["id"],
        approval_id=approval_id,
        detail={"attempt": attempt, "reasons": list(reasons), "withheld": withheld},
    )
    return approval_id


def decide(database: Database, tenant_id: UUID, approval_id: UUID, vote: Vote) -> str | None:
    """Record one person's vote and, with the quorum, the decision.

    Args:
        vote: Who, what and on which text.

    Returns:
        The verdict that stands, or None while another vote is needed.

    Raises:
        InvalidInput: The vote lacks guidance or text.
        ApprovalNotFound: Unknown, or another tenant's.
        ApprovalAlreadyResolved: With the standing decision.
        ApprovalExpired: Too late; `expired` is recorded.
        ApprovalForbidden, ApprovalChanged: See `domain.approvals.judge_vote`.
    """
    validate_vote(vote)
    late: ApprovalExpired | None = None
    verdict: str | None = None
    with database.tenant_transaction(tenant_id, role="radiant_review") as cursor:
        cursor.execute(LOCK_REQUEST, (tenant_id, approval_id))
        row = cursor.fetchone()
        if row is None:
            raise ApprovalNotFound(approval_id)
        if row["state"] != "pending":
            raise ApprovalAlreadyResolved(
                approval_id, _standing(cursor, tenant_id, approval_id, row)
            )
        now = _now(cursor)
        cursor.execute(VOTERS, (tenant_id, approval_id))
        voters = tuple(item["actor"] for item in cursor.fetchall())
        pending = PendingApproval(
            id=approval_id,
            requested_by=row["requested_by"],
            deadline=row["deadline"],
            quorum=row["quorum"],
            required_role=row["required_role"],
            payload_sha256=bytes(row["payload_sha256"]),
            withheld=row["withheld"],
            voters=voters,
        )
        try:
            verdict = judge_vote(pending, vote, now=now)
        except ApprovalExpired as error:
            # Recorded here too, so that a dead daemon never lets a late approval in. A request
            # that may still escalate stays for the sweep, which extends it.
            if not may_escalate(row["on_timeout"], row["escalated_at"]):
                expire(cursor, tenant_id, row, now)
            late = error
        else:
            _record_vote(cursor, tenant_id, row, vote, verdict, now)
    if late is not None:
        raise late
    return verdict


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
    if verdict is not None:
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


def expire(cursor: Cursor, tenant_id: UUID, row: Mapping[str, Any], now: datetime) -> None:
    """Record that a request's deadline decided, for a locked request (id and session_id)."""
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
