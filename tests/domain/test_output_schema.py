"""Callers' schemas: which are refused at once, and which answers fit."""

import json
from typing import Any

import pytest

from radiant_dagster.domain.governor import estimate_session
from radiant_dagster.domain.output_schema import check_answer, require_output_schema
from radiant_dagster.domain.prompts import agent_messages
from radiant_dagster.domain.swarm import AgentConfig, SwarmTask, validate_agents
from radiant_dagster.errors import InvalidInput

SCHEMA = {
    "type": "object",
    "properties": {
        "verdict": {"enum": ["yes", "no"]},
        "reasons": {"type": "array", "items": {"$ref": "#/$defs/reason"}},
        "pattern": {"type": "string"},
    },
    "required": ["verdict"],
    "additionalProperties": False,
    "$defs": {"reason": {"type": "object", "properties": {"then": {"$ref": "#"}}}},
}


def looped(depth: int) -> dict[str, Any]:
    """Return a schema of which each level refers twice to the next."""
    defs: dict[str, Any] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(depth)
    }
    return {"type": "object", "$ref": "#/$defs/d0", "$defs": {**defs, f"d{depth}": {}}}


def test_a_sound_schema_is_taken_and_its_propertys_names_are_no_keywords() -> None:
    version = "https://json-schema.org/draft/2020-12/schema"

    require_output_schema("output_schema", {"$schema": version, **SCHEMA})
    validate_agents([AgentConfig("a", "r", "m", output_schema=SCHEMA)], known_tools=frozenset())


BAD: dict[str, tuple[object, str]] = {
    "no object": (["type"], '"type": "object"'),
    "no type": ({}, '"type": "object"'),
    "an array": ({"type": "array"}, '"type": "object"'),
    "no JSON": ({"type": "object", "x": {1, 2}}, "plain JSON"),
    "not a number": ({"type": "object", "x": float("nan")}, "plain JSON"),
    "too long": ({"type": "object", "title": "x" * 16_000}, "16,000"),
    "NUL": ({"type": "object", "title": "\x00"}, "NUL"),
    "unknown type": ({"type": "object", "properties": {"a": {"type": "text"}}}, "2020-12"),
    "broken rule": ({"type": "object", "required": "a"}, "2020-12"),
    "remote reference": ({"type": "object", "$ref": "https://example.org/s.json"}, "$defs"),
    "file": ({"type": "object", "properties": {"a": {"$ref": "file:///x"}}}, "$defs"),
    "missing reference": ({"type": "object", "items": {"$ref": "#/$defs/a"}}, "not there"),
    "reference into data": (
        {"type": "object", "enum": [{}], "not": {"$ref": "#/enum/0"}},
        "$defs",
    ),
    "pattern": ({"type": "object", "properties": {"a": {"pattern": "(a+)+$"}}}, "'pattern'"),
    "deep pattern": (
        {"type": "object", "$defs": {"a": {"anyOf": [{"not": {"patternProperties": {}}}]}}},
        "'patternProperties'",
    ),
    "identifier": ({"type": "object", "$id": "https://example.org/"}, "'$id'"),
    "endless": ({"type": "object", "$ref": "#"}, "without end"),
    "endless, with a version": (
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **looped(60)},
        "without end",
    ),
    "another version": (
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"},
        "another version",
    ),
    "another version inside": (
        {
            "type": "object",
            "properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}},
        },
        "'$schema'",
    ),
    "doubling": (looped(60), "without end"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_schema_is_refused_with_its_field_and_the_fix(case: str) -> None:
    schema, said = BAD[case]
    agent = AgentConfig("a", "r", "m", output_schema=schema)  # type: ignore[arg-type]

    with pytest.raises(InvalidInput) as raised:
        validate_agents([agent], known_tools=frozenset())

    assert str(raised.value).startswith("agents[0].output_schema")
    assert said in str(raised.value)
    assert raised.value.fix


def test_an_answer_that_fits_comes_back_as_canonical_json() -> None:
    text = ' {"verdict" : "yes",\n "reasons": [{"then": {"verdict": "no"}}], "pattern": "ö"} '

    checked = check_answer(text, SCHEMA)

    assert checked.text == ('{"pattern":"ö","reasons":[{"then":{"verdict":"no"}}],"verdict":"yes"}')


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Yes.", "not one JSON document"),
        ('```json\n{"verdict": "yes"}\n```', "not one JSON document"),
        ('{"verdict": "yes"} {}', "not one JSON document"),
        ('{"verdict": NaN}', "not one JSON document"),
        ("[" * 100_000, "not one JSON document"),
        ("9" * 5_000, "not one JSON document"),
        ("[]", "$ it breaks type"),
        ("{}", "$ it breaks required"),
        ('{"verdict": "perhaps"}', "$.verdict it breaks enum"),
        ('{"verdict": "no", "reasons": [{}, {"then": {"verdict": 1}}]}', "$.reasons[1].then.verd"),
    ],
)
def test_an_answer_that_does_not_fit_says_where(text: str, problem: str) -> None:
    checked = check_answer(text, SCHEMA)

    assert checked.text is None
    assert problem in checked.problem


def test_an_answer_cannot_make_its_check_run_without_end() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}},
    }
    deep = '{"a":' * 60 + "{}" + "}" * 60

    assert check_answer(deep, schema).problem == "following the schema takes too long"


def test_the_schema_is_a_rule_of_the_agent_and_not_part_of_the_question() -> None:
    agent = AgentConfig("a", "r", "gpt-4o", output_schema=SCHEMA)

    system, user = agent_messages(SwarmTask("reasoning", "Why?", {}, None), agent, ())

    assert json.dumps(SCHEMA) in system["content"]
    assert "verdict" not in user["content"]


def test_an_estimate_holds_both_calls_of_an_agent_with_a_schema() -> None:
    plain = AgentConfig("a", "r", "gpt-4o", max_tokens=500)
    shaped = AgentConfig("b", "r", "gpt-4o", max_tokens=500, output_schema=SCHEMA)

    bound = estimate_session([plain, shaped], 100, 0, "gpt-4o", "gpt-4o-mini").per_agent

    assert bound["b"] > 2 * bound["a"]
