"""Takes heuristics out of and into the Grimoire as lines of JSON.

Every line is checked before one is stored, and all are stored in one transaction or none.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from radiant_dagster.adapters import audit, tenants
from radiant_dagster.adapters.grimoire import curation, neighbours, reading
from radiant_dagster.adapters.grimoire.search import register_model
from radiant_dagster.adapters.grimoire.store import NewHeuristic, keep_learned, lock_survivors
from radiant_dagster.adapters.grimoire.texts import Checks
from radiant_dagster.adapters.paging import Place
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.approvals import require_person
from radiant_dagster.domain.curation import require_second_person
from radiant_dagster.domain.extraction import ExtractedHeuristic
from radiant_dagster.domain.heuristic_files import Line, parse
from radiant_dagster.domain.heuristics import content_sha256
from radiant_dagster.errors import CurationForbidden, ImportRefused, InvalidInput, LineFault

PAGE = 500
BATCH = 64
SAME_CONTENTS = """
    select domain, polarity, content_sha256, id from radiant.knowledge_heuristics
    where tenant_id = %s and state in ('quarantined', 'active') and content_sha256 = any(%s)
"""


@dataclass(frozen=True, slots=True)
class Ready:
    """What of a file may be stored, checked and embedded.

    Args:
        lines: By their numbers in the file.
        embeddings: Of their triggers, in the same order.
        embedding_model: That made these.
        duplicate_lines: Numbers of lines whose text is there already, or earlier in the file.
        active: They are to be used at once.
    """

    lines: Mapping[int, Line]
    embeddings: Sequence[Sequence[float]]
    embedding_model: str
    duplicate_lines: tuple[int, ...]
    active: bool


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import stored, and the numbers of the lines that it skipped as duplicates."""

    ids: tuple[UUID, ...]
    state: Literal["active", "quarantined"]
    duplicate_lines: tuple[int, ...]


def every_heuristic(
    database: Database, tenant_id: UUID, *, domain: str | None, state: str | None
) -> Iterator[dict[str, Any]]:
    """Return the heuristics of a tenant, the newest first, without holding a transaction."""
    after: Place | None = None
    while True:
        with database.tenant_transaction(tenant_id) as cursor:
            rows = reading.list_heuristics(
                cursor, tenant_id, domain=domain, state=state, limit=PAGE, after=after
            )
        yield from rows
        if len(rows) < PAGE:
            return
        after = Place(rows[-1]["created_at"], rows[-1]["id"])


def prepare(
    database: Database,
    tenant_id: UUID,
    text: str,
    checks: Checks,
    *,
    actor: str,
    active: bool,
    progress: Callable[[int, int], None],
) -> Ready:
    """Check every line of a file, find those whose text is known and embed the others.

    No connection is held meanwhile: the checks and the model may take minutes.

    Args:
        active: They are to be used at once, on this actor's word.
        progress: Is told how many lines of how many are done.

    Raises:
        ImportRefused: Names every line that has to be mended first.
        CatoUnavailable, EmbeddingUnavailable: Try again later.
    """
    require_person(actor)
    lines, faults = parse(text)
    with database.tenant_transaction(tenant_id) as cursor:
        domains = set(tenants.domain_policies(cursor, tenant_id))
    good: dict[int, Line] = {}
    for number, line in lines.items():
        try:
            good[number] = _checked(line, checks, domains, actor=actor, active=active)
        except InvalidInput as error:
            faults.append(LineFault(number, error.field, error.problem, error.fix))
    if faults:
        raise ImportRefused(sorted(faults, key=lambda fault: fault.line))
    with database.tenant_transaction(tenant_id) as cursor:
        duplicates = _duplicates(cursor, tenant_id, good)
    left = {number: line for number, line in good.items() if number not in duplicates}
    vectors = _embedded(list(left.values()), checks, progress)
    model = checks.embeddings.model_id
    return Ready(left, vectors, model, tuple(sorted(duplicates)), active)


