"""Moves confidence by the reviewed sessions that produced a lesson or came to it again.

The evidence of a heuristic are the rows of `librarian_decision` that name it and carry a reward,
each session once. What is known of a merged row counts for the rows it was merged into as well.
Whatever moves, the candidate is asked whether it may be used from now on.
"""

from typing import Any
from uuid import UUID

from radiant_dagster.adapters.grimoire import curation
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.approvals import count_people
from radiant_dagster.domain.learning import VOUCHES_AT, may_promote

EVIDENCE_ACTOR = "system:evidence"

# The row itself and what it was merged into, from the outside in; union ends a circle.
CHAIN = """
    with recursive up as (
        select id, merged_into from radiant.knowledge_heuristics
        where tenant_id = %(tenant)s and id = %(id)s
        union
        select h.id, h.merged_into from radiant.knowledge_heuristics h
        join up on h.id = up.merged_into where h.tenant_id = %(tenant)s)
"""
# In the order of ids, as merges and credit lock.
LOCK_CHAIN = f"""{CHAIN}
    select h.id from radiant.knowledge_heuristics h join up on h.id = up.id
    where h.tenant_id = %(tenant)s order by h.id for no key update of h
"""  # noqa: S608 - a constant
MOVE = f"""{CHAIN}
    update radiant.knowledge_heuristics h
    set alpha = h.alpha + %(alpha)s, beta = h.beta + %(beta)s, updated_at = clock_timestamp()
    from up where h.tenant_id = %(tenant)s and h.id = up.id
    returning h.id, h.merged_into
"""  # noqa: S608 - a constant
JUDGE = """
    update radiant.librarian_decision set reviewed = true, reward = %s
    where tenant_id = %s and session_id = %s and not reviewed and reward is null
      and heuristic_id is not null
    returning heuristic_id
"""
CANDIDATE = """
    select h.id, h.domain, h.polarity, h.version, h.trigger_pattern, h.action_template, h.alpha,
           h.beta, p.auto_promote
    from radiant.knowledge_heuristics h
    join radiant.domain_policy p on p.tenant_id = h.tenant_id and p.name = h.domain
    where h.tenant_id = %s and h.id = %s and h.state = 'quarantined'
      and h.expires_at > clock_timestamp()
    for no key update of h
"""
# Of the candidate and of everything that was merged into it. One person under two spellings is one.
VOUCHERS = """
    with recursive below as (
        select id from radiant.knowledge_heuristics where tenant_id = %(tenant)s and id = %(id)s
        union
        select h.id from radiant.knowledge_heuristics h join below on h.merged_into = below.id
        where h.tenant_id = %(tenant)s)
    select count(*) as sessions, coalesce(array_agg(distinct d.source_user), '{}') as names
    from radiant.librarian_decision d join below on d.heuristic_id = below.id
    where d.tenant_id = %(tenant)s and d.reviewed and d.reward > %(vouches_at)s
"""
# Of all of these with what is in use, by itself or by what stands for it; a pair of which one side
# is out of use is in nobody's queue. A text that a curator declared wrong is one more.
OBJECTIONS = """
    with recursive below as (
        select id, domain, polarity, content_sha256 from radiant.knowledge_heuristics
        where tenant_id = %(tenant)s and id = %(id)s
        union
        select h.id, h.domain, h.polarity, h.content_sha256
        from radiant.knowledge_heuristics h join below on h.merged_into = below.id
        where h.tenant_id = %(tenant)s),
    up (id) as (
        select case when l.a = f.id then l.b else l.a end from below f
        join radiant.heuristic_link l on l.tenant_id = %(tenant)s and f.id in (l.a, l.b)
        where l.kind = 'conflict' and l.state = 'open'
        union
        select h.merged_into from up
        join radiant.knowledge_heuristics h on h.tenant_id = %(tenant)s and h.id = up.id)
    select (select count(*) from up
            join radiant.knowledge_heuristics h on h.tenant_id = %(tenant)s and h.id = up.id
            where h.state in ('quarantined', 'active') and h.id not in (select id from below))
         + (select count(*) from radiant.knowledge_heuristics h join below f
                using (domain, polarity, content_sha256)
            where h.tenant_id = %(tenant)s and h.state = 'revoked') as open
"""


def add(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID, reward: float) -> bool:
    """Count one reviewed session for a heuristic and for what it was merged into.

    The session's row of `librarian_decision` has to be written before: it says who vouches.

    Args:
        reward: 0 to 1, what the session proves of the lesson.

    Returns:
        True where a candidate became active by it.
    """
    root = move(cursor, tenant_id, heuristic_id, reward, 1.0 - reward)
    return root is not None and promote_if_proven(cursor, tenant_id, root)


def move(
    cursor: Cursor, tenant_id: UUID, heuristic_id: UUID, alpha: float, beta: float
) -> UUID | None:
    """Move the posterior of a heuristic and of everything it was merged into.

    Returns:
        The row that stands for all of them, None where the heuristic is gone.
    """
    lock_chain(cursor, tenant_id, heuristic_id)
    key: dict[str, Any] = {"tenant": tenant_id, "id": heuristic_id}
    cursor.execute(MOVE, key | {"alpha": alpha, "beta": beta})
    rows = cursor.fetchall()
    return next((row["id"] for row in rows if row["merged_into"] is None), None)


def lock_chain(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID) -> None:
    """Lock a heuristic and everything it was merged into, in the order of their ids.

    Under the lock of the domain, or after `credit` has locked them, once is enough; without, a
    merge that commits meanwhile adds a row that the waiting statement does not see.
    """
    known: set[UUID] = set()
    while True:
        cursor.execute(LOCK_CHAIN, {"tenant": tenant_id, "id": heuristic_id})
        found = {row["id"] for row in cursor.fetchall()}
        if found == known:
            return
        known = found


def judge_session(cursor: Cursor, tenant_id: UUID, session_id: UUID, reward: float) -> bool:
    """Give a session that nobody had reviewed its outcome later, once.

    Args:
        reward: 0 to 1, what somebody who got the answer said it was worth.

    Returns:
        True where a lesson's confidence moved.
    """
    cursor.execute(JUDGE, (reward, tenant_id, session_id))
    row = cursor.fetchone()
    if row is None:
        return False
    add(cursor, tenant_id, row["heuristic_id"], reward)
    return True


def promote_if_proven(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID) -> bool:
    """Make a candidate active where the reviewed sessions of enough different users vouch for it.

    Returns:
        True where it became active now.
    """
    cursor.execute(CANDIDATE, (tenant_id, heuristic_id))
    row = cursor.fetchone()
    if row is None:
        return False
    key: dict[str, Any] = {"tenant": tenant_id, "id": heuristic_id}
    cursor.execute(VOUCHERS, key | {"vouches_at": VOUCHES_AT})
    vouchers: dict[str, Any] = cursor.fetchone() or {}
    users = count_people(vouchers["names"])
    cursor.execute(OBJECTIONS, key)
    objections: dict[str, Any] = cursor.fetchone() or {}
    if not may_promote(
        domain=row["domain"],
        auto_promote=row["auto_promote"],
        users=users,
        objections=objections["open"],
        alpha=row["alpha"],
        beta=row["beta"],
    ):
        return False
    curation.let_through(
        cursor,
        tenant_id,
        row,
        actor=EVIDENCE_ACTOR,
        sessions=vouchers["sessions"],
        users=users,
        alpha=round(row["alpha"], 4),
        beta=round(row["beta"], 4),
    )
    return True
