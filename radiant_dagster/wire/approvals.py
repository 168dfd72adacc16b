"""Approvals over the API: the inbox, one request, and what is done with it."""

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from radiant_dagster.wire.base import MAX_PAGE, Answer, Json, Moment, Request

ApprovalState = Literal["pending", "approved", "rejected", "modified", "expired", "cancelled"]
SHA256 = r"^[0-9a-f]{64}$"


class ApprovalQuery(Request):
    """Which requests."""

    state: ApprovalState | Literal["all"] = "pending"
    domain: str | None = Field(None, max_length=63)
    assignee: Literal["me"] | None = Field(
        None, description="Assigned to the caller, or to nobody."
    )
    claimed: Literal["me"] | None = Field(None, description="Claimed by the caller.")
    q: str = Field("", max_length=200, description="Words in the scrubbed question or draft.")
    deadline_before: Moment | None = None
    order: Literal["nearest", "newest"] = Field("nearest", description="By the deadline.")
    cursor: str | None = Field(None, max_length=100, description="next_cursor of the page before.")
    limit: int = Field(50, ge=1, le=MAX_PAGE)


class ApprovalSummary(Answer):
    """A request in a list; scrubbed of personal data."""

    id: UUID
    session_id: UUID
    attempt: int
    domain: str
    requested_by: str
    title: str | None = Field(description="Of the scrubbed question; null where it is withheld.")
    reasons: list[str]
    withheld: bool
    state: ApprovalState
    shown_state: ApprovalState = Field(description="Expired as soon as the deadline has passed.")
    created_at: AwareDatetime
    deadline: AwareDatetime
    escalated_at: AwareDatetime | None
    extended_at: AwareDatetime | None
    claimed_by: str | None
    claim_expires: AwareDatetime | None
    assignees: list[str] | None
    version: int
    quorum: int
    votes: int
    payload_sha256: str = Field(description="Of the text under review, in hexadecimal.")
    cost_micro_usd: int
    agents_ok: int
    agents_failed: int
    server_now: AwareDatetime


class Count(Answer):
    """How many requests there are."""

    state: ApprovalState
    domain: str
    number: int


class ApprovalPage(Answer):
    """Requests, the nearest deadline first."""

    approvals: list[ApprovalSummary]
    counts: list[Count]
    server_now: AwareDatetime = Field(description="For countdowns.")
    next_cursor: str | None


class WaitQuery(Request):
    """How long to wait for a change."""

    wait: int = Field(
        0, ge=0, le=25,
        description="Seconds to wait for another version than that of If-None-Match.",
    )  # fmt: skip


class Vote(Answer):
    """One person's vote."""

    actor: str
    verdict: str
    guidance: str
    at: AwareDatetime


class AuditEntry(Answer):
    """Who did what."""

    id: int
    at: AwareDatetime
    actor: str
    action: str
    detail: Json


class Approval(Answer):
    """Everything that a reviewer may see of a request."""

    id: UUID
    session_id: UUID
    attempt: int
    domain: str
    requested_by: str
    reasons: list[str]
    withheld: bool
    state: ApprovalState
    shown_state: ApprovalState
    created_at: AwareDatetime
    deadline: AwareDatetime
    reminder_at: AwareDatetime | None
    reminded_at: AwareDatetime | None
    escalate_at: AwareDatetime | None
    escalated_at: AwareDatetime | None
    extended_at: AwareDatetime | None
    on_timeout: str
    server_now: AwareDatetime
    claimed_by: str | None
    claim_expires: AwareDatetime | None
    assignees: list[str] | None
    required_role: str
    second_role: str
    allow: list[str]
    quorum: int
    version: int
    review_stage: str
    review_sanitized: Json = Field(description="What may be read: prompt, draft, answers, facts.")
    payload_sha256: str = Field(description="Send it back with the decision.")
    verdict: str | None
    decided_by: list[str] | None
    decided_at: AwareDatetime | None
    guidance: str | None
    edited_text: str | None
    claimed_run_id: str | None
    done_at: AwareDatetime | None
    stuck: bool = Field(
        False, description="No run carries the decision out any more, unless it is retried."
    )
    session_status: str
    cost_micro_usd: int
    dagster_run_id: str | None
    conclude_run_id: str | None
    etag: str
    votes: list[Vote]
    history: list[AuditEntry]


class Claimed(Answer):
    """A claim, or that there is none any more."""

    approval_id: UUID
    claimed_by: str | None
    expires_at: AwareDatetime | None = Field(description="Renew it before by claiming again.")
    server_now: AwareDatetime | None


class Decide(Request):
    """A person's decision on exactly one text."""

    verdict: Literal["approved", "rejected", "modified"]
    payload_sha256: str = Field(pattern=SHA256, description="As it was read.")
    guidance: str = Field("", max_length=8_000, description="Needed where it is rejected.")
    edited_text: str | None = Field(None, max_length=100_000, description="With modified only.")


class Decided(Answer):
    """What became of a vote."""

    approval_id: UUID
    session_id: UUID
    verdict: str | None = Field(description="Null while another vote is needed.")
    votes: int
    quorum: int


class Reveal(Request):
    """Why somebody has to see the original."""

    reason: str = Field(min_length=1, max_length=200, description="Kept in the audit trail.")


class Originals(Answer):
    """Texts that are not scrubbed. Do not store them."""

    approval_id: UUID
    prompt: str
    draft: str | None
    answers: dict[str, str]


class CancelledApproval(Answer):
    """A request that was cancelled with its session."""

    approval_id: UUID
    session_id: UUID


class RetriedApproval(Answer):
    """A request whose decision is carried out again."""

    approval_id: UUID
    session_id: UUID


class Reassign(Request):
    """Who may decide from now on."""

    assignees: list[str] = Field(max_length=100, description="Empty: everybody with the role.")


class BulkItem(Request):
    """One of several requests."""

    id: UUID
    payload_sha256: str | None = Field(
        None, pattern=SHA256, description="Of the text that the list showed; to reject."
    )


class Bulk(Request):
    """Claims or rejects several requests; approving takes opening each."""

    action: Literal["claim", "reject"]
    approvals: list[BulkItem] = Field(min_length=1, max_length=100)
    guidance: str = Field("", max_length=8_000, description="Needed where they are rejected.")


class BulkResult(Answer):
    """What became of one of them."""

    approval_id: UUID
    status: int
    code: str | None = Field(description="Of the problem, null where it worked.")
    detail: str | None


class BulkResults(Answer):
    """One result a request, in the same order."""

    results: list[BulkResult]


class AuditPage(Answer):
    """Audit rows of one request, oldest first."""

    entries: list[AuditEntry]
