"""How the reviews go: time to decision and expiry, by domain, reviewer and day."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from radiant_dagster.adapters.postgres import Cursor

DAYS = 30

# A deadline's expiry says nothing of how fast people are, so the times are of people's decisions.
_DECIDED = """
    from radiant.approval_decision d
    join radiant.approval_request r on r.tenant_id = d.tenant_id and r.id = d.approval_id
    where d.tenant_id = %(tenant)s
      and d.decided_at >= clock_timestamp() - make_interval(days => %(days)s)
"""
_FIGURES = """
    count(*) as decided, count(*) filter (where d.verdict = 'expired') as expired,
    percentile_cont(0.5) within group (order by extract(epoch from d.decided_at - r.created_at))
        filter (where d.verdict <> 'expired') as p50_seconds,
    percentile_cont(0.95) within group (order by extract(epoch from d.decided_at - r.created_at))
        filter (where d.verdict <> 'expired') as p95_seconds
"""
_TOTAL = "select {figures} {decided}"
TOTAL = _TOTAL.format(figures=_FIGURES, decided=_DECIDED)
_BY_DOMAIN = "select r.domain, {figures} {decided} group by 1 order by 1"
BY_DOMAIN = _BY_DOMAIN.format(figures=_FIGURES, decided=_DECIDED)
# A vote that was the first of two counts for its reviewer as well, at its own time.
BY_REVIEWER = """
    select v.actor as reviewer, count(*) as votes,
           count(*) filter (where v.verdict = 'approved') as approved,
           count(*) filter (where v.verdict = 'rejected') as rejected,
           count(*) filter (where v.verdict = 'modified') as modified,
           percentile_cont(0.5) within group (order by extract(epoch from v.at - r.created_at))
               as p50_seconds,
           percentile_cont(0.95) within group (order by extract(epoch from v.at - r.created_at))
               as p95_seconds
    from radiant.approval_vote v
    join radiant.approval_request r on r.tenant_id = v.tenant_id and r.id = v.approval_id
    where v.tenant_id = %(tenant)s
      and v.at >= clock_timestamp() - make_interval(days => %(days)s)
    group by 1 order by 2 desc, 1
"""
_BY_DAY = """
    with found as (
        select (d.decided_at at time zone 'UTC')::date as day, {figures} {decided} group by 1)
    select at::date as day, coalesce(f.decided, 0) as decided, coalesce(f.expired, 0) as expired,
           f.p50_seconds, f.p95_seconds
    from generate_series((clock_timestamp() at time zone 'UTC')::date - (%(days)s - 1),
                         (clock_timestamp() at time zone 'UTC')::date, interval '1 day') at
    left join found f on f.day = at::date
    order by 1
"""
BY_DAY = _BY_DAY.format(figures=_FIGURES, decided=_DECIDED)


@dataclass(frozen=True, slots=True)
class ReviewMetrics:
    """How the reviews of the last days went.

    Args:
        total: decided (expired ones too), expired, expiry_rate (0 to 1), p50_seconds and
            p95_seconds from request to a person's decision (None where nobody decided).
        by_domain: The same with ``domain``.
        by_reviewer: reviewer, votes, approved, rejected, modified, p50_seconds, p95_seconds.
        by_day: The same as the total with ``day`` in UTC, one row a day, the oldest first.
    """

    total: dict[str, Any]
    by_domain: tuple[dict[str, Any], ...]
    by_reviewer: tuple[dict[str, Any], ...]
    by_day: tuple[dict[str, Any], ...]


def metrics(cursor: Cursor, tenant_id: UUID, *, days: int = DAYS) -> ReviewMetrics:
    """Return how the reviews of the last days went, as radiant_review.

    Args:
        days: How far back, 30 by default.
    """

    def rows(query: str) -> tuple[dict[str, Any], ...]:
        cursor.execute(query, {"tenant": tenant_id, "days": days})
        return tuple(_with_rate(dict(row)) for row in cursor.fetchall())

    (total,) = rows(TOTAL)
    return ReviewMetrics(total, rows(BY_DOMAIN), rows(BY_REVIEWER), rows(BY_DAY))


def _with_rate(row: dict[str, Any]) -> dict[str, Any]:
    if "expired" in row:
        row["expiry_rate"] = row["expired"] / row["decided"] if row["decided"] else 0.0
    return row
