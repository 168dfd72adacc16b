"""The OpenAPI document: committed as it is served, and the limits in it are the domain's."""

import json
import uuid
from pathlib import Path

import pytest

from radiant_dagster.domain import approvals, sessions, swarm
from radiant_dagster.mission_control.api import Operation
from radiant_dagster.mission_control.api_document import as_json, as_markdown, build
from radiant_dagster.mission_control.api_operations import OPERATIONS
from tests.mission_control.conftest import People, Site, bearer

DOCS = Path(__file__).parents[2] / "docs"


def test_the_committed_reference_is_that_of_the_routes() -> None:
    document = as_json(build(OPERATIONS))

    assert (DOCS / "openapi.json").read_text() == document, "run `make api-docs`"
    assert (DOCS / "api.md").read_text() == as_markdown(OPERATIONS), "run `make api-docs`"


def test_the_served_document_is_the_committed_one(
    site: Site, people: People, tenant: uuid.UUID
) -> None:
    del tenant

    reply = site("GET", "/api/v1/openapi.json", bearer(people.key_for("ann", "viewer")))

    assert json.loads(reply.data) == json.loads((DOCS / "openapi.json").read_text())


def test_operations_are_named_once() -> None:
    named = [
        item["operationId"]
        for path in build(OPERATIONS)["paths"].values()
        for item in path.values()
    ]

    assert len(set(named)) == len(named) == len(OPERATIONS)


@pytest.mark.parametrize(
    ("model", "field", "limit"),
    [
        ("SubmitSession", "prompt", sessions.MAX_PROMPT_CHARACTERS),
        ("SubmitSession", "system_prompt", sessions.MAX_SYSTEM_PROMPT_CHARACTERS),
        ("AgentRequest", "role", swarm.MAX_ROLE_CHARACTERS),
        ("AgentRequest", "model", swarm.MAX_MODEL_CHARACTERS),
        ("AgentRequest", "instructions", swarm.MAX_INSTRUCTIONS_CHARACTERS),
        ("Decide", "guidance", approvals.MAX_GUIDANCE_CHARACTERS),
        ("Decide", "edited_text", approvals.MAX_EDIT_CHARACTERS),
        ("Reveal", "reason", approvals.MAX_REASON_CHARACTERS),
        ("GiveFeedback", "note", approvals.MAX_GUIDANCE_CHARACTERS),
        ("GiveFeedback", "corrected_text", approvals.MAX_EDIT_CHARACTERS),
    ],
)
def test_a_limit_in_the_document_is_the_domains(model: str, field: str, limit: int) -> None:
    schema = build(OPERATIONS)["components"]["schemas"][model]["properties"][field]

    told = {option.get("maxLength") for option in [schema, *schema.get("anyOf", [])]}

    assert limit in told


def test_every_operation_says_what_it_refuses() -> None:
    def statuses(item: Operation) -> set[str]:
        path = item.path.replace(":uuid", "")
        return set(build([item])["paths"][path][item.method.lower()]["responses"])

    for item in OPERATIONS:
        told = statuses(item)
        assert {"401", "403", "422", "429", "503"} <= told, item.path
        assert ("404" in told) == ("{" in item.path or 404 in item.problems), item.path
