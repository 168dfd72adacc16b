"""The OpenAPI 3.1 document and the reference in Markdown, made of the operations themselves.

``python -m radiant_dagster.mission_control.api_docs`` writes both into docs/; a test compares them.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from radiant_dagster.mission_control.api import PREFIX, Header, Operation
from radiant_dagster.mission_control.bodies import LINES_TYPE
from radiant_dagster.mission_control.problems import MEDIA_TYPE
from radiant_dagster.wire.base import Problem

VERSION = "1.0.0"
PARAMETER = re.compile(r"\{([a-z_]+):uuid\}")
REF = "#/components/schemas/{model}"
HEADERS: Mapping[Header, str] = {
    "Idempotency-Key": "1 to 200 printable characters, best a UUID. The same request with the same "
    "key within 24 hours has its effect once; another request gets 422.",
    "If-Match": "The ETag that was read.",
    "If-None-Match": "The ETag that is known: 304 where nothing changed.",
    "Last-Event-ID": "Go on after this event.",
}
MEANINGS: Mapping[int, str] = {
    400: "Not readable, or something it needs is missing",
    401: "No key, or one that is expired or revoked",
    402: "The budget does not cover it",
    403: "Not with these roles, or not by this person",
    404: "Unknown, or another tenant's",
    409: "Not possible in its present state; with `standing_decision` where it was decided",
    410: "Too late, or erased",
    412: "Another version by now",
    413: "The body is larger than 1 MiB, or than 20 MB of lines",
    415: "Not JSON, or not lines of it",
    422: "A value is not acceptable (`field`, `fix`), or the key belongs to another request",
    423: "Claimed by somebody else (`claimed_by`, `until`)",
    428: "If-Match is missing",
    429: "Too often, or too many streams; see Retry-After",
    503: "A service is away; see Retry-After",
}
SUCCESS: Mapping[int, str] = {
    200: "Done", 201: "Created, or decided", 202: "Counted; another vote is needed",
    204: "It ended; do not come back", 207: "Each with a result of its own",
    304: "Nothing changed",
}  # fmt: skip
INTRODUCTION = """\
Show a key as `Authorization: Bearer rk_...`. The tenant is that of the key; another tenant's id is
unknown. Times are RFC 3339, money is integer micro-USD, lists go on with `next_cursor`. Refusals
are problem documents (RFC 9457) with `code`, and with `field` and `fix` where a value is wrong."""


def build(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document."""
    bodies = {item.body for item in operations if item.body}
    answers = {model for item in operations for model in item.answers.values() if model}
    schemas = _schemas(bodies, answers | {Problem})
    paths: dict[str, dict[str, Any]] = {}
    for item in operations:
        path = PARAMETER.sub(r"{\1}", item.path)
        paths.setdefault(path, {})[item.method.lower()] = _operation(item)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "RADIANT Think Tank",
            "version": VERSION,
            "description": INTRODUCTION,
        },
        "servers": [{"url": PREFIX}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(
    bodies: Iterable[type[BaseModel]], answers: Iterable[type[BaseModel]]
) -> dict[str, Any]:
    models = [(model, "validation") for model in _sorted(bodies)]
    models += [(model, "serialization") for model in _sorted(answers)]
    _, schema = models_json_schema(models, ref_template=REF)  # pyright: ignore[reportArgumentType]
    return dict(sorted(schema["$defs"].items()))


def _sorted(models: Iterable[type[BaseModel]]) -> list[type[BaseModel]]:
    return sorted(models, key=lambda model: model.__name__)


def _operation(item: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": item.handler.__module__.rpartition("api_")[2] + "_" + _name(item),
        "tags": [item.tag],
        "summary": item.summary,
        "description": f"Permission: `{item.access}`.",
        "parameters": _parameters(item),
        "responses": _responses(item),
    }
    if item.body is not None:
        described["requestBody"] = {"required": True, "content": _json(item.body)}
    if item.lines:
        lines = {"type": "string", "description": f"Lines of JSON, each {item.lines}."}
        described["requestBody"] = {"required": True, "content": {LINES_TYPE: {"schema": lines}}}
    return described


def _name(item: Operation) -> str:
    return getattr(item.handler, "__name__", "").rstrip("_")


def _parameters(item: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "format": "uuid"},
        }
        for name in PARAMETER.findall(item.path)
    ]
    if item.query is not None:
        query = item.query.model_json_schema(ref_template=REF)
        found += [
            {
                "name": name,
                "in": "query",
                "required": name in query.get("required", []),
                "description": schema.pop("description", ""),
                "schema": _of_query(schema),
            }
            for name, schema in query["properties"].items()
        ]
    found += [
        {
            "name": name,
            "in": "header",
            "required": name in item.required,
            "description": HEADERS[name],
            "schema": {"type": "string", **_header_schema(name)},
        }
        for name in item.headers
    ]
    return found


