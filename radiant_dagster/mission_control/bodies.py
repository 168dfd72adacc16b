"""Reads the bodies of requests, as far as they are bearable: JSON, lines of it, forms."""

import json
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from radiant_dagster.mission_control.problems import Refusal

MAX_JSON_DEPTH = 20
MAX_JSON_VALUES = 50_000
MAX_FORM_FIELDS = 200
JSON_TYPE = "application/json"
LINES_TYPE = "application/x-ndjson"
FORM_TYPE = "application/x-www-form-urlencoded"


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse_form(request: Request, body: bytes) -> dict[str, str]:
    """Return the fields of an urlencoded body; the last of a name counts.

    Raises:
        Refusal: Too many fields, or no UTF-8.
    """
    if _media_type(request) != FORM_TYPE:
        return {}
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS, errors="strict"
        )
    except ValueError:  # UnicodeDecodeError is one
        raise Refusal(400, "bad_form", "The form cannot be read", "Send it again.") from None
    return dict(pairs)


def parse_lines(request: Request, body: bytes) -> str:
    """Return a body of lines as text.

    Raises:
        Refusal: Another media type, or no UTF-8.
    """
    if _media_type(request) != LINES_TYPE:
        raise Refusal(
            415, "media_type", "This takes lines of JSON", f"Send Content-Type: {LINES_TYPE}."
        )
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refusal(
            400, "bad_text", "This is not UTF-8 text", "Send plain text in UTF-8."
        ) from None


def parse_json(request: Request, body: bytes) -> Any:
    """Return a JSON document of bearable depth and size.

    Raises:
        Refusal: Another media type, not JSON, a name twice in one object, a number JSON has not,
            too deep, too much.
    """
    if _media_type(request) != JSON_TYPE:
        raise Refusal(415, "media_type", "This takes JSON", f"Send Content-Type: {JSON_TYPE}.")
    try:
        value = json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refusal(
            400, "bad_json", "This is not JSON", "Send one UTF-8 document, each name once."
        ) from None
    _require_bearable(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # parsers disagree on which one counts
        raise ValueError("a name appears twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _require_bearable(value: Any) -> None:
    seen, level = 1, [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [inner for item in level for inner in _inside(item)]
        seen += len(level)
        if not level or seen > MAX_JSON_VALUES:
            break
    if level:  # deeper than that, or more than that
        raise Refusal(
            400,
            "json_too_complex",
            "The document is too complex",
            f"At most {MAX_JSON_DEPTH} levels and {MAX_JSON_VALUES:,} values are read.",
        )


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
