"""Brings decisions to the runs that carry them out, over all tenants.

A decision waits in its table until a run has claimed it. The dispatcher keeps no position: it takes
a lease on whatever nobody carries out, so nothing is lost when it dies between two steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.approvals import expire
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.approvals import (
    MAX_CONTINUATION_ATTEMPTS,
    SYSTEM_DEADLINE,
    escalated_deadline,
    may_escalate,
)
from radiant_dagster.errors import ApprovalNotFound, DecisionAlreadyClaimed

LEASE_SECONDS = 60  # after it, a decision nobody claimed is dispatched again
SWEEP_LIMIT = 100
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
                expire(cursor, row["tenant_id"], row, row["now"])
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
