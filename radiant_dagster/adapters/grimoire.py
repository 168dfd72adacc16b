"""The Grimoire in Postgres: search, store, promote, credit, maintain.

Consulting is read-only. Search is exact over one tenant and domain: measured recall 1.0 at about
one millisecond for ordinary tenants.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import numpy as np
from pgvector import HalfVector

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.paging import Place
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.heuristics import (
    CANDIDATES_PER_SLOT,
    MAX_AVOID,
    MAX_DO,
    MIN_CONFIDENCE,
    Candidate,
    ExtractedHeuristic,
    content_sha256,
    expires_at,
)
from radiant_dagster.errors import ConfigurationError, HeuristicNotFound, InvalidInput

CANDIDATES = (MAX_DO + MAX_AVOID) * CANDIDATES_PER_SLOT
THRESHOLD = "select threshold, dimensions from radiant.embedding_model where id = %s"
REGISTER_MODEL = """
    insert into radiant.embedding_model (id, dimensions, threshold, source)
    values (%s, %s, %s, %s) on conflict do nothing
"""
# The floor is applied after the rerank, outside of the LIMIT. The tenant is a literal as well as a
# policy, so that the planner uses this tenant's statistics.
NEAREST = """
    select id, polarity, trigger_pattern, action_template, confidence, embedding,
           1 - (embedding <=> %(query)s::halfvec) as similarity
    from radiant.knowledge_heuristics
    where tenant_id = %(tenant)s and domain = %(domain)s and embedding_model = %(model)s
      and state = any(%(states)s) and confidence >= %(confidence)s
      and expires_at > clock_timestamp()
    order by embedding <=> %(query)s::halfvec limit %(limit)s
"""
HAS_ACTIVE = """
    select exists (select 1 from radiant.knowledge_heuristics
                   where tenant_id = %s and domain = %s and state = 'active') as present
"""
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
INSERT_LIBRARIAN = """
    insert into radiant.librarian_decision (tenant_id, session_id, decision, reason, heuristic_id,
        source_user, reviewed, cost_micro_usd)
    values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing
"""
LIBRARIAN_OF_SESSION = """
    select decision, reason, heuristic_id from radiant.librarian_decision
    where tenant_id = %s and session_id = %s
"""
COLUMNS = """id, domain, polarity, state, trigger_pattern, action_template, confidence,
    success_count, failure_count, embedding_model, source_execution_id, outcome, created_by,
    approved_by, created_at, last_used_at, expires_at"""
HEURISTICS = f"""
    select {COLUMNS} from radiant.knowledge_heuristics
    where tenant_id = %(tenant)s and (%(domain)s::text is null or domain = %(domain)s)
      and (%(state)s::text is null or state = %(state)s)
      and (%(at)s::timestamptz is null or (created_at, id) < (%(at)s, %(id)s::uuid))
    order by created_at desc, id desc limit %(limit)s
"""  # noqa: S608 - COLUMNS is a literal above
HEURISTIC = f"""
    select {COLUMNS} from radiant.knowledge_heuristics where tenant_id = %s and id = %s
"""  # noqa: S608
PROMOTE = """
    update radiant.knowledge_heuristics
    set state = 'active', approved_by = %s, approved_at = clock_timestamp(),
        updated_at = clock_timestamp()
    where tenant_id = %s and id = %s and state = 'quarantined' returning id
"""
RETIRE = """
    update radiant.knowledge_heuristics set state = 'retired', updated_at = clock_timestamp()
    where tenant_id = %s and id = %s and state in ('quarantined', 'active') returning id
"""
# One credit a session and heuristic: the share of the successful agents that cited it is its
# weight. Rewards that are set already are left alone, so retries and re-executions count once.
CREDIT = """
    with open_usage as (
        update radiant.heuristic_usage set reward = %(reward)s
        where tenant_id = %(tenant)s and session_id = %(session)s and reward is null
        returning heuristic_id, cited),
    weight as (
        select heuristic_id, avg(cited::int) as share from open_usage group by heuristic_id)
    update radiant.knowledge_heuristics h
    set alpha = alpha + w.share * %(reward)s, beta = beta + w.share * (1 - %(reward)s),
        success_count = success_count + (%(reward)s >= 0.5)::int,
        failure_count = failure_count + (%(reward)s < 0.5)::int,
        last_used_at = clock_timestamp(), last_credited_at = clock_timestamp(),
        expires_at = greatest(expires_at, clock_timestamp() + interval '90 days' * least(2.0,
            greatest(0.33, 2 * (alpha + w.share * %(reward)s) / (alpha + beta + w.share)))),
        updated_at = clock_timestamp()
    from weight w
    where h.tenant_id = %(tenant)s and h.id = w.heuristic_id and w.share > 0
    returning h.id
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


def register_model(
    cursor: Cursor, model_id: str, dimensions: int, threshold: float, source: str
) -> None:
    """Make an embedding model known with its start threshold."""
    cursor.execute(REGISTER_MODEL, (model_id, dimensions, threshold, source))


