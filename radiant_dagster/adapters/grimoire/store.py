"""Keeps what was learned: one live row for one lesson, and one decision of the Librarian a session.

Where a lesson belongs is decided and written under one advisory lock of tenant and domain, so that
Librarians at work side by side see each other's rows. Its embedding is made before: nothing waits
for a model under the lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from radiant_dagster.adapters import audit
from radiant_dagster.adapters.grimoire import merging, neighbours
from radiant_dagster.adapters.grimoire.neighbours import Place
from radiant_dagster.adapters.grimoire.search import halfvec
from radiant_dagster.adapters.grimoire.versions import add_version
from radiant_dagster.adapters.postgres import Cursor
from radiant_dagster.domain.dedup import Bands, Placement, place
from radiant_dagster.domain.extraction import ExtractedHeuristic
from radiant_dagster.domain.heuristics import content_sha256, exact_sha256
from radiant_dagster.domain.learning import LearningCaps

# A merged row with this text counts where what it was merged into is still live.
SAME_CONTENT = """
    with recursive up as (
        select id as found, id, state, merged_into from radiant.knowledge_heuristics
        where tenant_id = %(tenant)s and domain = %(domain)s and polarity = %(polarity)s
          and content_sha256 = %(sha256)s and state in ('quarantined', 'active', 'merged')
        union
        select up.found, h.id, h.state, h.merged_into from up
        join radiant.knowledge_heuristics h on h.tenant_id = %(tenant)s and h.id = up.merged_into)
    select found as id from up where state in ('quarantined', 'active')
    order by (found = id) desc limit 1
"""
NEAR_OFFERED = """
    select 1 from radiant.knowledge_heuristics
    where tenant_id = %(tenant)s and id = any(%(offered)s::uuid[]) and polarity = %(polarity)s
      and embedding_model = %(model)s and 1 - (embedding <=> %(query)s::halfvec) >= %(link_at)s
"""
# The audit says what a purge retired; what was retired for another reason may have taught well.
CITED_PURGED = """
    select 1 from radiant.knowledge_heuristics h
    where h.tenant_id = %(tenant)s and h.id = any(%(parents)s::uuid[])
      and (h.state = 'revoked' or h.state = 'retired' and exists (
          select 1 from radiant.audit a
          where a.tenant_id = h.tenant_id and a.heuristic_id = h.id
            and a.action = 'heuristic.retired' and a.detail ? 'purge'))
"""
LEARNED_TODAY = """
    select count(*) as of_tenant,
           count(*) filter (where lower(trim(source_user)) = lower(trim(%(user)s))) as of_user
    from radiant.knowledge_heuristics
    where tenant_id = %(tenant)s and created_by = 'librarian' and created_at >= %(since)s
"""
INSERT_HEURISTIC = """
    insert into radiant.knowledge_heuristics (tenant_id, id, domain, polarity, trigger_pattern,
        action_template, embedding, embedding_model, content_sha256, source_execution_id,
        source_user, outcome, extraction_model, created_by, expires_at, source_decision,
        prompt_sha256, schema_version, parents)
    values (%(tenant)s, %(id)s, %(domain)s, %(polarity)s, %(trigger)s, %(action)s,
        %(embedding)s::halfvec, %(model)s, %(sha256)s, %(session)s, %(user)s, %(outcome)s,
        %(extraction_model)s, %(created_by)s, radiant.kept_until(%(now)s, 0.5),
        %(source_decision)s, %(prompt_sha256)s, %(schema_version)s, %(parents)s::uuid[])
"""
CITED = """
    select distinct heuristic_id from radiant.heuristic_usage
    where tenant_id = %s and session_id = %s and cited order by heuristic_id
"""
INSERT_LIBRARIAN = """
    insert into radiant.librarian_decision (tenant_id, session_id, decision, reason, heuristic_id,
        source_user, reviewed, reward, cost_micro_usd)
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing
"""
LIBRARIAN_OF_SESSION = """
    select decision, reason, heuristic_id from radiant.librarian_decision
    where tenant_id = %s and session_id = %s
