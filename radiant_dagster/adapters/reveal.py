"""Shows the unscrubbed texts of a review to who may see them, and writes down who did.

The audit row is committed before the text is returned: nobody reads an original unseen. It runs as
radiant_reveal, the only role of a reviewer's process with a grant on originals.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.approvals import Reviewer, require_person, validate_reason
from radiant_dagster.errors import ApprovalForbidden, ApprovalNotFound, OriginalErased

REQUEST = "select session_id from radiant.approval_request where tenant_id = %s and id = %s"
# Whoever erases a session deletes the payload: without it, nothing of the rest is shown either.
ORIGINALS = """
    select s.prompt, p.draft,
           (select jsonb_object_agg(a.agent_id, a.response) from radiant.agent_run a
            where a.tenant_id = s.tenant_id and a.session_id = s.id and a.status = 'success'
              and a.response is not null) as answers,
           r.review_stage
    from radiant.approval_request r
    join radiant.session s on s.tenant_id = r.tenant_id and s.id = r.session_id
    join radiant.approval_payload p on p.tenant_id = r.tenant_id and p.approval_id = r.id
    where r.tenant_id = %s and r.id = %s
"""


@dataclass(frozen=True, slots=True)
class Originals:
    """The unscrubbed texts of a request.

    Args:
        draft: The text under review, None where the answers are reviewed.
        answers: Answer by agent id.
    """

    prompt: str
    draft: str | None
    answers: Mapping[str, str]


def reveal(
    database: Database, tenant_id: UUID, approval_id: UUID, reviewer: Reviewer, *, reason: str
) -> Originals:
    """Return the unscrubbed prompt, draft and answers of a request.

    Never keep or log what this returns; send it with ``Cache-Control: no-store``.

    Args:
        reviewer: Needs the role ``privacy``.
        reason: Why, at most 200 characters, kept in the audit trail; no content.

    Raises:
        ApprovalForbidden: The role is missing.
        InvalidInput: There is no reason, or it is too long.
        OriginalErased: The session's texts were erased.
        ApprovalNotFound: Unknown, or another tenant's.
    """
    require_person(reviewer.actor)
    why = validate_reason(reason)
    with database.tenant_transaction(tenant_id, role="radiant_reveal") as cursor:
        cursor.execute(REQUEST, (tenant_id, approval_id))
        request = cursor.fetchone()
        if request is None:
            raise ApprovalNotFound(approval_id)
        if "privacy" not in reviewer.roles:
            raise ApprovalForbidden(approval_id, "role privacy is needed to see the original")
        cursor.execute(ORIGINALS, (tenant_id, approval_id))
        row = cursor.fetchone()
        if row is None or row["draft"] is None:
            raise OriginalErased(approval_id)
        audit.record(
            cursor,
            tenant_id,
            actor=reviewer.actor,
            action="approval.revealed",
            session_id=request["session_id"],
            approval_id=approval_id,
            detail={"reason": why},
        )
    draft = row["draft"] if row["review_stage"] == "draft" else None
    return Originals(row["prompt"], draft, row["answers"] or {})
