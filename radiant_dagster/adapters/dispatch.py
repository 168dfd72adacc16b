"""Brings decisions to the runs that carry them out, over all tenants.

A decision waits in its table until a run has claimed it. The dispatcher keeps no position: it takes
a lease on whatever nobody carries out, so nothing is lost when it dies between two steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit, events, idempotency
from radiant_dagster.adapters.approvals import expire
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.approvals import (
    MAX_CONTINUATION_FAILURES,
    MAX_CONTINUATION_LOSSES,
    SYSTEM_DEADLINE,
    extended_deadline,
    may_extend,
)
from radiant_dagster.errors import ApprovalNotFound, DecisionAlreadyClaimed

LEASE_SECONDS = 60  # after it, a decision nobody claimed is dispatched again
SWEEP_LIMIT = 100
OVERDUE = """
    select tenant_id, id, session_id, domain, on_timeout, extended_at, created_at, deadline,
           clock_timestamp() as now
    from radiant.approval_request
    where state = 'pending' and deadline <= clock_timestamp()
    order by deadline limit %s for update skip locked
"""
EXTEND = """
    update radiant.approval_request
    set deadline = %s, extended_at = %s, escalated_at = coalesce(escalated_at, %s),
        required_role = 'senior', second_role = 'senior', version = version + 1
    where tenant_id = %s and id = %s
"""
# The lock, and the test again in the outer statement: what another sweep did meanwhile is skipped.
REMIND = """
    update radiant.approval_request r set reminded_at = clock_timestamp()
    from (select tenant_id, id from radiant.approval_request
          where state = 'pending' and reminded_at is null and reminder_at <= clock_timestamp()
            and deadline > clock_timestamp()
          order by reminder_at limit %s for update skip locked) due
    where r.tenant_id = due.tenant_id and r.id = due.id
    returning r.tenant_id, r.id, r.session_id, r.domain, r.deadline
"""
ASK_SENIORS = """
    update radiant.approval_request r
    set escalated_at = clock_timestamp(), version = version + 1
    from (select tenant_id, id from radiant.approval_request
          where state = 'pending' and escalated_at is null and escalate_at <= clock_timestamp()
            and deadline > clock_timestamp()
          order by escalate_at limit %s for update skip locked) due
    where r.tenant_id = due.tenant_id and r.id = due.id
    returning r.tenant_id, r.id, r.session_id, r.domain, r.deadline
"""
LEASE = """
    update radiant.approval_decision d set requested_at = clock_timestamp()
    from (select tenant_id, approval_id from radiant.approval_decision
          where done_at is null and claimed_run_id is null and failures < %s and losses < %s
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


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A decision whose continuation has to be launched."""

    tenant_id: UUID
    approval_id: UUID
    session_id: UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did: how many requests were reminded of, escalated, extended and expired."""

    reminded: int
    escalated: int
    extended: int
    expired: int


def sweep(database: Database) -> Swept:
    """Do what time asks for, over all tenants, at most 100 requests of each kind."""
    reminded = sweep_reminders(database)
    escalated = sweep_escalations(database)
    expired, extended = sweep_deadlines(database)
    idempotency.sweep(database)
    return Swept(reminded, escalated, extended, expired)


def sweep_reminders(database: Database) -> int:
    """Remind of requests that nobody decided in the first part of their time, once each."""
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(REMIND, (SWEEP_LIMIT,))
        rows = _by_tenant(cursor.fetchall())
        for row in rows:
            _tell(cursor, row, "approval.reminder", "approval.reminded")
    return len(rows)


def sweep_escalations(database: Database) -> int:
    """Ask seniors as well where the deadline comes near, once each."""
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(ASK_SENIORS, (SWEEP_LIMIT,))
        rows = _by_tenant(cursor.fetchall())
        for row in rows:
            _tell(cursor, row, "approval.escalated", "approval.escalated")
    return len(rows)


def sweep_deadlines(database: Database) -> tuple[int, int]:
    """Expire what is overdue, or extend it once to a senior, over all tenants.

    Returns:
        (expired, extended) counts.
    """
    expired = extended = 0
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(OVERDUE, (SWEEP_LIMIT,))
        for row in _by_tenant(cursor.fetchall()):
            if may_extend(row["on_timeout"], row["extended_at"]):
                deadline = extended_deadline(row["created_at"], row["deadline"], row["now"])
                values = (deadline, row["now"], row["now"], row["tenant_id"], row["id"])
                cursor.execute(EXTEND, values)
                row = {**row, "deadline": deadline}
                _tell(cursor, row, "approval.escalated", "approval.extended", extended=True)
                extended += 1
            else:
                expire(cursor, row["tenant_id"], row, row["now"])
                expired += 1
    return expired, extended


def _by_tenant(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    # The audit chains are locked in the order of their rows: one order, so that sweeps at the same
    # time cannot wait for each other in a circle.
    return sorted(rows, key=lambda row: row["tenant_id"])


def _tell(
    cursor: Cursor,
    row: Mapping[str, Any],
    event: events.EventType,
    action: str,
    *,
    extended: bool = False,
) -> None:
    audit.record(
        cursor,
        row["tenant_id"],
        actor=SYSTEM_DEADLINE,
        action=action,
        session_id=row["session_id"],
        approval_id=row["id"],
    )
    events.emit(
        cursor,
        row["tenant_id"],
        event,
        session_id=row["session_id"],
        domain=row["domain"],
        approval_id=row["id"],
        deadline=row["deadline"],
        detail={"role": "senior", "extended": extended} if event == "approval.escalated" else {},
    )


def lease_decisions(database: Database, *, limit: int = 50) -> list[Dispatch]:
    """Take a lease on decisions nobody carries out yet, the whole backlog and no cursor."""
    with database.system_transaction("radiant_dispatch") as cursor:
        most = (MAX_CONTINUATION_FAILURES, MAX_CONTINUATION_LOSSES)
        cursor.execute(LEASE, (*most, LEASE_SECONDS, limit))
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
