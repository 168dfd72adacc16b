"""What an operator should know of a tenant's reviews: stuck decisions, targets, keys."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import MAX_CONTINUATION_FAILURES, MAX_CONTINUATION_LOSSES

STUCK = """
    select approval_id from radiant.approval_decision
    where tenant_id = %s and done_at is null and claimed_run_id is null
      and (failures >= %s or losses >= %s)
    order by decided_at
"""
TARGETS = """
    select (select count(*) from radiant.webhook_endpoint where tenant_id = %(tenant)s)
             as endpoints,
           (select count(*) from radiant.webhook_endpoint
            where tenant_id = %(tenant)s and disabled_at is not null) as disabled,
           (select count(*) from radiant.notification_route where tenant_id = %(tenant)s) as routes,
           (select count(*) from radiant.delivery where tenant_id = %(tenant)s
              and gave_up_at > clock_timestamp() - interval '1 day') as given_up
"""
KEYS = """
    select count(*) as working,
           count(*) filter (where k.expires_at < clock_timestamp() + interval '7 days') as ending
    from radiant.api_key k
    join radiant.principal p on p.tenant_id = k.tenant_id and p.id = k.principal
    where k.tenant_id = %s and k.revoked_at is null and p.disabled_at is null
      and (k.expires_at is null or k.expires_at > clock_timestamp())
"""


@dataclass(frozen=True, slots=True)
class Targets:
    """Where a tenant's events go.

    Args:
        endpoints: Webhooks, with the disabled ones.
        disabled: Webhooks that get nothing any more.
        routes: Notification routes.
        given_up: Deliveries of the last day that never arrived.
    """

    endpoints: int
    disabled: int
    routes: int
    given_up: int


@dataclass(frozen=True, slots=True)
class Keys:
    """A tenant's API keys: those that work, and how many of them end within a week."""

    working: int
    ending: int


def stuck_decisions(database: Database, tenant_id: UUID) -> list[UUID]:
    """Return the approvals whose decision is not carried out by itself any more."""
    values = (tenant_id, MAX_CONTINUATION_FAILURES, MAX_CONTINUATION_LOSSES)
    with database.tenant_transaction(tenant_id) as cursor:
        cursor.execute(STUCK, values)
        return [row["approval_id"] for row in cursor.fetchall()]


def targets(database: Database, tenant_id: UUID) -> Targets:
    """Count where events go, and what did not arrive."""
    with database.tenant_transaction(tenant_id) as cursor:
        cursor.execute(TARGETS, {"tenant": tenant_id})
        return Targets(**_one(cursor.fetchone()))


def keys(database: Database, tenant_id: UUID) -> Keys:
    """Count a tenant's keys.

    Args:
        database: With the login of Mission Control; workers' must not read keys.
    """
    with database.tenant_transaction(tenant_id, role="radiant_api") as cursor:
        cursor.execute(KEYS, (tenant_id,))
        return Keys(**_one(cursor.fetchone()))


def _one(row: Any) -> dict[str, int]:
    assert row is not None  # noqa: S101 - an aggregate has one row
    return dict(row)
