"""Deliveries in Postgres: which target is told of which event, when, and what came of it.

An event is fanned out once, in one transaction with its mark. A delivery is leased by moving its
next try a lease ahead, so that one process tries it; a process that dies leaves it to the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.webhooks import EVENT_TYPES, Event, state_of

Kind = Literal["webhook", "notification", "installation"]

LEASE_SECONDS = 30  # a try takes 15 at most
FAN_OUT_LIMIT = 200
INSTALLATION = UUID(int=1)  # stands for MISSION_CONTROL_URL, which is no tenant's
ACTOR = "system:deliver"
ROLE = "radiant_deliver"

NEW_EVENTS = """
    select tenant_id, id from radiant.event where fanned_out_at is null
    order by at limit %s for update skip locked
"""
MARK_EVENTS = """
    update radiant.event set fanned_out_at = clock_timestamp()
    where fanned_out_at is null and id = any(%s)
"""
# A target that was added later is not told of what was before it; of a claim nobody outside is.
FAN_OUT = """
    insert into radiant.delivery (tenant_id, event_id, target, kind)
    select e.tenant_id, e.id, t.id, t.kind
    from radiant.event e
    join (select tenant_id, id, 'webhook' as kind, types, domains, created_at
          from radiant.webhook_endpoint where disabled_at is null
          union all
          select tenant_id, id, 'notification', types, domains, created_at
          from radiant.notification_route) t
      on t.tenant_id = e.tenant_id and e.at >= t.created_at
     and (t.types = '{}' or e.type = any(t.types))
     and (t.domains = '{}' or e.domain = any(t.domains))
    where e.fanned_out_at is null and e.id = any(%(events)s) and e.type = any(%(told)s)
    union all
    select e.tenant_id, e.id, %(installation)s, 'installation' from radiant.event e
    where %(to_installation)s and e.fanned_out_at is null and e.id = any(%(events)s)
      and e.type = any(%(told)s) and e.at > clock_timestamp() - interval '1 day'
    on conflict do nothing
"""
LEASE = """
    update radiant.delivery d
    set attempts = d.attempts + 1,
        next_at = clock_timestamp() + make_interval(secs => %s)
    from (select tenant_id, event_id, target from radiant.delivery
          where delivered_at is null and gave_up_at is null and next_at <= clock_timestamp()
            and not target = any(%s)
          order by next_at limit %s for update skip locked) due, radiant.event e
    where d.tenant_id = due.tenant_id and d.event_id = due.event_id and d.target = due.target
      and e.tenant_id = d.tenant_id and e.id = d.event_id
    returning d.tenant_id, d.event_id, d.target, d.kind, d.attempts, e.type, e.session_id,
              e.approval_id, e.domain, e.detail, e.deadline, e.at, clock_timestamp() as now
"""
SECONDS_UNTIL_DUE = """
    select extract(epoch from min(next_at) - clock_timestamp())::float8 as seconds
    from radiant.delivery where delivered_at is null and gave_up_at is null
"""
NOW = "select clock_timestamp() as now"
# Delivered is delivered, whoever holds the lease by now.
DELIVERED = """
    update radiant.delivery
    set delivered_at = clock_timestamp(), last_status = %s, last_error = null
    where tenant_id = %s and event_id = %s and target = %s
"""
RETRY = """
    update radiant.delivery set next_at = %s, last_status = %s, last_error = %s
    where tenant_id = %s and event_id = %s and target = %s and attempts = %s
      and delivered_at is null
"""
GIVE_UP = """
    update radiant.delivery
    set gave_up_at = clock_timestamp(), last_status = %s, last_error = %s
    where tenant_id = %s and event_id = %s and target = %s and attempts = %s
      and delivered_at is null and gave_up_at is null
    returning 1
"""
DISABLE = """
    update radiant.webhook_endpoint set disabled_at = clock_timestamp(), disabled_reason = %s
    where tenant_id = %s and id = %s and disabled_at is null returning 1
"""
DELIVERIES = """
    select d.event_id, e.type, d.target, d.kind, d.attempts, d.last_status, d.last_error,
           d.delivered_at, d.gave_up_at, e.at, e.approval_id, e.session_id,
           case when d.delivered_at is null and d.gave_up_at is null then d.next_at end as next_at
    from radiant.delivery d
    join radiant.event e on e.tenant_id = d.tenant_id and e.id = d.event_id
    where d.tenant_id = %s and (not %s or d.delivered_at is null)
    order by e.at desc limit %s
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """A delivery that this process tries now.

    Args:
        attempts: This try's number; a result of an older one changes nothing.
        now: The database's clock when it was leased.
    """

    event: Event
    target: UUID
    kind: Kind
    attempts: int
    now: datetime


