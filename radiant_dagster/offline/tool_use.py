"""How the demo model uses a tool: it has the calculator work out what a question holds."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

CALCULATOR = "calculator"
# At least two numbers with an operator between them; "24/7" and dates like 2026-11-22 are none.
NUMBER = r"\d+(?:\.\d+)?"
OPERATOR = r"\s*(?:\*\*|[*×÷]|(?<=\s)[-+/](?=\s))\s*"
TERM = rf"(?:\(\s*)*{NUMBER}(?:\s*\))*"
EXPRESSION = re.compile(rf"(?<![\w.]){TERM}(?:{OPERATOR}{TERM})+(?![\w])")


def offers(request: Mapping[str, Any], name: str) -> bool:
    """Tell whether a chat request offers a tool."""
    return any(
        isinstance(tool, Mapping) and _part(tool, "function").get("name") == name
        for tool in cast("Sequence[object]", request.get("tools") or ())
    )


def expression_in(question: str) -> str | None:
    """Return the first arithmetic expression of a text."""
    found = EXPRESSION.search(question)
    return found[0].strip() if found else None


def calculation(request: Mapping[str, Any], question: str) -> dict[str, Any] | None:
    """Return the call of the calculator that a question needs, None where it needs none.

    A question is calculated once: where a result is there, the answer uses it.
    """
    expression = expression_in(question)
    asked = any(message.get("role") == "tool" for message in request["messages"])
    if expression is None or asked or not offers(request, CALCULATOR):
        return None
    return {
        "id": "call_calculator",
        "type": "function",
        "function": {"name": CALCULATOR, "arguments": json.dumps({"expression": expression})},
    }


def calculated(messages: Sequence[Mapping[str, Any]], question: str) -> str:
    """Return the sentence that tells what the calculator found, empty without a result."""
    expression = expression_in(question)
    for message in messages:
        if message.get("role") != "tool":
            continue
        try:
            document = json.loads(str(message.get("content")))
        except ValueError:
            continue
        if document.get("tool") == CALCULATOR and document.get("status") == "ok":
            return f"The calculator says that {expression} is {document['result']}. "
    return ""


def _part(value: Any, key: str) -> Mapping[str, Any]:
    part = value.get(key)
    return part if isinstance(part, Mapping) else {}
