"""Gives heuristics other texts: checked as the Librarian's are, embedded, kept as versions.

Checks and the embedding come before any transaction: a model may take seconds. A text that breaks a
rule is refused with the field and the fix, and never quoted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg2.errors

from radiant_dagster.adapters.cato import Cato, build_cato
from radiant_dagster.adapters.detectors import build_detector
from radiant_dagster.adapters.embeddings import EmbeddingModel, build_embeddings
from radiant_dagster.adapters.grimoire import neighbours
from radiant_dagster.adapters.grimoire.curation import lock, note, require_possible, text_hash
from radiant_dagster.adapters.grimoire.neighbours import Place
from radiant_dagster.adapters.grimoire.search import halfvec, register_model
from radiant_dagster.adapters.grimoire.versions import add_version
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.curation import (
    MAX_REASON_CHARACTERS,
    Edit,
    Rollback,
    require_second_person,
)
from radiant_dagster.domain.heuristic_text import require_plain, require_text
from radiant_dagster.domain.heuristics import content_sha256
from radiant_dagster.domain.phi import Detector, has_identifiers
from radiant_dagster.errors import CatoUnavailable, InvalidInput

SAME_TEXT = """
    select id from radiant.knowledge_heuristics
    where tenant_id = %s and domain = %s and polarity = %s and content_sha256 = %s
      and state in ('quarantined', 'active') and id <> %s
"""
SET_TEXT = """
    update radiant.knowledge_heuristics
    set trigger_pattern = %(trigger)s, action_template = %(action)s,
        embedding = %(embedding)s::halfvec, embedding_model = %(model)s,
        model_since = case when embedding_model = %(model)s then model_since
                           else clock_timestamp() end,
        content_sha256 = %(content)s, version = version + 1, updated_at = clock_timestamp(),
        approved_sha256 = case when state = 'active' then %(exact)s else approved_sha256 end,
        approved_by = case when state = 'active' then %(actor)s else approved_by end,
        approved_at = case when state = 'active' then clock_timestamp() else approved_at end
    where tenant_id = %(tenant)s and id = %(id)s
"""
UNAVAILABLE = "cato_unavailable:"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A text that may be stored.

    Args:
        embedding: Of the trigger, L2-normalised, as long as the model's dimensions.
    """

    trigger_pattern: str
    action_template: str
    embedding: Sequence[float]
    embedding_model: str


@dataclass(frozen=True, slots=True)
class Checks:
    """What a text has to pass before it is stored, and what embeds it."""

    embeddings: EmbeddingModel
    cato: Cato
    detector: Detector

    @classmethod
    def of(cls, settings: Settings) -> "Checks":
        """Put them together as the settings say; nothing is loaded or asked yet."""
        return cls(build_embeddings(settings), build_cato(settings), build_detector(settings))

    def require_safe(self, trigger_pattern: str, action_template: str) -> tuple[str, str]:
        """Return both texts as they are to be stored.

        Raises:
            InvalidInput: Names the field and the fix.
            CatoUnavailable: The safety check cannot be asked.
        """
        trigger, action = require_text(trigger_pattern, action_template)
        self._require_nobody("trigger_pattern", trigger)
        self._require_nobody("action_template", action)
        risk = self.cato.check_storage_safety(f"{trigger}\n{action}", "heuristic")
        for code in risk.reasons:
            if code.startswith(UNAVAILABLE):
                raise CatoUnavailable(code.removeprefix(UNAVAILABLE))
        if risk.verdict != "safe":
            raise InvalidInput(
                "action_template",
                f"is refused by the safety check, or the trigger is ({', '.join(risk.reasons)})",
                "Say when it applies and what to do, without commands to the agents themselves.",
            )
        return trigger, action

    def require_reason(self, reason: str) -> str:
        """Return a curator's reason, which is stored beside the text.

        Raises:
            InvalidInput: Too long, or as no text of a heuristic may be.
        """
        text = " ".join(reason.split())
        if len(text) > MAX_REASON_CHARACTERS:
            raise InvalidInput(
                "reason", "is too long", f"Use at most {MAX_REASON_CHARACTERS} characters."
            )
        require_plain("reason", text)
        self._require_nobody("reason", text)
        return text

    def _require_nobody(self, field: str, text: str) -> None:
        found = has_identifiers(text, self.detector) if text else ()
        if found:
            raise InvalidInput(
                field,
                f"has personal data in it ({', '.join(found)})",
                "Say it without names, numbers and dates of persons.",
            )

    def prepare(self, trigger_pattern: str, action_template: str) -> Prepared:
        """Check and embed a text.

        Raises:
            InvalidInput, CatoUnavailable: See `require_safe`.
            EmbeddingUnavailable: It cannot be embedded now.
        """
        trigger, action = self.require_safe(trigger_pattern, action_template)
        vector = self.embeddings.embed([trigger])[0]
        return Prepared(trigger, action, vector, self.embeddings.model_id)


