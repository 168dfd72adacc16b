"""Writes the single answer from the stored answers, and has Cato look at it.

Used for the first draft, for the first synthesis after a review of the answers alone, and for a
new draft that a reviewer's guidance asked for. Where the configured model cannot write it, the
fallback does; where neither can, the answers themselves become the draft, marked as such.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import agent_runs, ledger, sessions
from radiant_dagster.adapters.cato import Cato
from radiant_dagster.adapters.embeddings import EmbeddingModel
from radiant_dagster.adapters.llm import Completion, CompletionRequest, LlmClient
from radiant_dagster.adapters.metering import Meter, MeteredLlm
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.governor import (
    AGREEMENT_CALL,
    BROKEN_REPLIES,
    SYNTHESIS_CALL,
    SYNTHESIS_MAX_TOKENS,
)
from radiant_dagster.domain.prompts import (
    SYNTHESIS_SCHEMA_NAME,
    Synthesis,
    parse_synthesis,
    synthesis_messages,
    synthesis_schema,
)
from radiant_dagster.domain.safety import CatoRisk
from radiant_dagster.domain.swarm import AgentResult
from radiant_dagster.domain.synthesis import (
    COMPARED_CHARACTERS,
    Agreement,
    agreement_of,
    mean_cosine,
    shown_answers,
    unsynthesised,
)
from radiant_dagster.errors import (
    BudgetExceeded,
    BudgetMissing,
    ConfigurationError,
    EmbeddingUnavailable,
    LlmRejected,
    LlmUnavailable,
)

TEMPERATURE = 0.3  # the source design's


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft that was stored.

    Args:
        agreement: ``high``, ``low`` or ``unknown``, see `domain.synthesis.agreement_of`.
        model_used: Who wrote it, empty where no model did.
        not_synthesised: The text is the agents' answers, side by side.
    """

    text: str
    agreement: Agreement
    model_used: str
    latency_ms: int
    cost_micro_usd: int
    not_synthesised: bool


@dataclass(frozen=True, slots=True)
class Synthesiser:
    """The services that writing a draft needs.

    Args:
        model: Model that writes it.
        fallback_model: Model that writes it instead; the same name means none.
        timeout_seconds: Longest single call.
        retry: Called where `model` is unavailable for now. Raises to have the caller tried again
            as a whole, returns once that is no longer worth it.
    """

    database: Database
    llm: LlmClient
    embeddings: EmbeddingModel
    model: str
    fallback_model: str
    timeout_seconds: float
    retry: Callable[[LlmUnavailable], None]

    def write_draft(
        self,
        tenant_id: UUID,
        session_id: UUID,
        *,
        cancelled: Callable[[], bool],
        guidance: str | None = None,
    ) -> Draft:
        """Synthesise the stored answers and store the draft.

        Args:
            guidance: A reviewer's wish for the new draft.

        Raises:
            ConfigurationError: The gateway does not know our key.
            Cancelled: The run was asked to stop.
            BudgetExceeded, BudgetMissing: Nothing is held for it any more, and no more fits.
        """
        with self.database.tenant_transaction(tenant_id) as cursor:
            row = sessions.get_session(cursor, tenant_id, session_id)
            rows = agent_runs.agent_rows(cursor, tenant_id, session_id)
        results = [agent_runs.result_from(item) for item in rows]
        shown = shown_answers(results)
        call = _Call(tenant_id, session_id, row["prompt"], shown.results, guidance)
        meter = Meter(self.database, tenant_id, session_id)
        llm = MeteredLlm(self.llm, meter, SYNTHESIS_CALL, "synthesis")
        failures: dict[str, str] = {}
        try:
            # Measured while the model writes: embedding takes longer than anything else here.
            with ThreadPoolExecutor(1) as aside:
                measured = aside.submit(self._cosine, meter, call)
                written = self._first_that_answers(call, llm, cancelled, failures)
        finally:  # broken replies are paid for all the same, and before the step is tried again
            meter.settle_now()
        cosine = measured.result()
        if written is None:
            agreement = agreement_of("unknown", cosine)
            text, model, latency_ms = unsynthesised(results), "", 0
            details: dict[str, Any] = {"claims": [], "dissent": [], "not_synthesised": True}
        else:
            synthesis, answer = written
            agreement = agreement_of(synthesis.agreement, cosine)
            text, model, latency_ms = synthesis.answer, answer.model_used, answer.latency_ms
            details = synthesis.model_dump(exclude={"answer", "agreement"})
            details |= {"reported_agreement": synthesis.agreement, "cut": list(shown.cut)}
        details |= {"agreement": agreement, "cosine": cosine, "model": model, "failures": failures}
        with self.database.tenant_transaction(tenant_id) as cursor:
            cost = meter.settle(cursor)
            sessions.update_session(
                cursor, tenant_id, session_id, draft=text, draft_details=details
            )
        return Draft(text, agreement, model, latency_ms, cost, written is None)

    def _first_that_answers(
        self,
        call: "_Call",
        llm: LlmClient,
        cancelled: Callable[[], bool],
        failures: dict[str, str],
    ) -> tuple[Synthesis, Completion] | None:
        for model in dict.fromkeys((self.model, self.fallback_model)):
            try:
                return self._ask(call, llm, model, cancelled)
            except LlmUnavailable as error:
                if model == self.model:
                    self.retry(error)
                failures[model] = error.code
            except LlmRejected as error:
                failures[model] = error.code
            except BudgetExceeded as error:
                if not failures:  # nothing was tried, so a person may still raise the limit
                    raise
                self._note(call, error)
                failures[model] = error.code
        return None

    def _note(self, call: "_Call", error: BudgetExceeded | BudgetMissing) -> None:
        with self.database.tenant_transaction(call.tenant_id) as cursor:
            ledger.note_refusal(cursor, call.tenant_id, call.session_id, error)

    def _ask(
        self, call: "_Call", llm: LlmClient, model: str, cancelled: Callable[[], bool]
    ) -> tuple[Synthesis, Completion]:
        # An agent without an answer cannot stand behind a claim.
        agent_ids = frozenset(result.agent_id for result in call.answers)
        for attempt in range(1, BROKEN_REPLIES + 1):
            request = call.request(model, attempt, self.timeout_seconds)
            answer = llm.complete(request, cancelled=cancelled)
            try:
                return parse_synthesis(answer.text, agent_ids), answer
            except LlmRejected:
                if attempt == BROKEN_REPLIES:
                    raise
        raise AssertionError("unreachable")

    def _cosine(self, meter: Meter, call: "_Call") -> float | None:
        """Measure how near the answers are; None where that cannot be told.

        A second opinion that can only add a review, so an answer is not held up for want of it.
        """
        texts = [
            answer.response[:COMPARED_CHARACTERS] for answer in call.answers if answer.response
        ]
        if len(texts) < 2:
            return None
        try:
            return mean_cosine(meter.embed(self.embeddings, AGREEMENT_CALL, texts))
        except (EmbeddingUnavailable, ConfigurationError):
            return None
        except (BudgetExceeded, BudgetMissing) as error:
            self._note(call, error)
            return None


