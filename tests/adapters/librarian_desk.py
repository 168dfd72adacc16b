"""A Librarian at work on sessions of its own, for tests: real Postgres, a scripted model server."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from radiant_dagster.adapters import sessions
from radiant_dagster.adapters.cato import EmbeddedCato
from radiant_dagster.adapters.embeddings import MiniLmEmbeddings
from radiant_dagster.adapters.librarian import Librarian, Outcome
from radiant_dagster.adapters.llm_transports import build_llm
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.learning import LearningCaps
from radiant_dagster.domain.phi import RuleDetector
from tests.adapters.rows import insert_session
from tests.services.llm_server import LlmServer, content

PROMPT = "How long do vaccines keep cold after a power cut?"
ANSWER = "Vaccines keep cold for four hours in a closed fridge. Keep the door shut meanwhile."
LESSON: dict[str, Any] = {
    "decision": "store",
    "polarity": "do",
    "trigger_pattern": "A question about cold storage without power",
    "action_template": "Name the hours the cold holds and what to log meanwhile.",
    "rationale": "It helped.",
    "evidence_quotes": ["keep cold for four hours"],
    "generality": "reusable",
}


@dataclass
class Desk:
    """What a test of the Librarian needs."""

    database: Database
    models: LlmServer
    tenant: uuid.UUID
    caps: LearningCaps = field(default_factory=LearningCaps)

    def session(self, *, user: str = "ann", **columns: Any) -> uuid.UUID:
        """Store a session whose answer is released, as it is before the Librarian comes."""
        values = {
            "prompt": PROMPT,
            "draft": ANSWER,
            "final_response": ANSWER,
            "swarm_status": "complete",
            "status": "concluding",
            "user_id": user,
        }
        for name in ("heuristics", "draft_details"):
            if name in columns:
                columns[name] = json.dumps(columns[name])
        with self.database.tenant_transaction(self.tenant) as cursor:
            return insert_session(cursor, self.tenant, **values | columns)

    def librarian(self) -> Librarian:
        settings = Settings.load(
            {"LITELLM_PROXY_URL": self.models.url, "RADIANT_HOME": "/nonexistent"}
        )
        detector = RuleDetector()
        return Librarian(
            self.database,
            build_llm(settings),
            "gpt-4o-mini",
            MiniLmEmbeddings(),
            EmbeddedCato(detector),
            detector,
            10,
            self.caps,
        )

    def review(
        self,
        session_id: uuid.UUID,
        verdict: str | None = None,
        guidance: str | None = None,
        librarian: Librarian | None = None,
    ) -> Outcome:
        """Let the Librarian come."""
        decision: Mapping[str, Any] | None = None
        if verdict is not None:
            decision = {
                "verdict": verdict,
                "guidance": guidance,
                "approval_id": uuid.uuid5(session_id, "approval"),
            }
        return (librarian or self.librarian()).review(
            self.tenant,
            session_id,
            decision=decision,
            new_id=uuid.uuid4(),
            now=datetime.now(UTC),
            cancelled=lambda: False,
        )

    def learn(
        self,
        verdict: str | None = None,
        *,
        user: str = "ann",
        guidance: str | None = None,
        columns: Mapping[str, Any] | None = None,
        **lesson: Any,
    ) -> Outcome:
        """Run a session past the Librarian whose model extracts the lesson with these changes."""
        session_id = self.session(user=user, **(columns or {}))
        self.models.script(*[content(json.dumps(LESSON | lesson))] * 2)
        try:
            return self.review(session_id, verdict, guidance)
        finally:
            self.models.forget()

    def asked(self) -> dict[str, Any]:
        """Return the document of the last call to the model."""
        return json.loads(self.models.calls[-1].body["messages"][1]["content"].split("\n")[1])

    def rows(self) -> list[dict[str, Any]]:
        """Return every heuristic, oldest first."""
        return self.select("select * from radiant.knowledge_heuristics order by created_at")

    def row(self, heuristic_id: uuid.UUID | None) -> dict[str, Any]:
        """Return one heuristic."""
        (found,) = [row for row in self.rows() if row["id"] == heuristic_id]
        return found

    def decisions(self) -> list[dict[str, Any]]:
        """Return what the Librarian decided, oldest first."""
        return self.select("select * from radiant.librarian_decision order by at")

    def links(self) -> list[tuple[str, str]]:
        """Return kind and state of every link."""
        found = self.select("select kind, state from radiant.heuristic_link order by created_at")
        return [(row["kind"], row["state"]) for row in found]

    def select(self, statement: str) -> list[dict[str, Any]]:
        with self.database.tenant_transaction(self.tenant) as cursor:
            cursor.execute(statement)
            return [dict(row) for row in cursor.fetchall()]

    def stored_session(self, session_id: uuid.UUID) -> dict[str, Any]:
        with self.database.tenant_transaction(self.tenant) as cursor:
            return sessions.get_session(cursor, self.tenant, session_id)