def _of_query(schema: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: what is not sent is not there."""
    kept = {key: value for key, value in schema.items() if key not in ("title", "default")}
    options = [option for option in kept.pop("anyOf", []) if option.get("type") != "null"]
    if schema.get("default") is not None:
        kept["default"] = schema["default"]
    return (
        {**kept, **options[0]}
        if len(options) == 1
        else {**kept, **({"anyOf": options} if options else {})}
    )


def _header_schema(name: Header) -> dict[str, Any]:
    if name == "Idempotency-Key":
        return {"minLength": 1, "maxLength": 200}
    return {"pattern": '^("v[0-9]{1,9}"|[*])$'} if name == "If-Match" else {}


def _responses(item: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, model in item.answers.items():
        described: dict[str, Any] = {"description": SUCCESS[status]}
        if item.stream and status == 200:
            described["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
        elif model is not None:
            described["content"] = _json(model)
        found[str(status)] = described
    for status in sorted({400, 401, 403, 413, 422, 429, 503, *item.problems, *_of_body(item)}):
        found[str(status)] = {
            "description": MEANINGS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}},
        }
    return found


def _of_body(item: Operation) -> tuple[int, ...]:
    return (415,) if item.body is not None or item.lines else ()


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": REF.format(model=model.__name__)}}}


def as_json(document: Mapping[str, Any]) -> str:
    """Return the document as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def as_markdown(operations: Sequence[Operation]) -> str:
    """Return the reference for people."""
    lines = [
        "# The API",
        "",
        "Generated by `make api-docs` from the routes; the exact schemas are in",
        f"[openapi.json](openapi.json), served at `{PREFIX}/openapi.json`.",
        "",
        INTRODUCTION,
    ]
    for tag in dict.fromkeys(item.tag for item in operations):
        lines += ["", f"## {tag}"]
        for item in operations:
            if item.tag == tag:
                lines += ["", *_reference(item)]
    lines += ["", "## Statuses of refusals", "", "| status | meaning |", "|---|---|"]
    lines += [f"| {status} | {text} |" for status, text in MEANINGS.items()]
    return "\n".join(lines) + "\n"


def _reference(item: Operation) -> list[str]:
    path = PARAMETER.sub(r"{\1}", item.path)
    lines = [f"### {item.method} {PREFIX}{path}", "", item.summary, ""]
    lines.append(f"- Permission: `{item.access}`")
    if item.query is not None:
        lines.append(f"- Query: {', '.join(f'`{name}`' for name in item.query.model_fields)}")
    if item.headers:
        must = {name: " (required)" if name in item.required else "" for name in item.headers}
        lines.append(f"- Headers: {', '.join(f'`{name}`{text}' for name, text in must.items())}")
    if item.body is not None:
        lines.append(f"- Body: `{item.body.__name__}`: {_fields(item.body)}")
    if item.lines:
        lines.append(f"- Body: lines of JSON (`{LINES_TYPE}`), each {item.lines}")
    answers = [
        f"{status} `{model.__name__}`" if model else f"{status}"
        for status, model in item.answers.items()
    ]
    lines.append(
        f"- Answers: {', '.join(answers)}" + (" as server-sent events" if item.stream else "")
    )
    if item.problems:
        lines.append(f"- Refusals of its own: {', '.join(map(str, item.problems))}")
    return lines


def _fields(model: type[BaseModel]) -> str:
    return ", ".join(
        f"`{name}`" + ("" if described.is_required() else " (optional)")
        for name, described in model.model_fields.items()
    )
