"""Takes heuristics out of and into the Grimoire as lines of JSON.

Every line is checked before one is stored, and all are stored in one transaction or none.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.grimoire import curation, neighbours, reading, store
from radiant_dagster.adapters.grimoire.search import floor_of
from radiant_dagster.adapters.grimoire.texts import Checks
from radiant_dagster.adapters.paging import Place
from radiant_dagster.adapters.postgres import Cursor, Database
from radiant_dagster.domain.approvals import require_person
from radiant_dagster.domain.curation import require_second_person
from radiant_dagster.domain.extraction import ExtractedHeuristic
from radiant_dagster.domain.heuristic_files import Fault, Line, parse
from radiant_dagster.domain.heuristics import content_sha256
from radiant_dagster.errors import CurationForbidden, InvalidInput

PAGE = 500
BATCH = 64
SAME_CONTENTS = """
    select domain, polarity, content_sha256, id from radiant.knowledge_heuristics
    where tenant_id = %s and state in ('quarantined', 'active') and content_sha256 = any(%s)
"""


@dataclass(frozen=True, slots=True)
class Checked:
    """What of a file can be imported.

    Args:
        lines: By their numbers in the file.
        duplicates: Numbers of lines whose text is there already, or earlier in the file.
        faults: What has to be mended first; with any nothing is imported.
    """

    lines: dict[int, Line]
    duplicates: tuple[int, ...]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import stored, and how many lines it skipped as duplicates."""

    ids: tuple[UUID, ...]
    duplicates: int


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


def check(
    cursor: Cursor, tenant_id: UUID, text: str, checks: Checks, *, actor: str, active: bool
) -> Checked:
    """Check every line of a file and find those whose text is known.

    Args:
        active: They are to be used at once, on this actor's word.

    Raises:
        CatoUnavailable: The safety check cannot be asked.
    """
    require_person(actor)
    lines, faults = parse(text)
    domains = tenants.domain_policies(cursor, tenant_id)
    good: dict[int, Line] = {}
    for number, line in lines.items():
        try:
            good[number] = _checked(line, checks, set(domains), actor=actor, active=active)
        except InvalidInput as error:
            faults.append(Fault(number, error.field, error.problem, error.fix))
    keys = {number: _key(line) for number, line in good.items()}
    cursor.execute(SAME_CONTENTS, (tenant_id, [key[2] for key in keys.values()]))
    seen = {(row["domain"], row["polarity"], bytes(row["content_sha256"])) for row in cursor}
    duplicates: list[int] = []
    for number, key in keys.items():
        if key in seen:
            duplicates.append(number)
        seen.add(key)
    left = {number: line for number, line in good.items() if number not in duplicates}
    ordered = sorted(faults, key=lambda fault: fault.line)
    return Checked(left, tuple(duplicates), tuple(ordered))


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


def import_lines(
    database: Database,
    tenant_id: UUID,
    checked: Checked,
    checks: Checks,
    *,
    actor: str,
    active: bool,
    now: datetime,
    new_id: Callable[[], UUID],
    progress: Callable[[int], None],
) -> Imported:
    """Store what `check` let pass as candidates, all or nothing.

    Args:
        active: Promote each, on the actor's word.
        now: Decides the expiry.
        new_id: Makes ids.
        progress: Is told how many more are embedded.

    Raises:
        InvalidInput: There are faults.
        EmbeddingUnavailable: The model is away; nothing was stored.
    """
    if checked.faults:
        first = checked.faults[0]
        raise InvalidInput(f"line {first.line}: {first.field}", first.problem, first.fix)
    lines = list(checked.lines.values())
    vectors: list[list[float]] = []
    for start in range(0, len(lines), BATCH):
        batch = lines[start : start + BATCH]
        vectors += checks.embeddings.embed([line.trigger_pattern for line in batch])
        progress(len(batch))
    stored: list[UUID] = []
    duplicates = len(checked.duplicates)
    with database.tenant_transaction(tenant_id) as cursor:
        neighbours.lock_domains(cursor, tenant_id, [line.domain for line in lines])
        floor_of(cursor, checks.embeddings.model_id)  # refuses a model nothing is found with
        lessons = [
            _new(line, vector, checks.embeddings.model_id, actor, now, new_id())
            for line, vector in zip(lines, vectors, strict=True)
        ]
        store.lock_survivors(cursor, tenant_id, lessons)
        for new in lessons:
            kept = store.keep_learned(cursor, tenant_id, new)
            if kept.kept_as != "stored":  # learned since it was checked, or merged at once
                duplicates += 1
                continue
            stored.append(new.id)
            if active:
                curation.promote(cursor, tenant_id, new.id, actor=actor)
    return Imported(tuple(stored), duplicates)


def _new(
    line: Line, vector: list[float], model: str, actor: str, now: datetime, new_id: UUID
) -> store.NewHeuristic:
    extracted = ExtractedHeuristic(
        decision="store",
        polarity=line.polarity,
        trigger_pattern=line.trigger_pattern,
        action_template=line.action_template,
        rationale="",
        evidence_quotes=[],
        generality="reusable",
    )
    return store.NewHeuristic(
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
