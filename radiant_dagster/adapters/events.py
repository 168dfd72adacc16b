"""Tells the world of a change in the transaction of the change itself.

Rows of radiant.event are what webhooks, notifications and live pages are made of. They carry ids,
states and times only: a webhook leaves the boundary that personal data stays within.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
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
OVERLAP = timedelta(seconds=10)  # longer than any transaction that writes an event
# Numbers are given out before the commit, so a smaller one may become visible after a larger one.
TAIL = """
    select seq, type, approval_id, session_id, domain, detail, at from radiant.event
    where tenant_id = %(tenant)s and type like 'approval.%%'
      and (seq > %(after)s or at > %(since)s) and not seq = any(%(seen)s)
    order by seq limit %(limit)s
"""
PLACE = "select at from radiant.event where tenant_id = %s and seq = %s"
NEWEST = """
    select coalesce(max(seq), 0) as seq, clock_timestamp() as now from radiant.event
    where tenant_id = %s
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


class Tail:
    """Follows the events of a tenant's approvals; each is returned once, late commits too.

    Args:
        after: Number of the last event that the reader knows, None to begin now.
    """

    def __init__(self, after: int | None) -> None:
        self._after = after
        self._since: datetime | None = None
        self._seen: dict[int, datetime] = {}

    def read(self, cursor: Cursor, tenant_id: UUID, limit: int = 200) -> list[dict[str, Any]]:
        """Return what is new: seq, type, approval_id, session_id, domain, detail, at.

        Who goes on after a break may get events of ten seconds twice, under the same ``seq``.
        """
        if self._since is None and not self._begin(cursor, tenant_id):
            return []
        rows = self._rows(cursor, tenant_id, limit)
        for row in rows:
            self._seen[row["seq"]] = row["at"]
            self._after = max(self._after or 0, row["seq"])
        if self._seen:
            since = max(self._since or rows[0]["at"], max(self._seen.values()) - OVERLAP)
            self._since = since
            self._seen = {seq: at for seq, at in self._seen.items() if at > since}
        return rows

    def _begin(self, cursor: Cursor, tenant_id: UUID) -> bool:
        """Find the place to begin at; False where that is the end."""
        cursor.execute(NEWEST, (tenant_id,))
        newest: Any = cursor.fetchone()
        cursor.execute(PLACE, (tenant_id, self._after))
        known = cursor.fetchone()
        if self._after is not None and known is not None:
            self._seen = {self._after: known["at"]}
            self._since = known["at"] - OVERLAP
            return True
        self._after, self._since = newest["seq"], newest["now"] - OVERLAP
        for row in self._rows(cursor, tenant_id, 10_000):
            self._seen[row["seq"]] = row["at"]
        return False

    def _rows(self, cursor: Cursor, tenant_id: UUID, limit: int) -> list[dict[str, Any]]:
        values = {
            "tenant": tenant_id,
            "after": self._after,
            "since": self._since,
            "seen": list(self._seen),
            "limit": limit,
        }
        cursor.execute(TAIL, values)
        return [dict(row) for row in cursor.fetchall()]
