"""Serves the demo model over HTTP, in the shape of OpenAI's API."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from radiant_dagster.domain.governor import known_models
from radiant_dagster.domain.output_schema import AGENT_ANSWER_SCHEMA_NAME
from radiant_dagster.offline.answers import UnknownSchema, question_of, reply
from radiant_dagster.offline.structured import fill
from radiant_dagster.offline.tool_use import calculation
from radiant_dagster.offline.words import pick

CHARACTERS_PER_TOKEN = 4
STREAM_STEPS = 24
HEADERS = {"x-radiant-offline": "1"}


class BadRequest(Exception):
    """The request is none this server understands; the message is safe to send."""


def parse(body: bytes) -> dict[str, Any]:
    """Read a chat request.

    Raises:
        BadRequest: With what is wrong.
    """
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise BadRequest("the body is not a JSON object")
    request = cast("dict[str, Any]", value)
    messages = request.get("messages")
    if not isinstance(messages, list) or not all(
        isinstance(message, dict) for message in cast("list[object]", messages)
    ):
        raise BadRequest("messages is not a list of objects")
    if not isinstance(request.get("model"), str):
        raise BadRequest("model is missing")
    return request


def schema_name(request: Mapping[str, Any]) -> str | None:
    """Return the name of the JSON schema a request asks for."""
    wanted = request.get("response_format")
    with contextlib.suppress(KeyError, TypeError):
        return str(cast("Any", wanted)["json_schema"]["name"])
    return None


def structured_reply(
    request: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]
) -> str | None:
    """Answer an agent's call with a schema of the caller's; None for any other call."""
    if schema_name(request) != AGENT_ANSWER_SCHEMA_NAME:
        return None
    schema = request["response_format"]["json_schema"].get("schema")
    return json.dumps(fill(schema, reply(messages, None)), ensure_ascii=False)


def _text_of(request: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> str:
    return structured_reply(request, messages) or reply(messages, schema_name(request))


def completion(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a parsed chat request.

    Raises:
        BadRequest: A schema is asked for that the demo model does not know.
    """
    messages = cast("list[Mapping[str, Any]]", request["messages"])
    call = calculation(request, question_of(messages)) if schema_name(request) is None else None
    try:
        text = "" if call else _text_of(request, messages)
    except UnknownSchema as unknown:
        raise BadRequest(f"the offline demo model has no answer of schema {unknown}") from None
    limit = request.get("max_tokens")
    room = limit * CHARACTERS_PER_TOKEN if isinstance(limit, int) and limit > 0 else len(text)
    sent = sum(len(str(message.get("content", ""))) for message in messages)
    sent += len(json.dumps(request.get("tools") or ""))
    text, whole = text[:room], len(text) <= room
    usage = {
        "prompt_tokens": -(-sent // CHARACTERS_PER_TOKEN),
        "completion_tokens": -(-len(text or json.dumps(call)) // CHARACTERS_PER_TOKEN),
    }
    message = {"role": "assistant", "content": text}
    if call:
        message |= {"content": None, "tool_calls": [call]}
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    return {
        "id": f"chatcmpl-offline-{digest[:24]}",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"],
        "radiant_offline": True,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if call else "stop" if whole else "length",
            }
        ],
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }


def latency_seconds(request: Mapping[str, Any], fixed_ms: int | None) -> float:
    """Return how long an answer takes: fixed, or 150 to 400 ms, the same for the same role."""
    if fixed_ms is not None:
        return fixed_ms / 1000
    system = next(
        (str(m.get("content")) for m in request["messages"] if m.get("role") == "system"), ""
    )
    return (150 + pick(system, 251)) / 1000


def chunks(
    body: Mapping[str, Any], request: Mapping[str, Any], steps: int
) -> Sequence[Mapping[str, Any]]:
    """Cut an answer into the chunks of a stream.

    Args:
        body: What `completion` answered.
        request: Says whether the usage is asked for.
        steps: How many pieces the text comes in, at most.
    """
    common = {key: body[key] for key in ("id", "created", "model", "radiant_offline")}
    common["object"] = "chat.completion.chunk"
    choice = body["choices"][0]
    text = choice["message"]["content"]
    size = max(1, -(-len(text) // steps))
    deltas = [{"content": text[at : at + size]} for at in range(0, len(text), size)]
    listed: list[dict[str, Any]] = [
        {**common, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    end = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    listed.append({**common, "choices": [end]})
    options = request.get("stream_options")
    if isinstance(options, dict) and cast("dict[str, Any]", options).get("include_usage"):
        listed.append({**common, "choices": [], "usage": body["usage"]})
    return listed


async def stream(listed: Sequence[Mapping[str, Any]], seconds: float) -> AsyncIterator[bytes]:
    """Send chunks evenly over the time that the whole answer takes."""
    for chunk in listed:
        await asyncio.sleep(seconds / len(listed))
        yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def build_app(latency_ms: int | None = None) -> Starlette:
    """Build the server.

    Args:
        latency_ms: Of every answer; None for 150 to 400 ms by role.
    """

    async def chat(request: Request) -> Response:
        try:
            parsed = parse(await request.body())
            body = completion(parsed)
        except BadRequest as error:
            detail = {"message": str(error), "type": "invalid_request_error", "code": None}
            return JSONResponse({"error": detail}, 400, HEADERS)
        seconds = latency_seconds(parsed, latency_ms)
        if parsed.get("stream"):
            pieces = chunks(body, parsed, STREAM_STEPS)
            return StreamingResponse(
                stream(pieces, seconds), headers=HEADERS, media_type="text/event-stream"
            )
        await asyncio.sleep(seconds)
        return JSONResponse(body, headers=HEADERS)

    async def models(request: Request) -> JSONResponse:
        listed = [{"id": name, "object": "model"} for name in sorted(known_models())]
        return JSONResponse({"object": "list", "data": listed}, headers=HEADERS)

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok", "model": "offline demo model"}, headers=HEADERS)

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
            Route("/health", health),
        ]
    )
