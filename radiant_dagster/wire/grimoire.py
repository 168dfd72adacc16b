"""What the API says about heuristics, and what curators send it.

The bodies of acts have the fields of `domain.curation`'s acts; a test compares them.
"""

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from radiant_dagster.wire.base import MAX_PAGE, Answer, Json, Request

MAX_REASON_CHARACTERS = 300
MAX_IMPORT_BYTES = 20_000_000
Reason = Literal["wrong", "unsafe", "outdated", "too_specific", "duplicate", "other"]
Keep = Literal["this", "other", "both"]
State = Literal["quarantined", "active", "retired", "expired", "merged", "revoked"]


class HeuristicQuery(Request):
    """Which heuristics."""

    domain: str | None = Field(None, max_length=63)
    state: State | None = None
    q: str | None = Field(
        None, min_length=1, max_length=200, description="Is in the trigger or the action."
    )
    cursor: str | None = Field(None, max_length=100, description="next_cursor of the page before.")
    limit: int = Field(50, ge=1, le=MAX_PAGE)


class Heuristic(Answer):
    """One row of the Grimoire."""

    id: UUID
    domain: str
    polarity: str
    state: str
    version: int = Field(description="Of its text; also the ETag.")
    pinned: bool
    trigger_pattern: str
    action_template: str
    confidence: float
    alpha: float
    beta: float
    success_count: int
    failure_count: int
    embedding_model: str | None
    source_execution_id: UUID | None
    source_user: str | None
    outcome: str | None
    created_by: str
    approved_by: str | None
    merged_into: UUID | None
    parents: list[UUID] = Field(description="Heuristics that its session's agents had cited.")
    created_at: AwareDatetime
    last_used_at: AwareDatetime | None
    expires_at: AwareDatetime | None

    @property
    def etag(self) -> str:
        """What If-Match takes."""
        return f'"v{self.version}"'


class HeuristicPage(Answer):
    """Heuristics, the newest first."""

    heuristics: list[Heuristic]
    next_cursor: str | None


class SearchBody(Request):
    """What to look for by meaning; in a body, since addresses end in the logs of proxies."""

    text: str = Field(
        min_length=1, max_length=32_000, description="A question, or what one may be about."
    )
    domain: str | None = Field(None, max_length=63, description="Of this one only.")
    limit: int = Field(10, ge=1, le=100)


class NearHeuristic(Heuristic):
    """A heuristic and how near its trigger is to a text."""

    similarity: float = Field(description="Cosine of text and trigger.")
    floor: float = Field(
        description="Agents of its domain get it from this similarity on, if it is active."
    )


class Near(Answer):
    """Active and quarantined heuristics, nearest first."""

    floor: float = Field(description="Least similarity that counts for the embedding model.")
    heuristics: list[NearHeuristic]


class Version(Answer):
    """A text that it had or has."""

    version: int
    trigger_pattern: str
    action_template: str
    editor: str
    reason: str
    restores: int | None
    created_at: AwareDatetime


class Link(Answer):
    """Another heuristic that says nearly the same, or the opposite."""

    kind: Literal["near_copy", "conflict"]
    link_state: Literal["open", "merged", "kept_apart", "resolved", "outdated"]
    similarity: float
    decided_by: str | None
    decided_at: AwareDatetime | None
    id: UUID
    domain: str
    polarity: str
    state: str
    version: int
    trigger_pattern: str
    action_template: str
    confidence: float


class Evidence(Answer):
    """A session that produced it or came to the same lesson."""

    session_id: UUID
    heuristic_id: UUID
    decision: str
    source_user: str
    reviewed: bool
    reward: float | None
    at: AwareDatetime


class Usage(Answer):
    """In how many sessions it was offered, cited and judged."""

    offered_sessions: int
    cited_sessions: int
    judged: int
    mean_reward: float | None
    last_at: AwareDatetime | None


class Related(Answer):
    """A heuristic that was folded into it, or learned from it."""

    id: UUID
    state: str
    domain: str
    trigger_pattern: str


