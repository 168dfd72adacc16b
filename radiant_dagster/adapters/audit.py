"""The audit trail: who did what to which session, approval or heuristic. Insert only."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from radiant_dagster.adapters.postgres import Cursor

INSERT_AUDIT = """
    insert into radiant.audit
        (tenant_id, session_id, approval_id, heuristic_id, actor, action, detail)
    values (%s, %s, %s, %s, %s, %s, %s)
"""
AUDIT_OF_SESSION = """
    select at, actor, action, approval_id, heuristic_id, detail from radiant.audit
    where tenant_id = %s and session_id = %s order by id
"""


def record(
    cursor: Cursor,
    tenant_id: UUID,
    *,
    actor: str,
    action: str,
    session_id: UUID | None = None,
    approval_id: UUID | None = None,
    heuristic_id: UUID | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write one audit row in the caller's transaction.

    Args:
        detail: Codes, counts and ids only; no prompt, answer or guidance.
    """
    cursor.execute(
        INSERT_AUDIT,
        (
            tenant_id,
            session_id,
            approval_id,
            heuristic_id,
            actor,
            action,
            json.dumps(detail or {}),
        ),
    )


def of_session(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> list[dict[str, Any]]:
    """Return a session's audit rows, oldest first."""
    cursor.execute(AUDIT_OF_SESSION, (tenant_id, session_id))
    return [dict(row) for row in cursor.fetchall()]
