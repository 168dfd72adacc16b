"""What becomes of a decision whose run ended without carrying it out: it is given back.

Two counts say when to stop. A continuation that failed does so again for the same reason, so three
are enough. One that was lost, with its worker, its broker or before it began, says nothing of the
decision; it is launched again after a pause that doubles, until a quarter of an hour has gone by.
Then an alarm is raised, the session is marked failed, and `revive` lets a person begin anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import agent_progress, audit, endings, events, ledger
from radiant_dagster.adapters.dispatch import LEASE_SECONDS
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.approvals import MAX_CONTINUATION_FAILURES, MAX_CONTINUATION_LOSSES
from radiant_dagster.errors import ApprovalNotFound, DecisionAlreadyClaimed

# A run that ended before it could claim counts as well: its run key is used up, so without a new
# attempt the decision would never be launched again. Its own attempt number makes it count once.
# A lost one leaves a lease that lapses after 0, 2, 6, 14, 30 and then 60 seconds.
GIVE_BACK = """
    update radiant.approval_decision
    set claimed_run_id = null, claimed_at = null, attempt = attempt + 1,
        failures = failures + (not %(lost)s)::int, losses = losses + %(lost)s::int,
        requested_at = case when %(lost)s then clock_timestamp() - make_interval(
            secs => %(lease)s - least(%(lease)s, 2 ^ least(losses + 1, 6) - 2)) end
    where approval_id = %(approval)s and done_at is null
      and (claimed_run_id = %(run)s or (claimed_run_id is null and attempt = %(attempt)s))
    returning tenant_id, session_id, attempt, failures, losses
"""
REVIVE = "select session_id from radiant.revive_decision(%s)"
CLAIMANT = """
    select claimed_run_id from radiant.approval_decision where tenant_id = %s and approval_id = %s
"""
# Nobody may hear of a run's end: the daemon that watched died with it, or the run was deleted.
# One that is leased over and over may have a run all the same, whose key keeps others away.
OPEN = """
    select approval_id, claimed_run_id, attempt from radiant.approval_decision
    where done_at is null
      and coalesce(claimed_at, decided_at) < clock_timestamp() - make_interval(secs => %(age)s)
      and (claimed_run_id is not null or (failures < %(failures)s and losses < %(losses)s))
    order by decided_at limit %(limit)s
"""
DOMAIN = "select domain from radiant.approval_request where tenant_id = %s and id = %s"
END_SESSION = """
    update radiant.session
    set status = 'failed', failure_code = 'not_carried_out', ended_at = clock_timestamp(),
        failure_message = 'The decision could not be carried out. Mend the cause that its runs'
            || ' show in Dagit, then: radiant approvals retry.'
    where tenant_id = %s and id = %s and status in ('awaiting_review', 'concluding')
    returning domain
"""


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A decision that another run may carry out.

    Args:
        attempt: The number of the next run.
        stuck: It is not launched any more by itself.
    """

    attempt: int
    stuck: bool


@dataclass(frozen=True, slots=True)
class OpenDecision:
    """A decision that a run should be carrying out; `run_id` is None where none has claimed it."""

    approval_id: UUID
    run_id: str | None
    attempt: int


