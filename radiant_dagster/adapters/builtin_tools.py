"""The tools that come with RADIANT: a calculator and a search of the Grimoire."""

import json
from collections.abc import Mapping
from typing import Any

from radiant_dagster.domain.calculator import MAX_CHARACTERS, calculate
from radiant_dagster.domain.tools import FunctionTool, ToolContext

MAX_QUERY_CHARACTERS = 2_000


def _calculate(arguments: Mapping[str, Any], context: ToolContext) -> str:
    del context  # arithmetic needs nothing of it
    return calculate(arguments["expression"])


def _search(arguments: Mapping[str, Any], context: ToolContext) -> str:
    found = context.search_grimoire(arguments["query"])
    lessons = [
        {
            "kind": item.kind,
            "when": item.when,
            "then": item.then,
            "similarity": round(item.similarity, 2),
        }
        for item in found
    ]
    return json.dumps({"heuristics": lessons}, ensure_ascii=False)


CALCULATOR = FunctionTool(
    name="calculator",
    description="Evaluate an arithmetic expression exactly. Knows + - * / // % **, parentheses, "
    "pi, e, abs, ceil, cos, exp, floor, log, log10, log2, max, min, round, sin, sqrt, tan. No "
    "units, no variables, no thousands separators.",
    parameters={
        "type": "object",
        "properties": {
            "expression": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_CHARACTERS,
                "description": "For instance 12.5 * 70 / 1000",
            }
        },
        "required": ["expression"],
        "additionalProperties": False,
    },
    function=_calculate,
)
GRIMOIRE_SEARCH = FunctionTool(
    name="grimoire_search",
    description="Search the lessons of earlier reviewed sessions of this organisation and domain. "
    "Returns at most five as JSON; none where nothing fits.",
    parameters={
        "type": "object",
        "properties": {
            "query": {
                "type": "string",
                "minLength": 3,
                "maxLength": MAX_QUERY_CHARACTERS,
                "pattern": r"\S",
                "description": "What the lesson should be about, as a question or a phrase.",
            }
        },
        "required": ["query"],
        "additionalProperties": False,
    },
    function=_search,
)