@dataclass(frozen=True, slots=True)
class _Call:
    """What a synthesiser is asked, whichever model it is."""

    tenant_id: UUID
    session_id: UUID
    prompt: str
    answers: Sequence[AgentResult]
    guidance: str | None

    def request(self, model: str, attempt: int, timeout_seconds: float) -> CompletionRequest:
        """Return one attempt's call.

        A retry repeats the call to the letter, so that a gateway which honours idempotency keys
        charges once. That is why the boundary is a hash instead of a dice roll: it covers the
        session's random id and every text inside the document, so that no text can hold it.
        """
        unbounded = self._messages("")
        asked = json.dumps([model, attempt, str(self.session_id), unbounded], sort_keys=True)
        digest = hashlib.sha256(asked.encode()).hexdigest()
        return CompletionRequest(
            model=model,
            messages=self._messages(digest[16:40]),
            temperature=TEMPERATURE,
            max_tokens=SYNTHESIS_MAX_TOKENS,
            timeout_seconds=timeout_seconds,
            tenant_id=self.tenant_id,
            # Another model, guidance, answer or attempt after a broken reply is another call.
            idempotency_key=f"{self.session_id}:synthesis:{digest[:16]}:{attempt}",
            json_schema_name=SYNTHESIS_SCHEMA_NAME,
            json_schema=synthesis_schema(),
            metadata={"session_id": str(self.session_id)},
        )

    def _messages(self, boundary: str) -> tuple[dict[str, str], ...]:
        return synthesis_messages(
            self.prompt, self.answers, boundary=boundary, guidance=self.guidance
        )


def text_to_check(row: Mapping[str, Any], agents: list[dict[str, Any]]) -> str:
    """Return what Cato has to judge: the draft, or all answers where there is no draft yet."""
    if row["draft"]:
        return row["draft"]
    return "\n\n".join(a["response"] for a in agents if a["status"] == "success" and a["response"])


def check_draft(database: Database, cato: Cato, tenant_id: UUID, session_id: UUID) -> CatoRisk:
    """Have Cato judge the draft and store the verdict; unavailable counts as blocked."""
    with database.tenant_transaction(tenant_id) as cursor:
        row = sessions.get_session(cursor, tenant_id, session_id)
        agents = agent_runs.agent_rows(cursor, tenant_id, session_id)
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
