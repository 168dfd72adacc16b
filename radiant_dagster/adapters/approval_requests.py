"""Makes approval requests: a snapshot of the policy, the times, and the text they are bound to."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import audit, events
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.approvals import ReviewStage, payload_hash

# Policy and times are fixed here; a policy that changes later does not touch what is pending.
INSERT_REQUEST = """
    insert into radiant.approval_request (tenant_id, id, session_id, attempt, domain, requested_by,
        quorum, on_timeout, allow, assignees, required_role, second_role, reasons, created_at,
        deadline, reminder_at, escalate_at, review_stage, review_sanitized, withheld,
        payload_sha256)
    select %(tenant_id)s, %(id)s, %(session_id)s, %(attempt)s, %(domain)s, %(requested_by)s,
        p.quorum, p.on_timeout, p.allow, p.assignees, p.required_role, p.second_role, %(reasons)s,
        t.now, t.now + make_interval(secs => p.deadline_seconds),
        t.now + make_interval(secs => p.deadline_seconds * p.reminder_share),
        t.now + make_interval(secs => p.deadline_seconds * p.escalate_share),
        %(review_stage)s, %(review)s, %(withheld)s, %(payload_sha256)s
    from radiant.domain_policy p, (select clock_timestamp() as now) t
    where p.tenant_id = %(tenant_id)s and p.name = %(domain)s
    on conflict (tenant_id, session_id, attempt) do nothing
    returning id, deadline
"""
INSERT_PAYLOAD = """
    insert into radiant.approval_payload (tenant_id, approval_id, draft) values (%s, %s, %s)
"""
REQUEST_OF_ATTEMPT = """
    select id from radiant.approval_request
    where tenant_id = %s and session_id = %s and attempt = %s
"""


def request_approval(
    cursor: Cursor,
    tenant_id: UUID,
    approval_id: UUID,
    session: Mapping[str, Any],
    *,
    attempt: int,
    payload: str,
    review_stage: ReviewStage,
    review: Mapping[str, Any],
    withheld: bool,
    reasons: Sequence[str],
) -> UUID:
    """Store a request with the deadline of the session's domain.

    Args:
        attempt: 1 for the first draft, one more for each new one; repeats return the same request.
        payload: The unscrubbed text that the decision is bound to, kept where reviewers have no
            grant: the draft, or `answers_text` of the swarm.
        review_stage: Which of the two it is.
        review: What reviewers see, scrubbed.
        withheld: True where scrubbing failed and nothing may be shown.

    Returns:
        The request's id.
    """
    values = {
        "tenant_id": tenant_id,
        "id": approval_id,
        "session_id": session["id"],
        "attempt": attempt,
        "domain": session["domain"],
        "requested_by": session["user_id"],
        "reasons": list(reasons),
        "review": json.dumps(review),
        "withheld": withheld,
        "review_stage": review_stage,
        "payload_sha256": payload_hash(payload),
    }
    cursor.execute(INSERT_REQUEST, values)
    stored = cursor.fetchone()
    if stored is None:
        cursor.execute(REQUEST_OF_ATTEMPT, (tenant_id, session["id"], attempt))
        row = cursor.fetchone()
        assert row is not None  # noqa: S101 - the conflict that got us here is this row
        return row["id"]
    cursor.execute(INSERT_PAYLOAD, (tenant_id, approval_id, payload))
    audit.record(
        cursor,
        tenant_id,
        actor="system:think_tank",
        action="approval.requested",
        session_id=session["id"],
        approval_id=approval_id,
        detail={"attempt": attempt, "reasons": list(reasons), "withheld": withheld},
    )
    events.emit(
        cursor,
        tenant_id,
        "approval.requested",
        session_id=session["id"],
        domain=session["domain"],
        approval_id=approval_id,
        deadline=stored["deadline"],
        detail={"attempt": attempt, "reasons": list(reasons), "withheld": withheld},
    )
    return approval_id
