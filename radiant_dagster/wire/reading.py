"""What the API lets read beside sessions and approvals."""

from uuid import UUID

from pydantic import AwareDatetime, Field

from radiant_dagster.wire.base import MAX_PAGE, Answer, Json, Request


class AuditQuery(Request):
    """Which audit rows."""

    before: int | None = Field(
        None, ge=1, le=2**63 - 1, description="Only rows with a smaller number."
    )
    limit: int = Field(100, ge=1, le=MAX_PAGE)


class AuditRow(Answer):
    """Who did what to what."""

    id: int
    at: AwareDatetime
    actor: str
    action: str
    session_id: UUID | None
    approval_id: UUID | None
    heuristic_id: UUID | None
    detail: Json
    position: int | None
    hash: str | None


class AuditRows(Answer):
    """Audit rows, the newest first."""

    entries: list[AuditRow]
    next_before: int | None


class VerifyQuery(Request):
    """A head that was noted earlier."""

    anchor: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="It has to be part of the chain still."
    )


class Verified(Answer):
    """What a check of the audit chain found."""

    holds: bool
    rows: int
    head: str
    broken_id: int | None
    problem: str | None


class BudgetQuery(Request):
    """Whose budgets."""

    user: str | None = Field(None, min_length=1, max_length=200)


class Budget(Answer):
    """One limit and how its account stands, in micro-USD."""

    scope: str
    user: str
    limit_micro_usd: int
    spent_micro_usd: int
    reserved_micro_usd: int
    free_micro_usd: int
    resets_at: AwareDatetime | None
    set_by: str
    set_at: AwareDatetime


class Budgets(Answer):
    """All limits."""

    budgets: list[Budget]


class Domain(Answer):
    """How questions of a domain are treated."""

    name: str
    approval_required: bool
    deadline_seconds: int
    swarm_seconds: int
    on_timeout: str
    review_stage: str


class Domains(Answer):
    """All domains."""

    domains: list[Domain]


class Panel(Answer):
    """A stored panel of agents."""

    name: str
    description: str
    agents: int


class Panels(Answer):
    """All panels."""

    panels: list[Panel]
