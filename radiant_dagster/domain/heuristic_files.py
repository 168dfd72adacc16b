"""Heuristics as lines of JSON: what is written, and what of such a file may come in.

Numbers and provenance of another installation are written for people and ignored when read: trust
is earned where it is used.
"""

import io
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from radiant_dagster.domain.heuristics import Polarity
from radiant_dagster.errors import LineFault

MAX_LINES = 10_000


class Line(BaseModel):
    """One heuristic of a file; only the first four say what is imported."""

    model_config = ConfigDict(extra="forbid", strict=True)
    polarity: Polarity
    domain: str
    trigger_pattern: str
    action_template: str
    state: str | None = None
    confidence: float | None = None
    alpha: float | None = None
    beta: float | None = None
    success_count: int | None = None
    failure_count: int | None = None
    provenance: dict[str, Any] | None = None


def as_line(row: Mapping[str, Any]) -> str:
    """Return a heuristic as one line.

    Args:
        row: Of `grimoire.reading.list_heuristics`.
    """
    document = {name: row[name] for name in Line.model_fields if name != "provenance"}
    document["provenance"] = {
        "id": str(row["id"]),
        "version": row["version"],
        "created_by": row["created_by"],
        "created_at": row["created_at"].isoformat(),
        "session": str(row["source_execution_id"]) if row["source_execution_id"] else None,
        "user": row["source_user"],
        "outcome": row["outcome"],
        "approved_by": row["approved_by"],
    }
    return json.dumps(document, ensure_ascii=False)


def parse(text: str) -> tuple[dict[int, Line], list[LineFault]]:
    """Return the lines that can be read by their numbers, and what is wrong with the others.

    Nothing is read after the first line too many: each costs checks, and a fault its place.
    """
    lines: dict[int, Line] = {}
    faults: list[LineFault] = []
    # One at a time, and at line feeds alone: texts hold other characters that end lines.
    for number, raw in enumerate(io.StringIO(text, newline="\n"), 1):
        if not raw.strip():
            continue
        if len(lines) + len(faults) == MAX_LINES:
            problem = f"is one more than the {MAX_LINES:,} that a file may have"
            return {}, [LineFault(number, "it", problem, "Import several files.")]
        try:
            lines[number] = Line.model_validate_json(raw)
        except ValidationError as error:
            faults.append(_fault(number, error))
    return lines, faults


def _fault(number: int, error: ValidationError) -> LineFault:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    field = ".".join(map(str, first["loc"]))
    fixes: Mapping[str, str] = {
        "missing": "Add it.",
        "extra_forbidden": "Leave it out.",
        "json_invalid": "Write one JSON object a line.",
    }
    problems: Mapping[str, str] = {
        "missing": "is missing",
        "extra_forbidden": "is not known here",
        "json_invalid": "is not JSON",
        "literal_error": "is not one of the words that are possible",
    }
    return LineFault(
        number,
        # A name out of the file could carry anything to the terminal or a log.
        (field if field in Line.model_fields else "a field") if field else "it",
        problems.get(first["type"], "has the wrong type"),
        fixes.get(first["type"], "See what `radiant grimoire export` writes."),
    )
