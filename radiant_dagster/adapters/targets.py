"""Whom events are sent to: a tenant's webhook endpoints and notification routes, secrets sealed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.errors import InvalidInput

TargetKind = Literal["webhook", "notification"]

ROTATION_HOURS = 24  # that the secret before stays valid

ENDPOINT = """
    select id, url, secret, case when old_secret_until > clock_timestamp() then old_secret end
           as old_secret, disabled_at
    from radiant.webhook_endpoint where tenant_id = %s and id = %s
"""
ROUTE = "select id, name, url from radiant.notification_route where tenant_id = %s and id = %s"
INSERT_ENDPOINT = """
    insert into radiant.webhook_endpoint (tenant_id, id, url, secret, types, domains, created_by)
    values (%s, %s, %s, %s, %s, %s, %s)
"""
INSERT_ROUTE = """
    insert into radiant.notification_route
        (tenant_id, id, name, service, url, types, domains, created_by)
    values (%s, %s, %s, %s, %s, %s, %s, %s)
    on conflict (tenant_id, name) do nothing returning id
"""
ROTATE = """
    update radiant.webhook_endpoint set old_secret = secret, secret = %s,
        old_secret_until = clock_timestamp() + make_interval(hours => %s)
    where tenant_id = %s and id = %s returning old_secret_until
"""
ENDPOINTS = """
    select id, url, types, domains, created_at, disabled_at, disabled_reason,
           case when old_secret_until > clock_timestamp() then old_secret_until end
           as old_secret_until
    from radiant.webhook_endpoint where tenant_id = %s order by created_at
"""
ROUTES = """
    select id, name, service, types, domains, created_at from radiant.notification_route
    where tenant_id = %s order by name
"""
REMOVE_ENDPOINT = (
    "delete from radiant.webhook_endpoint where tenant_id = %s and id = %s returning 1"
)
REMOVE_ROUTE = "delete from radiant.notification_route where tenant_id = %s and id = %s returning 1"


def add_endpoint(
    cursor: Cursor,
    tenant_id: UUID,
    endpoint_id: UUID,
    *,
    url: str,
    secret: bytes,
    types: Sequence[str],
    domains: Sequence[str],
    actor: str,
) -> None:
    """Store an endpoint.

    Args:
        secret: Sealed by the vault for this row.
        types: Of events; none means all.
        domains: None means all.
    """
    cursor.execute(
        INSERT_ENDPOINT,
        (tenant_id, endpoint_id, url, secret, list(types), list(domains), actor),
    )
    _audit_target(cursor, tenant_id, actor, "webhook.added", endpoint_id)


def add_route(
    cursor: Cursor,
    tenant_id: UUID,
    route_id: UUID,
    *,
    name: str,
    service: str,
    url: bytes,
    types: Sequence[str],
    domains: Sequence[str],
    actor: str,
) -> None:
    """Store a notification route.

    Args:
        url: Sealed by the vault for this row.

    Raises:
        InvalidInput: The name is taken.
    """
    cursor.execute(
        INSERT_ROUTE,
        (tenant_id, route_id, name, service, url, list(types), list(domains), actor),
    )
    if cursor.fetchone() is None:
        raise InvalidInput("name", "is taken", "Choose another, or remove that route first.")
    _audit_target(cursor, tenant_id, actor, "notification.added", route_id)


def rotate(
    cursor: Cursor, tenant_id: UUID, endpoint_id: UUID, secret: bytes, *, actor: str
) -> datetime | None:
    """Replace an endpoint's secret and return until when the old one signs too, None if unknown."""
    cursor.execute(ROTATE, (secret, ROTATION_HOURS, tenant_id, endpoint_id))
    row = cursor.fetchone()
    if row is None:
        return None
    _audit_target(cursor, tenant_id, actor, "webhook.rotated", endpoint_id)
    return row["old_secret_until"]


def remove(cursor: Cursor, tenant_id: UUID, kind: TargetKind, target: UUID, *, actor: str) -> bool:
    """Delete an endpoint or a route with its secret; False where it is unknown."""
    cursor.execute(REMOVE_ENDPOINT if kind == "webhook" else REMOVE_ROUTE, (tenant_id, target))
    if cursor.fetchone() is None:
        return False
    _audit_target(cursor, tenant_id, actor, f"{kind}.removed", target)
    return True


def _audit_target(cursor: Cursor, tenant_id: UUID, actor: str, action: str, target: UUID) -> None:
    audit.record(cursor, tenant_id, actor=actor, action=action, detail={"target": str(target)})


def endpoints(cursor: Cursor, tenant_id: UUID) -> list[dict[str, Any]]:
    """Return a tenant's endpoints without their secrets."""
    cursor.execute(ENDPOINTS, (tenant_id,))
    return [dict(row) for row in cursor.fetchall()]


def routes(cursor: Cursor, tenant_id: UUID) -> list[dict[str, Any]]:
    """Return a tenant's notification routes without their URLs."""
    cursor.execute(ROUTES, (tenant_id,))
    return [dict(row) for row in cursor.fetchall()]


def endpoint(cursor: Cursor, tenant_id: UUID, endpoint_id: UUID) -> dict[str, Any] | None:
    """Return an endpoint with its sealed secrets, None where it was removed."""
    cursor.execute(ENDPOINT, (tenant_id, endpoint_id))
    row = cursor.fetchone()
    return dict(row) if row else None


def route(cursor: Cursor, tenant_id: UUID, route_id: UUID) -> dict[str, Any] | None:
    """Return a notification route with its sealed URL, None where it was removed."""
    cursor.execute(ROUTE, (tenant_id, route_id))
    row = cursor.fetchone()
    return dict(row) if row else None
