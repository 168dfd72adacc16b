"""The fast path: who decided asks Dagster for the continuation, instead of waiting for the sensor.

It takes the lease that the sensor takes, so that the two do not launch one decision twice; the
claim in the database guarantees it in any case. Whatever goes wrong here, the sensor does it: a
lease that surely came to nothing is given back at once, one that may have launched a run lapses.
"""

import logging
import threading
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from radiant_dagster.adapters.dagster_api import DagsterApi
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import continuation_run_key
from radiant_dagster.errors import DagsterUnavailable, DatabaseUnavailable

ROLE = "radiant_review"
LEASE = "select session_id, attempt, leased_at from radiant.lease_decision(%s)"
RETURN = "select radiant.return_decision(%s, %s)"
JOB, OP = "synthesis_and_librarian", "claim_decision"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lease:
    """A decision that this process launches."""

    session_id: UUID
    attempt: int
    leased_at: datetime


def lease_decision(database: Database, tenant_id: UUID, approval_id: UUID) -> Lease | None:
    """Take the lease on one decision; None where another has it, or it needs none any more."""
    with database.tenant_transaction(tenant_id, role=ROLE) as cursor:
        cursor.execute(LEASE, (approval_id,))
        row = cursor.fetchone()
    return Lease(row["session_id"], row["attempt"], row["leased_at"]) if row else None


def return_decision(database: Database, tenant_id: UUID, approval_id: UUID, lease: Lease) -> None:
    """Give the lease back, so that the sensor launches it at its next tick."""
    with database.tenant_transaction(tenant_id, role=ROLE) as cursor:
        cursor.execute(RETURN, (approval_id, lease.leased_at))


def launch(
    database: Database, dagster: DagsterApi, tenant_id: UUID, approval_id: UUID
) -> str | None:
    """Launch a committed decision's continuation unless somebody else does.

    Returns:
        The run's id, None where the sensor has it or will have it.

    Raises:
        DatabaseUnavailable: Postgres is away; a lease that was taken lapses.
    """
    lease = lease_decision(database, tenant_id, approval_id)
    if lease is None:
        return None
    try:
        return dagster.launch(
            JOB,
            OP,
            {"tenant_id": str(tenant_id), "approval_id": str(approval_id)},
            {
                "dagster/run_key": continuation_run_key(approval_id, lease.attempt),
                "radiant/session_id": str(lease.session_id),
                "radiant/tenant_id": str(tenant_id),
                "radiant/approval_id": str(approval_id),
            },
        )
    except DagsterUnavailable as error:
        log.info("The sensor launches approval %s: %s", approval_id, error.reason)
        if not error.may_have_acted:
            return_decision(database, tenant_id, approval_id, lease)
        return None


def launch_soon(
    database: Database, dagster: DagsterApi, tenant_id: UUID, approval_id: UUID
) -> threading.Thread:
    """Launch on a thread of its own: no decision is slower or fails because of it.

    Args:
        database: Of the process that decided; it has to stay open until the thread ends.
        dagster: The webserver.
        tenant_id: Whose decision.
        approval_id: Of a decision that is committed.

    Returns:
        The thread; a process about to end joins it.
    """
    thread = threading.Thread(
        target=_launch_quietly,
        args=(database, dagster, tenant_id, approval_id),
        name="radiant-continuation",
        daemon=True,
    )
    thread.start()
    return thread


def _launch_quietly(
    database: Database, dagster: DagsterApi, tenant_id: UUID, approval_id: UUID
) -> None:
    try:
        launch(database, dagster, tenant_id, approval_id)
    except DatabaseUnavailable:
        log.warning("The sensor launches approval %s: Postgres is away", approval_id)