def change_text(
    cursor: Cursor,
    tenant_id: UUID,
    heuristic_id: UUID,
    text: Prepared,
    *,
    actor: str,
    reason: str,
    restores: int | None = None,
    if_version: int | None = None,
) -> None:
    """Give a heuristic another text, as a new version.

    Of an active heuristic the new text is let through by that, on the curator's word. It is
    compared with the others as the Librarian's are, under the same lock, and merged with none.

    Args:
        restores: The version whose text this is.
        if_version: What the caller read; None where any will do.

    Raises:
        HeuristicNotFound, HeuristicChanged: See `curation.lock`.
        InvalidInput: Out of use, nothing changes, or another heuristic has this text.
        CurationForbidden: It is active and came from the curator's own session, where it could
            hurt.
    """
    neighbours.lock_domain_of(cursor, tenant_id, heuristic_id)
    row = lock(cursor, tenant_id, heuristic_id, if_version=if_version)
    require_possible(row, Edit if restores is None else Rollback, actor)
    after = {**row, "version": row["version"] + 1}
    after |= {"trigger_pattern": text.trigger_pattern, "action_template": text.action_template}
    _require_new(cursor, tenant_id, row, after)
    if row["state"] == "active":
        require_second_person(
            heuristic_id, domain=row["domain"], source_user=row["source_user"], actor=actor
        )
    register_model(cursor, text.embedding_model, len(text.embedding))
    _store(cursor, tenant_id, after, text, actor=actor)
    add_version(
        cursor, tenant_id, heuristic_id,
        editor=actor, sha256=text_hash(after), reason=reason, restores=restores,
    )  # fmt: skip
    place = Place(heuristic_id, row["domain"], text.embedding, text.embedding_model)
    linked, outdated = neighbours.link_again(cursor, tenant_id, place, after, actor=actor)
    facts: dict[str, object] = {"before": text_hash(row).hex()}
    facts |= {"restores": restores} if restores else {}
    facts |= {"linked": linked, "outdated": outdated} if linked or outdated else {}
    note(
        cursor, tenant_id, after, "edited" if restores is None else "rolled_back",
        actor=actor, **facts,
    )  # fmt: skip


def _require_new(
    cursor: Cursor, tenant_id: UUID, row: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    if text_hash(after) == text_hash(row):
        raise InvalidInput(
            "action_template", "is as before, and so is the trigger", "Change one of them."
        )
    of = (tenant_id, row["domain"], row["polarity"], _content(after), row["id"])
    cursor.execute(SAME_TEXT, of)
    same = cursor.fetchone()
    if same is not None:
        raise _same_text(str(same["id"]))


def _store(
    cursor: Cursor, tenant_id: UUID, after: Mapping[str, Any], text: Prepared, *, actor: str
) -> None:
    values = {
        "trigger": text.trigger_pattern,
        "action": text.action_template,
        "embedding": halfvec(text.embedding),
        "model": text.embedding_model,
        "content": _content(after),
        "exact": text_hash(after),
        "actor": actor,
        "tenant": tenant_id,
        "id": after["id"],
    }
    try:
        cursor.execute(SET_TEXT, values)
    except psycopg2.errors.UniqueViolation:  # unmerged between the look before and now
        raise _same_text("another heuristic") from None


def _content(row: Mapping[str, Any]) -> bytes:
    return content_sha256(row["trigger_pattern"], row["action_template"])


def _same_text(other: str) -> InvalidInput:
    return InvalidInput(
        "action_template",
        f"is, together with its trigger, the text of {other}",
        "Merge the two instead.",
    )
