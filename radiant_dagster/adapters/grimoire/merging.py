"""Joins two heuristics that say the same, and takes that back.

The loser stays as it is, with its text and its evidence; it only points to the survivor, which
gains what is known of the loser. Nothing is overwritten, so `unmerge` is exact.
"""

from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.grimoire import evidence
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.errors import HeuristicNotFound, InvalidInput

LIVE = ("quarantined", "active")

LOCK_ROWS = """
    select id, state, domain, polarity, alpha, beta, merged_into, merged_from, content_sha256
    from radiant.knowledge_heuristics where tenant_id = %s and id = any(%s::uuid[])
    order by id for no key update
"""
MERGE = """
    update radiant.knowledge_heuristics
    set state = 'merged', merged_from = state, merged_into = %s, updated_at = clock_timestamp()
    where tenant_id = %s and id = %s
"""
UNMERGE = """
    update radiant.knowledge_heuristics
    set state = coalesce(merged_from, 'quarantined'), merged_from = null, merged_into = null,
        updated_at = clock_timestamp()
    where tenant_id = %s and id = %s
"""
CLOSE_LINK = """
    update radiant.heuristic_link
    set state = 'merged', decided_by = %s, decided_at = clock_timestamp()
    where tenant_id = %s and a = least(%s, %s) and b = greatest(%s, %s) and state = 'open'
"""
OPEN_LINK = """
    update radiant.heuristic_link set state = 'open', decided_by = null, decided_at = null
    where tenant_id = %s and a = least(%s, %s) and b = greatest(%s, %s) and state = 'merged'
"""
SAME_LIVE = """
    select 1 from radiant.knowledge_heuristics
    where tenant_id = %s and domain = %s and polarity = %s and content_sha256 = %s
      and state in ('quarantined', 'active')
"""


def merge_into(cursor: Cursor, tenant_id: UUID, loser: UUID, survivor: UUID, *, actor: str) -> None:
    """Let one heuristic stand for another; the other's evidence counts for it.

    Raises:
        HeuristicNotFound: One is unknown, or another tenant's.
        InvalidInput: They are one row, one is out of use, or they differ in domain or polarity.
    """
    rows = _lock(cursor, tenant_id, loser, survivor)
    gone, kept = rows[loser], rows[survivor]
    for row in (gone, kept):
        if row["state"] not in LIVE:
            raise InvalidInput(
                "heuristic", f"{row['id']} is {row['state']}, it cannot be merged", "Choose others."
            )
    if loser == survivor or any(gone[name] != kept[name] for name in ("domain", "polarity")):
        raise InvalidInput(
            "survivor",
            "is the same row, or of another domain or polarity",
            "Choose a heuristic that says the same for the same domain.",
        )
    cursor.execute(MERGE, (survivor, tenant_id, loser))
    evidence.move(cursor, tenant_id, survivor, gone["alpha"] - 1, gone["beta"] - 1)
    cursor.execute(CLOSE_LINK, (actor, tenant_id, loser, survivor, loser, survivor))
    _record(cursor, tenant_id, actor, "merged", loser, survivor)


def unmerge(cursor: Cursor, tenant_id: UUID, loser: UUID, *, actor: str) -> None:
    """Take a merge back: the loser is what it was, with all evidence that came in its name.

    Raises:
        HeuristicNotFound: Unknown, or another tenant's.
        InvalidInput: It is not merged, or a live heuristic has the same text meanwhile.
    """
    row = _lock(cursor, tenant_id, loser)[loser]
    survivor = row["merged_into"]
    if row["state"] != "merged" or survivor is None:
        raise InvalidInput("heuristic", f"{loser} is {row['state']}, not merged", "Choose another.")
    same = (tenant_id, row["domain"], row["polarity"], row["content_sha256"])
    cursor.execute(SAME_LIVE, same)
    if cursor.fetchone() is not None:
        raise InvalidInput(
            "heuristic", f"{loser} has the text of a live one", "Retire the live one first."
        )
    evidence.move(cursor, tenant_id, survivor, 1 - row["alpha"], 1 - row["beta"])
    cursor.execute(UNMERGE, (tenant_id, loser))
    cursor.execute(OPEN_LINK, (tenant_id, loser, survivor, loser, survivor))
    _record(cursor, tenant_id, actor, "unmerged", loser, survivor)


def _lock(cursor: Cursor, tenant_id: UUID, *ids: UUID) -> dict[UUID, dict[str, Any]]:
    cursor.execute(LOCK_ROWS, (tenant_id, [str(item) for item in ids]))
    rows = {row["id"]: dict(row) for row in cursor.fetchall()}
    for item in ids:
        if item not in rows:
            raise HeuristicNotFound(item)
    return rows


def _record(
    cursor: Cursor, tenant_id: UUID, actor: str, done: str, loser: UUID, survivor: UUID
) -> None:
    audit.record(
        cursor,
        tenant_id,
        actor=actor,
        action=f"heuristic.{done}",
        heuristic_id=loser,
        detail={"survivor": str(survivor)},
    )
