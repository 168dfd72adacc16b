"""Carries out what was decided on a draft: release it, replace it, rewrite it, or drop it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import agent_runs, approvals, dispatch, reviews, sessions
from radiant_dagster.adapters.cato import Cato
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.synthesis import Synthesiser, check_draft, verdict_of
from radiant_dagster.domain.approvals import NO_DRAFT, answers_text, require_reviewed_text
from radiant_dagster.domain.phi import Detector
from radiant_dagster.domain.sessions import Release, release


@dataclass(frozen=True, slots=True)
class Concluded:
    """What became of a draft.

    Args:
        verdict: The decision that was carried out, ``no review`` where nobody was asked.
        released: An answer is handed out.
        approval_id: The new review that a new draft waits for, else None.
    """

    verdict: str
    released: bool
    approval_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The services that carrying out a decision needs."""

    database: Database
    synthesiser: Synthesiser
    cato: Cato
    detector: Detector

    def carry_out(
        self,
        tenant_id: UUID,
        session_id: UUID,
        *,
        run_id: str,
        new_id: UUID,
        cancelled: Callable[[], bool],
    ) -> Concluded:
        """Carry out the decision on a session's draft, or release it where nobody was asked.

        Args:
            tenant_id: Whose session it is.
            session_id: The session; it moves to `concluding`.
            run_id: The Dagster run that does it.
            new_id: Id of the new approval, where one is needed.
            cancelled: Asked while a model is waited for.

        Raises:
            ApprovalChanged: The draft is not the text that was approved.
            ConfigurationError: A new draft could not be written.
        """
        with self.database.tenant_transaction(tenant_id) as cursor:
            sessions.advance(cursor, tenant_id, session_id, "concluding", conclude_run_id=run_id)
            row = sessions.get_session(cursor, tenant_id, session_id)
            decision = approvals.decision_of_session(cursor, tenant_id, session_id)
            agents = agent_runs.agent_rows(cursor, tenant_id, session_id)
        verdict = decision["verdict"] if decision else None
        reviewed = decision is not None and decision["review_stage"] == "draft"
        if decision is not None and verdict == "approved":
            if reviewed:
                require_reviewed_text(decision, row["draft"])
            elif bytes(decision["payload_sha256"]) != NO_DRAFT:
                require_reviewed_text(decision, answers_text(agents))
        outcome = release(
            verdict=verdict,
            draft=row["draft"],
            draft_reviewed=reviewed,
            edited_text=decision["edited_text"] if decision else None,
        )
        text = outcome.text
        if outcome.needs_draft:
            text, doubts = self._new_draft(tenant_id, row, decision, outcome, cancelled)
            if doubts:
                approval_id = self._review(tenant_id, session_id, decision, text, doubts, new_id)
                return Concluded(verdict or "no review", released=False, approval_id=approval_id)
        with self.database.tenant_transaction(tenant_id) as cursor:
            sessions.release_answer(cursor, tenant_id, session_id, text, outcome.note)
        return Concluded(verdict or "no review", released=text is not None)

    def _new_draft(
        self,
        tenant_id: UUID,
        row: Mapping[str, Any],
        decision: Mapping[str, Any] | None,
        outcome: Release,
        cancelled: Callable[[], bool],
    ) -> tuple[str, tuple[str, ...]]:
        """Write and check a draft; return it with the reasons why somebody has to read it."""
        # One that was written before and lost to a crash is not bought again; it is checked below.
        text = None if outcome.review_again else row["draft"]
        if text is None:
            text = self.synthesiser.write_draft(
                tenant_id,
                row["id"],
                cancelled=cancelled,
                guidance=decision["guidance"] if decision else None,
            ).text
        verdict = verdict_of(check_draft(self.database, self.cato, tenant_id, row["id"]))
        with self.database.tenant_transaction(tenant_id) as cursor:
            stored = sessions.get_session(cursor, tenant_id, row["id"])
        doubts = (
            ("revised", outcome.review_again),
            (f"cato_{verdict}", verdict != "safe"),
            ("not_synthesised", sessions.is_not_synthesised(stored)),
        )
        return text, tuple(code for code, holds in doubts if holds)

    def _review(
        self,
        tenant_id: UUID,
        session_id: UUID,
        decision: Mapping[str, Any] | None,
        text: str,
        doubts: tuple[str, ...],
        new_id: UUID,
    ) -> UUID:
        with self.database.tenant_transaction(tenant_id) as cursor:
            dispatch.finish_decisions(cursor, tenant_id, session_id)
            approval_id, _ = reviews.submit(
                cursor,
                tenant_id,
                new_id,
                sessions.get_session(cursor, tenant_id, session_id),
                self.detector,
                draft=text,
                reasons=doubts,
                attempt=decision["attempt"] + 1 if decision else 1,
            )
        return approval_id
