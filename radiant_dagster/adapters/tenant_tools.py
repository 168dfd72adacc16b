"""Which tools a tenant may use. No row means that it may not."""

from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.tools import BUILTIN_TOOLS

SET_TOOL = """
    insert into radiant.tenant_tool (tenant_id, name, allowed, set_by) values (%s, %s, %s, %s)
    on conflict (tenant_id, name) do update set allowed = excluded.allowed,
        set_by = excluded.set_by, set_at = clock_timestamp()
"""
ALLOWED = "select name from radiant.tenant_tool where tenant_id = %s and allowed"
ALL = """
    select name, allowed, set_by, set_at from radiant.tenant_tool where tenant_id = %s order by name
"""


def seed(cursor: Cursor, tenant_id: UUID) -> None:
    """Allow a new tenant the built-in tools."""
    for name in BUILTIN_TOOLS:
        cursor.execute(SET_TOOL, (tenant_id, name, True, "system:default"))


def set_allowed(cursor: Cursor, tenant_id: UUID, name: str, *, allowed: bool, actor: str) -> None:
    """Allow or forbid a tool; counts for calls of running sessions too."""
    cursor.execute(SET_TOOL, (tenant_id, name, allowed, actor))
    audit.record(
        cursor,
        tenant_id,
        actor=actor,
        action="tool.allowed" if allowed else "tool.forbidden",
        detail={"tool": name},
    )


def allowed_names(cursor: Cursor, tenant_id: UUID) -> frozenset[str]:
    """Return the names of the tools a tenant may use, installed or not."""
    cursor.execute(ALLOWED, (tenant_id,))
    return frozenset(row["name"] for row in cursor.fetchall())


def entries(cursor: Cursor, tenant_id: UUID) -> list[dict[str, Any]]:
    """Return what was decided about each tool."""
    cursor.execute(ALL, (tenant_id,))
    return [dict(row) for row in cursor.fetchall()]
