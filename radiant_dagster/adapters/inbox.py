"""What a reviewer may read of approvals: the inbox, its counts, and one request in full.

Reads only, as radiant_review: titles and search know the scrubbed texts and nothing else. A passed
deadline shows as expired even before a sweep recorded it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.paging import Place
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.approvals import MAX_CONTINUATION_FAILURES, MAX_CONTINUATION_LOSSES
from radiant_dagster.errors import ApprovalNotFound, InvalidInput

MAX_PAGE = 200

_SHOWN = """
    select r.*, clock_timestamp() as server_now,
           case when r.state = 'pending' and clock_timestamp() >= r.deadline
                     and (r.on_timeout = 'reject' or r.extended_at is not null)
                then 'expired' else r.state end as shown_state,
           case when r.claim_expires > clock_timestamp() then r.claimed_by end as claim_holder
    from radiant.approval_request r
    where r.tenant_id = %(tenant)s
"""
_ROWS = """
    select r.id, r.session_id, r.attempt, r.domain, r.requested_by as requester, r.reasons,
           left(r.review_sanitized ->> 'prompt', 80) as title, r.withheld, r.state, r.shown_state,
           r.created_at, r.deadline, r.escalated_at, r.extended_at, r.server_now,
           r.claim_holder as claimed_by, r.claim_expires, r.assignees, r.version, r.quorum,
           encode(r.payload_sha256, 'hex') as payload_sha256, s.cost_micro_usd,
           (select count(*) from radiant.approval_vote v
            where v.tenant_id = r.tenant_id and v.approval_id = r.id) as votes,
           a.agents_ok, a.agents_failed
    from ({shown}) r
    join radiant.session s on s.tenant_id = r.tenant_id and s.id = r.session_id
    cross join lateral (
        select count(*) filter (where item ->> 'status' = 'success') as agents_ok,
               count(*) filter (where item ->> 'status' <> 'success') as agents_failed
        from jsonb_array_elements(coalesce(r.review_sanitized -> 'agents', '[]')) item) a
    where (%(states)s::text[] is null or r.shown_state = any (%(states)s))
      and (%(domain)s::text is null or r.domain = %(domain)s)
      and (%(assignee)s::text is null or r.assignees is null or exists (
           select 1 from unnest(r.assignees) who
           where lower(trim(who)) = lower(trim(%(assignee)s))))
      and (%(claimed_by)s::text is null
           or lower(trim(r.claim_holder)) = lower(trim(%(claimed_by)s)))
      and (%(deadline_before)s::timestamptz is null or r.deadline < %(deadline_before)s)
      and (%(q)s::text is null or r.review_sanitized ->> 'prompt' ilike %(q)s
           or r.review_sanitized ->> 'draft' ilike %(q)s)
      and (%(at)s::timestamptz is null or (r.deadline, r.id) {beyond} (%(at)s, %(id)s::uuid))
    order by r.deadline {way}, r.id {way} limit %(limit)s
"""
NEAREST = _ROWS.format(shown=_SHOWN, beyond=">", way="asc")
NEWEST = _ROWS.format(shown=_SHOWN, beyond="<", way="desc")
_COUNTS = """
    select r.shown_state as state, r.domain, count(*) as number from ({shown}) r
    group by 1, 2 order by 1, 2
"""
COUNTS = _COUNTS.format(shown=_SHOWN)
_DETAIL = """
    select r.id, r.session_id, r.attempt, r.domain, r.requested_by as requester, r.reasons,
           r.withheld, r.state, r.shown_state, r.created_at, r.deadline, r.reminder_at,
           r.reminded_at, r.escalate_at, r.escalated_at, r.extended_at, r.on_timeout, r.server_now,
           r.claim_holder as claimed_by, r.claim_expires, r.assignees, r.required_role,
           r.second_role, r.allow, r.quorum, r.version, r.review_stage, r.review_sanitized,
           encode(r.payload_sha256, 'hex') as payload_sha256,
           d.verdict, d.decided_by, d.decided_at, d.guidance, d.edited_text, d.claimed_run_id,
           d.done_at, coalesce(d.done_at is null and d.claimed_run_id is null
               and (d.failures >= %(failures)s or d.losses >= %(losses)s), false) as stuck,
           s.status as session_status, s.cost_micro_usd, s.dagster_run_id,
           s.conclude_run_id
    from ({shown} and r.id = %(id)s) r
    join radiant.session s on s.tenant_id = r.tenant_id and s.id = r.session_id
    left join radiant.approval_decision d on d.tenant_id = r.tenant_id and d.approval_id = r.id
