"""What a curator decides about two heuristics that say nearly the same, or the opposite."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from radiant_dagster.adapters.grimoire import curation, merging, neighbours
from radiant_dagster.adapters.grimoire.curation import lock, note, require_possible
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.curation import Keep, KeepApart, Merge, Resolve, Unmerge
from radiant_dagster.errors import InvalidInput

LINK = """
    select kind, state from radiant.heuristic_link where tenant_id = %s and a = %s and b = %s
    for update
"""
DECIDE = """
    update radiant.heuristic_link
    set state = %s, decided_by = %s, decided_at = clock_timestamp()
    where tenant_id = %s and a = %s and b = %s
"""


def merge(
    cursor: Cursor,
    tenant_id: UUID,
    heuristic_id: UUID,
    *,
    into: UUID,
    actor: str,
    if_version: int | None = None,
) -> None:
    """Fold a heuristic into another one of its domain and polarity, whose text stays.

    Raises:
        HeuristicNotFound, HeuristicChanged: See `curation.lock`.
        InvalidInput: One is out of use, or they cannot be one.
    """
    neighbours.lock_domain_of(cursor, tenant_id, heuristic_id)
    row, other = _both(cursor, tenant_id, heuristic_id, into, if_version)
    require_possible(row, Merge, actor)
    require_possible(other, Merge, actor)
    link = _link(cursor, tenant_id, heuristic_id, into)
    differ = [name for name in ("domain", "polarity") if row[name] != other[name]]
    if differ or (link is not None and link["kind"] == "conflict" and link["state"] == "open"):
        raise InvalidInput(
            "into",
            f"{into} has another {differ[0]}" if differ else f"{into} contradicts it",
            "Choose one that says the same." if differ else "Resolve the conflict first.",
        )
    merging.merge_into(cursor, tenant_id, heuristic_id, into, actor=actor)


def unmerge(
    cursor: Cursor,
    tenant_id: UUID,
    heuristic_id: UUID,
    *,
    actor: str,
    if_version: int | None = None,
) -> None:
    """Undo a merge.

    Raises:
        HeuristicNotFound, HeuristicChanged: See `curation.lock`.
        InvalidInput: It is not merged, or a live heuristic has the same text meanwhile.
    """
    merging.lock_family(cursor, tenant_id, heuristic_id)
    row = lock(cursor, tenant_id, heuristic_id, if_version=if_version)
    require_possible(row, Unmerge, actor)
    merging.unmerge(cursor, tenant_id, heuristic_id, actor=actor)


def keep_apart(
    cursor: Cursor,
    tenant_id: UUID,
    heuristic_id: UUID,
    *,
    other: UUID,
    actor: str,
    if_version: int | None = None,
) -> None:
    """Say that two near copies are two lessons.

    Raises:
        HeuristicNotFound, HeuristicChanged: See `curation.lock`.
        InvalidInput: One is out of use, or no near copy of the other waits for a decision.
    """
    row, second = _both(cursor, tenant_id, heuristic_id, other, if_version)
    require_possible(row, KeepApart, actor)
    require_possible(second, KeepApart, actor)
    _require_open(_link(cursor, tenant_id, heuristic_id, other), "near_copy", other)
    _settle(cursor, tenant_id, row, other, "kept_apart", actor)


def resolve(
    cursor: Cursor,
    tenant_id: UUID,
    heuristic_id: UUID,
    *,
    other: UUID,
    keep: Keep,
    actor: str,
    if_version: int | None = None,
) -> None:
    """Settle a conflict: keep one and retire the other, or keep both.

    Raises:
        HeuristicNotFound, HeuristicChanged: See `curation.lock`.
        InvalidInput: One is out of use, or no conflict of the two waits for a decision.
    """
    row, second = _both(cursor, tenant_id, heuristic_id, other, if_version)
    require_possible(row, Resolve, actor)
    require_possible(second, Resolve, actor)
    _require_open(_link(cursor, tenant_id, heuristic_id, other), "conflict", other)
    _settle(cursor, tenant_id, row, other, "resolved", actor, keep=keep)
    loser = {"this": second, "other": row, "both": None}[keep]
    if loser is not None:
        curation.set_state(cursor, tenant_id, loser, "retired", actor=actor, reason="conflict")


def _both(
    cursor: Cursor, tenant_id: UUID, one: UUID, other: UUID, if_version: int | None
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    if one == other:
        raise InvalidInput("other", "is the heuristic itself", "Name another one.")
    locked: dict[UUID, Mapping[str, Any]] = {}
    for item in sorted((one, other)):  # in one order, or two curators could wait for each other
        version = if_version if item == one else None
        locked[item] = lock(cursor, tenant_id, item, if_version=version)
    return locked[one], locked[other]


def _link(cursor: Cursor, tenant_id: UUID, one: UUID, other: UUID) -> Mapping[str, Any] | None:
    cursor.execute(LINK, (tenant_id, *sorted((one, other))))
    row = cursor.fetchone()
    return dict(row) if row else None


def _require_open(link: Mapping[str, Any] | None, kind: str, other: UUID) -> None:
    if link is None or (link["kind"], link["state"]) != (kind, "open"):
        what = kind.replace("_", " ")
        raise InvalidInput(
            "other",
            f"no {what} with {other} waits for a decision",
            "List what waits with `radiant grimoire queue`.",
        )


def _settle(
    cursor: Cursor,
    tenant_id: UUID,
    row: Mapping[str, Any],
    other: UUID,
    state: str,
    actor: str,
    **facts: object,
) -> None:
    cursor.execute(DECIDE, (state, actor, tenant_id, *sorted((row["id"], other))))
    note(cursor, tenant_id, row, state, actor=actor, other=str(other), **facts)