def fan_out(database: Database, *, to_installation: bool) -> int:
    """Write the deliveries of new events, over all tenants.

    Args:
        to_installation: Also to MISSION_CONTROL_URL.

    Returns:
        How many events were taken; a full batch means that there may be more.
    """
    with database.system_transaction(ROLE) as cursor:
        cursor.execute(NEW_EVENTS, (FAN_OUT_LIMIT,))
        events = [row["id"] for row in cursor.fetchall()]
        if events:
            cursor.execute(
                FAN_OUT,
                {
                    "events": events,
                    "told": list(EVENT_TYPES),
                    "installation": INSTALLATION,
                    "to_installation": to_installation,
                },
            )
            cursor.execute(MARK_EVENTS, (events,))
    return len(events)


def lease(database: Database, *, limit: int, except_targets: Sequence[UUID]) -> list[Lease]:
    """Take what is due, the longest waiting first.

    Args:
        limit: Most of them.
        except_targets: Busy ones; a slow receiver shall not take all hands.
    """
    with database.system_transaction(ROLE) as cursor:
        cursor.execute(LEASE, (LEASE_SECONDS, list(except_targets), limit))
        rows = cursor.fetchall()
    return [_lease_of(row) for row in rows]


def _lease_of(row: Any) -> Lease:
    event = Event(
        row["event_id"],
        row["tenant_id"],
        row["type"],
        row["session_id"],
        row["approval_id"],
        row["domain"],
        state_of(row["type"], row["detail"]),
        row["deadline"],
        row["at"],
    )
    return Lease(event, row["target"], row["kind"], row["attempts"], row["now"])


def seconds_until_due(database: Database) -> float | None:
    """Return when the next try is due, None where nothing waits; negative where it is overdue."""
    with database.system_transaction(ROLE) as cursor:
        cursor.execute(SECONDS_UNTIL_DUE)
        row = cursor.fetchone()
    return row["seconds"] if row else None


def database_now(database: Database) -> datetime:
    """Return the clock that deadlines are judged by."""
    with database.system_transaction(ROLE) as cursor:
        cursor.execute(NOW)
        row = cursor.fetchone()
    assert row is not None  # noqa: S101 - a select without FROM has one row
    return row["now"]


def delivered(database: Database, item: Lease, status: int | None) -> None:
    """Record that a receiver took it."""
    with database.system_transaction(ROLE) as cursor:
        cursor.execute(DELIVERED, (status, *_key(item)))


def retry(database: Database, item: Lease, at: datetime, *, status: int | None, error: str) -> None:
    """Record a failed try and when the next one is due."""
    with database.system_transaction(ROLE) as cursor:
        cursor.execute(RETRY, (at, status, error, *_key(item), item.attempts))


def give_up(
    database: Database,
    item: Lease,
    *,
    status: int | None,
    error: str,
    disable: bool = False,
) -> None:
    """Record that it will not arrive, in the audit as well.

    Args:
        error: A code: why.
        disable: The receiver said that it is gone for good.
    """
    with database.system_transaction(ROLE) as cursor:
        cursor.execute(GIVE_UP, (status, error, *_key(item), item.attempts))
        if cursor.fetchone() is not None:
            _audit(cursor, item, "delivery.gave_up", error)
        if disable:
            cursor.execute(DISABLE, (error, item.event.tenant_id, item.target))
            if cursor.fetchone() is not None:
                _audit(cursor, item, "webhook.disabled", error)


def _audit(cursor: Cursor, item: Lease, action: str, reason: str) -> None:
    audit.record(
        cursor,
        item.event.tenant_id,
        actor=ACTOR,
        action=action,
        session_id=item.event.session_id,
        approval_id=item.event.approval_id,
        detail={
            "event_id": str(item.event.id),
            "type": item.event.type,
            "target": str(item.target),
            "attempts": item.attempts,
            "reason": reason,
        },
    )


def _key(item: Lease) -> tuple[UUID, UUID, UUID]:
    return item.event.tenant_id, item.event.id, item.target


def recent(
    cursor: Cursor, tenant_id: UUID, *, undelivered_only: bool, limit: int = 100
) -> list[dict[str, Any]]:
    """Return deliveries, the newest event first."""
    cursor.execute(DELIVERIES, (tenant_id, undelivered_only, limit))
    return [dict(row) for row in cursor.fetchall()]
