"""What other machines ask: is the process alive, can it work, how much did it do."""

from starlette.responses import JSONResponse, Response

from radiant_dagster.adapters.health import require_answer
from radiant_dagster.errors import ConfigurationError, DatabaseUnavailable
from radiant_dagster.mission_control.guard import Call, Endpoint
from radiant_dagster.mission_control.metrics import CONTENT_TYPE


def healthz(call: Call) -> Response:
    """Answer; nothing else has to work for that."""
    del call
    return JSONResponse({"status": "ok"})


def readyz(call: Call) -> Response:
    """Tell whether the database answers. Dagster may be down: decisions are taken all the same."""
    try:
        require_answer(call.services.database)
    except (DatabaseUnavailable, ConfigurationError):
        return JSONResponse({"status": "database unavailable"}, 503)
    return JSONResponse({"status": "ready"})


def metrics(call: Call) -> Response:
    """Return the counters."""
    return Response(call.services.metrics.text(), media_type=CONTENT_TYPE)


ENDPOINTS = (
    Endpoint("GET", "/healthz", "public", healthz),
    Endpoint("GET", "/readyz", "public", readyz),
    Endpoint("GET", "/metrics", "operator", metrics),
)
