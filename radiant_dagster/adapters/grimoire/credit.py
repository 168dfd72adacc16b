"""Moves confidence by recorded outcomes, once a session and heuristic.

A session's outcome counts for the heuristics that its agents cited, each with the share of the
successful agents that cited it. What a use was credited with stays in its row, so that every
posterior can be computed again from the rows (`rebuild`). Sessions that end at the same time wait
for each other in the order of the heuristics' ids and never in a circle.
"""

from uuid import UUID

from radiant_dagster.adapters.postgres import Cursor

# One user's sessions move a heuristic by no more than two whole sessions' worth a day: whoever
# plants a lesson cannot praise it into every prompt. What lies above is lost, not postponed.
MOST_BY_ONE_USER = 2.0

LOCK_SESSION = """
    select lower(trim(user_id)) as user_id from radiant.session where tenant_id = %s and id = %s
    for no key update
"""
# What was offered, what the Librarian has learned from the session (feedback judges both in one
# transaction), and what those were merged into. The ids in order, before anything changes.
LOCK_TOUCHED = """
    with recursive touched (id) as (
        select heuristic_id from radiant.heuristic_usage
            where tenant_id = %(tenant)s and session_id = %(session)s and reward is null
        union
        select heuristic_id from radiant.librarian_decision
            where tenant_id = %(tenant)s and session_id = %(session)s
        union
        select h.merged_into from touched t
            join radiant.knowledge_heuristics h on h.tenant_id = %(tenant)s and h.id = t.id)
    select id, merged_into from radiant.knowledge_heuristics
    where tenant_id = %(tenant)s and id in (select id from touched)
    order by id for no key update
"""
# Rewards that are set already are left alone, so retries and re-executions count once. The share
# is one of all agents, also where some of them were credited earlier: it never exceeds one.
CREDIT = """
    with recursive cited as (
        select heuristic_id, count(*) filter (where cited and reward is null) as agents,
               count(*) filter (where cited and reward is null)::float8 / count(*) as share
        from radiant.heuristic_usage
        where tenant_id = %(tenant)s and session_id = %(session)s group by heuristic_id),
    allowed as (
        select c.heuristic_id,
               least(c.share, greatest(0, %(most)s - coalesce((
                   select sum(u.weight::float8) from radiant.heuristic_usage u
                   join radiant.session s on s.tenant_id = u.tenant_id and s.id = u.session_id
                   where u.tenant_id = %(tenant)s and u.heuristic_id = c.heuristic_id
                     and u.weight > 0
                     and u.credited_at > clock_timestamp() - interval '24 hours'
                     and lower(trim(s.user_id)) = %(user)s), 0))) / c.agents as weight
        from cited c where c.agents > 0),
    settled as (
        update radiant.heuristic_usage u
        set reward = %(reward)s, credited_at = clock_timestamp(),
            weight = case when u.cited then (select a.weight from allowed a
                                             where a.heuristic_id = u.heuristic_id) else 0 end
        where u.tenant_id = %(tenant)s and u.session_id = %(session)s and u.reward is null
        returning u.heuristic_id, u.cited, u.weight),
    moved (id, weight, own) as (
        select heuristic_id, sum(weight::float8), true from settled where cited group by 1
        union all
        select h.merged_into, m.weight, false from moved m
        join radiant.knowledge_heuristics h on h.tenant_id = %(tenant)s and h.id = m.id
        where h.merged_into is not null),
    gained as (select id, sum(weight) as weight, bool_or(own) as own,
                      coalesce(sum(weight) filter (where own), 0) as own_weight
               from moved group by id)
    update radiant.knowledge_heuristics h
    set alpha = h.alpha + g.weight * %(reward)s, beta = h.beta + g.weight * (1 - %(reward)s),
        success_count = h.success_count + (g.own_weight > 0 and %(reward)s >= 0.5)::int,
        failure_count = h.failure_count + (g.own_weight > 0 and %(reward)s < 0.5)::int,
        last_used_at = case when g.own then clock_timestamp() else h.last_used_at end,
        last_credited_at = case when g.weight > 0 then clock_timestamp()
                                else h.last_credited_at end,
        expires_at = case when g.weight > 0 then radiant.kept_until(clock_timestamp(),
                              (h.alpha + g.weight * %(reward)s) / (h.alpha + h.beta + g.weight))
                          else h.expires_at end,
        updated_at = clock_timestamp()
    from gained g
    where h.tenant_id = %(tenant)s and h.id = g.id
    returning g.weight > 0 as moved
"""


def credit_session(cursor: Cursor, tenant_id: UUID, session_id: UUID, reward: float) -> int:
    """Move the confidence of the heuristics a session's agents cited, and of their survivors.

    Args:
        reward: 0 to 1, from the recorded human decision.

    Returns:
        How many heuristics moved; 0 on a repeat.
    """
    cursor.execute(LOCK_SESSION, (tenant_id, session_id))
    session = cursor.fetchone()
    if session is None:
        return 0
    _lock_touched(cursor, tenant_id, session_id)
    cursor.execute(
        CREDIT,
        {
            "reward": reward,
            "tenant": tenant_id,
            "session": session_id,
            "user": session["user_id"],
            "most": MOST_BY_ONE_USER,
        },
    )
    return sum(row["moved"] for row in cursor.fetchall())


def _lock_touched(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> None:
    # A merge may commit while this waits for one of its rows; then its survivor is touched as well.
    # Nothing is kept locked meanwhile, or the survivor would be locked out of order.
    gone: set[UUID] = set()
    cursor.execute("savepoint touched")
    while True:
        cursor.execute(LOCK_TOUCHED, {"tenant": tenant_id, "session": session_id})
        rows = cursor.fetchall()
        survivors = {row["merged_into"] for row in rows if row["merged_into"] is not None}
        missing = survivors - {row["id"] for row in rows} - gone
        if not missing:
            return
        cursor.execute("rollback to savepoint touched")
        gone |= missing  # what a second look does not find either was deleted
