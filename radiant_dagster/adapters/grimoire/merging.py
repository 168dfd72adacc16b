"""Joins two heuristics that say the same, and takes that back.

The loser stays as it is, with its text and its evidence; it only points to the survivor, which
gains what is known of the loser. Nothing is overwritten, so `unmerge` is exact.

What is merged into what changes only under the lock of its domain, which comes before the locks of
rows; those are taken in the order of the ids, the loser's and all survivors' at once.
"""

from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.grimoire import evidence, neighbours
from radiant_dagster.adapters.grimoire.neighbours import Place
from radiant_dagster.adapters.grimoire.search import vector_of
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.errors import HeuristicNotFound, InvalidInput

LIVE = ("quarantined", "active")

LOCK_ROWS = """
    select id, state, domain, polarity, alpha, beta, merged_into, merged_from, content_sha256,
           trigger_pattern, action_template, embedding_model, halfvec_send(embedding) as embedding
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
    set state = %s, merged_from = null, merged_into = null, updated_at = clock_timestamp()
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
    neighbours.lock_domain_of(cursor, tenant_id, loser)
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

    It is compared with the others anew: their texts may be other ones by now, and nobody compared
    what came meanwhile with a merged one.

    Raises:
        HeuristicNotFound: Unknown, or another tenant's.
        InvalidInput: It is not merged, or a live heuristic has the same text meanwhile.
    """
    row = _lock_merged(cursor, tenant_id, loser)
    same = (tenant_id, row["domain"], row["polarity"], row["content_sha256"])
    cursor.execute(SAME_LIVE, same)
    if cursor.fetchone() is not None:
        raise InvalidInput(
            "heuristic", f"{loser} has the text of a live one", "Retire the live one first."
        )
    _part(cursor, tenant_id, row, row["merged_from"] or "quarantined", actor)
    vector = vector_of(row["embedding"])
    place = Place(loser, row["domain"], vector, row["embedding_model"])
    neighbours.link_again(cursor, tenant_id, place, row, actor=actor)


def take_out(cursor: Cursor, tenant_id: UUID, loser: UUID, *, actor: str) -> None:
    """Take a merge back and leave the loser out of use, whatever text others have meanwhile.

    Raises:
        HeuristicNotFound: Unknown, or another tenant's.
        InvalidInput: It is not merged.
    """
    _part(cursor, tenant_id, _lock_merged(cursor, tenant_id, loser), "retired", actor)


def lock_family(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID) -> None:
    """Lock the domain of a heuristic, then it and everything that it was merged into."""
    neighbours.lock_domain_of(cursor, tenant_id, heuristic_id)
    evidence.lock_chain(cursor, tenant_id, heuristic_id)


def _lock_merged(cursor: Cursor, tenant_id: UUID, loser: UUID) -> dict[str, Any]:
    lock_family(cursor, tenant_id, loser)
    row = _lock(cursor, tenant_id, loser)[loser]
    if row["state"] != "merged" or row["merged_into"] is None:
        raise InvalidInput("heuristic", f"{loser} is {row['state']}, not merged", "Choose another.")
    return row


def _part(cursor: Cursor, tenant_id: UUID, row: dict[str, Any], state: str, actor: str) -> None:
    loser, survivor = row["id"], row["merged_into"]
    evidence.move(cursor, tenant_id, survivor, 1 - row["alpha"], 1 - row["beta"])
    cursor.execute(UNMERGE, (state, tenant_id, loser))
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
