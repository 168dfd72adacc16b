"""Folds one heuristic into another that says the same, and undoes that. Text is never changed."""

from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Cursor

FOLD = """
    with loser as (
        update radiant.knowledge_heuristics
        set state = 'merged', merged_into = %(survivor)s, updated_at = clock_timestamp()
        where tenant_id = %(tenant)s and id = %(loser)s returning alpha, beta)
    update radiant.knowledge_heuristics s
    set alpha = s.alpha + l.alpha - 1, beta = s.beta + l.beta - 1, updated_at = clock_timestamp()
    from loser l where s.tenant_id = %(tenant)s and s.id = %(survivor)s
"""
UNFOLD = """
    with loser as (
        update radiant.knowledge_heuristics h
        set state = case when approved_sha256 is null then 'quarantined' else 'active' end,
            merged_into = null, updated_at = clock_timestamp()
        from (select merged_into as survivor from radiant.knowledge_heuristics
              where tenant_id = %(tenant)s and id = %(loser)s) b
        where h.tenant_id = %(tenant)s and h.id = %(loser)s
        returning b.survivor, alpha, beta)
    update radiant.knowledge_heuristics s
    set alpha = s.alpha - l.alpha + 1, beta = s.beta - l.beta + 1, updated_at = clock_timestamp()
    from loser l where s.tenant_id = %(tenant)s and s.id = l.survivor returning s.id
"""
LINK = """
    update radiant.heuristic_link set state = %s, decided_by = %s, decided_at = clock_timestamp()
    where tenant_id = %s and a = %s and b = %s
"""


def merge_into(cursor: Cursor, tenant_id: UUID, loser: UUID, survivor: UUID, *, actor: str) -> None:
    """Fold one heuristic's evidence into another."""
    cursor.execute(FOLD, {"tenant": tenant_id, "loser": loser, "survivor": survivor})
    cursor.execute(LINK, ("merged", actor, tenant_id, *sorted((loser, survivor))))
    audit.record(
        cursor, tenant_id, actor=actor, action="heuristic.merged", heuristic_id=loser,
        detail={"into": str(survivor)},
    )  # fmt: skip


def unmerge(cursor: Cursor, tenant_id: UUID, loser: UUID, *, actor: str) -> None:
    """Undo a merge."""
    cursor.execute(UNFOLD, {"tenant": tenant_id, "loser": loser})
    row = cursor.fetchone()
    assert row is not None  # noqa: S101 - the caller saw that it is merged
    cursor.execute(LINK, ("open", None, tenant_id, *sorted((loser, row["id"]))))
    audit.record(cursor, tenant_id, actor=actor, action="heuristic.unmerged", heuristic_id=loser)
