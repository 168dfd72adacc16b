"""What the Grimoire's state is in numbers, over all tenants, under the maintenance role.

Counts, shares and means by domain and by week; no text, no tenant and no user.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

from radiant_dagster.adapters.postgres import Cursor, Database

BINS = 10  # of the histogram of confidence
WEEKS = 12

BY_DOMAIN = """
    select domain,
           count(*) filter (where state = 'active') as active,
           count(*) filter (where state = 'quarantined') as quarantined,
           count(*) filter (where state = 'expired') as expired,
           count(*) filter (where state = 'retired') as retired,
           count(*) filter (where state = 'merged') as merged,
           count(*) filter (where state = 'revoked') as revoked,
           count(*) filter (where state = 'active' and last_used_at is null) as never_used,
           avg(confidence) filter (where state = 'active') as mean_confidence
    from radiant.knowledge_heuristics group by domain order by domain
"""
HISTOGRAM = """
    select least(floor(confidence * %(bins)s), %(bins)s - 1)::int as bin, count(*) as n
    from radiant.knowledge_heuristics where state = 'active' group by 1
"""
DUPLICATES = """
    select coalesce(sum(n - 1), 0)::int as n from (
        select count(*) as n from radiant.knowledge_heuristics
        where state in ('quarantined', 'active')
        group by tenant_id, domain, content_sha256) same
"""
BRIER = """
    select avg((h.confidence - u.reward) ^ 2) as n
    from radiant.heuristic_usage u
    join radiant.knowledge_heuristics h
      on h.tenant_id = u.tenant_id and h.id = u.heuristic_id
    where u.reward is not null and u.cited
"""
OPEN_LINKS = """
    select count(*) as n from radiant.heuristic_link l
    join radiant.knowledge_heuristics a on a.tenant_id = l.tenant_id and a.id = l.a
    join radiant.knowledge_heuristics b on b.tenant_id = l.tenant_id and b.id = l.b
    where l.state = 'open' and a.state in ('quarantined', 'active')
      and b.state in ('quarantined', 'active')
"""
REFUSED = """
    select reason, count(*) as n from radiant.librarian_decision
    where decision = 'refused' and at > clock_timestamp() - make_interval(weeks => %(weeks)s)
    group by 1 order by 2 desc, 1
"""
# Sessions by the week of their answer: how many got anything from the Grimoire, how many of those
# had an agent that said it used it.
USE_BY_WEEK = """
    select w.week::date as week, count(s.id) as sessions,
           count(*) filter (where u.cited is not null) as offered,
           count(*) filter (where u.cited) as cited
    from generate_series(
        date_trunc('week', now() at time zone 'UTC') - make_interval(weeks => %(weeks)s - 1),
        date_trunc('week', now() at time zone 'UTC'), interval '1 week') w (week)
    left join radiant.session s
        on s.answered_at >= w.week at time zone 'UTC'
       and s.answered_at < (w.week + interval '1 week') at time zone 'UTC'
    left join lateral (
        select bool_or(u.cited) as cited from radiant.heuristic_usage u
        where u.tenant_id = s.tenant_id and u.session_id = s.id) u on true
    group by 1 order by 1
"""
GROWTH_BY_WEEK = """
    select w.week::date as week,
           count(*) filter (where a.action = 'heuristic.quarantined') as added,
           count(*) filter (where a.action = 'heuristic.promoted') as promoted,
           count(*) filter (where a.action = 'heuristic.retired') as retired
    from generate_series(
        date_trunc('week', now() at time zone 'UTC') - make_interval(weeks => %(weeks)s - 1),
        date_trunc('week', now() at time zone 'UTC'), interval '1 week') w (week)
    left join radiant.audit a
        on a.at >= w.week at time zone 'UTC'
       and a.at < (w.week + interval '1 week') at time zone 'UTC'
    group by 1 order by 1
"""


@dataclass(frozen=True, slots=True)
class Use:
    """Answered sessions of a week, by what the Grimoire gave them.

    Args:
        offered: Sessions that were offered any heuristic.
        cited: Of these, sessions in which an agent cited one.
    """

    week: date
    sessions: int
    offered: int
    cited: int


@dataclass(frozen=True, slots=True)
class Growth:
    """What came into the Grimoire in a week, and what was taken out of use."""

    week: date
    added: int
    promoted: int
    retired: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The Grimoire in numbers.

    Args:
        by_domain: A row a domain: counts by state, never used, mean confidence.
        histogram: Active heuristics by confidence, ten equal parts from 0 to 1.
        duplicates: Live rows beyond the first of one text.
        brier: Mean squared difference of confidence and reward over cited uses; None without any.
        open_links: Pairs that wait for a curator's word.
        refused: Why the Librarian refused, by its code, in the last twelve weeks.
    """

    by_domain: tuple[dict[str, Any], ...]
    histogram: tuple[int, ...]
    duplicates: int
    brier: float | None
    open_links: int
    refused: tuple[tuple[str, int], ...]
    use: tuple[Use, ...]
    growth: tuple[Growth, ...]

    def total(self, name: str) -> int:
        """Return the sum of a count over the domains."""
        return sum(row[name] for row in self.by_domain)


def read_figures(database: Database) -> Figures:
    """Return the Grimoire in numbers, over all tenants."""
    period = {"weeks": WEEKS}
    with database.system_transaction("radiant_maintenance") as cursor:
        cursor.execute(HISTOGRAM, {"bins": BINS})
        bins = {row["bin"]: row["n"] for row in cursor.fetchall()}
        brier = _one(cursor, BRIER)
        return Figures(
            by_domain=tuple(_rows(cursor, BY_DOMAIN)),
            histogram=tuple(bins.get(number, 0) for number in range(BINS)),
            duplicates=int(_one(cursor, DUPLICATES)),
            brier=None if brier is None else float(brier),
            open_links=int(_one(cursor, OPEN_LINKS)),
            refused=tuple((row["reason"], row["n"]) for row in _rows(cursor, REFUSED, period)),
            use=tuple(Use(**row) for row in _rows(cursor, USE_BY_WEEK, period)),
            growth=tuple(Growth(**row) for row in _rows(cursor, GROWTH_BY_WEEK, period)),
        )


def _rows(
    cursor: Cursor, statement: str, values: dict[str, int] | None = None
) -> list[dict[str, Any]]:
    cursor.execute(statement, values)
    return [dict(row) for row in cursor.fetchall()]


def _one(cursor: Cursor, statement: str) -> Any:
    return _rows(cursor, statement)[0]["n"]
