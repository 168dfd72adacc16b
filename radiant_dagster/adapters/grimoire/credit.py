"""Moves confidence by recorded outcomes, once a session and heuristic."""

from uuid import UUID

from radiant_dagster.adapters.postgres import Cursor

# One credit a session and heuristic: the share of the successful agents that cited it is its
# weight. Rewards that are set already are left alone, so retries and re-executions count once.
CREDIT = """
    with open_usage as (
        update radiant.heuristic_usage set reward = %(reward)s
        where tenant_id = %(tenant)s and session_id = %(session)s and reward is null
        returning heuristic_id, cited),
    weight as (
        select heuristic_id, avg(cited::int) as share from open_usage group by heuristic_id)
    update radiant.knowledge_heuristics h
    set alpha = alpha + w.share * %(reward)s, beta = beta + w.share * (1 - %(reward)s),
        success_count = success_count + (%(reward)s >= 0.5)::int,
        failure_count = failure_count + (%(reward)s < 0.5)::int,
        last_used_at = clock_timestamp(), last_credited_at = clock_timestamp(),
        expires_at = greatest(expires_at, clock_timestamp() + interval '90 days' * least(2.0,
            greatest(0.33, 2 * (alpha + w.share * %(reward)s) / (alpha + beta + w.share)))),
        updated_at = clock_timestamp()
    from weight w
    where h.tenant_id = %(tenant)s and h.id = w.heuristic_id and w.share > 0
    returning h.id
"""


def credit_session(cursor: Cursor, tenant_id: UUID, session_id: UUID, reward: float) -> int:
    """Move the confidence of the heuristics a session's agents cited.

    Args:
        reward: 0 to 1, from the recorded human decision.

    Returns:
        How many heuristics moved; 0 on a repeat.
    """
    cursor.execute(CREDIT, {"reward": reward, "tenant": tenant_id, "session": session_id})
    return len(cursor.fetchall())
