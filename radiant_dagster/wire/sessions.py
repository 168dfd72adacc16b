"""Sessions over the API: what is asked, how far it is, what came of it."""

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from radiant_dagster.wire.base import MAX_PAGE, Answer, Json, Request

SessionStatus = Literal[
    "created", "running", "synthesised", "awaiting_review", "concluding",
    "completed", "rejected", "expired", "failed", "cancelled",
]  # fmt: skip


class AgentRequest(Request):
    """One agent of a swarm."""

    agent_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")
    role: str = Field(min_length=1, max_length=80)
    model: str = Field(min_length=1, max_length=200)
    temperature: float = Field(0.7, ge=0, le=2)
    max_tokens: int = Field(2048, ge=1, le=32_768)
    tools: list[str] | None = None
    instructions: str = Field("", max_length=8_000)
    output_schema: Json | None = Field(None, description="JSON schema that the answer has to fit.")


class SubmitSession(Request):
    """A question for the think tank."""

    prompt: str = Field(min_length=1, max_length=32_000)
    domain: str = Field("general", description="Whose rules apply; see GET /domains.")
    panel: str = Field("default", description="Stored panel; see GET /panels.")
    agents: list[AgentRequest] | None = Field(
        None, min_length=1, max_length=64, description="The swarm, instead of a panel."
    )
    context: Json = Field(
        default_factory=dict, description="Documents by name, 200,000 characters in all."
    )
    system_prompt: str | None = Field(None, max_length=8_000)
    require_approval: bool = Field(
        False, description="Ask a person even where the domain does not."
    )
    parent: UUID | None = Field(None, description="Completed session that this one follows.")
    live: bool = Field(False, description="Stream the agents' answers to who watches.")


class RerunSession(Request):
    """Asks a session's question again."""

    live: bool = False


class Submitted(Answer):
    """A session that was taken in."""

    session_id: UUID
    status: SessionStatus
    dagster_run_id: str | None
    run_link: str | None = Field(description="Its run in Dagit.")


class Estimate(Answer):
    """What a session can cost at most, in micro-USD."""

    per_agent: dict[str, int]
    synthesis: int
    librarian: int
    embeddings: int
    total_micro_usd: int


class SessionQuery(Request):
    """Which sessions."""

    status: SessionStatus | None = None
    domain: str | None = Field(None, max_length=63)
    cursor: str | None = Field(None, max_length=100, description="next_cursor of the page before.")
    limit: int = Field(50, ge=1, le=MAX_PAGE)


class SessionSummary(Answer):
    """A session in a list."""

    id: UUID
    status: SessionStatus
    domain: str
    user_id: str
    title: str = Field(description="The first 80 characters of the question.")
    swarm_status: str | None
    cost_micro_usd: int
    created_at: AwareDatetime
    ended_at: AwareDatetime | None
    dagster_run_id: str | None
    conclude_run_id: str | None


class SessionPage(Answer):
    """Sessions, the newest first."""

    sessions: list[SessionSummary]
    next_cursor: str | None


class AgentProgress(Answer):
    """How far one agent is."""

    agent_id: str
    role: str
    model: str
    status: str
    attempts: int
    latency_ms: int
    tokens: int
    cost_micro_usd: int
    error_code: str | None
    cited: int
    draft: str | None = Field(description="End of what it has written, where that may be shown.")
    draft_tokens: int | None


class ReviewProgress(Answer):
    """The newest approval request of a session."""

    id: UUID
    state: str
    attempt: int
    deadline: AwareDatetime
    reasons: list[str]
    on_timeout: str
    required_role: str
    withheld: bool
    extended: bool
    seconds_left: float
    verdict: str | None
    decided_by: list[str]
    claimed: bool


