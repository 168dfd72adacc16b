"""Approval requests, votes, decisions and their dispatch in Postgres.

Order inside `decide`: lock the row, then read the clock, then judge and stamp with that one
reading; so no decision is ever stamped after its deadline, whatever waits for the lock.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.approvals import (
    MAX_CONTINUATION_ATTEMPTS,
    SYSTEM_DEADLINE,
    PendingApproval,
    Vote,
    escalated_deadline,
    judge_vote,
    may_escalate,
    payload_hash,
    validate_vote,
)
from radiant_dagster.errors import (
    ApprovalAlreadyResolved,
    ApprovalExpired,
    ApprovalNotFound,
    DecisionAlreadyClaimed,
    StandingDecision,
)

LEASE_SECONDS = 60  # after it, a decision nobody claimed is dispatched again
SWEEP_LIMIT = 100

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
OVERDUE = """
    select tenant_id, id, session_id, on_timeout, escalated_at, created_at, deadline,
           clock_timestamp() as now
    from radiant.approval_request
    where state = 'pending' and deadline <= clock_timestamp()
    order by deadline limit %s for update skip locked
"""
ESCALATE = """
    update radiant.approval_request
    set deadline = %s, escalated_at = %s, required_role = 'senior', version = version + 1
    where tenant_id = %s and id = %s
"""
LEASE = """
    update radiant.approval_decision d set requested_at = clock_timestamp()
    from (select tenant_id, approval_id from radiant.approval_decision
          where done_at is null and claimed_run_id is null and attempt <= %s
            and (requested_at is null
                 or requested_at < clock_timestamp() - make_interval(secs => %s))
          order by decided_at limit %s for update skip locked) due
    where d.tenant_id = due.tenant_id and d.approval_id = due.approval_id
    returning d.tenant_id, d.approval_id, d.session_id, d.attempt
"""
PENDING_SUMMARY = """
    select count(*) as pending, min(deadline) as next_deadline, clock_timestamp() as now
    from radiant.approval_request where state = 'pending'
"""
CLAIM = """
    update radiant.approval_decision set claimed_run_id = %s, claimed_at = clock_timestamp()
    where tenant_id = %s and approval_id = %s and done_at is null
      and (claimed_run_id is null or claimed_run_id = any(%s))
    returning session_id, verdict, decided_by, decided_at, guidance, edited_text, attempt
"""
CLAIMANT = """
    select claimed_run_id from radiant.approval_decision where tenant_id = %s and approval_id = %s
"""
DECISION_OF_SESSION = """
    select d.approval_id, d.verdict, d.decided_by, d.decided_at, d.guidance, d.edited_text,
           r.attempt, r.payload_sha256
    from radiant.approval_decision d
    join radiant.approval_request r on r.tenant_id = d.tenant_id and r.id = d.approval_id
    where d.tenant_id = %s and d.session_id = %s order by r.attempt desc limit 1
"""
DONE = """
    update radiant.approval_decision set done_at = clock_timestamp()
    where tenant_id = %s and session_id = %s and done_at is null
"""
# A run that failed before it could claim counts as well: its run key is used up, so without a new
# attempt the decision would never be launched again. Its own attempt number makes it count once.
RETRY = """
    update radiant.approval_decision
    set claimed_run_id = null, requested_at = null, attempt = least(attempt + 1, %(most)s + 1)
    where approval_id = %(approval)s and done_at is null
      and (claimed_run_id = %(run)s or (claimed_run_id is null and attempt = %(attempt)s))
    returning tenant_id, session_id, attempt
"""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A decision whose continuation has to be launched."""

    tenant_id: UUID
    approval_id: UUID
    session_id: UUID
    attempt: int


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
                _expire(cursor, tenant_id, row, now)
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


def _expire(cursor: Cursor, tenant_id: UUID, row: Mapping[str, Any], now: datetime) -> None:
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


