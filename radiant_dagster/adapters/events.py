"""Tells the world of a change in the transaction of the change itself.

Rows of radiant.event are what webhooks, notifications and live pages are made of. They carry ids,
states and times only: a webhook leaves the boundary that personal data stays within.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from radiant_dagster.adapters.postgres import Cursor

EventType = Literal[
    "approval.requested",
    "approval.reminder",
    "approval.escalated",
    "approval.claimed",  # for live pages; webhooks are not told
    "approval.decided",
    "approval.expired",
    "approval.cancelled",
    "approval.stuck",
    "session.completed",
]

INSERT_EVENT = """
    insert into radiant.event (tenant_id, type, session_id, approval_id, domain, detail, deadline)
    values (%s, %s, %s, %s, %s, %s, %s)
"""
# Wakes whoever delivers or shows events; sent by Postgres when the transaction commits.
NOTIFY = "select pg_notify('radiant_event', %s)"


def emit(
    cursor: Cursor,
    tenant_id: UUID,
    event: EventType,
    *,
    session_id: UUID,
    domain: str,
    approval_id: UUID | None = None,
    deadline: datetime | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Record an event in the caller's transaction.

    Args:
        event: What happened.
        session_id: The session that it happened to.
        domain: Its domain, for routing.
        approval_id: The request, for ``approval.*``.
        deadline: Of the request; deliveries stop there.
        detail: States, counts and ids only.
    """
    cursor.execute(
        INSERT_EVENT,
        (
            tenant_id,
            event,
            session_id,
            approval_id,
            domain,
            json.dumps(detail or {}, default=str),
            deadline,
        ),
    )
    cursor.execute(NOTIFY, (str(tenant_id),))
