"""Fills a JSON schema with a demo answer, so that structured agents work without keys."""

from collections.abc import Mapping
from typing import Any, cast

MOST_LEVELS = 8
EMPTY: Mapping[str, object] = {
    "integer": 0, "number": 0, "boolean": False, "null": None, "array": (), "object": {},
}  # fmt: skip


def fill(schema: object, text: str) -> Any:
    """Return a value that fits a plain schema.

    Args:
        schema: Types, properties, items, enum, const, anyOf, local references and the common
            bounds are understood; rarer rules may stay broken.
        text: Stands where a string is asked for, cut to its maxLength.
    """
    root = _mapping(schema)
    return _fill(root, root, text, 0)


def _fill(schema: Mapping[str, Any], root: Mapping[str, Any], text: str, level: int) -> Any:
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return _fill(_mapping(schema[keyword][0]), root, text, level)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        required = schema.get("required", ())
        return {
            name: _fill(_mapping(part), root, text, level + 1)
            for name, part in _mapping(schema.get("properties")).items()
            if name in required or level < MOST_LEVELS
        }
    if kind == "array":
        count = schema.get("minItems", 1 if level < MOST_LEVELS else 0)
        return [_fill(_mapping(schema.get("items")), root, text, level + 1) for _ in range(count)]
    if kind == "string":
        return text[: schema.get("maxLength", len(text))].ljust(schema.get("minLength", 0), ".")
    return schema.get("minimum", EMPTY.get(kind))


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    found: Mapping[str, Any] = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = _mapping(found.get(step)) if step else found
    return found


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