class SessionProgress(Answer):
    """How far a session is."""

    id: UUID
    status: SessionStatus
    domain: str
    swarm_status: str | None
    missing_agents: dict[str, str]
    cost_micro_usd: int
    offline_demo: bool
    live: bool
    dagster_run_id: str | None
    conclude_run_id: str | None
    failure_code: str | None
    failure_message: str | None
    elapsed_seconds: float
    agents: list[AgentProgress]
    review: ReviewProgress | None
    ended: bool
    waits_for_person: bool


class SessionRecord(Answer):
    """A session's row, without drafts."""

    id: UUID
    status: SessionStatus
    domain: str
    prompt: str
    context: Json
    system_prompt: str | None
    user_id: str
    require_approval: bool
    heuristics: list[Json]
    swarm_status: str | None
    missing_agents: dict[str, str]
    cato_verdict: str | None
    cato_reasons: list[str]
    approval_reasons: list[str]
    final_response: str | None
    final_note: str | None
    failure_code: str | None
    failure_message: str | None
    estimated_micro_usd: int
    cost_micro_usd: int
    offline_demo: bool
    dagster_run_id: str | None
    conclude_run_id: str | None
    rerun_of: UUID | None
    parent_session_id: UUID | None
    panel: str | None
    downgrades: list[Json]
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None


class AgentRecord(Answer):
    """What one agent brought; its answer only where the session handed one out."""

    agent_id: str
    role: str
    model: str
    model_used: str | None
    temperature: float
    max_tokens: int
    status: str
    response: str | None
    error_code: str | None
    error_message: str | None
    attempts: int
    latency_ms: int
    prompt_tokens: int
    completion_tokens: int
    cost_micro_usd: int
    finish_reason: str | None
    cited: list[int]


class VoteRecord(Answer):
    """One person's vote."""

    actor: str
    verdict: str
    guidance: str
    at: AwareDatetime


class ApprovalRecord(Answer):
    """A request of a session, with what was decided."""

    id: UUID
    attempt: int
    state: str
    reasons: list[str]
    created_at: AwareDatetime
    deadline: AwareDatetime
    escalated_at: AwareDatetime | None
    extended_at: AwareDatetime | None
    required_role: str
    withheld: bool
    verdict: str | None
    decided_by: list[str] | None
    decided_at: AwareDatetime | None
    guidance: str | None
    claimed_run_id: str | None
    done_at: AwareDatetime | None
    votes: list[VoteRecord]


class DecisionRecord(Answer):
    """The decision that stands."""

    approval_id: UUID
    verdict: str
    decided_by: list[str]
    decided_at: AwareDatetime
    guidance: str | None
    attempt: int
    review_stage: str


class LibrarianRecord(Answer):
    """What was learned of a session."""

    decision: str
    reason: str | None
    heuristic_id: UUID | None


class LearnedRecord(Answer):
    """The heuristic that came of it."""

    id: UUID
    polarity: str
    state: str
    trigger_pattern: str
    action_template: str


class SessionResult(Answer):
    """What came of a session: the answer that was released, and how it came about."""

    answer: str | None = Field(description="Null unless the session completed.")
    status_line: str = Field(description="What has to be known before the answer is read.")
    session: SessionRecord
    agents: list[AgentRecord]
    approvals: list[ApprovalRecord]
    decision: DecisionRecord | None
    librarian: LibrarianRecord | None
    learned: LearnedRecord | None
    run_links: list[str] = Field(description="Its runs in Dagit.")


class CancelledSession(Answer):
    """A session that was cancelled."""

    session_id: UUID
    status: Literal["cancelled"] = "cancelled"
    runs_stopped: list[str]


class GiveFeedback(Request):
    """What somebody thinks of an answer that nobody reviewed."""

    verdict: Literal["good", "bad", "corrected"]
    note: str = Field("", max_length=8_000)
    corrected_text: str | None = Field(
        None, max_length=100_000, description="With the verdict corrected only."
    )


class FeedbackGiven(Answer):
    """What feedback did."""

    session_id: UUID
    verdict: str
    outcome: bool = Field(description="It was the first, so it is the session's outcome.")
    heuristics_credited: int
