"""What a curator does with one heuristic as it stands: every change has a name in the audit.

The audit names the hash of the text that was judged, so that it can be told later what exactly
somebody had let through. Acts that change the text are in `texts`, those on two rows in `links`.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.approvals import require_person
from radiant_dagster.domain.curation import (
    ALLOWED,
    DONE,
    Act,
    Pin,
    Promote,
    Reason,
    Retire,
    Revoke,
    require_second_person,
)
from radiant_dagster.domain.heuristics import exact_sha256
from radiant_dagster.errors import HeuristicChanged, HeuristicNotFound, InvalidInput

# Not `for update`: whoever links this one to another would wait for it, and in a circle.
LOCK = """
    select id, domain, polarity, state, version, trigger_pattern, action_template, source_user,
           pinned, merged_into, approved_sha256
    from radiant.knowledge_heuristics where tenant_id = %s and id = %s for no key update
"""
PROMOTE = """
    update radiant.knowledge_heuristics
    set state = 'active', approved_by = %s, approved_at = clock_timestamp(), approved_sha256 = %s,
        updated_at = clock_timestamp()
    where tenant_id = %s and id = %s
"""
SET_STATE = """
    update radiant.knowledge_heuristics set state = %s, updated_at = clock_timestamp()
    where tenant_id = %s and id = %s
"""
PIN = """
    update radiant.knowledge_heuristics set pinned = %s, updated_at = clock_timestamp()
    where tenant_id = %s and id = %s
"""


def lock(
    cursor: Cursor, tenant_id: UUID, heuristic_id: UUID, *, if_version: int | None = None
) -> Mapping[str, Any]:
    """Return a heuristic that nobody else changes before this transaction ends.

    Args:
        if_version: What the caller read; None where any will do.

    Raises:
        HeuristicNotFound: Unknown, or another tenant's.
        HeuristicChanged: It has another version.
    """
    cursor.execute(LOCK, (tenant_id, heuristic_id))
    row = cursor.fetchone()
    if row is None:
        raise HeuristicNotFound(heuristic_id)
    if if_version is not None and row["version"] != if_version:
        raise HeuristicChanged(heuristic_id, row["version"])
    return dict(row)


def require_possible(row: Mapping[str, Any], act: type[Act], actor: str) -> None:
    """Refuse an act that the heuristic's state does not allow, or that nobody does.

    Raises:
        InvalidInput: Names the actor or the state.
    """
    require_person(actor)
    if row["state"] not in ALLOWED[act]:
        done = DONE[act].replace("_", " ")
        if row["state"] == done:
            raise InvalidInput("heuristic", f"{row['id']} is {done} already", "Nothing is to do.")
        raise InvalidInput(
            "heuristic",
            f"{row['id']} is {row['state']}, it cannot be {done}",
            f"That takes one that is {' or '.join(ALLOWED[act])}.",
        )


def text_hash(row: Mapping[str, Any]) -> bytes:
    """Return the hash of a row's polarity and text, to the letter."""
    return exact_sha256(row["polarity"], row["trigger_pattern"], row["action_template"])


def note(
    cursor: Cursor,
    tenant_id: UUID,
    row: Mapping[str, Any],
    done: str,
    *,
    actor: str,
    **facts: object,
) -> None:
    """Write into the audit what was done to which text of a heuristic."""
    audit.record(
        cursor,
        tenant_id,
        actor=actor,
        action=f"heuristic.{done}",
        heuristic_id=row["id"],
        detail={"sha256": text_hash(row).hex(), "version": row["version"], **facts},
    )


def promote(
    cursor: Cursor,
    tenant_id: UUID,
    heuristic_id: UUID,
    *,
    actor: str,
    if_version: int | None = None,
) -> None:
    """Make a quarantined heuristic active, on a curator's word.

    Raises:
        HeuristicNotFound: Unknown, or another tenant's.
        HeuristicChanged: Its text is another one by now.
        InvalidInput: It is not quarantined.
        CurationForbidden: It came from the curator's own session, where it could hurt.
    """
    row = lock(cursor, tenant_id, heuristic_id, if_version=if_version)
    require_possible(row, Promote, actor)
    require_second_person(
        heuristic_id, domain=row["domain"], source_user=row["source_user"], actor=actor
    )
    let_through(cursor, tenant_id, row, actor=actor)


def let_through(
    cursor: Cursor, tenant_id: UUID, row: Mapping[str, Any], *, actor: str, **facts: object
) -> None:
    """Let agents use the text of a locked candidate, and write it into the audit."""
    cursor.execute(PROMOTE, (actor, text_hash(row), tenant_id, row["id"]))
    note(cursor, tenant_id, row, "promoted", actor=actor, **facts)


def retire(
    cursor: Cursor,
    tenant_id: UUID,
    heuristic_id: UUID,
    *,
    actor: str,
    reason: Reason = "other",
    if_version: int | None = None,
) -> None:
    """Take a heuristic out of use, on a curator's word.

    Raises:
        HeuristicNotFound, HeuristicChanged: See `lock`.
        InvalidInput: It is out of use already.
    """
    row = lock(cursor, tenant_id, heuristic_id, if_version=if_version)
    require_possible(row, Retire, actor)
    set_state(cursor, tenant_id, row, "retired", actor=actor, reason=reason)


def revoke(
    cursor: Cursor,
    tenant_id: UUID,
    heuristic_id: UUID,
    *,
    actor: str,
    reason: Reason = "other",
    if_version: int | None = None,
) -> None:
    """Declare a heuristic wrong, whatever state it is in.

    Raises:
        HeuristicNotFound, HeuristicChanged: See `lock`.
        InvalidInput: It is revoked already, or merged into another one.
    """
    row = lock(cursor, tenant_id, heuristic_id, if_version=if_version)
    require_possible(row, Revoke, actor)
    set_state(cursor, tenant_id, row, "revoked", actor=actor, reason=reason)


def set_state(
    cursor: Cursor,
    tenant_id: UUID,
    row: Mapping[str, Any],
    state: str,
    *,
    actor: str,
    **facts: object,
) -> None:
    """Take a locked heuristic out of use and write it into the audit under the state's name."""
    cursor.execute(SET_STATE, (state, tenant_id, row["id"]))
    note(cursor, tenant_id, row, state, actor=actor, **facts)


def pin(
    cursor: Cursor,
    tenant_id: UUID,
    heuristic_id: UUID,
    *,
    actor: str,
    pinned: bool,
    if_version: int | None = None,
) -> None:
    """Keep a heuristic whatever time and numbers say, or end that.

    Raises:
        HeuristicNotFound, HeuristicChanged: See `lock`.
        InvalidInput: It is out of use.
    """
    row = lock(cursor, tenant_id, heuristic_id, if_version=if_version)
    require_possible(row, Pin, actor)
    if row["pinned"] != pinned:
        cursor.execute(PIN, (pinned, tenant_id, heuristic_id))
        note(cursor, tenant_id, row, "pinned" if pinned else "unpinned", actor=actor)
