"""A Grimoire in use, for tests: sessions teach it, people curate it, maintenance keeps it."""

import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from radiant_dagster.adapters import feedback
from radiant_dagster.adapters.grimoire import (
    acts,
    credit,
    evidence,
    neighbours,
    purge,
    rebuild,
    store,
    texts,
    upkeep,
)
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.domain.curation import Act, Edit, Root
from radiant_dagster.domain.extraction import ExtractedHeuristic
from radiant_dagster.domain.heuristics import Polarity, content_sha256, exact_sha256
from tests.adapters.rows import insert, insert_session
from tests.adapters.test_merging import ACTION, MODEL, at

OPPOSITE = f"{ACTION} Do not wait."
# Some say the same, some nearly, some the opposite, and two nothing like the others.
LESSONS: tuple[tuple[Polarity, str, str, list[float]], ...] = (
    ("do", "A question about cold storage", ACTION, at(1.0)),
    ("do", "A question about cold storage at sea", ACTION, at(0.99, 1)),
    ("do", "A question about cold storage in a van", OPPOSITE, at(0.97, 2)),
    ("do", "A question about storage in general", ACTION, at(0.85, 3)),
    ("avoid", "A question about cold storage at home", ACTION, at(0.9, 4)),
    ("do", "Somebody asks how a tyre is mended", "List the tools, then the steps.", at(0.0, 5)),
    ("avoid", "Somebody asks about a journey by train", "Do not promise any times.", at(0.0, 6)),
)
ROWS = "select * from radiant.knowledge_heuristics where tenant_id = %s order by id"
LINKS = "select * from radiant.heuristic_link where tenant_id = %s order by a, b"
VERSIONS = """
    select distinct on (heuristic_id) heuristic_id, version, trigger_pattern, action_template
    from radiant.heuristic_version where tenant_id = %s order by heuristic_id, version desc
"""
AUDIT = """
    select heuristic_id, action from radiant.audit
    where tenant_id = %s and heuristic_id is not null order by id
"""
# The state that an audited act leaves behind.
STATE_AFTER = {
    "heuristic.quarantined": "quarantined",
    "heuristic.promoted": "active",
    "heuristic.retired": "retired",
    "heuristic.revoked": "revoked",
    "heuristic.expired": "expired",
    "heuristic.merged": "merged",
}