def sweep_deadlines(database: Database) -> tuple[int, int]:
    """Expire or escalate what is overdue, over all tenants.

    Returns:
        (expired, escalated) counts.
    """
    expired = escalated = 0
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(OVERDUE, (SWEEP_LIMIT,))
        for row in cursor.fetchall():
            if may_escalate(row["on_timeout"], row["escalated_at"]):
                deadline = escalated_deadline(row["created_at"], row["deadline"], row["now"])
                cursor.execute(ESCALATE, (deadline, row["now"], row["tenant_id"], row["id"]))
                audit.record(
                    cursor,
                    row["tenant_id"],
                    actor=SYSTEM_DEADLINE,
                    action="approval.escalated",
                    session_id=row["session_id"],
                    approval_id=row["id"],
                )
                escalated += 1
            else:
                _expire(cursor, row["tenant_id"], row, row["now"])
                expired += 1
    return expired, escalated


def lease_decisions(database: Database, *, limit: int = 50) -> list[Dispatch]:
    """Take a lease on decisions nobody carries out yet, the whole backlog and no cursor."""
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(LEASE, (MAX_CONTINUATION_ATTEMPTS, LEASE_SECONDS, limit))
        return [Dispatch(**row) for row in cursor.fetchall()]


def pending_summary(database: Database) -> tuple[int, float | None]:
    """Return how many requests wait and how many seconds the nearest deadline is away."""
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(PENDING_SUMMARY)
        row = cursor.fetchone()
    if row is None or row["next_deadline"] is None:
        return 0, None
    return row["pending"], (row["next_deadline"] - row["now"]).total_seconds()


def claim_decision(
    cursor: Cursor, tenant_id: UUID, approval_id: UUID, *, run_id: str, ancestors: Sequence[str]
) -> dict[str, Any]:
    """Take a decision for this run; the only point where "exactly once" is decided.

    Args:
        ancestors: Root and parent run ids, so that a re-execution may go on with its claim.

    Raises:
        DecisionAlreadyClaimed: Another run has it, or it is carried out.
        ApprovalNotFound: There is no decision: a forged or unknown id.
    """
    cursor.execute(CLAIM, (run_id, tenant_id, approval_id, [run_id, *ancestors]))
    row = cursor.fetchone()
    if row is not None:
        return dict(row)
    cursor.execute(CLAIMANT, (tenant_id, approval_id))
    claimant = cursor.fetchone()
    if claimant is None:
        raise ApprovalNotFound(approval_id)
    raise DecisionAlreadyClaimed(approval_id, claimant["claimed_run_id"] or "(session ended)")


def decision_of_session(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> dict[str, Any] | None:
    """Return the decision on the newest approval attempt, None where nobody was asked."""
    cursor.execute(DECISION_OF_SESSION, (tenant_id, session_id))
    row = cursor.fetchone()
    return dict(row) if row else None


def finish_decisions(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> None:
    """Mark the session's decisions as carried out."""
    cursor.execute(DONE, (tenant_id, session_id))


def retry_continuation(
    database: Database, approval_id: UUID, run_id: str, *, attempt: int | None = None
) -> int | None:
    """Give a failed continuation's decision back for another attempt.

    Args:
        run_id: The failed run.
        attempt: The attempt it was launched for, where its run key says so; it counts where the
            run failed before it claimed the decision.

    Returns:
        The number of the next attempt; None where there is none, because the run is not the one
        that carries the decision out or because all attempts are used up.
    """
    values = {
        "approval": approval_id,
        "run": run_id,
        "attempt": attempt,
        "most": MAX_CONTINUATION_ATTEMPTS,
    }
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(RETRY, values)
        row = cursor.fetchone()
        if row is None:
            return None
        audit.record(
            cursor,
            row["tenant_id"],
            actor="system:dispatch",
            action="continuation.failed",
            session_id=row["session_id"],
            approval_id=approval_id,
            detail={"next_attempt": row["attempt"]},
        )
    return row["attempt"] if row["attempt"] <= MAX_CONTINUATION_ATTEMPTS else None
