"""The Librarian: distils at most one heuristic from a finished session.

Order: scrub the source -> Cato -> extract -> validate -> look for identifiers -> Cato again ->
embed -> store as quarantined, once. Anything that fails means nothing is stored and one row that
says why by a code; the session's answer is never held up by it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import ledger, sessions
from radiant_dagster.adapters.cato import Cato
from radiant_dagster.adapters.embeddings import EmbeddingModel, default_floor
from radiant_dagster.adapters.grimoire import search, store
from radiant_dagster.adapters.llm import CompletionRequest, LlmClient
from radiant_dagster.adapters.metering import Meter, MeteredLlm
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.extraction import (
    HEURISTIC_SCHEMA_NAME,
    ExtractedHeuristic,
    heuristic_schema,
    librarian_messages,
    parse_extraction,
)
from radiant_dagster.domain.governor import (
    BROKEN_REPLIES,
    LIBRARIAN_CALL,
    LIBRARIAN_MAX_TOKENS,
    TRIGGER_CALL,
)
from radiant_dagster.domain.phi import Detector, has_identifiers, scrub_bundle
from radiant_dagster.errors import (
    BudgetExceeded,
    BudgetMissing,
    InvalidHeuristic,
    LlmRejected,
    TransientError,
    UnsafeContent,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the Librarian did.

    Args:
        decision: ``stored``, ``rederived``, ``skipped`` or ``refused``.
        reason: A code.
    """

    decision: str
    reason: str
    heuristic_id: UUID | None = None
    cost_micro_usd: int = 0
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Librarian:
    """The services that a review of a session needs."""

    database: Database
    llm: LlmClient
    model: str
    embeddings: EmbeddingModel
    cato: Cato
    detector: Detector
    timeout_seconds: float

    def review(
        self,
        tenant_id: UUID,
        session_id: UUID,
        *,
        decision: Mapping[str, Any] | None,
        new_id: UUID,
        now: datetime,
        cancelled: Callable[[], bool],
    ) -> Outcome:
        """Learn from a session whose answer is released, once.

        Args:
            decision: The standing decision, None where nobody reviewed the answer.
            new_id: Id of the heuristic, where one is stored.
            now: Decides the expiry.
        """
        with self.database.tenant_transaction(tenant_id) as cursor:
            row = sessions.get_session(cursor, tenant_id, session_id)
            before = store.librarian_of_session(cursor, tenant_id, session_id)
        if before is not None:
            return Outcome(**before, repeated=True)
        reason = _nothing_to_learn(row)
        meter = Meter(self.database, tenant_id, session_id)
        if reason is not None:
            outcome = Outcome("skipped", reason)
        else:
            try:
                outcome = self._learn(tenant_id, row, decision, new_id, now, meter, cancelled)
            except BaseException:  # what was bought is paid for, whatever happens next
                meter.settle_now()
                raise
        with self.database.tenant_transaction(tenant_id) as cursor:
            # Broken replies are paid for all the same.
            outcome = replace(outcome, cost_micro_usd=meter.settle(cursor))
            store.record_librarian(
                cursor,
                tenant_id,
                session_id,
                decision=outcome.decision,
                reason=outcome.reason,
                heuristic_id=outcome.heuristic_id,
                source_user=row["user_id"],
                reviewed=decision is not None,
                cost_micro_usd=outcome.cost_micro_usd,
            )
        return outcome

    def _learn(
        self,
        tenant_id: UUID,
        row: Mapping[str, Any],
        decision: Mapping[str, Any] | None,
        new_id: UUID,
        now: datetime,
        meter: Meter,
        cancelled: Callable[[], bool],
    ) -> Outcome:
        outcome = decision["verdict"] if decision else "unreviewed"
        guidance = (decision["guidance"] if decision else None) or ""
        try:
            source = self._scrubbed_source(row, guidance)
            extracted = self._extract(tenant_id, row, outcome, source, meter, cancelled)
            if extracted is None:
                return Outcome("skipped", "nothing_reusable")
            self._require_safe(extracted)
            vector = meter.embed(self.embeddings, TRIGGER_CALL, [extracted.trigger_pattern])[0]
        except UnsafeContent as error:
            return Outcome("refused", error.reasons[0])
        except (InvalidHeuristic, LlmRejected) as error:
            return Outcome("refused", error.code)
        except (BudgetExceeded, BudgetMissing) as error:
            with self.database.tenant_transaction(tenant_id) as cursor:
                ledger.note_refusal(cursor, tenant_id, row["id"], error)
            return Outcome("skipped", error.code)
        except TransientError as error:
            return Outcome("skipped", error.code)
        new = store.NewHeuristic(
            id=new_id,
            domain=row["domain"],
            extracted=extracted,
            embedding=vector,
            embedding_model=self.embeddings.model_id,
            session_id=row["id"],
            source_user=row["user_id"],
            outcome=outcome,
            extraction_model=self.model,
            created_by="librarian",
            now=now,
        )
        with self.database.tenant_transaction(tenant_id) as cursor:
            # A model that nobody calibrated begins with its default threshold.
            search.register_model(
                cursor,
                self.embeddings.model_id,
                self.embeddings.dimensions,
                default_floor(self.embeddings.model_id),
                "start value, uncalibrated",
            )
            heuristic_id, is_new = store.keep(cursor, tenant_id, new)
        return Outcome("stored" if is_new else "rederived", "ok", heuristic_id)

    def _scrubbed_source(self, row: Mapping[str, Any], guidance: str) -> Mapping[str, str]:
        fields = {
            "prompt": row["prompt"],
            "response": row["final_response"],
            "guidance": guidance,
        }
        try:
            source = scrub_bundle(fields, self.detector).fields
        except Exception as error:  # noqa: BLE001 - any fault of a detector means: store nothing
            raise UnsafeContent("The source", (f"scrubber_{type(error).__name__}",)) from None
        risk = self.cato.check_storage_safety("\n".join(source.values()), "session")
        if risk.verdict != "safe":
            raise UnsafeContent("The source", tuple(risk.reasons))
        return source

    def _extract(
        self,
        tenant_id: UUID,
        row: Mapping[str, Any],
        outcome: str,
        source: Mapping[str, str],
        meter: Meter,
        cancelled: Callable[[], bool],
    ) -> ExtractedHeuristic | None:
        request = CompletionRequest(
            model=self.model,
            messages=librarian_messages(
                domain=row["domain"],
                outcome=outcome,
                guidance=source["guidance"],
                prompt=source["prompt"],
                response=source["response"],
            ),
            temperature=0.0,
            max_tokens=LIBRARIAN_MAX_TOKENS,
            timeout_seconds=self.timeout_seconds,
            tenant_id=tenant_id,
            idempotency_key=f"{row['id']}:librarian",
            json_schema_name=HEURISTIC_SCHEMA_NAME,
            json_schema=heuristic_schema(),
            metadata={"session_id": str(row["id"])},
        )
        llm = MeteredLlm(self.llm, meter, LIBRARIAN_CALL, "librarian")
        for attempt in range(1, BROKEN_REPLIES + 1):
            # A key of its own: a gateway that honours keys would send the broken reply again.
            ask = replace(request, idempotency_key=f"{request.idempotency_key}:{attempt}")
            answer = llm.complete(ask, cancelled=cancelled)
            try:
                return parse_extraction(
                    answer.text, prompt=source["prompt"], response=source["response"]
                )
            except InvalidHeuristic:
                if attempt == BROKEN_REPLIES:
                    raise
        raise AssertionError("unreachable")

    def _require_safe(self, extracted: ExtractedHeuristic) -> None:
        text = f"{extracted.trigger_pattern}\n{extracted.action_template}"
        left = has_identifiers(text, self.detector)
        if left:
            raise UnsafeContent("The heuristic", tuple(f"phi_{kind}" for kind in left))
        risk = self.cato.check_storage_safety(text, "heuristic")
        if risk.verdict != "safe":
            raise UnsafeContent("The heuristic", tuple(risk.reasons))


def _nothing_to_learn(row: Mapping[str, Any]) -> str | None:
    """Return why a session teaches nothing, None where it may."""
    if row["final_response"] is None:
        return "no_answer"
    if row["swarm_status"] != "complete":
        return "swarm_degraded"
    if sessions.is_not_synthesised(row) and row["final_response"] == row["draft"]:
        return "not_synthesised"  # several opinions side by side are no lesson
    return None
