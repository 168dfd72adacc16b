"""What every operation of /api/v1 is made of: its declaration, reading requests, writing answers.

An `Operation` says what it takes and what it answers, with the models it really uses; both the
route and the OpenAPI document are made of it, so neither can say what the other does not.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from radiant_dagster.adapters import idempotency
from radiant_dagster.adapters.idempotency import Reply
from radiant_dagster.adapters.postgres import Cursor, TenantRole
from radiant_dagster.domain.swarm import require_storable
from radiant_dagster.errors import InvalidInput
from radiant_dagster.mission_control.guard import MAX_BODY_BYTES, Access, Call, Endpoint, Handler
from radiant_dagster.mission_control.problems import Refusal
from radiant_dagster.wire.base import Answer, Request

PREFIX = "/api/v1"
KEY_HEADER = "Idempotency-Key"
Header = Literal["Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID"]
Model = TypeVar("Model", bound=Request)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API.

    Args:
        method: One HTTP method.
        path: Below PREFIX, as Starlette writes it.
        access: Who may use it, see `guard.Endpoint`.
        handler: What to do.
        tag: Its chapter of the reference.
        summary: What it does, in a sentence.
        answers: Model by status of success; None for an answer without JSON.
        body: What it reads.
        lines: What one line of its body is, where it reads lines of JSON instead.
        max_body_bytes: More of a body is refused.
        query: What it reads of the query.
        headers: Further headers that it reads.
        required: Of those, the ones without which it refuses.
        problems: Statuses of refusals beside those that any operation has.
        stream: It answers with server-sent events.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    access: Access
    handler: Handler = field(repr=False)
    tag: str
    summary: str
    answers: Mapping[int, type[Answer] | None]
    body: type[Request] | None = None
    lines: str = ""
    max_body_bytes: int = MAX_BODY_BYTES
    query: type[Request] | None = None
    headers: tuple[Header, ...] = ()
    required: tuple[Header, ...] = ()
    problems: tuple[int, ...] = ()
    stream: bool = False

    @property
    def endpoint(self) -> Endpoint:
        """The route."""
        return Endpoint(
            self.method, PREFIX + self.path, self.access, self.handler,
            max_body_bytes=self.max_body_bytes,
        )  # fmt: skip


def answer(
    document: Answer, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a document as JSON."""
    return Response(
        document.model_dump_json(), status, dict(headers or {}), media_type="application/json"
    )


def read_body(call: Call, model: type[Model]) -> Model:
    """Return the body, which has to be exactly what the model says.

    Raises:
        Refusal: No JSON at all.
        InvalidInput: Names the first field that is wrong.
    """
    _require_storable(call.json())
    return _validated(lambda: model.model_validate_json(call.body, strict=True), "body")


def read_query(call: Call, model: type[Model]) -> Model:
    """Return the query, which has to be exactly what the model says.

    Raises:
        InvalidInput: Names the first field that is wrong.
    """
    given = call.request.query_params.multi_items()
    for name, text in given:
        require_storable(name if name in model.model_fields else "query", name + text)
    names = [name for name, _ in given]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(_shown(name), "appears twice", "Send it once.")
    return _validated(lambda: model.model_validate(dict(given)), "query")


def _validated(validate: Any, whole: str) -> Any:
    try:
        return validate()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = _field(first["loc"]) or whole
        if first["type"] == "extra_forbidden":
            raise InvalidInput(name, "is not known here", "Leave it out.") from None
        raise InvalidInput(
            name, first["msg"][0].lower() + first["msg"][1:], "See the API's reference."
        ) from None


def _field(place: tuple[int | str, ...]) -> str:
    """Return a place in a document as its sender writes it: ``agents[0].role``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{_shown(part)}"
    return text.removeprefix(".")


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name[:80])


def _require_storable(value: Any) -> None:
    """Refuse what Postgres cannot hold, wherever in a document it stands."""
    pending = [("body", value)]
    while pending:
        name, item = pending.pop()
        if isinstance(item, str):
            require_storable(name, item)
        elif isinstance(item, dict):
            require_storable(name, "".join(item))
            pending += [(_shown(key), inner) for key, inner in item.items()]
        elif isinstance(item, list):
            pending += [(name, inner) for inner in item]


def idempotency_key(call: Call, *, required: bool) -> str | None:
    """Return the caller's Idempotency-Key.

    Raises:
        Refusal: It is needed and missing.
    """
    key = call.request.headers.get(KEY_HEADER)
    if key is None and required:
        raise Refusal(
            400,
            "idempotency_key_required",
            "This needs a key of yours",
            f"Send {KEY_HEADER}, a fresh UUID for each request that means something new.",
        )
    return key


def once(
    call: Call,
    body: Request,
    run: Callable[[Cursor], Reply],
    *,
    role: TenantRole | None = None,
) -> Reply:
    """Run an effect once under the caller's key, in a transaction that keeps its reply.

    Args:
        body: What was sent, with everything that the effect depends on.
        role: What the transaction acts as; radiant_api unless one is named.

    Raises:
        Refusal: The key is missing.
        IdempotencyConflict: The key belongs to another request.
    """
    key, request_hash = _key_and_hash(call, body)
    with call.transaction(role) as cursor:
        return idempotency.get_or_run(
            cursor,
            call.tenant_id,
            actor=call.principal.name,
            key=key,
            request_hash=request_hash,
            run=lambda: run(cursor),
        )


def known_reply(call: Call, body: Request) -> Reply | None:
    """Return what the caller was answered under the same key, before anything is done for it.

    Raises:
        Refusal, IdempotencyConflict: See `once`.
    """
    key, request_hash = _key_and_hash(call, body)
    with call.transaction() as cursor:
        return idempotency.find(
            cursor, call.tenant_id,
            actor=call.principal.name, key=key, request_hash=request_hash,
        )  # fmt: skip


def _key_and_hash(call: Call, body: Request) -> tuple[str, bytes]:
    key = idempotency_key(call, required=True)
    assert key is not None  # noqa: S101 - it is required
    text = f"{call.request.method} {call.request.url.path} {body.model_dump_json()}"
    return key, hashlib.sha256(text.encode()).digest()


def replayed(reply: Reply) -> dict[str, str]:
    """Return the header that tells a repetition from the first time."""
    return {"Idempotency-Replayed": "true"} if reply.replayed else {}


def if_match(call: Call) -> int | None:
    """Return the version that the caller read, None where any will do.

    Raises:
        Refusal: The header is missing.
        InvalidInput: It is no entity tag of ours.
    """
    tag = call.request.headers.get("If-Match")
    if tag is None:
        raise Refusal(
            428,
            "if_match_required",
            "Say which version you read",
            'Send If-Match with the ETag of the request, for instance "v3".',
        )
    if tag.strip() == "*":
        return None
    number = tag.strip().removeprefix('"v').removesuffix('"')
    if tag.strip() != f'"v{number}"' or not number.isascii() or not number.isdecimal():
        raise InvalidInput("If-Match", "is no entity tag of ours", 'Send the ETag, e.g. "v3".')
    return min(int(number[:12]), 2**31)


def rows(model: type[BaseModel], found: Any) -> list[Any]:
    """Return rows as models; columns that a model does not name stay here."""
    return [model.model_validate(row) for row in found]