class HistoryEntry(Answer):
    """What was done to it."""

    at: AwareDatetime
    actor: str
    action: str
    session_id: UUID | None
    detail: Json


class HeuristicDetail(Heuristic):
    """A heuristic with everything that a curator decides by."""

    interval: tuple[float, float] = Field(description="90 % of the posterior lie in it.")
    probability: float = Field(description="That it helps more often than not.")
    versions: list[Version]
    links: list[Link]
    evidence: list[Evidence]
    usage: Usage
    merged: list[Related]
    derived: list[Related]
    history: list[HistoryEntry]


class QueueQuery(Request):
    """Of which domain, and how many of each kind."""

    domain: str | None = Field(None, max_length=63)
    limit: int = Field(50, ge=1, le=MAX_PAGE)


class Side(Answer):
    """One of a pair."""

    id: UUID
    polarity: str
    state: str
    version: int
    confidence: float
    trigger_pattern: str
    action_template: str


class Pair(Answer):
    """Two that somebody should look at together."""

    kind: str
    domain: str
    similarity: float
    one: Side
    other: Side


class Waiting(Answer):
    """What candidates and lapsing ones have in common."""

    id: UUID
    domain: str
    polarity: str
    version: int
    trigger_pattern: str
    action_template: str
    confidence: float
    interval: tuple[float, float]
    probability: float
    expires_at: AwareDatetime


class Candidate(Waiting):
    """A quarantined one with its evidence."""

    created_by: str
    sessions: int
    reviewed: int
    users: int


class Lapsing(Waiting):
    """An active one that expires soon or whose outcomes are bad."""

    success_count: int
    failure_count: int
    expires_soon: bool


class Queue(Answer):
    """What waits for a curator, each kind with the most pressing first."""

    conflicts: list[Pair]
    near_copies: list[Pair]
    candidates: list[Candidate]
    lapsing: list[Lapsing]


class PromoteBody(Request):
    """Let agents use a candidate."""


class RetireBody(Request):
    """Take it out of use."""

    reason: Reason = "other"


class RevokeBody(Request):
    """Declare it wrong."""

    reason: Reason = "other"


class EditBody(Request):
    """Give it another text."""

    trigger_pattern: str = Field(min_length=1, max_length=1000)
    action_template: str = Field(min_length=1, max_length=3000)
    reason: str = Field("", max_length=MAX_REASON_CHARACTERS)


class RollbackBody(Request):
    """Bring an earlier text back."""

    to_version: int = Field(ge=1, le=2**31 - 1)
    reason: str = Field("", max_length=MAX_REASON_CHARACTERS)


class PinBody(Request):
    """Keep it whatever time and numbers say, or end that."""

    pinned: bool = True


class MergeBody(Request):
    """Fold it into another one."""

    into: UUID


class UnmergeBody(Request):
    """Undo a merge."""


class KeepApartBody(Request):
    """Say that two near copies are two lessons."""

    other: UUID


class ResolveBody(Request):
    """Settle a conflict."""

    other: UUID
    keep: Keep


class Curated(Answer):
    """How it stands after an act."""

    heuristic_id: UUID
    state: str
    version: int
    pinned: bool
    merged_into: UUID | None


class ImportQuery(Request):
    """What becomes of the lines."""

    active: bool = Field(
        False, description="Agents get them at once; not in medical, legal and financial."
    )


class Imported(Answer):
    """What was stored of some lines."""

    ids: list[UUID]
    state: Literal["active", "quarantined"]
    duplicate_lines: list[int] = Field(
        description="Numbers of lines that were known already, or merged into another one at once."
    )


class PurgeBody(Request):
    """Retire everything that was derived from a session, a user or a heuristic."""

    kind: Literal["session", "user", "heuristic"]
    value: str = Field(min_length=1, max_length=200, description="An id, or a user's name.")
    dry_run: bool = Field(True, description="Only list what would be retired.")


class Purged(Answer):
    """What was retired, or would be."""

    dry_run: bool
    heuristics: list[Related]
