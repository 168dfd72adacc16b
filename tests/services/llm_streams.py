"""Scripted streams of the model server: server-sent events, whole and broken.

A stream is a row of steps: a text is a piece of the answer, a mapping an event, bytes are sent as
they are, and the rest of what can happen has a name below.
"""

import asyncio
import json
import threading
from collections.abc import Mapping
from typing import Any, Literal

from aiohttp import web

Step = str | bytes | Mapping[str, Any] | Literal[b"pause", b"stall", b"cut"]

PAUSE: Step = b"pause"  # until the test sets `go_on` of the server
STALL: Step = b"stall"  # until the client goes away
CUT: Step = b"cut"  # close the connection in the middle
STOP: Step = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
DONE: Step = b"data: [DONE]\n\n"
MALFORMED_CHUNK: Step = b'data: {"choices": [{"del\n\n'


def usage(prompt: int, completion: int, **extra: Any) -> Step:
    """Tell the usage, as the last chunk does."""
    told = {"prompt_tokens": prompt, "completion_tokens": completion, **extra}
    return {"choices": [], "usage": told | {"total_tokens": prompt + completion}}


def error_event(code: object, message: str = "SECRET-BODY") -> Step:
    """Fail in the middle of a stream, as LiteLLM's proxy does."""
    return {"error": {"message": message, "type": "None", "param": "None", "code": code}}


def steps_of(answer: Mapping[str, Any], *, usage: bool) -> tuple[Step, ...]:
    """Cut a whole answer into a stream with three pieces of text."""
    facts = {key: answer[key] for key in ("id", "model") if key in answer}
    steps: list[Step] = []
    for choice in answer["choices"]:
        message = choice["message"]
        text, size = message["content"] or "", max(1, -(-len(message["content"] or "") // 3))
        deltas: list[dict[str, Any]] = [
            {"content": text[at : at + size]} for at in range(0, len(text), size)
        ]
        if message.get("refusal"):
            deltas.append({"refusal": message["refusal"]})
        steps += [
            {**facts, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
            for delta in deltas
        ]
        end = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
        steps.append({**facts, "choices": [end]})
    if usage and answer.get("usage"):
        steps.append({**facts, "choices": [], "usage": answer["usage"]})
    return (*steps, DONE)


async def send_stream(
    request: web.Request,
    steps: tuple[Step, ...],
    *,
    headers: Mapping[str, str],
    go_on: threading.Event,
) -> web.StreamResponse:
    """Play the steps."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **headers})
    await response.prepare(request)
    for step in steps:
        if step == PAUSE:
            await asyncio.to_thread(go_on.wait, 30)
        elif step == STALL:
            await asyncio.Event().wait()
        elif step == CUT:
            assert request.transport is not None
            request.transport.close()
            return response
        else:
            await response.write(_bytes(step))
    await response.write_eof()
    return response


def _bytes(step: Step) -> bytes:
    if isinstance(step, bytes):
        return step
    event = step
    if isinstance(step, str):
        event = {"choices": [{"index": 0, "delta": {"content": step}, "finish_reason": None}]}
    # The shape that strict clients want; an error event has nothing of it.
    assert isinstance(event, Mapping)
    shape = {"id": "call-s", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    body = event if "error" in event else {**shape, **event}
    return b"data: " + json.dumps(body).encode() + b"\n\n"