"""

KeptAs = Literal["stored", "merged", "rederived", "was_offered", "cited_purged", "daily_cap"]


@dataclass(frozen=True, slots=True)
class NewHeuristic:
    """Everything that is stored with a heuristic.

    Args:
        embedding: The trigger's vector, L2-normalised, as long as the model's dimensions.
        session_id: The session it was distilled from, None for a person's own.
        source_decision: The approval whose decision it was learned from.
        prompt_sha256: Of the scrubbed question.
        schema_version: Of the extraction contract.
        parents: Heuristics that its session's agents had cited.
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
    source_decision: UUID | None = None
    prompt_sha256: bytes | None = None
    schema_version: str | None = None
    parents: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a lesson went.

    Args:
        kept_as: ``stored``, ``merged`` into another row, ``rederived`` (it was there), or not kept:
            ``was_offered`` to its own session, ``cited_purged`` by that, ``daily_cap`` reached.
        heuristic_id: The row that holds its text.
    """

    kept_as: KeptAs
    heuristic_id: UUID | None = None


def keep_learned(
    cursor: Cursor,
    tenant_id: UUID,
    new: NewHeuristic,
    *,
    offered: Sequence[UUID] = (),
    caps: LearningCaps | None = None,
) -> Kept:
    """Store a lesson where it belongs, see `domain.dedup`.

    Args:
        offered: What the Grimoire had offered to the session; a lesson near one of these proves
            nothing and is dropped.
        caps: How many new ones a day may bring; None for a person's own.
    """
    extracted = new.extracted
    sha256 = content_sha256(extracted.trigger_pattern, extracted.action_template)
    neighbours.lock_domain(cursor, tenant_id, new.domain)
    here = Place(new.id, new.domain, new.embedding, new.embedding_model)
    key = here.values(tenant_id) | {"polarity": extracted.polarity, "sha256": sha256}
    bands = neighbours.bands_of(cursor, new.embedding_model)
    if _cites_purged(cursor, key, new.parents):
        return Kept("cited_purged")
    if offered:
        ids = [str(item) for item in offered]
        cursor.execute(NEAR_OFFERED, key | {"offered": ids, "link_at": bands.link_at})
        if cursor.fetchone() is not None:
            return Kept("was_offered")
    cursor.execute(SAME_CONTENT, key)
    same = cursor.fetchone()
    if same is not None:
        return Kept("rederived", same["id"])
    if caps is not None and _day_is_full(cursor, tenant_id, new, caps):
        return Kept("daily_cap")
    placement = _place(cursor, tenant_id, new, here, bands)
    _insert(cursor, tenant_id, new, sha256)
    lives = new.id if placement.merge_into is None else placement.merge_into
    for link in placement.links:
        neighbours.open_link(cursor, tenant_id, lives, link)
    if placement.merge_into is None:
        return Kept("stored", new.id)
    merging.merge_into(cursor, tenant_id, new.id, lives, actor=f"system:{new.created_by}")
    return Kept("merged", new.id)


def lock_survivors(cursor: Cursor, tenant_id: UUID, lessons: Sequence[NewHeuristic]) -> None:
    """Lock what several lessons will be merged into, in the order of the ids, before any is kept.

    Under the locks of their domains, see `neighbours.lock_domains`.
    """
    found: set[UUID] = set()
    for new in lessons:
        here = Place(new.id, new.domain, new.embedding, new.embedding_model)
        bands = neighbours.bands_of(cursor, new.embedding_model)
        survivor = _look(cursor, tenant_id, new, here, bands).merge_into
        found |= {survivor} if survivor is not None else set()
    for survivor in sorted(found):
        neighbours.lock_live(cursor, tenant_id, survivor)


def _look(
    cursor: Cursor, tenant_id: UUID, new: NewHeuristic, here: Place, bands: Bands
) -> Placement:
    said = new.extracted
    near = neighbours.nearest(cursor, tenant_id, here)
    return place(said.polarity, said.trigger_pattern, said.action_template, near, bands)


def _place(
    cursor: Cursor, tenant_id: UUID, new: NewHeuristic, here: Place, bands: Bands
) -> Placement:
    while True:
        found = _look(cursor, tenant_id, new, here, bands)
        # Curators and maintenance take a row out of use without the domain's lock.
        if found.merge_into is None or neighbours.lock_live(cursor, tenant_id, found.merge_into):
            return found


def _cites_purged(cursor: Cursor, key: Mapping[str, Any], parents: Sequence[UUID]) -> bool:
    # What was not learned yet a purge could not reach. An imported lesson has no parents.
    if not parents:
        return False
    cursor.execute(CITED_PURGED, {**key, "parents": [str(parent) for parent in parents]})
    return cursor.fetchone() is not None


def _day_is_full(cursor: Cursor, tenant_id: UUID, new: NewHeuristic, caps: LearningCaps) -> bool:
    # Of the tenant, always after the domain's: the caps count all of its domains.
    cursor.execute(neighbours.LOCK, (f"{tenant_id}:learned today",))
    since = new.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    cursor.execute(LEARNED_TODAY, {"tenant": tenant_id, "user": new.source_user, "since": since})
    row: dict[str, Any] = cursor.fetchone() or {}
    return caps.reached(of_user=row["of_user"], of_tenant=row["of_tenant"])


def _insert(cursor: Cursor, tenant_id: UUID, new: NewHeuristic, sha256: bytes) -> None:
    extracted = new.extracted
    trigger, action = extracted.trigger_pattern.strip(), extracted.action_template.strip()
    cursor.execute(
        INSERT_HEURISTIC,
        {
            "tenant": tenant_id,
            "id": new.id,
            "domain": new.domain,
            "polarity": extracted.polarity,
            "trigger": trigger,
            "action": action,
            "embedding": halfvec(new.embedding),
            "model": new.embedding_model,
            "sha256": sha256,
            "session": new.session_id,
            "user": new.source_user,
            "outcome": new.outcome,
            "extraction_model": new.extraction_model,
            "created_by": new.created_by,
            "now": new.now,
            "source_decision": new.source_decision,
            "prompt_sha256": new.prompt_sha256,
            "schema_version": new.schema_version,
            "parents": [str(parent) for parent in new.parents],
        },
    )
    editor = f"system:{new.created_by}"
    exact = exact_sha256(extracted.polarity, trigger, action)
    add_version(cursor, tenant_id, new.id, editor=editor, sha256=exact)
    audit.record(
        cursor,
        tenant_id,
        actor=editor,
        action="heuristic.quarantined",
        session_id=new.session_id,
        heuristic_id=new.id,
    )


def cited_by_session(cursor: Cursor, tenant_id: UUID, session_id: UUID) -> tuple[UUID, ...]:
    """Return the heuristics that the agents of a session cited."""
    cursor.execute(CITED, (tenant_id, session_id))
    return tuple(row["heuristic_id"] for row in cursor.fetchall())


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
    reward: float | None,
    cost_micro_usd: int,
) -> None:
    """Keep what the Librarian decided about a session, once.

    Args:
        reward: What the session proves of the heuristic; None where nobody reviewed it yet.
    """
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
            reward,
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
