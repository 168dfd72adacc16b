"""Computes every posterior of a tenant again, from what was recorded, and tells what differs.

A posterior begins at Beta(1, 1). Every credited use adds its weight, split by the reward, and so
does every reviewed session that produced or re-derived the heuristic; what was merged into it
counts as its own. Credit adds as it goes, in single precision; the sums here are the definition.
"""

from dataclasses import dataclass
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Cursor

# Of the sum, and at least of 1. Single precision loses 6e-8 of the sum with each of the credits.
TOLERANCE = 1e-3

LOCK_ALL = """
    select id from radiant.knowledge_heuristics where tenant_id = %s order by id for no key update
"""
DIFFERING = """
    with recursive family (root, id) as (
        select id, id from radiant.knowledge_heuristics where tenant_id = %(tenant)s
        union
        select f.root, h.id from family f
        join radiant.knowledge_heuristics h
            on h.tenant_id = %(tenant)s and h.merged_into = f.id),
    counted (id, good, bad) as (
        select heuristic_id, weight::float8 * reward, weight::float8 * (1 - reward)
        from radiant.heuristic_usage
        where tenant_id = %(tenant)s and reward is not null and weight > 0
        union all
        select heuristic_id, reward, 1 - reward from radiant.librarian_decision
        where tenant_id = %(tenant)s and reviewed and reward is not null),
    own as (select id, sum(good) as good, sum(bad) as bad from counted group by id),
    expected as (
        select f.root as id, 1 + coalesce(sum(o.good), 0) as alpha,
               1 + coalesce(sum(o.bad), 0) as beta
        from family f left join own o on o.id = f.id group by f.root)
    select h.id, h.alpha, h.beta, e.alpha as expected_alpha, e.beta as expected_beta
    from radiant.knowledge_heuristics h join expected e on e.id = h.id
    where h.tenant_id = %(tenant)s
      and (abs(h.alpha - e.alpha) > %(tolerance)s * e.alpha
           or abs(h.beta - e.beta) > %(tolerance)s * e.beta)
    order by h.id
"""
SET_POSTERIOR = """
    update radiant.knowledge_heuristics
    set alpha = %(alpha)s, beta = %(beta)s,
        expires_at = radiant.kept_until(greatest(last_credited_at, created_at),
            %(alpha)s::float8 / (%(alpha)s::float8 + %(beta)s::float8))
    where tenant_id = %(tenant)s and id = %(id)s
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """A heuristic whose posterior is not what its records add up to.

    Args:
        alpha: As stored, like ``beta``.
        expected_alpha: What the records add up to, like ``expected_beta``.
    """

    id: UUID
    alpha: float
    beta: float
    expected_alpha: float
    expected_beta: float


def differences(cursor: Cursor, tenant_id: UUID) -> list[Difference]:
    """Return the heuristics whose posterior differs from their records by more than 0.1 %."""
    cursor.execute(DIFFERING, {"tenant": tenant_id, "tolerance": TOLERANCE})
    return [Difference(**row) for row in cursor.fetchall()]


def rebuild(cursor: Cursor, tenant_id: UUID, *, actor: str) -> list[Difference]:
    """Set every posterior that differs to what its records add up to, and its expiry with it.

    Credits of the tenant wait until the transaction ends; none is lost.

    Returns:
        What differed, as it was before.
    """
    cursor.execute(LOCK_ALL, (tenant_id,))
    found = differences(cursor, tenant_id)
    for item in found:
        cursor.execute(
            SET_POSTERIOR,
            {
                "tenant": tenant_id,
                "id": item.id,
                "alpha": item.expected_alpha,
                "beta": item.expected_beta,
            },
        )
        audit.record(
            cursor,
            tenant_id,
            actor=actor,
            action="heuristic.rebuilt",
            heuristic_id=item.id,
            detail={
                "alpha": [round(item.alpha, 4), round(item.expected_alpha, 4)],
                "beta": [round(item.beta, 4), round(item.expected_beta, 4)],
            },
        )
    return found