"""
DETAIL = _DETAIL.format(shown=_SHOWN)
VOTES = """
    select actor, verdict, guidance, at from radiant.approval_vote
    where tenant_id = %s and approval_id = %s order by at
"""
NOW = "select clock_timestamp() as now"


@dataclass(frozen=True, slots=True)
class InboxPage:
    """One page of requests.

    Args:
        rows: id, session_id, domain, title (None where the text is withheld), reasons, state,
            shown_state, deadline, agents_ok, agents_failed, cost_micro_usd, requester, claimed_by
            (None once lapsed), version, quorum, votes, payload_sha256 (hexadecimal) and more.
        server_now: The database's clock, for countdowns.
        after: Where the next page begins, None where this is the last.
    """

    rows: tuple[dict[str, Any], ...]
    server_now: datetime
    after: Place | None


def inbox(
    cursor: Cursor,
    tenant_id: UUID,
    *,
    states: Sequence[str] | None = ("pending",),
    domain: str | None = None,
    assignee: str | None = None,
    claimed_by: str | None = None,
    q: str = "",
    deadline_before: datetime | None = None,
    after: Place | None = None,
    limit: int = 50,
    newest_first: bool = False,
) -> InboxPage:
    """Return one page of requests, the nearest deadline first.

    Args:
        states: Shown states, None for all.
        assignee: Only what this person may take: assigned to them, or to nobody.
        claimed_by: Only what this person holds a claim on.
        q: Words in the scrubbed question or draft.
        deadline_before: Only nearer deadlines.
        after: `InboxPage.after` of the page before, with the same filters and order.
        limit: 1 to 200 rows.
        newest_first: The latest deadline first, for the decided ones.

    Raises:
        InvalidInput: The limit is out of range.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput("limit", f"is not 1 to {MAX_PAGE}", "Page with `cursor`.")
    values = {
        "tenant": tenant_id,
        "states": None if states is None else list(states),
        "domain": domain,
        "assignee": assignee,
        "claimed_by": claimed_by,
        "q": _pattern(q),
        "deadline_before": deadline_before,
        "at": after.at if after else None,
        "id": after.id if after else None,
        "limit": limit + 1,  # one more tells whether there is a next page
    }
    cursor.execute(NEWEST if newest_first else NEAREST, values)
    found = [dict(row) for row in cursor.fetchall()]
    rows = found[:limit]
    cursor.execute(NOW)
    clock = cursor.fetchone()
    assert clock is not None  # noqa: S101 - a select without FROM has one row
    last = Place(rows[-1]["deadline"], rows[-1]["id"]) if len(found) > limit else None
    return InboxPage(tuple(rows), clock["now"], last)


def _pattern(q: str) -> str | None:
    words = " ".join(q.replace("\x00", "").split())
    if not words:
        return None
    for sign in ("\\", "%", "_"):
        words = words.replace(sign, "\\" + sign)
    return f"%{words}%"


def counts(cursor: Cursor, tenant_id: UUID) -> list[dict[str, Any]]:
    """Return how many requests there are by shown state and domain: state, domain, number."""
    cursor.execute(COUNTS, {"tenant": tenant_id})
    return [dict(row) for row in cursor.fetchall()]


def approval_detail(cursor: Cursor, tenant_id: UUID, approval_id: UUID) -> dict[str, Any]:
    """Return everything that a reviewer may see of a request.

    Returns:
        The request with its policy, times, claim, decision, session status, cost and Dagster run
        ids; ``review_sanitized`` with prompt, draft, answers, heuristics; ``etag``, as an HTTP
        entity tag; ``payload_sha256`` in hexadecimal; ``votes`` and ``history``, oldest first.
        What happens at the deadline: ``on_timeout``, and ``extended_at`` where it was extended.
        ``stuck``: no run carries the decision out any more unless a person asks for it.

    Raises:
        ApprovalNotFound: Unknown, or another tenant's.
    """
    values = {
        "tenant": tenant_id,
        "id": approval_id,
        "failures": MAX_CONTINUATION_FAILURES,
        "losses": MAX_CONTINUATION_LOSSES,
    }
    cursor.execute(DETAIL, values)
    row = cursor.fetchone()
    if row is None:
        raise ApprovalNotFound(approval_id)
    cursor.execute(VOTES, (tenant_id, approval_id))
    votes = [dict(vote) for vote in cursor.fetchall()]
    return {
        **row,
        "etag": f'"v{row["version"]}"',
        "votes": votes,
        "history": audit.of_approval(cursor, tenant_id, approval_id),
    }