@dataclass
class Grimoire:
    """A tenant's Grimoire, and everybody who works on it.

    Args:
        owner: A superuser's cursor, which sees past row-level security.
    """

    database: Database
    tenant: uuid.UUID
    owner: Any

    def learn(
        self, number: int, *, user: str = "ann", reward: float | None = 1.0
    ) -> tuple[uuid.UUID, store.Kept]:
        """Let a session teach a lesson, as the Librarian concludes its review.

        Args:
            number: Of LESSONS.
            reward: What its review was worth; None where nobody reviewed it.
        """
        with self.learning(number, user=user, reward=reward) as learned:
            return learned

    @contextmanager
    def learning(
        self, number: int, *, user: str = "ann", reward: float | None = 1.0
    ) -> Generator[tuple[uuid.UUID, store.Kept]]:
        """Do what `learn` does, and commit it on leaving."""
        polarity, trigger, action, vector = LESSONS[number]
        extracted = ExtractedHeuristic(
            decision="store", polarity=polarity, trigger_pattern=trigger, action_template=action,
            rationale="", evidence_quotes=[], generality="reusable",
        )  # fmt: skip
        with self.database.tenant_transaction(self.tenant) as cursor:
            session_id = insert_session(
                cursor, self.tenant, user_id=user, status="completed", final_response="An answer."
            )
            new = store.NewHeuristic(
                id=uuid.uuid4(), domain="general", extracted=extracted, embedding=vector,
                embedding_model=MODEL, session_id=session_id, source_user=user, outcome="approved",
                extraction_model="m", created_by="librarian", now=datetime.now(UTC),
            )  # fmt: skip
            neighbours.lock_domain(cursor, self.tenant, "general")
            kept = store.keep_learned(cursor, self.tenant, new)
            store.record_librarian(
                cursor, self.tenant, session_id, decision="stored", reason="ok",
                heuristic_id=kept.heuristic_id, source_user=user, reviewed=reward is not None,
                reward=reward, cost_micro_usd=0,
            )  # fmt: skip
            if kept.heuristic_id is not None and reward is not None:
                evidence.add(cursor, self.tenant, kept.heuristic_id, reward)
            yield session_id, kept

    def consult(self, items: Mapping[uuid.UUID, bool], *, user: str = "ann") -> uuid.UUID:
        """Store a session to which heuristics were offered; True where its agent cited one."""
        with self.database.tenant_transaction(self.tenant) as cursor:
            session_id = insert_session(
                cursor, self.tenant, user_id=user, status="completed", final_response="An answer."
            )
            for item, cited in items.items():
                insert(
                    cursor, "heuristic_usage", tenant_id=self.tenant, session_id=session_id,
                    agent_id="a", heuristic_id=item, rank=1, similarity=0.9, cited=cited,
                )  # fmt: skip
        return session_id

    def credit(self, session_id: uuid.UUID, reward: float = 1.0) -> int:
        """Give a session's uses their outcome."""
        with self.database.tenant_transaction(self.tenant) as cursor:
            return credit.credit_session(cursor, self.tenant, session_id, reward)

    def judge(self, session_id: uuid.UUID, verdict: feedback.FeedbackVerdict, actor: str) -> None:
        """Say what an answer that nobody reviewed was worth."""
        with self.database.tenant_transaction(self.tenant) as cursor:
            feedback.give(cursor, self.tenant, session_id, actor=actor, verdict=verdict)

    def act(self, item: uuid.UUID, act: Act, *, actor: str = "cora") -> acts.Standing:
        """Do what a curator wants, whose texts need no check."""
        with self.database.tenant_transaction(self.tenant) as cursor:
            return acts.carry_out(cursor, self.tenant, item, acts.Ready(act), actor=actor)

    def edit(self, item: uuid.UUID, number: int) -> None:
        """Give a heuristic the text of another of LESSONS."""
        _, trigger, action, vector = LESSONS[number]
        text = texts.Prepared(trigger, action, vector, MODEL)
        ready = acts.Ready(Edit(trigger, action), text)
        with self.database.tenant_transaction(self.tenant) as cursor:
            acts.carry_out(cursor, self.tenant, item, ready, actor="cora")

    def purge(self, kind: Any, value: object) -> list[uuid.UUID]:
        """Retire everything that was derived from a session, a user or a heuristic."""
        with self.database.tenant_transaction(self.tenant) as cursor:
            root = Root(kind, str(value))
            found = purge.retire_derived(cursor, self.tenant, root, actor="cora")
        return [row["id"] for row in found]

    def maintain(self) -> dict[str, int]:
        """Let the daily maintenance run."""
        return upkeep.maintain(self.database)

    def age(self, item: uuid.UUID, column: str) -> None:
        """Let a heuristic's expiry, or its last change, lie in the past."""
        assert column in ("expires_at", "updated_at")
        self.owner.execute(
            f"update radiant.knowledge_heuristics set {column} = '2020-01-01' where id = %s",  # noqa: S608
            (item,),
        )

    def rows(self) -> dict[uuid.UUID, dict[str, Any]]:
        """Return every heuristic."""
        self.owner.execute(ROWS, (self.tenant,))
        return {row["id"]: dict(row) for row in self.owner.fetchall()}

    def links(self) -> dict[frozenset[uuid.UUID], dict[str, Any]]:
        """Return every pair."""
        self.owner.execute(LINKS, (self.tenant,))
        return {frozenset((row["a"], row["b"])): dict(row) for row in self.owner.fetchall()}

    def faults(self) -> list[str]:
        """Return everything that cannot be, whatever was done."""
        rows = self.rows()
        return [*self._of_rows(rows), *self._of_links(rows), *self._of_records(rows)]

    def _of_rows(self, rows: dict[uuid.UUID, dict[str, Any]]) -> list[str]:
        found: list[str] = []
        for item, row in rows.items():
            merged = {row["state"] == "merged", row["merged_into"] is not None}
            if len(merged | {row["merged_from"] is not None}) > 1:
                found.append(f"{item} is {row['state']} into {row['merged_into']}")
            if item in survivors(rows, item):
                found.append(f"{item} is merged into itself")
            for above in survivors(rows, item):
                if (rows[above]["domain"], rows[above]["polarity"]) != (
                    row["domain"],
                    row["polarity"],
                ):
                    found.append(f"{item} is merged into another kind")
            text = (row["trigger_pattern"], row["action_template"])
            if bytes(row["content_sha256"]) != content_sha256(*text):
                found.append(f"{item} has the hash of another text")
            approved = bytes(row["approved_sha256"] or b"")
            if row["state"] == "active" and approved != exact_sha256(row["polarity"], *text):
                found.append(f"{item} is active with a text that nobody let through")
        return found

    def _of_links(self, rows: dict[uuid.UUID, dict[str, Any]]) -> list[str]:
        found: list[str] = []
        for pair, link in self.links().items():
            one, other = (rows[item] for item in (link["a"], link["b"]))
            joined = one["merged_into"] == other["id"] or other["merged_into"] == one["id"]
            if (link["state"] == "merged") != joined and link["state"] in ("open", "merged"):
                found.append(f"the pair {pair} is {link['state']}, joined: {joined}")
            if link["kind"] == "near_copy" and one["polarity"] != other["polarity"]:
                found.append(f"the pair {pair} is no near copy")
        return found

    def _of_records(self, rows: dict[uuid.UUID, dict[str, Any]]) -> list[str]:
        with self.database.tenant_transaction(self.tenant) as cursor:
            found = [f"{item} does not add up" for item in rebuild.differences(cursor, self.tenant)]
        self.owner.execute(VERSIONS, (self.tenant,))
        for version in self.owner.fetchall():
            row = rows[version["heuristic_id"]]
            if any(row[name] != version[name] for name in version if name != "heuristic_id"):
                found.append(f"{row['id']} is not its last version")
        self.owner.execute(AUDIT, (self.tenant,))
        told: dict[uuid.UUID, list[str]] = {}
        for line in self.owner.fetchall():
            states = told.setdefault(line["heuristic_id"], [])
            if line["action"] == "heuristic.unmerged":
                states.pop()  # it is again what it was before
            elif line["action"] in STATE_AFTER:
                states.append(STATE_AFTER[line["action"]])
        for item, row in rows.items():
            if told.get(item, [""])[-1] != row["state"]:
                found.append(f"{item} is {row['state']}, the audit says {told.get(item)}")
        return found


def survivors(rows: Mapping[uuid.UUID, Mapping[str, Any]], item: uuid.UUID) -> list[uuid.UUID]:
    """Return what a heuristic was merged into, as far as it is there; a circle ends with itself."""
    found: list[uuid.UUID] = []
    into = rows[item]["merged_into"]
    while into in rows and into not in found:
        found.append(into)
        into = rows[into]["merged_into"]
    return found
