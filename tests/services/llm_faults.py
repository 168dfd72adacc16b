"""What a scripted model server can do to a call: replies, faults, and faults at random.

`PASSING` and `LASTING` are the ways in which real providers and LiteLLM fail (measured on 1.106.2).
Chance is seeded by the call's idempotency key and its number, so the same sessions meet the same
faults whatever the order in which their calls arrive.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal

from tests.services.llm_streams import Step


@dataclass(frozen=True)
class Reply:
    """What the server does with one call.

    Args:
        status: 200 answers as the demo model does, changed by `change`.
        body: Sent as it is instead.
        change: Replaces top-level keys of the answer.
        delay_seconds: Waited first.
        disconnect: Close the connection without a reply.
        cut: Generate the answer, then close the connection after the headers or within the body.
        trickle_seconds: Send the body in small pieces over this time.
        stream: What a streamed answer consists of, see `llm_streams`; None cuts the answer that
            would be given otherwise into three pieces.
    """

    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    change: Mapping[str, Any] = field(default_factory=dict)
    delay_seconds: float = 0.0
    disconnect: bool = False
    cut: Literal["headers", "body"] | None = None
    trickle_seconds: float = 0.0
    stream: tuple[Step, ...] | None = None

    @property
    def delivers(self) -> bool:
        """True where the client gets an answer that it can use."""
        usable = self.status == 200 and self.body is None and not self.disconnect and not self.cut
        choices = self.change.get("choices")
        return usable and (choices is None or bool(choices and choices[0]["message"]["content"]))


OK = Reply()
DISCONNECT = Reply(disconnect=True)
MALFORMED = Reply(body=b'{"choices": [{"mess')
EMPTY_CHOICES = Reply(change={"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}})


def error(
    status: int, message: str = "SECRET-BODY", *, headers: Mapping[str, str] | None = None
) -> Reply:
    """Fail as an OpenAI-compatible server does."""
    body = json.dumps({"error": {"message": message, "code": str(status)}}).encode()
    return Reply(status, body, headers or {})


def html(status: int) -> Reply:
    """Fail as a load balancer does."""
    return Reply(status, b"<html>SECRET-BODY Bad Gateway</html>", {"Content-Type": "text/html"})


def slow(seconds: float) -> Reply:
    """Answer late."""
    return Reply(delay_seconds=seconds)


def content(text: Any, finish_reason: str = "stop", **extra: Any) -> Reply:
    """Answer with this message content."""
    message = {"role": "assistant", "content": text, **extra}
    choices = [{"index": 0, "message": message, "finish_reason": finish_reason}]
    return Reply(change={"choices": choices})


def retry_date(seconds: float) -> str:
    """Write a Retry-After as the date so many seconds from now."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def trickle(seconds: float) -> Reply:
    """Answer whole, but in small pieces over this time."""
    return Reply(trickle_seconds=seconds)


CUT_AFTER_HEADERS = Reply(cut="headers")
CUT_IN_BODY = Reply(cut="body")
NULL_CONTENT = content(None, "length")
CONTEXT_WINDOW = error(400, "litellm.ContextWindowExceededError: SECRET-BODY")
CONTENT_POLICY = error(400, "litellm.ContentPolicyViolationError: SECRET-BODY")
NO_DATABASE = error(400, "No connected db.")
UNKNOWN_MODEL = error(400, "Invalid model name passed in model=SECRET-BODY")

PASSING: dict[str, Reply] = {
    "busy": error(429),
    "busy_retry_after": error(429, headers={"retry-after": "0.2"}),
    "busy_proxy_retry_after": error(429, headers={"llm_provider-retry-after": "0.2"}),
    "upstream_slow": error(408),
    "broken": error(500),
    "bad_gateway": html(502),
    "away": error(503),
    "gateway_timeout": error(504),
    "overloaded": error(529),
    "malformed": MALFORMED,
    "disconnect": DISCONNECT,
    "cut_after_headers": CUT_AFTER_HEADERS,
    "cut_in_body": CUT_IN_BODY,
}
"""Faults that another try may mend."""

LASTING: dict[str, Reply] = {
    "empty_choices": EMPTY_CHOICES,
    "null_content": NULL_CONTENT,
    "content_policy": CONTENT_POLICY,
    "context_window": CONTEXT_WINDOW,
    "bad_request": error(400),
    "key": error(401),
    "forbidden": error(403),
    "not_found": error(404),
    "busy_for_long": error(429, headers={"retry-after": "3600"}),
}
"""Faults that end an agent's work."""


@dataclass(frozen=True)
class RandomFaults:
    """Faults by chance.

    Args:
        rate: Share of all calls that fail, 0 to 1.
        seed: The same seed and the same calls give the same faults.
        replies: The faults to choose from, all equally likely.
    """

    rate: float
    seed: int = 0
    replies: tuple[Reply, ...] = (*PASSING.values(), *LASTING.values())

    def reply(self, key: str, number: int) -> Reply:
        """Return what happens to the call with this idempotency key and number under it."""
        chance = random.Random(f"{self.seed}:{key}:{number}")
        return chance.choice(self.replies) if chance.random() < self.rate else OK


@dataclass(frozen=True)
class Latency:
    """How long a model takes: log-normal, as real providers' latencies are.

    Args:
        median_seconds: Half of all calls are faster.
        sigma: Of the logarithm; 0 makes every call take the median.
        seed: As for `RandomFaults`.
    """

    median_seconds: float = 0.0
    sigma: float = 0.0
    seed: int = 0

    def seconds(self, key: str, number: int) -> float:
        """Return how long the call with this key and number takes."""
        chance = random.Random(f"latency:{self.seed}:{key}:{number}")
        return self.median_seconds * chance.lognormvariate(0.0, self.sigma)
