"""Reads heuristics for people: lists, one with its numbers."""

from typing import Any
from uuid import UUID

from radiant_dagster.adapters.paging import Place
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.errors import HeuristicNotFound

COLUMNS = """id, domain, polarity, state, trigger_pattern, action_template, confidence,
    success_count, failure_count, embedding_model, source_execution_id, outcome, created_by,
    approved_by, created_at, last_used_at, expires_at"""
HEURISTICS = f"""
    select {COLUMNS} from radiant.knowledge_heuristics
    where tenant_id = %(tenant)s and (%(domain)s::text is null or domain = %(domain)s)
      and (%(state)s::text is null or state = %(state)s)
      and (%(at)s::timestamptz is null or (created_at, id) < (%(at)s, %(id)s::uuid))
    order by created_at desc, id desc limit %(limit)s
"""  # noqa: S608 - COLUMNS is a literal above
HEURISTIC = f"""
    select {COLUMNS} from radiant.knowledge_heuristics where tenant_id = %s and id = %s
"""  # noqa: S608


def list_heuristics(
    cursor: Cursor,
    tenant_id: UUID,
    *,
    domain: str | None,
    state: str | None,
    limit: int,
    after: Place | None = None,
) -> list[dict[str, Any]]:
    """Return the newest heuristics, filtered by domain and state.

    Args:
        after: ``created_at`` and id of the last row of the page before.
    """
    values = {"tenant": tenant_id, "domain": domain, "state": state, "limit": limit}
    values |= {"at": after.at if after else None, "id": after.id if after else None}
    cursor.execute(HEURISTICS, values)
    return [dict(row) for row in cursor.fetchall()]


def get_heuristic(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID) -> dict[str, Any]:
    """Return one heuristic.

    Raises:
        HeuristicNotFound: Unknown, or another tenant's.
    """
    cursor.execute(HEURISTIC, (tenant_id, heuristic_id))
    row = cursor.fetchone()
    if row is None:
        raise HeuristicNotFound(heuristic_id)
    return dict(row)
