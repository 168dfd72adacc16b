"""The end of a session: whoever waits for it hears of it, and nothing is asked any more.

A session is cancelled by a caller or by Dagster's Terminate button; both paths come here, so that a
request never outlives its session and the world hears of it once.
"""

from uuid import UUID

from radiant_dagster.adapters import audit, events
from radiant_dagster.adapters.postgres import Cursor

CANCEL_APPROVALS = """
    update radiant.approval_request set state = 'cancelled', version = version + 1
    where tenant_id = %s and session_id = %s and state = 'pending'
    returning id, domain
"""
# A decision that nobody has carried out yet must not launch runs for a cancelled session.
DROP_DECISIONS = """
    update radiant.approval_decision set done_at = clock_timestamp()
    where tenant_id = %s and session_id = %s and done_at is null
"""


def drop_approvals(cursor: Cursor, tenant_id: UUID, session_id: UUID, *, actor: str) -> int:
    """Cancel a cancelled session's pending request and drop decisions not yet carried out.

    Args:
        actor: Who cancelled the session.

    Returns:
        How many requests were pending, 0 or 1.
    """
    cursor.execute(CANCEL_APPROVALS, (tenant_id, session_id))
    rows = cursor.fetchall()
    cursor.execute(DROP_DECISIONS, (tenant_id, session_id))
    for row in rows:
        audit.record(
            cursor,
            tenant_id,
            actor=actor,
            action="approval.cancelled",
            session_id=session_id,
            approval_id=row["id"],
        )
        events.emit(
            cursor,
            tenant_id,
            "approval.cancelled",
            session_id=session_id,
            domain=row["domain"],
            approval_id=row["id"],
        )
    return len(rows)


def tell_end(cursor: Cursor, tenant_id: UUID, session_id: UUID, domain: str, status: str) -> None:
    """Record that a session ended, as completed, rejected, expired, failed or cancelled."""
    events.emit(
        cursor,
        tenant_id,
        "session.completed",
        session_id=session_id,
        domain=domain,
        detail={"status": status},
    )
