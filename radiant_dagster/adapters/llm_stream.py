"""Puts an answer together that arrives in pieces, so that it is judged like any other.

    bytes -> EventReader -> StreamedReply.add_data -> add -> finished(): an OpenAI-shaped reply
                                                       '-> hand_over(): text for whoever watches

The pieces arrive on the event loop's thread and are handed over in the thread that waits for the
call: whoever watches may take its time (a write to the database) and holds no other call up. A
stream that ends before the model said that it was done is a cut connection, never a short answer.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

from radiant_dagster.adapters.llm import (
    CONTENT_POLICY,
    CONTEXT_WINDOW,
    mapping,
    raise_for_status,
)
from radiant_dagster.errors import LlmRejected, LlmUnavailable

STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
DONE = b"[DONE]"


class EventReader:
    """Cuts server-sent events out of a body, wherever its pieces break.

    Args:
        on_data: Given the data of each event.
    """

    def __init__(self, on_data: Callable[[bytes], None]) -> None:
        self._on_data = on_data
        self._line: list[bytes] = []
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        *ends, rest = piece.split(b"\n")
        for end in ends:
            self._read(b"".join((*self._line, end)).rstrip(b"\r"))
            self._line.clear()
        self._line.append(rest)

    def _read(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            data = b"\n".join(self._data)
            self._data.clear()
            self._on_data(data)


class StreamedReply:
    """The reply so far.

    Args:
        on_text: Given the text while it arrives; None keeps it to the end.
    """

    def __init__(self, on_text: Callable[[str], None] | None) -> None:
        self.usage: Mapping[str, Any] = {}
        self._on_text = on_text
        self._waiting: deque[str] = deque()
        self._text: list[str] = []
        self._refusal = ""
        self._finish: object = None
        self._cost: object = None
        self._facts: dict[str, object] = {}
        self._done = False

    def add_data(self, data: bytes) -> None:
        """Take the data of one event.

        Raises:
            LlmUnavailable: ``malformed``, or as `add`.
            LlmRejected: As `add`.
        """
        if self._done:
            return
        if data.strip() == DONE:
            self._done = True
            return
        try:
            event = json.loads(data)
        except ValueError:
            event = None
        if not isinstance(event, Mapping):
            raise LlmUnavailable("malformed", billed=True)
        self.add(cast("Mapping[str, Any]", event))

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one chunk of the reply.

        Raises:
            LlmUnavailable: The provider broke off; another try may help.
            LlmRejected: It broke off for good.
        """
        if event.get("error"):
            self._raise_for(event["error"])
        self._facts |= {
            key: event[key] for key in ("id", "model", "radiant_offline") if event.get(key)
        }
        self.usage = mapping(event.get("usage")) or self.usage
        self._cost = self.usage.get("cost") or event.get("cost") or self._cost
        choices: object = event.get("choices")
        for item in cast("list[object]", choices) if isinstance(choices, list) else []:
            self._add_choice(mapping(item))

    def _add_choice(self, choice: Mapping[str, Any]) -> None:
        self._finish = choice.get("finish_reason") or self._finish
        delta = mapping(choice.get("delta"))
        text, refusal = delta.get("content"), delta.get("refusal")
        if isinstance(refusal, str):
            self._refusal += refusal
        if isinstance(text, str) and text:
            self._text.append(text)
            self._waiting.append(text)

    def _raise_for(self, error: object) -> None:
        """Raise the error that an event in the stream stands for; a 200 went out long before it."""
        hint = json.dumps(error, default=str)[:10_000]
        code = str(mapping(error).get("code"))
        status = 500
        if code.isdecimal() and 400 <= int(code) < 600:
            status = int(code)
        elif CONTENT_POLICY.search(hint) or CONTEXT_WINDOW.search(hint):
            status = 400
        elif "rate_limit" in hint:
            status = 429
        try:
            raise_for_status(status, {}, hint)
        except (LlmUnavailable, LlmRejected) as failure:
            failure.billed = failure.billed or bool(self._text)
            raise

    def hand_over(self) -> None:
        """Give what has arrived since the last time to whoever watches, in this thread."""
        pieces: list[str] = []
        while self._waiting:
            pieces.append(self._waiting.popleft())
        if pieces and self._on_text is not None:
            self._on_text("".join(pieces))

    def finished(self) -> Mapping[str, Any]:
        """Return the whole reply in the shape of one that was not streamed.

        Raises:
            LlmUnavailable: The connection was cut before the answer's end.
        """
        if not self._done and self._finish is None:
            raise LlmUnavailable("read", billed=True)
        self.hand_over()
        message = {"content": "".join(self._text), "refusal": self._refusal}
        choice = {"message": message, "finish_reason": self._finish}
        return {**self._facts, "choices": [choice], "usage": self.usage}

    def cost_header(self) -> dict[str, str]:
        """Return the proxy's figure where a stream has it; its header left before the answer."""
        if isinstance(self._cost, (int, float)) and not isinstance(self._cost, bool):
            return {"x-litellm-response-cost": str(self._cost)}
        return {}
