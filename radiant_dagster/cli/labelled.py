"""Reads labelled texts from JSONL files, a line each: {"text": ..., "label": ...}."""

import json
from dataclasses import dataclass
from pathlib import Path

from radiant_dagster.errors import InvalidInput

OUT_OF_SCOPE = "oos"  # the label of questions that nothing fits, as in CLINC150


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and what it is about."""

    text: str
    label: str


def read_labelled(path: Path) -> tuple[Labelled, ...]:
    """Read a file of labelled texts.

    Raises:
        InvalidInput: It is missing or empty, or a line is broken; names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise InvalidInput(str(path), "cannot be read", "Name a JSONL file.") from None
    except UnicodeDecodeError:
        raise InvalidInput(str(path), "is not UTF-8 text", "Name a JSONL file.") from None
    found = tuple(_read(path, n, line) for n, line in enumerate(lines, start=1) if line.strip())
    if not found:
        raise InvalidInput(str(path), "is empty", "Give it a line for each text.")
    return found


def _read(path: Path, number: int, line: str) -> Labelled:
    try:
        value = json.loads(line)
    except ValueError:
        raise InvalidInput(
            str(path), f"line {number} is not JSON", 'Write {"text": ..., "label": ...}.'
        ) from None
    for name in ("text", "label"):
        field = value.get(name) if isinstance(value, dict) else None
        if not isinstance(field, str) or not field.strip():
            raise InvalidInput(
                str(path), f"line {number} has no {name}", f"Give it a {name}, a string."
            )
    return Labelled(value["text"], value["label"])
