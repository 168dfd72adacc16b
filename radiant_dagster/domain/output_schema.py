"""The JSON schema that a caller wants an agent's answer to fit: which are taken, and what fits.

A provider's promise to follow a schema is never trusted: every answer is checked here. Schemas come
from callers and are applied to what models write, in a process that serves other sessions as well,
so what could run without end is refused: regular expressions (a match cannot be interrupted),
references that leave the document, and references that multiply.
"""

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from radiant_dagster.errors import InvalidInput

AGENT_ANSWER_SCHEMA_NAME = "agent_answer"
MAX_SCHEMA_CHARACTERS = 16_000
MAX_REFERENCES_FOLLOWED = 10_000  # in one check; a sane answer needs a few hundred
MAX_PATH_CHARACTERS = 300
DIALECT = "https://json-schema.org/draft/2020-12/schema"
LOCAL_REFERENCE = re.compile(r"#(/(\$defs|definitions)/[^/]+)?")

# Where a schema holds further schemas: under each name of a mapping, in a list, or by itself.
IN_MAPPINGS = ("properties", "$defs", "definitions", "dependentSchemas")
IN_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
BY_THEMSELVES = (
    "items", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "contains",
    "propertyNames", "not", "if", "then", "else",
)  # fmt: skip
REFUSED = ("pattern", "patternProperties", "$id", "$anchor", "$dynamicRef", "$dynamicAnchor")

REPAIR_RULES = (
    "That answer does not fit the JSON schema: {problem}. Reply once more, with one JSON document "
    "that fits it and nothing else."
)


def require_output_schema(field: str, schema: object) -> None:
    """Refuse a schema that answers could not be checked against.

    Args:
        field: Named in the error.
        schema: As the caller gave it.

    Raises:
        InvalidInput: Names the field, the problem and the fix.
    """
    fix = 'Pass a JSON schema, e.g. {"type": "object", "properties": {"risk": {"type": "string"}}}.'
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InvalidInput(field, "is not plain JSON data", fix) from None
    if not isinstance(schema, Mapping) or cast("Mapping[str, Any]", schema).get("type") != "object":
        raise InvalidInput(field, 'is not a JSON schema with "type": "object"', fix)
    if len(text) > MAX_SCHEMA_CHARACTERS:
        raise InvalidInput(
            field, f"is longer than {MAX_SCHEMA_CHARACTERS:,} characters", "Simplify it."
        )
    if "\\u0000" in text.replace("\\\\", "") or re.search("[\ud800-\udfff]", text):
        raise InvalidInput(
            field, "contains a NUL character or half of a surrogate pair", "Remove it."
        )
    known = cast("dict[str, Any]", schema)
    _require_valid(field, known)
    if known.get("$schema", DIALECT) != DIALECT:
        raise InvalidInput(
            field, "is written for another version of JSON Schema", f"Use {DIALECT} or no $schema."
        )
    for part in _parts(known):
        _require_bounded(field, part, known)
    if check_answer("{}", known).problem == ENDLESS:
        raise InvalidInput(field, "refers to itself without end", "Put a property in between.")


def _require_valid(field: str, schema: dict[str, Any]) -> None:
    library = _jsonschema()
    try:
        library.Draft202012Validator.check_schema(schema)
    except library.exceptions.SchemaError as error:
        # The caller's own keys lead to the place; the message may quote a whole document.
        place = ".".join(str(step) for step in error.absolute_path)[:MAX_PATH_CHARACTERS]
        raise InvalidInput(
            f"{field}.{place}" if place else field,
            f"is not valid JSON Schema 2020-12 (rule {error.validator})",
            "Correct it; see https://json-schema.org/draft/2020-12.",
        ) from None
    except RecursionError:
        raise InvalidInput(field, "is nested too deeply", "Simplify it.") from None


def _parts(schema: object) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and every schema inside it; names of properties are no keywords."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if not isinstance(part, Mapping):
            continue
        known = cast("Mapping[str, Any]", part)
        yield known
        for keyword in IN_MAPPINGS:
            waiting.extend(known.get(keyword, {}).values())
        for keyword in IN_LISTS:
            waiting.extend(known.get(keyword, ()))
        waiting.extend(known[keyword] for keyword in BY_THEMSELVES if keyword in known)


def _require_bounded(field: str, part: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    # A part with a version of its own would be checked by that version's rules, not by ours.
    refused = REFUSED if part is root else (*REFUSED, "$schema")
    for keyword in refused:
        if keyword in part:
            raise InvalidInput(
                field, f"uses {keyword!r}, which is not supported", "Use enum or maxLength instead."
            )
    reference = part.get("$ref")
    if reference is None:
        return
    fix = "Define it under $defs of the same schema and refer to '#/$defs/NAME'."
    if not LOCAL_REFERENCE.fullmatch(reference):
        raise InvalidInput(field, f"refers to {reference[:100]!r}", fix)
    if reference != "#":
        _, where, name = reference.split("/")
        if name not in root.get(where, {}):
            raise InvalidInput(field, f"refers to {reference[:100]!r}, which is not there", fix)


ENDLESS = "following the schema takes too long"


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer after the check.

    Args:
        text: Canonical JSON where it fits, else None.
        problem: Where it does not fit and which rule it breaks, for the model that repairs it. It
            may quote names out of the answer, so it is never logged.
    """

    text: str | None
    problem: str = ""


def check_answer(text: str, schema: Mapping[str, Any]) -> Checked:
    """Check an answer against a schema that `require_output_schema` took.

    Args:
        text: What the model wrote.
        schema: What it has to fit.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return Checked(None, "it is not one JSON document")
    try:
        error = _first_error(value, schema)
        canonical = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (_TooManyReferences, RecursionError):
        return Checked(None, ENDLESS)
    if error is None:
        return Checked(canonical)
    return Checked(None, f"at {error.json_path[:MAX_PATH_CHARACTERS]} it breaks {error.validator}")


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


class _TooManyReferences(Exception):
    """One check followed more references than any sane answer needs."""


def _first_error(value: object, schema: Mapping[str, Any]) -> Any:
    library = _jsonschema()
    base = library.Draft202012Validator
    follow = base.VALIDATORS["$ref"]
    followed = 0

    def count(*arguments: Any) -> Any:
        nonlocal followed
        followed += 1
        if followed > MAX_REFERENCES_FOLLOWED:
            raise _TooManyReferences
        return follow(*arguments)

    counting = library.validators.extend(base, {"$ref": count})
    # A reference to the root must not lead back to the library's own class by its version.
    root = {key: part for key, part in schema.items() if key != "$schema"}
    return library.exceptions.best_match(counting(root).iter_errors(value))


def _jsonschema() -> Any:
    # Imported at the first use: it takes a tenth of a second, and most sessions have no schema.
    return importlib.import_module("jsonschema")
