"""Keeps what the Librarian learned: one row for one lesson, and one decision a session."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.grimoire.search import halfvec
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.extraction import ExtractedHeuristic
from radiant_dagster.domain.heuristics import content_sha256, exact_sha256
from radiant_dagster.domain.posterior import expires_at

LOCK_DOMAIN = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"
SAME_CONTENT = """
    select id, state from radiant.knowledge_heuristics
    where tenant_id = %s and domain = %s and polarity = %s and content_sha256 = %s
      and state in ('quarantined', 'active')
"""
INSERT_HEURISTIC = """
    insert into radiant.knowledge_heuristics (tenant_id, id, domain, polarity, trigger_pattern,
        action_template, embedding, embedding_model, content_sha256, source_execution_id,
        source_user, outcome, extraction_model, created_by, expires_at)
    values (%(tenant)s, %(id)s, %(domain)s, %(polarity)s, %(trigger)s, %(action)s,
        %(embedding)s::halfvec, %(model)s, %(sha256)s, %(session)s, %(user)s, %(outcome)s,
        %(extraction_model)s, %(created_by)s, %(expires_at)s)
"""
INSERT_VERSION = """
    insert into radiant.heuristic_version (tenant_id, heuristic_id, version, trigger_pattern,
        action_template, editor, reason, content_sha256)
    select tenant_id, id, version, trigger_pattern, action_template, %s, %s, %s
    from radiant.knowledge_heuristics where tenant_id = %s and id = %s
"""
INSERT_LIBRARIAN = """
    insert into radiant.librarian_decision (tenant_id, session_id, decision, reason, heuristic_id,
        source_user, reviewed, cost_micro_usd)
    values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing
"""
LIBRARIAN_OF_SESSION = """
    select decision, reason, heuristic_id from radiant.librarian_decision
    where tenant_id = %s and session_id = %s
"""


@dataclass(frozen=True, slots=True)
class NewHeuristic:
    """Everything that is stored with a heuristic.

    Args:
        embedding: The trigger's vector, L2-normalised, as long as the model's dimensions.
        session_id: The session it was distilled from, None for a person's own.
    """

    id: UUID
    domain: str
    extracted: ExtractedHeuristic
    embedding: Sequence[float]
    embedding_model: str
    session_id: UUID | None
    source_user: str
    outcome: str
    extraction_model: str
    created_by: Literal["librarian", "human", "import"]
    now: datetime


def keep(cursor: Cursor, tenant_id: UUID, new: NewHeuristic) -> tuple[UUID, bool]:
    """Store a heuristic as quarantined, unless the same one is there already.

    Runs under an advisory lock of tenant, domain and polarity, so that concurrent Librarians with
    one text leave one row.

    Returns:
        Its id, and True where it is new.
    """
    extracted = new.extracted
    sha256 = content_sha256(extracted.trigger_pattern, extracted.action_template)
    cursor.execute(LOCK_DOMAIN, (f"{tenant_id}:{new.domain}:{extracted.polarity}",))
    cursor.execute(SAME_CONTENT, (tenant_id, new.domain, extracted.polarity, sha256))
    row = cursor.fetchone()
    if row is not None:
        return row["id"], False
    cursor.execute(
        INSERT_HEURISTIC,
        {
            "tenant": tenant_id,
            "id": new.id,
            "domain": new.domain,
            "polarity": extracted.polarity,
            "trigger": extracted.trigger_pattern.strip(),
            "action": extracted.action_template.strip(),
            "embedding": halfvec(new.embedding),
            "model": new.embedding_model,
            "sha256": sha256,
            "session": new.session_id,
            "user": new.source_user,
            "outcome": new.outcome,
            "extraction_model": new.extraction_model,
            "created_by": new.created_by,
            "expires_at": expires_at(new.now, 0.5),
        },
    )
    text = (extracted.trigger_pattern.strip(), extracted.action_template.strip())
    editor = f"system:{new.created_by}"
    exact = exact_sha256(extracted.polarity, *text)
    cursor.execute(INSERT_VERSION, (editor, "", exact, tenant_id, new.id))
    audit.record(
        cursor,
        tenant_id,
        actor=editor,
        action="heuristic.quarantined",
        session_id=new.session_id,
        heuristic_id=new.id,
    )
    return new.id, True


def record_librarian(
    cursor: Cursor,
    tenant_id: UUID,
    session_id: UUID,
    *,
    decision: str,
    reason: str,
    heuristic_id: UUID | None,
    source_user: str,
    reviewed: bool,
    cost_micro_usd: int,
) -> None:
    """Keep what the Librarian decided about a session, once."""
    cursor.execute(
        INSERT_LIBRARIAN,
        (
            tenant_id,
            session_id,
            decision,
            reason,
            heuristic_id,
            source_user,
            reviewed,
            cost_micro_usd,
        ),
    )


def librarian_of_session(
    cursor: Cursor, tenant_id: UUID, session_id: UUID
) -> dict[str, Any] | None:
    """Return decision, reason code and heuristic id, None where the Librarian has not been."""
    cursor.execute(LIBRARIAN_OF_SESSION, (tenant_id, session_id))
    row = cursor.fetchone()
    return dict(row) if row else None