def give_back(
    database: Database,
    approval_id: UUID,
    run_id: str,
    *,
    attempt: int | None = None,
    lost: bool = False,
) -> GivenBack | None:
    """Give an ended continuation's decision back for another run.

    Where no run is left its session fails, and an event tells of it.

    Args:
        run_id: The run that ended.
        attempt: The attempt it was launched for, where its run key says so; it counts where the
            run ended before it claimed the decision.
        lost: It did not fail; whatever ran it was lost.

    Returns:
        None where the run is not the one that carries the decision out.
    """
    values = {
        "approval": approval_id,
        "run": run_id,
        "attempt": attempt,
        "lost": lost,
        "lease": LEASE_SECONDS,
    }
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(GIVE_BACK, values)
        row = cursor.fetchone()
        if row is None:
            return None
        audit.record(
            cursor,
            row["tenant_id"],
            actor="system:dispatch",
            action="continuation.lost" if lost else "continuation.failed",
            session_id=row["session_id"],
            approval_id=approval_id,
            detail={"next_attempt": row["attempt"]},
        )
        stuck = (
            row["failures"] >= MAX_CONTINUATION_FAILURES or row["losses"] >= MAX_CONTINUATION_LOSSES
        )
        if stuck:
            _raise_alarm(cursor, row, approval_id)
            _end_session(cursor, row, run_id)
    if stuck:
        ledger.book_ended(database, row["tenant_id"], row["session_id"])
    return GivenBack(row["attempt"], stuck)


def _raise_alarm(cursor: Cursor, row: Mapping[str, Any], approval_id: UUID) -> None:
    """Record that a decision is not carried out by itself any more and needs a person."""
    audit.record(
        cursor,
        row["tenant_id"],
        actor="system:dispatch",
        action="approval.stuck",
        session_id=row["session_id"],
        approval_id=approval_id,
    )
    cursor.execute(DOMAIN, (row["tenant_id"], approval_id))
    request = cursor.fetchone()
    assert request is not None  # noqa: S101 - a decision refers to its request
    events.emit(
        cursor,
        row["tenant_id"],
        "approval.stuck",
        session_id=row["session_id"],
        domain=request["domain"],
        approval_id=approval_id,
        detail={"attempts": row["attempt"] - 1},
    )


def _end_session(cursor: Cursor, row: Mapping[str, Any], run_id: str) -> None:
    """Fail the session, so that whoever waits for it hears of it; a later run may still end it."""
    tenant_id, session_id = row["tenant_id"], row["session_id"]
    cursor.execute(END_SESSION, (tenant_id, session_id))
    ended = cursor.fetchone()
    if ended is None:
        return
    ledger.settle_session(cursor, tenant_id, session_id)
    agent_progress.forget(cursor, tenant_id, session_id)
    audit.record(
        cursor,
        tenant_id,
        actor="system:dispatch",
        action="session.failed",
        session_id=session_id,
        detail={"run_id": run_id},
    )
    endings.tell_end(cursor, tenant_id, session_id, ended["domain"], "failed")


def revive(database: Database, tenant_id: UUID, approval_id: UUID, *, actor: str) -> UUID:
    """Let a decision be launched again as if it had been made just now.

    Returns:
        The id of its session.

    Raises:
        DecisionAlreadyClaimed: A run has it, or it is carried out.
        ApprovalNotFound: There is no decision.
    """
    with database.tenant_transaction(tenant_id, role="radiant_review") as cursor:
        cursor.execute(REVIVE, (approval_id,))
        row = cursor.fetchone()
        if row is None:
            cursor.execute(CLAIMANT, (tenant_id, approval_id))
            standing = cursor.fetchone()
            if standing is None:
                raise ApprovalNotFound(approval_id)
            raise DecisionAlreadyClaimed(
                approval_id, standing["claimed_run_id"] or "(session ended)"
            )
        audit.record(
            cursor,
            tenant_id,
            actor=actor,
            action="approval.retried",
            session_id=row["session_id"],
            approval_id=approval_id,
        )
    return row["session_id"]


def open_decisions(
    database: Database, *, older_than_seconds: float, limit: int
) -> list[OpenDecision]:
    """Return decisions that runs should be carrying out for a while, oldest first."""
    values = {
        "age": older_than_seconds,
        "failures": MAX_CONTINUATION_FAILURES,
        "losses": MAX_CONTINUATION_LOSSES,
        "limit": limit,
    }
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(OPEN, values)
        return [
            OpenDecision(row["approval_id"], row["claimed_run_id"], row["attempt"])
            for row in cursor.fetchall()
        ]
