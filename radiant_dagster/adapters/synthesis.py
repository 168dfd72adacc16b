"""Writes the single answer from the stored answers, and has Cato look at it.

Used for the first draft, for the first synthesis after a review of the answers alone, and for a
new draft that a reviewer's guidance asked for.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import ledger, sessions
from radiant_dagster.adapters.cato import Cato
from radiant_dagster.adapters.llm import Completion, CompletionRequest, LlmClient
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.governor import SYNTHESIS_MAX_TOKENS
from radiant_dagster.domain.safety import CatoRisk
from radiant_dagster.domain.swarm import (
    SYNTHESIS_SCHEMA_NAME,
    Synthesis,
    parse_synthesis,
    synthesis_messages,
    synthesis_schema,
)
from radiant_dagster.errors import LlmRejected, RadiantError

TEMPERATURE = 0.3  # the source design's
BROKEN_REPLIES = 2  # a reply that breaks the schema is asked for once more, then given up


@dataclass(frozen=True, slots=True)
class Draft:
    """A synthesis that was stored."""

    text: str
    agreement: str
    model_used: str
    latency_ms: int
    cost_micro_usd: int


def write_draft(
    database: Database,
    llm: LlmClient,
    model: str,
    tenant_id: UUID,
    session_id: UUID,
    *,
    timeout_seconds: float,
    cancelled: Callable[[], bool],
    guidance: str | None = None,
) -> Draft:
    """Synthesise the stored answers and store the draft.

    Args:
        guidance: A reviewer's wish for the new draft.

    Raises:
        LlmUnavailable: For now; another try may help.
        LlmRejected: The model refused, or broke the schema twice.
        BudgetExceeded, BudgetMissing: The money held was settled, and there is no more.
    """
    with database.tenant_transaction(tenant_id) as cursor:
        ledger.hold_for_session(cursor, tenant_id, session_id)
        row = sessions.get_session(cursor, tenant_id, session_id)
        results = [
            sessions.result_from(item)
            for item in sessions.agent_rows(cursor, tenant_id, session_id)
        ]
    # An agent without an answer cannot stand behind a claim.
    agent_ids = frozenset(result.agent_id for result in results if result.status == "success")
    messages = synthesis_messages(row["prompt"], results, guidance=guidance)
    request = CompletionRequest(
        model=model,
        messages=messages,
        temperature=TEMPERATURE,
        max_tokens=SYNTHESIS_MAX_TOKENS,
        timeout_seconds=timeout_seconds,
        tenant_id=tenant_id,
        # The same call keeps its key over retries; other guidance or answers are another call.
        idempotency_key=f"{session_id}:synthesis:{_digest(messages)}",
        json_schema_name=SYNTHESIS_SCHEMA_NAME,
        json_schema=synthesis_schema(),
        metadata={"session_id": str(session_id)},
    )
    paid: list[int] = []
    try:
        synthesis, answer = _ask(llm, request, agent_ids, cancelled, paid)
    except RadiantError:
        # Broken replies are paid for all the same.
        with database.tenant_transaction(tenant_id) as cursor:
            sessions.add_cost(cursor, tenant_id, session_id, sum(paid))
        raise
    cost = sum(paid)
    with database.tenant_transaction(tenant_id) as cursor:
        sessions.add_cost(cursor, tenant_id, session_id, cost)
        sessions.update_session(
            cursor,
            tenant_id,
            session_id,
            draft=synthesis.answer,
            draft_details=synthesis.model_dump(exclude={"answer"}),
        )
    return Draft(synthesis.answer, synthesis.agreement, answer.model_used, answer.latency_ms, cost)


def _ask(
    llm: LlmClient,
    request: CompletionRequest,
    agent_ids: frozenset[str],
    cancelled: Callable[[], bool],
    paid: list[int],
) -> tuple[Synthesis, Completion]:
    for attempt in range(1, BROKEN_REPLIES + 1):
        # A key of its own: a gateway that honours keys would send the broken reply again.
        ask = replace(request, idempotency_key=f"{request.idempotency_key}:{attempt}")
        answer = llm.complete(ask, cancelled=cancelled)
        paid.append(answer.cost_micro_usd)
        try:
            return parse_synthesis(answer.text, agent_ids), answer
        except LlmRejected:
            if attempt == BROKEN_REPLIES:
                raise
    raise AssertionError("unreachable")


def _digest(messages: Sequence[Mapping[str, str]]) -> str:
    text = json.dumps([dict(message) for message in messages], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def text_to_check(row: Mapping[str, Any], agents: list[dict[str, Any]]) -> str:
    """Return what Cato has to judge: the draft, or all answers where there is no draft yet."""
    if row["draft"]:
        return row["draft"]
    return "\n\n".join(a["response"] for a in agents if a["status"] == "success" and a["response"])


def check_draft(database: Database, cato: Cato, tenant_id: UUID, session_id: UUID) -> CatoRisk:
    """Have Cato judge the draft and store the verdict; unavailable counts as blocked."""
    with database.tenant_transaction(tenant_id) as cursor:
        row = sessions.get_session(cursor, tenant_id, session_id)
        agents = sessions.agent_rows(cursor, tenant_id, session_id)
    risk = cato.check_epistemic_safety(text_to_check(row, agents), row["domain"])
    with database.tenant_transaction(tenant_id) as cursor:
        sessions.update_session(
            cursor,
            tenant_id,
            session_id,
            cato_verdict=verdict_of(risk),
            cato_reasons=list(risk.reasons),
        )
    return risk


def verdict_of(risk: CatoRisk) -> str:
    """Return ``safe``, ``review``, ``blocked``, or ``unavailable`` where Cato gave no verdict."""
    if any(reason.startswith("cato_unavailable") for reason in risk.reasons):
        return "unavailable"
    return risk.verdict
