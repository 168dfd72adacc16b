"""The API is asked what its document allows and what it forbids; it must answer as it says."""

import json
import os
import uuid

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from radiant_dagster.mission_control.api import PREFIX
from radiant_dagster.mission_control.api_document import build
from radiant_dagster.mission_control.api_operations import OPERATIONS
from radiant_dagster.mission_control.bodies import LINES_TYPE
from tests.mission_control.conftest import People, Serve, bearer
from tests.services.dagster_server import DagsterServer

EXAMPLES = int(os.environ.get("RADIANT_TEST_FUZZ_EXAMPLES") or 4)
# Words make sentences that pass the rules; other texts seldom do.
WORD = st.sampled_from(("question", "about", "storage", "power", "cuts", "source", "hour"))
WORDS = st.lists(WORD, min_size=4, max_size=12).map(" ".join)
LINE = st.fixed_dictionaries(
    {
        "polarity": st.sampled_from(["do", "avoid", "maybe"]),
        "domain": st.sampled_from(["general", "medical", "cooking"]),
        "trigger_pattern": WORDS | st.text(max_size=300),
        "action_template": WORDS | st.text(max_size=700),
    },
    optional={"state": st.none() | st.text(), "alpha": st.floats(), "surprise": st.integers()},
).map(json.dumps)
LINES = st.lists(LINE | st.text(max_size=40), max_size=6).map("\n".join).map(str.encode)
schemathesis.openapi.media_type(LINES_TYPE, LINES | st.binary(max_size=60))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("role", ["service", "reviewer", "curator"])
def test_the_api_answers_as_its_document_says(
    serve: Serve, people: People, tenant: uuid.UUID, role: str
) -> None:
    del tenant
    document = build([item for item in OPERATIONS if not item.stream])  # those do not end
    with (
        DagsterServer() as dagster,
        serve(RADIANT_DAGSTER_URL=dagster.url, RADIANT_API_RATE_PER_MINUTE="1000000") as site,
    ):
        schema = schemathesis.openapi.from_dict(document)
        key = bearer(people.key_for("fuzz", role))
        asked = 0

        for found in schema.get_all_operations():
            operation = found.ok()

            @hypothesis.given(case=operation.as_strategy())
            @hypothesis.settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            def ask(case: schemathesis.Case) -> None:
                nonlocal asked
                asked += 1
                case.call_and_validate(base_url=site.url + PREFIX, headers=key, checks=CHECKS)

            ask()

    assert asked >= len(document["paths"])
