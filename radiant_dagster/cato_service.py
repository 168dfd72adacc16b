"""Serves the embedded Cato over HTTP, for workers that should ask one service.

    POST /v1/check/epistemic  {"content", "domain"}        200 with the verdict
    POST /v1/check/storage    {"content", "content_type"}  200 with the verdict
    GET  /health                                           200

The contract is the one `adapters.cato.HttpCato` asks by. What is judged is neither kept nor logged,
and no answer repeats it. Beyond loopback it asks for a key.
"""

import hmac
import ipaddress
import json
from hashlib import sha256
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from radiant_dagster.adapters.cato import Cato, EmbeddedCato
from radiant_dagster.adapters.detectors import build_detector
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.safety import CatoRisk
from radiant_dagster.errors import ConfigurationError

MAX_BODY_BYTES = 1024 * 1024
SECOND_FIELD = {"epistemic": "domain", "storage": "content_type"}
_CHECKS_AT_ONCE = 4  # judging is work for a processor, not waiting


class _Refused(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def build_app(cato: Cato, key: str | None = None) -> Starlette:
    """Return the service.

    Args:
        cato: Who judges.
        key: Asked for as a bearer token; None asks for none.
    """
    limiter = anyio.CapacityLimiter(_CHECKS_AT_ONCE)

    async def check(request: Request) -> Response:
        try:
            _require_key(request, key)
            kind = str(request.path_params["kind"])
            content, second = await _fields(request, kind)
        except _Refused as refused:
            return JSONResponse({"error": refused.code}, refused.status)
        async with limiter:
            risk = await run_in_threadpool(_judge, cato, kind, content, second)
        return JSONResponse(_document(risk))

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/v1/check/{kind}", check, methods=["POST"]),
            Route("/health", health, methods=["GET"]),
        ]
    )


def _judge(cato: Cato, kind: str, content: str, second: str) -> CatoRisk:
    if kind == "epistemic":
        return cato.check_epistemic_safety(content, second)
    return cato.check_storage_safety(content, second)


def _require_key(request: Request, key: str | None) -> None:
    if key is None:
        return
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    # Digests, so that neither content nor length shows in the time.
    if not hmac.compare_digest(sha256(given.encode()).digest(), sha256(key.encode()).digest()):
        raise _Refused(401, "key_missing_or_wrong")


async def _fields(request: Request, kind: str) -> tuple[str, str]:
    second = SECOND_FIELD.get(kind)
    if second is None:
        raise _Refused(404, "unknown_check")
    # A page of another site cannot send this type without asking first.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise _Refused(415, "not_json")
    try:
        body: Any = json.loads(await _body(request))
    except (ValueError, RecursionError):
        raise _Refused(400, "not_json") from None
    found = [body.get(name) for name in ("content", second)] if isinstance(body, dict) else []
    texts = [value for value in found if isinstance(value, str)]
    if len(texts) != 2:
        raise _Refused(422, f"content_and_{second}_have_to_be_texts")
    return texts[0], texts[1]


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                raise _Refused(413, "too_long")
    except ClientDisconnect:
        raise _Refused(400, "not_json") from None
    return bytes(body)


def _document(risk: CatoRisk) -> dict[str, object]:
    return {
        "safe": risk.safe,
        "risk_level": risk.risk_level,
        "reasons": list(risk.reasons),
        "blocked": risk.blocked,
    }


def require_safe_bind(host: str, key: str | None) -> None:
    """Refuse to judge texts of a network without knowing whose.

    Raises:
        ConfigurationError: The address is not loopback and there is no key.
    """
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback and not key:
        raise ConfigurationError(
            "RADIANT_CATO_KEY",
            "is not set, and the address to listen on is not a loopback one",
            "Set a long random key, for who asks as well, and put a proxy with TLS in front.",
        )


def run(settings: Settings, *, host: str, port: int) -> None:
    """Serve the embedded rules until interrupted.

    Raises:
        ConfigurationError: See `require_safe_bind`.
    """
    key = settings.cato_key.get_secret_value() if settings.cato_key else None
    require_safe_bind(host, key)
    uvicorn.run(
        build_app(EmbeddedCato(build_detector(settings)), key),
        host=host,
        port=port,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        ws="none",
    )
