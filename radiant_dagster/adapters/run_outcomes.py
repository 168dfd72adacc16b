"""Carries the end of a Dagster run over to its session, by run id, over all tenants."""

from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit, endings, ledger
from radiant_dagster.adapters.postgres import Database

SessionKey = tuple[UUID, UUID]
"""Tenant id and session id."""

MARK_FAILED = """
    update radiant.session
    set status = 'failed', failure_code = 'run_failed', ended_at = clock_timestamp(),
        failure_message = 'The Dagster run ended without an answer; see the run in Dagit.'
    where (dagster_run_id = %(run)s or conclude_run_id = %(run)s
           or (tenant_id = %(tenant)s and id = %(session)s and status = 'created'
               and dagster_run_id is null))
      and status in ('created', 'running', 'synthesised', 'concluding')
    returning tenant_id, id, domain, status
"""
MARK_CANCELLED = """
    update radiant.session set status = 'cancelled', ended_at = clock_timestamp()
    where (dagster_run_id = %(run)s or conclude_run_id = %(run)s
           or (tenant_id = %(tenant)s and id = %(session)s and status = 'created'
               and dagster_run_id is null))
      and status in ('created', 'running', 'synthesised', 'awaiting_review', 'concluding')
    returning tenant_id, id, domain, status
"""


def mark_failed(database: Database, run_id: str, *, session: SessionKey | None = None) -> int:
    """Mark the session of a failed run, unless it ended or waits for a person already.

    Args:
        session: Tenant and session the run was launched for; they count where it failed before
            it could put its id on the session.

    Returns:
        How many sessions changed, 0 or 1.
    """
    return len(_mark(database, MARK_FAILED, run_id, session, "session.failed"))


def mark_cancelled(database: Database, run_id: str, *, session: SessionKey | None = None) -> int:
    """Mark the session of a terminated run and cancel its pending approval.

    Args:
        session: As for `mark_failed`.

    Returns:
        How many sessions changed, 0 or 1.
    """
    return len(_mark(database, MARK_CANCELLED, run_id, session, "session.cancelled"))


def _mark(
    database: Database, statement: str, run_id: str, session: SessionKey | None, action: str
) -> list[dict[str, Any]]:
    tenant_id, session_id = session or (None, None)
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(statement, {"run": run_id, "tenant": tenant_id, "session": session_id})
        rows = [dict(row) for row in cursor.fetchall()]
        for row in rows:
            ledger.settle_session(cursor, row["tenant_id"], row["id"])
            audit.record(
                cursor,
                row["tenant_id"],
                actor="system:dagster",
                action=action,
                session_id=row["id"],
                detail={"run_id": run_id},
            )
            if statement is MARK_CANCELLED:
                endings.drop_approvals(cursor, row["tenant_id"], row["id"], actor="system:dagster")
            endings.tell_end(cursor, row["tenant_id"], row["id"], row["domain"], row["status"])
    return rows