def _duplicates(cursor: Cursor, tenant_id: UUID, lines: Mapping[int, Line]) -> set[int]:
    keys = {number: _key(line) for number, line in lines.items()}
    cursor.execute(SAME_CONTENTS, (tenant_id, [key[2] for key in keys.values()]))
    seen = {(row["domain"], row["polarity"], bytes(row["content_sha256"])) for row in cursor}
    duplicates: set[int] = set()
    for number, key in keys.items():
        if key in seen:
            duplicates.add(number)
        seen.add(key)
    return duplicates


def _embedded(
    lines: Sequence[Line], checks: Checks, progress: Callable[[int, int], None]
) -> list[list[float]]:
    vectors: list[list[float]] = []
    for start in range(0, len(lines), BATCH):
        batch = lines[start : start + BATCH]
        vectors += checks.embeddings.embed([line.trigger_pattern for line in batch])
        progress(len(vectors), len(lines))
    return vectors


def _key(line: Line) -> tuple[str, str, bytes]:
    content = content_sha256(line.trigger_pattern, line.action_template)
    return line.domain, line.polarity, content


def _checked(line: Line, checks: Checks, domains: set[str], *, actor: str, active: bool) -> Line:
    if line.domain not in domains:
        known = ", ".join(sorted(domains))
        raise InvalidInput("domain", "is none of this tenant's", f"Use one of: {known}.")
    if active:
        try:
            require_second_person("", domain=line.domain, source_user=actor, actor=actor)
        except CurationForbidden:
            raise InvalidInput(
                "domain",
                f"is {line.domain}, where two people have to look",
                "Import it without --active; another curator promotes it.",
            ) from None
    trigger, action = checks.require_safe(line.trigger_pattern, line.action_template)
    return line.model_copy(update={"trigger_pattern": trigger, "action_template": action})


def store(
    cursor: Cursor,
    tenant_id: UUID,
    ready: Ready,
    *,
    actor: str,
    now: datetime,
    new_id: Callable[[], UUID],
) -> Imported:
    """Store what is ready as candidates, in the caller's transaction.

    Args:
        now: Decides the expiry.
        new_id: Makes ids.
    """
    if ready.embeddings:
        register_model(cursor, ready.embedding_model, len(ready.embeddings[0]))
    neighbours.lock_domains(cursor, tenant_id, [line.domain for line in ready.lines.values()])
    stored: list[UUID] = []
    duplicates = list(ready.duplicate_lines)
    lessons = {
        number: _new(line, vector, ready.embedding_model, actor, now, new_id())
        for (number, line), vector in zip(ready.lines.items(), ready.embeddings, strict=True)
    }
    lock_survivors(cursor, tenant_id, list(lessons.values()))
    for number, new in lessons.items():
        kept = keep_learned(cursor, tenant_id, new)
        if kept.kept_as != "stored":  # learned since it was checked, or merged at once
            duplicates.append(number)
            continue
        stored.append(new.id)
        if ready.active:
            curation.promote(cursor, tenant_id, new.id, actor=actor)
    audit.record(
        cursor,
        tenant_id,
        actor=actor,
        action="grimoire.imported",
        detail={"stored": len(stored), "duplicates": len(duplicates), "active": ready.active},
    )
    state = "active" if ready.active else "quarantined"
    return Imported(tuple(stored), state, tuple(sorted(duplicates)))


def _new(
    line: Line, vector: Sequence[float], model: str, actor: str, now: datetime, new_id: UUID
) -> NewHeuristic:
    extracted = ExtractedHeuristic(
        decision="store",
        polarity=line.polarity,
        trigger_pattern=line.trigger_pattern,
        action_template=line.action_template,
        rationale="",
        evidence_quotes=[],
        generality="reusable",
    )
    return NewHeuristic(
        id=new_id,
        domain=line.domain,
        extracted=extracted,
        embedding=vector,
        embedding_model=model,
        session_id=None,
        source_user=actor,
        outcome="imported",
        extraction_model="",
        created_by="import",
        now=now,
    )