def floor_of(cursor: Cursor, model_id: str) -> float:
    """Return the least similarity that counts for an embedding model.

    Raises:
        ConfigurationError: The model has no threshold yet.
    """
    cursor.execute(THRESHOLD, (model_id,))
    row = cursor.fetchone()
    if row is None:
        raise ConfigurationError(
            "RADIANT_EMBEDDING_MODEL", f"{model_id} has no threshold", "Run `radiant doctor`."
        )
    return float(row["threshold"])


def has_active(cursor: Cursor, tenant_id: UUID, domain: str) -> bool:
    """Tell whether a domain has anything to offer."""
    cursor.execute(HAS_ACTIVE, (tenant_id, domain))
    row = cursor.fetchone()
    return bool(row and row["present"])


def nearest(
    cursor: Cursor,
    tenant_id: UUID,
    domain: str,
    model_id: str,
    query: Sequence[float],
    *,
    states: Sequence[str] = ("active",),
    limit: int = CANDIDATES,
) -> tuple[Candidate, ...]:
    """Return the heuristics nearest to a vector, nearest first.

    Args:
        query: Vector of the same model, L2-normalised.
        states: Agents get active ones only; a curator's search may look wider.
    """
    cursor.execute(
        NEAREST,
        {
            "query": _halfvec(query),
            "tenant": tenant_id,
            "domain": domain,
            "model": model_id,
            "states": list(states),
            "confidence": MIN_CONFIDENCE,
            "limit": limit,
        },
    )
    return tuple(
        Candidate(
            id=row["id"],
            polarity=row["polarity"],
            trigger_pattern=row["trigger_pattern"],
            action_template=row["action_template"],
            similarity=float(row["similarity"]),
            confidence=float(row["confidence"]),
            embedding=_vector(row["embedding"]),
        )
        for row in cursor.fetchall()
    )


def _halfvec(vector: Sequence[float]) -> str:
    return HalfVector(list(vector)).to_text()


def _vector(value: Any) -> tuple[float, ...]:
    # A pool that opened its connection before the extension existed reads vectors as text.
    half = HalfVector.from_text(value) if isinstance(value, str) else value
    return tuple(np.asarray(half.to_list(), dtype=float).tolist())


def store(cursor: Cursor, tenant_id: UUID, new: NewHeuristic) -> tuple[UUID, bool]:
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
            "embedding": _halfvec(new.embedding),
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
    audit.record(
        cursor,
        tenant_id,
        actor=f"system:{new.created_by}",
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


def list_heuristics(
    cursor: Cursor,
    tenant_id: UUID,
    *,
    domain: str | None,
    state: str | None,
    limit: int,
    after: Place | None = None,
) -> list[dict[str, Any]]:
    """Return the newest heuristics, filtered by domain and state.

    Args:
        after: ``created_at`` and id of the last row of the page before.
    """
    values = {"tenant": tenant_id, "domain": domain, "state": state, "limit": limit}
    values |= {"at": after.at if after else None, "id": after.id if after else None}
    cursor.execute(HEURISTICS, values)
    return [dict(row) for row in cursor.fetchall()]


def get_heuristic(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID) -> dict[str, Any]:
    """Return one heuristic.

    Raises:
        HeuristicNotFound: Unknown, or another tenant's.
    """
    cursor.execute(HEURISTIC, (tenant_id, heuristic_id))
    row = cursor.fetchone()
    if row is None:
        raise HeuristicNotFound(heuristic_id)
    return dict(row)


def promote(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID, *, actor: str) -> None:
    """Make a quarantined heuristic active, on a curator's word.

    Raises:
        HeuristicNotFound: Unknown, or another tenant's.
        InvalidInput: It is not quarantined.
    """
    _change(cursor, tenant_id, heuristic_id, PROMOTE, (actor,), actor, "promoted")


def retire(cursor: Cursor, tenant_id: UUID, heuristic_id: UUID, *, actor: str) -> None:
    """Take a heuristic out of use, on a curator's word.

    Raises:
        HeuristicNotFound: Unknown, or another tenant's.
        InvalidInput: It is out of use already.
    """
    _change(cursor, tenant_id, heuristic_id, RETIRE, (), actor, "retired")


def _change(
    cursor: Cursor,
    tenant_id: UUID,
    heuristic_id: UUID,
    statement: str,
    first: tuple[str, ...],
    actor: str,
    done: str,
) -> None:
    if not actor.strip():
        raise InvalidInput("actor", "is empty", "Say who decides, for instance with --as NAME.")
    cursor.execute(statement, (*first, tenant_id, heuristic_id))
    if cursor.fetchone() is None:
        state = get_heuristic(cursor, tenant_id, heuristic_id)["state"]
        raise InvalidInput(
            "heuristic", f"{heuristic_id} is {state}, it cannot be {done}", "Choose another one."
        )
    audit.record(
        cursor, tenant_id, actor=actor, action=f"heuristic.{done}", heuristic_id=heuristic_id
    )


def credit(cursor: Cursor, tenant_id: UUID, session_id: UUID, reward: float) -> int:
    """Move the confidence of the heuristics a session's agents cited.

    Args:
        reward: 0 to 1, from the recorded human decision.

    Returns:
        How many heuristics moved; 0 on a repeat.
    """
    cursor.execute(CREDIT, {"reward": reward, "tenant": tenant_id, "session": session_id})
    return len(cursor.fetchall())
