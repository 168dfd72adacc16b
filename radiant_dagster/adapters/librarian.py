"""The Librarian: distils at most one lesson from a finished session.

Order: take out what the Grimoire had said -> scrub the source -> Cato -> extract -> validate ->
look for identifiers -> Cato again -> scan for instructions -> embed -> one transaction that decides
where the lesson belongs, keeps it as quarantined, counts the review as its evidence and records the
decision. Anything that fails means nothing is stored and one row that says why by a code; the
session's answer is never held up by it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import ledger, sessions, tool_calls
from radiant_dagster.adapters.builtin_tools import GRIMOIRE_SEARCH
from radiant_dagster.adapters.cato import Cato, EmbeddedCato
from radiant_dagster.adapters.embeddings import EmbeddingModel
from radiant_dagster.adapters.grimoire import evidence, neighbours, search, store
from radiant_dagster.adapters.llm import CompletionRequest, LlmClient
from radiant_dagster.adapters.metering import Meter, MeteredLlm
from radiant_dagster.adapters.postgres import Cursor, Database
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
from radiant_dagster.domain.learning import LearningCaps, Teaching, evidence_reward, teaching
from radiant_dagster.domain.phi import Detector, has_identifiers, scrub_bundle
from radiant_dagster.domain.priming import (
    Lesson,
    lessons_in_tool_output,
    says_the_same,
    without_lessons,
)
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
        reason: A code; ``merged`` where a stored lesson stands behind another that says the same.
        promoted: By this session's evidence the lesson became active.
    """

    decision: str
    reason: str
    heuristic_id: UUID | None = None
    cost_micro_usd: int = 0
    repeated: bool = False
    promoted: bool = False


@dataclass(frozen=True, slots=True)
class _Review:
    """A session under review, with everything that is known before a model is asked."""

    row: Mapping[str, Any]
    decision: Mapping[str, Any] | None
    teaching: Teaching
    lessons: tuple[Lesson, ...]
    parents: tuple[UUID, ...]

    @property
    def verdict(self) -> str | None:
        return self.decision["verdict"] if self.decision else None

    @property
    def outcome(self) -> str:
        return self.verdict or "unreviewed"

    @property
    def offered(self) -> tuple[UUID, ...]:
        return tuple(item.id for item in sessions.offered_from(self.row))


