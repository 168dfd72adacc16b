"""All operations of the API, in the order of its reference, and the document of them."""

from starlette.responses import Response

from radiant_dagster.mission_control import (
    api_approvals,
    api_events,
    api_grimoire,
    api_reading,
    api_sessions,
)
from radiant_dagster.mission_control.api import PREFIX, Operation
from radiant_dagster.mission_control.api_document import as_json, build
from radiant_dagster.mission_control.guard import Call, Endpoint

OPERATIONS: tuple[Operation, ...] = (
    *api_sessions.OPERATIONS,
    *api_approvals.OPERATIONS,
    *api_events.OPERATIONS,
    *api_grimoire.OPERATIONS,
    *api_reading.OPERATIONS,
)


def document(call: Call) -> Response:
    """Return the OpenAPI document."""
    del call
    return Response(as_json(build(OPERATIONS)), media_type="application/json")


ENDPOINTS = (
    *(operation.endpoint for operation in OPERATIONS),
    # The document names nothing of an installation; a key is asked for all the same.
    Endpoint("GET", f"{PREFIX}/openapi.json", "signed_in", document),
)
