"""Carries the end of a Dagster run over to its session, by run id, over all tenants."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import agent_progress, audit, endings, ledger
from radiant_dagster.adapters.postgres import Database

SessionKey = tuple[UUID, UUID]
"""Tenant id and session id."""

# A session that a continuation concludes is that run's: an older run of it, whose worker was lost
# after the request was stored, must not end it.
MARK_FAILED = """
    update radiant.session
    set status = 'failed', failure_code = 'run_failed', ended_at = clock_timestamp(),
        failure_message = 'The Dagster run ended without an answer; see the run in Dagit.'
    where (status in ('created', 'running', 'synthesised')
           and (dagster_run_id = any(%(runs)s) or conclude_run_id = any(%(runs)s)))
       or (status = 'concluding' and coalesce(conclude_run_id, dagster_run_id) = any(%(runs)s))
       or (tenant_id = %(tenant)s and id = %(session)s and status = 'created'
           and dagster_run_id is null)
    returning tenant_id, id, domain, status
"""
MARK_CANCELLED = """
    update radiant.session set status = 'cancelled', ended_at = clock_timestamp()
    where (dagster_run_id = any(%(runs)s) or conclude_run_id = any(%(runs)s)
           or (tenant_id = %(tenant)s and id = %(session)s and status = 'created'
               and dagster_run_id is null))
      and status in ('created', 'running', 'synthesised', 'awaiting_review', 'concluding')
    returning tenant_id, id, domain, status
"""
# A session of `created` has no run yet and says so itself; one in review waits for a person, and
# one that a continuation concludes belongs to its decision, which is dispatched again.
AT_WORK = """
    select tenant_id, id, dagster_run_id from radiant.session
    where status in ('running', 'synthesised', 'concluding') and dagster_run_id is not null
      and conclude_run_id is null and created_at < clock_timestamp() - make_interval(secs => %s)
    order by created_at limit %s
"""


def mark_failed(
    database: Database,
    run_id: str,
    *,
    session: SessionKey | None = None,
    ancestors: Sequence[str] = (),
) -> int:
    """Mark the session of a failed run, unless it ended or waits for a person already.

    Args:
        ancestors: Runs that this one was a re-execution of. The session carries the id of the run
            that opened it, which may have been one of them.
        session: Tenant and session the run was launched for; they count where it failed before
            it could put its id on the session.

    Returns:
        How many sessions changed, 0 or 1.
    """
    runs = [run_id, *ancestors]
    return len(_mark(database, MARK_FAILED, runs, session, "session.failed"))


def mark_cancelled(
    database: Database,
    run_id: str,
    *,
    session: SessionKey | None = None,
    ancestors: Sequence[str] = (),
) -> int:
    """Mark the session of a terminated run and cancel its pending approval.

    Args:
        ancestors: As for `mark_failed`.
        session: As for `mark_failed`.

    Returns:
        How many sessions changed, 0 or 1.
    """
    runs = [run_id, *ancestors]
    return len(_mark(database, MARK_CANCELLED, runs, session, "session.cancelled"))


def sessions_at_work(
    database: Database, *, older_than_seconds: float, limit: int
) -> list[tuple[UUID, UUID, str]]:
    """Return tenant, session and run of sessions that a run should be working on, oldest first."""
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(AT_WORK, (older_than_seconds, limit))
        return [(row["tenant_id"], row["id"], row["dagster_run_id"]) for row in cursor.fetchall()]


def _mark(
    database: Database, statement: str, runs: list[str], session: SessionKey | None, action: str
) -> list[dict[str, Any]]:
    tenant_id, session_id = session or (None, None)
    with database.system_transaction("radiant_dispatch") as cursor:
        cursor.execute(statement, {"runs": runs, "tenant": tenant_id, "session": session_id})
        rows = [dict(row) for row in cursor.fetchall()]
        for row in rows:
            ledger.settle_session(cursor, row["tenant_id"], row["id"])
            agent_progress.forget(cursor, row["tenant_id"], row["id"])
            audit.record(
                cursor,
                row["tenant_id"],
                actor="system:dagster",
                action=action,
                session_id=row["id"],
                detail={"run_id": runs[0]},
            )
            if statement is MARK_CANCELLED:
                endings.drop_approvals(cursor, row["tenant_id"], row["id"], actor="system:dagster")
            endings.tell_end(cursor, row["tenant_id"], row["id"], row["domain"], row["status"])
    for row in rows:
        ledger.book_ended(database, row["tenant_id"], row["id"])
    return rows