@dataclass(frozen=True, slots=True)
class _Source:
    """What the Librarian reads, scrubbed."""

    prompt: str
    response: str
    guidance: str


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
    caps: LearningCaps = field(default_factory=LearningCaps)

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
        """Learn from a session that was decided or released, once.

        Args:
            decision: The standing decision, None where nobody reviewed the answer.
            new_id: Id of the heuristic, where one is stored.
            now: Decides the expiry and which day's caps count.
        """
        with self.database.tenant_transaction(tenant_id) as cursor:
            before = store.librarian_of_session(cursor, tenant_id, session_id)
            review = _read(cursor, tenant_id, session_id, decision)
        if before is not None:
            return Outcome(**before, repeated=True)
        meter = Meter(self.database, tenant_id, session_id)
        try:
            learned = self._learn(tenant_id, review, new_id, now, meter, cancelled)
            with self.database.tenant_transaction(tenant_id) as cursor:
                return self._conclude(cursor, tenant_id, review, learned, meter)
        except BaseException:  # what was bought is paid for, whatever happens next
            meter.settle_now()
            raise

    def _conclude(
        self,
        cursor: Cursor,
        tenant_id: UUID,
        review: _Review,
        learned: Outcome | store.NewHeuristic,
        meter: Meter,
    ) -> Outcome:
        """Keep the lesson, what it proves and the decision: all of it or nothing."""
        row = review.row
        neighbours.lock_domain(cursor, tenant_id, row["domain"])
        before = store.librarian_of_session(cursor, tenant_id, row["id"])
        if before is not None:  # another run of the same session was first
            return Outcome(**before, repeated=True, cost_micro_usd=meter.settle(cursor))
        worth = None
        if isinstance(learned, Outcome):
            outcome = learned
        else:
            polarity = learned.extracted.polarity
            outcome = self._keep(cursor, tenant_id, review, learned)
            if outcome.heuristic_id is not None:
                worth = evidence_reward(
                    review.verdict, polarity, row["draft"] or "", row["final_response"]
                )
        # Broken replies are paid for all the same.
        outcome = replace(outcome, cost_micro_usd=meter.settle(cursor))
        store.record_librarian(
            cursor,
            tenant_id,
            row["id"],
            decision=outcome.decision,
            reason=outcome.reason,
            heuristic_id=outcome.heuristic_id,
            source_user=row["user_id"],
            reviewed=review.decision is not None,
            reward=worth,
            cost_micro_usd=outcome.cost_micro_usd,
        )
        if outcome.heuristic_id is None or worth is None:
            return outcome
        return replace(
            outcome, promoted=evidence.add(cursor, tenant_id, outcome.heuristic_id, worth)
        )

    def _keep(
        self, cursor: Cursor, tenant_id: UUID, review: _Review, new: store.NewHeuristic
    ) -> Outcome:
        search.register_model(cursor, self.embeddings.model_id, self.embeddings.dimensions)
        kept = store.keep_learned(cursor, tenant_id, new, offered=review.offered, caps=self.caps)
        if kept.heuristic_id is None:
            return Outcome("skipped", kept.kept_as)
        if kept.kept_as == "merged":
            return Outcome("stored", "merged", kept.heuristic_id)
        return Outcome(kept.kept_as, "ok", kept.heuristic_id)

    def _learn(
        self,
        tenant_id: UUID,
        review: _Review,
        new_id: UUID,
        now: datetime,
        meter: Meter,
        cancelled: Callable[[], bool],
    ) -> Outcome | store.NewHeuristic:
        """Return the lesson of a session, or why there is none."""
        if review.teaching.refusal:
            return Outcome("skipped", review.teaching.refusal)
        try:
            source = self._source(review)
            if not source.response.strip():
                return Outcome("skipped", "was_offered")
            extracted = self._extract(tenant_id, review, source, meter, cancelled)
            if extracted is None:
                return Outcome("skipped", "nothing_reusable")
            said = (extracted.polarity, extracted.trigger_pattern, extracted.action_template)
            if says_the_same(*said, review.lessons):
                return Outcome("skipped", "was_offered")
            self._require_safe(extracted)
            vector = meter.embed(self.embeddings, TRIGGER_CALL, [extracted.trigger_pattern])[0]
        except UnsafeContent as error:
            return Outcome("refused", error.reasons[0])
        except (InvalidHeuristic, LlmRejected) as error:
            return Outcome("refused", error.code)
        except (BudgetExceeded, BudgetMissing) as error:
            with self.database.tenant_transaction(tenant_id) as cursor:
                ledger.note_refusal(cursor, tenant_id, review.row["id"], error)
            return Outcome("skipped", error.code)
        except TransientError as error:
            return Outcome("skipped", error.code)
        return store.NewHeuristic(
            id=new_id,
            domain=review.row["domain"],
            extracted=extracted,
            embedding=vector,
            embedding_model=self.embeddings.model_id,
            session_id=review.row["id"],
            source_user=review.row["user_id"],
            outcome=review.outcome,
            extraction_model=self.model,
            created_by="librarian",
            now=now,
            source_decision=review.decision["approval_id"] if review.decision else None,
            prompt_sha256=hashlib.sha256(source.prompt.encode()).digest(),
            schema_version=HEURISTIC_SCHEMA_NAME,
            parents=review.parents,
        )

    def _source(self, review: _Review) -> _Source:
        """Return what may be read of a session, scrubbed and let through by Cato."""
        fields = {
            "prompt": without_lessons(review.row["prompt"], review.lessons),
            "response": without_lessons(review.teaching.response, review.lessons),
            "guidance": (review.decision["guidance"] if review.decision else None) or "",
        }
        try:
            scrubbed = scrub_bundle(fields, self.detector).fields
        except Exception as error:  # noqa: BLE001 - any fault of a detector means: store nothing
            raise UnsafeContent("The source", (f"scrubber_{type(error).__name__}",)) from None
        source = _Source(**scrubbed)
        risk = self.cato.check_storage_safety(f"{source.prompt}\n{source.response}", "session")
        if risk.verdict != "safe":
            raise UnsafeContent("The source", tuple(risk.reasons))
        if source.guidance:
            # A reviewer's words are orders by nature ("it must say who..."): doubts are no reason
            # to drop them, and what is made of them is checked again. A blocked text stays out.
            risk = self.cato.check_storage_safety(source.guidance, "session")
            if risk.verdict == "blocked":
                raise UnsafeContent("The guidance", tuple(risk.reasons))
        return source

    def _extract(
        self,
        tenant_id: UUID,
        review: _Review,
        source: _Source,
        meter: Meter,
        cancelled: Callable[[], bool],
    ) -> ExtractedHeuristic | None:
        llm = MeteredLlm(self.llm, meter, LIBRARIAN_CALL, "librarian")
        for attempt in range(1, BROKEN_REPLIES + 1):
            request = self._request(tenant_id, review, source, attempt)
            answer = llm.complete(request, cancelled=cancelled)
            try:
                return parse_extraction(
                    answer.text,
                    prompt=source.prompt,
                    response=source.response,
                    guidance=source.guidance,
                    polarities=review.teaching.polarities,
                )
            except InvalidHeuristic:
                if attempt == BROKEN_REPLIES:
                    raise
        raise AssertionError("unreachable")

    def _request(
        self, tenant_id: UUID, review: _Review, source: _Source, attempt: int
    ) -> CompletionRequest:
        """Return one attempt's call.

        As in the synthesis, the boundary is a hash over the session's random id and every text
        inside: nobody who writes a text can know it, and a call that is repeated after a crash is
        the same to the letter, so that a gateway which honours idempotency keys charges once. Each
        attempt has a key of its own: such a gateway would send the broken reply again.
        """
        key = f"{review.row['id']}:librarian:{attempt}"
        unbounded = self._messages(review, source, "")
        digest = hashlib.sha256(json.dumps([self.model, key, unbounded]).encode()).hexdigest()
        return CompletionRequest(
            model=self.model,
            messages=self._messages(review, source, digest[:24]),
            temperature=0.0,
            max_tokens=LIBRARIAN_MAX_TOKENS,
            timeout_seconds=self.timeout_seconds,
            tenant_id=tenant_id,
            idempotency_key=key,
            json_schema_name=HEURISTIC_SCHEMA_NAME,
            json_schema=heuristic_schema(),
            metadata={"session_id": str(review.row["id"])},
        )

    @staticmethod
    def _messages(review: _Review, source: _Source, boundary: str) -> tuple[dict[str, str], ...]:
        return librarian_messages(
            domain=review.row["domain"],
            outcome=review.outcome,
            guidance=source.guidance,
            prompt=source.prompt,
            response=source.response,
            boundary=boundary,
        )

    def _require_safe(self, extracted: ExtractedHeuristic) -> None:
        text = f"{extracted.trigger_pattern}\n{extracted.action_template}"
        left = has_identifiers(text, self.detector)
        if left:
            raise UnsafeContent("The heuristic", tuple(f"phi_{kind}" for kind in left))
        # Ours too, where Cato is a service: its grammar of heuristics is the scan for instructions.
        ours = () if isinstance(self.cato, EmbeddedCato) else (EmbeddedCato(self.detector),)
        for cato in (self.cato, *ours):
            risk = cato.check_storage_safety(text, "heuristic")
            if risk.verdict != "safe":
                raise UnsafeContent("The heuristic", tuple(risk.reasons))


def _read(
    cursor: Cursor, tenant_id: UUID, session_id: UUID, decision: Mapping[str, Any] | None
) -> _Review:
    row = sessions.get_session(cursor, tenant_id, session_id)
    lessons = [
        Lesson(item.polarity, item.trigger_pattern, item.action_template)
        for item in sessions.offered_from(row)
    ]
    for call in tool_calls.of_session(cursor, tenant_id, session_id):
        if call["name"] == GRIMOIRE_SEARCH.name:
            lessons += lessons_in_tool_output(call["output"])
    return _Review(
        row=row,
        decision=decision,
        teaching=teaching(
            decision["verdict"] if decision else None,
            status=row["status"],
            swarm_status=row["swarm_status"],
            draft=row["draft"],
            final=row["final_response"],
            guidance=(decision["guidance"] if decision else None) or "",
            not_synthesised=sessions.is_not_synthesised(row),
        ),
        lessons=tuple(lessons),
        parents=store.cited_by_session(cursor, tenant_id, session_id),
    )
