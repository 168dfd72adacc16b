"""The audit trail: who did what to which session, approval or heuristic. Insert only.

At commit the database links each row to the tenant's one before by a hash (migration 0007), in the
order of the commits. `verify` recomputes the hashes here, from the rows as they are.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from radiant_dagster.adapters.postgres import Cursor

INSERT_AUDIT = """
    insert into radiant.audit
        (tenant_id, session_id, approval_id, heuristic_id, actor, action, detail)
    values (%s, %s, %s, %s, %s, %s, %s)
"""
AUDIT_OF_SESSION = """
    select at, actor, action, approval_id, heuristic_id, detail from radiant.audit
    where tenant_id = %s and session_id = %s order by id
"""
AUDIT_OF_APPROVAL = """
    select id, at, actor, action, detail from radiant.audit
    where tenant_id = %s and approval_id = %s order by id
"""
AUDIT_OF_HEURISTIC = """
    select id, at, actor, action, session_id, detail from radiant.audit
    where tenant_id = %s and heuristic_id = %s order by id
"""
AUDIT = """
    select a.id, a.at, a.actor, a.action, a.session_id, a.approval_id, a.heuristic_id, a.detail,
           l.position, encode(l.hash, 'hex') as hash
    from radiant.audit a
    left join radiant.audit_link l on l.tenant_id = a.tenant_id and l.audit_id = a.id
    where a.tenant_id = %s and a.id < coalesce(%s, 9223372036854775807)
    order by a.id desc limit %s
"""
# One statement, so that a row committed meanwhile is seen with its link or not at all. The text is
# that of radiant.audit_text, spelled out: a changed function must not vouch for changed rows.
CHAIN = """
    select l.position, coalesce(l.audit_id, a.id) as id, l.prev_hash, l.hash,
           case when a.id is not null then
               jsonb_build_array(a.tenant_id, a.id, a.session_id, a.approval_id, a.heuristic_id,
                   (extract(epoch from a.at) * 1000000)::bigint, a.actor, a.action, a.detail)::text
           end as content
    from (select * from radiant.audit where tenant_id = %(tenant)s) a
    full join (select * from radiant.audit_link where tenant_id = %(tenant)s) l
        on l.audit_id = a.id
    order by l.position nulls last, a.id
"""
HEAD = "select position, hash from radiant.audit_head where tenant_id = %s"
GENESIS = hashlib.sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of the chain found.

    Args:
        rows: How many rows hold, from the first one on.
        head: Hash of the last row that holds, in hexadecimal. Kept outside of the database it
            proves later that nothing before it was changed, not even by who owns the database.
        broken_id: Number of the first audit row that does not hold, None where all do.
        problem: ``changed``, ``deleted``, ``not_linked``, ``link_missing``, ``link_changed``,
            ``end_missing`` or ``anchor_missing``.
    """

    rows: int
    head: str
    broken_id: int | None = None
    problem: str | None = None

    @property
    def holds(self) -> bool:
        """Whether every row is as it was written."""
        return self.problem is None


def record(
    cursor: Cursor,
    tenant_id: UUID,
    *,
    actor: str,
    action: str,
    session_id: UUID | None = None,
    approval_id: UUID | None = None,
    heuristic_id: UUID | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write one audit row in the caller's transaction.

    Args:
        detail: Codes, counts and ids only; no prompt, answer or guidance.
    """
    cursor.execute(
        INSERT_AUDIT,
        (
            tenant_id,
            session_id,
            approval_id,
            heuristic_id,
            actor,
            action,
            json.dumps(detail or {}),
        ),
    )


def of_session(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> list[dict[str, Any]]:
    """Return a session's audit rows, oldest first."""
    cursor.execute(AUDIT_OF_SESSION, (tenant_id, session_id))
    return [dict(row) for row in cursor.fetchall()]


def of_approval(cursor: Cursor, tenant_id: UUID, approval_id: UUID) -> list[dict[str, Any]]:
    """Return a request's audit rows, oldest first."""
    cursor.execute(AUDIT_OF_APPROVAL, (tenant_id, approval_id))
    return [dict(row) for row in cursor.fetchall()]


def of_heuristic(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID) -> list[dict[str, Any]]:
    """Return a heuristic's audit rows, oldest first."""
    cursor.execute(AUDIT_OF_HEURISTIC, (tenant_id, heuristic_id))
    return [dict(row) for row in cursor.fetchall()]


def page(
    cursor: Cursor, tenant_id: UUID, *, before: int | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Return a tenant's audit rows with their hashes, newest first.

    Args:
        before: Only rows with a smaller number, for the next page.
    """
    cursor.execute(AUDIT, (tenant_id, before, limit))
    return [dict(row) for row in cursor.fetchall()]


def verify(cursor: Cursor, tenant_id: UUID, *, anchor: bytes | None = None) -> Verification:
    """Recompute a tenant's chain and name the first row that does not hold.

    Args:
        anchor: A head that was noted earlier; it has to be a link of the chain still.
    """
    cursor.execute(HEAD, (tenant_id,))  # before the rows: more may be committed in between
    head = cursor.fetchone()
    wanted = {GENESIS if head is None else bytes(head["hash"]): "end_missing"}
    if anchor is not None:
        wanted[anchor] = "anchor_missing"
    wanted.pop(GENESIS, None)
    previous, rows = GENESIS, 0
    cursor.execute(CHAIN, {"tenant": tenant_id})
    for row in cursor:
        problem = _problem(row, previous, rows + 1)
        if problem is not None:
            return Verification(rows, previous.hex(), row["id"], problem)
        previous = bytes(row["hash"])
        rows += 1
        wanted.pop(previous, None)
    return Verification(rows, previous.hex(), None, next(iter(wanted.values()), None))


def _problem(row: Mapping[str, Any], previous: bytes, position: int) -> str | None:
    if row["position"] is None:
        return "not_linked"
    if row["position"] != position:
        return "link_missing"
    if bytes(row["prev_hash"]) != previous:
        return "link_changed"
    if row["content"] is None:
        return "deleted"
    if hashlib.sha256(previous + row["content"].encode()).digest() != bytes(row["hash"]):
        return "changed"
    return None
