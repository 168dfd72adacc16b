"""The gateway to language models: one request, one reply, every failure classified.

This module holds the contract and the judging of replies. Two of the three transports are one plain
HTTP client, ``llm_http.py``: ``proxy`` (a LiteLLM proxy or any OpenAI-compatible server) and
``offline`` (the demo model). The third, ``sdk``, is ``llm_sdk.py``. ``llm_stream.py`` puts replies
that arrive in pieces together, so that they are judged like any other.

Failures are told apart by status code first: class names and codes differ between providers, the
proxy and the SDK for one and the same fault. Nothing of a prompt, answer or error body enters a
message. The gateway never retries: the Governor must see every attempt that may cost money.
"""

import json
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NoReturn, Protocol, cast
from uuid import UUID

from radiant_dagster.adapters.http_client import never
from radiant_dagster.domain.governor import (
    OFFLINE_PREFIX,
    cost_micro_usd,
    counted_characters,
    estimate_tokens,
)
from radiant_dagster.domain.price_list import CHECKED_IN, PriceTable
from radiant_dagster.domain.tools import MOST_CALLS_A_ROUND, ToolCall
from radiant_dagster.errors import (
    ConfigurationError,
    InvalidInput,
    LlmRejected,
    LlmUnavailable,
)

Transport = Literal["proxy", "sdk", "offline"]

MAX_RETRY_AFTER_SECONDS = 3600.0
METADATA_HEADERS = {"session_id": "X-Radiant-Session", "agent_id": "X-Radiant-Agent"}
TOOL_CALL_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
HEADER_VALUE = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")

CONTEXT_WINDOW = re.compile(
    r"context_length_exceeded|ContextWindowExceeded|context (length|window)|too many tokens"
    r"|prompt is too long",
    re.IGNORECASE,
)
CONTENT_POLICY = re.compile(
    r"content_policy_violation|ContentPolicyViolation|content_filter|content management policy"
    r"|safety system",
    re.IGNORECASE,
)
UNKNOWN_MODEL = re.compile(
    r"model_not_found|invalid model|unknown model|no such model", re.IGNORECASE
)
FIXES = {
    "authentication": "Check the key: LITELLM_API_KEY for a proxy, the provider's own for the SDK.",
    "unknown_model": "Name a model the gateway serves; `radiant doctor` lists them.",
    "context_window": "Shorten the prompt or its documents, or use a model with a larger window.",
    "content_policy": "The provider's content policy refused it; rephrase the question.",
    "bad_request": "The provider does not accept these parameters; see the proxy's log.",
    "empty": "The model answered without text; use another model.",
    "truncated": "The model used all of max_tokens without any text; raise max_tokens.",
}


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One call to a model.

    Args:
        model: Name as the gateway knows it; its price must be known.
        messages: ``role`` and ``content`` of each; of a conversation with tools also
            ``tool_calls`` and ``tool_call_id``.
        temperature: 0 to 2.
        max_tokens: Upper bound of the answer, always sent.
        timeout_seconds: For the whole call.
        tenant_id: Sent in the tenant header.
        idempotency_key: The same for a repetition of the same call.
        json_schema_name: Name of the schema the answer must fit.
        json_schema: The schema; answers are still to be checked, providers differ.
        json_schema_strict: Whether the provider has to hold the model to it.
        metadata: Ids only; ``session_id`` and ``agent_id`` become headers.
        tools: Definitions of the functions that the model may call, in OpenAI's shape.
    """

    model: str
    messages: tuple[Mapping[str, Any], ...]
    temperature: float
    max_tokens: int
    timeout_seconds: float
    tenant_id: UUID
    idempotency_key: str
    json_schema_name: str | None = None
    json_schema: Mapping[str, Any] | None = None
    json_schema_strict: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered.

    Args:
        text: Never empty, unless there are `tool_calls`.
        model_used: What answered; differs from the request after a fallback, and starts with
            ``offline-demo/`` where the demo model did.
        prompt_tokens: As the provider counted them, else an upper bound.
        completion_tokens: As the provider counted them, else an upper bound.
        cost_micro_usd: The proxy's figure where it gave one, else by the price table.
        cost_is_estimated: True where the provider told no usage.
        finish_reason: ``stop``, ``length`` and so on.
        call_id: The proxy's or provider's id of the call.
        latency_ms: Wall time of the call.
        tool_calls: What the model wants to know before it answers; none where none was offered.
    """

    text: str
    model_used: str
    prompt_tokens: int
    completion_tokens: int
    cost_micro_usd: int
    cost_is_estimated: bool
    finish_reason: str
    call_id: str
    latency_ms: int
    tool_calls: tuple[ToolCall, ...] = ()


class LlmClient(Protocol):
    """What ops need of a gateway."""

    transport: Transport
    prices: PriceTable

    def complete(
        self,
        request: CompletionRequest,
        *,
        cancelled: Callable[[], bool] = never,
        on_text: Callable[[str], None] | None = None,
    ) -> Completion:
        """Make one call, once.

        Args:
            request: The call.
            cancelled: Asked every 100 ms; once true, the call is dropped on the wire.
            on_text: Given, the answer is streamed, and this gets its pieces in the calling thread
                while they arrive. Nothing else changes: what a reply means and costs is judged at
                its end. A server that does not stream is fine, its text then comes at the end only.

        Raises:
            LlmUnavailable: Another try may help; says whether this one may be billed.
            LlmRejected: Refused for good.
            InvalidInput: The model's price is unknown; nothing was sent.
            Cancelled: `cancelled` turned true.
        """
        ...

    def check(self) -> None:
        """Find out whether calls can work, without paying for one.

        Raises:
            ConfigurationError: Names the setting and the fix.
            LlmUnavailable: The server does not answer now.
        """
        ...

    def models(self) -> frozenset[str] | None:
        """Return the names that may be asked for, None where that is not known."""
        ...


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read how long the provider asks to wait.

    LiteLLM's proxy passes an upstream's header on as ``llm_provider-retry-after`` only.

    Args:
        headers: Names in lower case.
        now: For the form with a date (RFC 9110, 10.2.3).

    Returns:
        Seconds, 0 to 3600, or None.
    """
    for name in ("retry-after", "llm_provider-retry-after"):
        value = headers.get(name, "").strip()
        try:
            seconds = float(value)
        except ValueError:
            try:
                until = parsedate_to_datetime(value)
            except ValueError:
                continue
            until = until if until.tzinfo else until.replace(tzinfo=UTC)
            seconds = (until - now).total_seconds()
        if seconds == seconds:  # not NaN
            return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
    return None


def rejected(kind: str, *, billed: bool = False) -> LlmRejected:
    """Build the permanent error of a kind with its fix."""
    return LlmRejected(kind, FIXES[kind], billed=billed)


def raise_for_status(status: int, headers: Mapping[str, str], hint: str) -> NoReturn:
    """Raise the error a failed call stands for.

    Args:
        status: HTTP status, anything but 200.
        headers: Names in lower case.
        hint: Error body or class name; only searched for known codes, never quoted.

    Raises:
        LlmUnavailable: 408, 429 and 5xx.
        LlmRejected: Everything else.
        ConfigurationError: A proxy without a database does not know the key.
    """
    wait = retry_after_seconds(headers, datetime.now(UTC))
    if status == 429:
        raise LlmUnavailable("rate_limited", retry_after_seconds=wait)
    if status == 408:
        raise LlmUnavailable("timeout", retry_after_seconds=wait, billed=True)
    if status >= 500:
        raise LlmUnavailable(f"http_{status}", retry_after_seconds=wait, billed=True)
    if status in (401, 403):
        raise rejected("authentication")
    if "No connected db" in hint:
        raise key_unknown()
    if status == 413 or CONTEXT_WINDOW.search(hint):
        raise rejected("context_window")
    if CONTENT_POLICY.search(hint):
        raise rejected("content_policy")
    if status == 404 or UNKNOWN_MODEL.search(hint):
        raise rejected("unknown_model")
    raise rejected("bad_request")


def key_unknown() -> ConfigurationError:
    """Build the error for LiteLLM's odd answer to a wrong key where it has no database."""
    return ConfigurationError(
        "LITELLM_API_KEY",
        "the proxy does not know this key, and has no database to look it up in",
        "Use the proxy's master key, or give the proxy a DATABASE_URL.",
    )


def read_completion(
    body: Mapping[str, Any],
    request: CompletionRequest,
    headers: Mapping[str, str],
    *,
    transport: Transport,
    latency_ms: int,
    prices: PriceTable = CHECKED_IN,
) -> Completion:
    """Turn an OpenAI-shaped reply into a completion.

    Args:
        body: The parsed JSON.
        request: What was asked; bounds the usage where the provider told none.
        headers: Names in lower case.
        transport: Demo answers are marked as such.
        latency_ms: Wall time of the call.
        prices: What the call is charged by where the proxy told no cost.

    Raises:
        LlmRejected: No text: ``empty``, ``truncated`` or ``content_policy``.
    """
    choice = _first(body.get("choices"))
    message = mapping(choice.get("message"))
    finish = _word(choice.get("finish_reason"), "unknown")
    text = _text(message.get("content"))
    tool_calls = _tool_calls(message.get("tool_calls")) if request.tools else ()
    if not text.strip() and not tool_calls:
        refused = finish == "content_filter" or bool(message.get("refusal"))
        kind = "content_policy" if refused else "truncated" if finish == "length" else "empty"
        raise rejected(kind, billed=True)
    prompt_tokens, completion_tokens, estimated = _usage(mapping(body.get("usage")), request)
    answered_by = _word(body.get("model"), request.model)
    if transport == "offline" or body.get("radiant_offline") is True:
        answered_by = OFFLINE_PREFIX + answered_by.rsplit("/", 1)[-1]
    reported = _reported_cost(headers)
    fell_back = body.get("model") in prices.may_answer(request.model)
    charged = answered_by if fell_back and transport != "offline" else request.model
    cost = cost_micro_usd(charged, prompt_tokens, completion_tokens, prices)
    return Completion(
        text=text,
        model_used=answered_by,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost_micro_usd=cost if reported is None else reported,
        cost_is_estimated=estimated and reported is None,
        finish_reason=finish,
        call_id=_word(headers.get("x-litellm-call-id") or body.get("id"), request.idempotency_key),
        latency_ms=latency_ms,
        tool_calls=tool_calls,
    )


def _tool_calls(value: object) -> tuple[ToolCall, ...]:
    """Return the calls a model asks for; an id that is missing, long or taken gets a new one.

    Ids are sent back twice with every later round without having been paid as output, so they are
    short, or the Governor's bound would not hold.
    """
    items = cast("list[object]", value) if isinstance(value, list) else []
    found: dict[str, ToolCall] = {}
    for number, item in enumerate(items[:MOST_CALLS_A_ROUND]):
        function = mapping(mapping(item).get("function"))
        name, arguments = function.get("name"), function.get("arguments")
        call_id = mapping(item).get("id")
        if not isinstance(call_id, str) or not TOOL_CALL_ID.fullmatch(call_id) or call_id in found:
            call_id = f"call_{number}"
            while call_id in found:
                call_id += "_"
        found[call_id] = ToolCall(
            call_id,
            name if isinstance(name, str) else "",
            arguments if isinstance(arguments, str) else json.dumps(arguments or {}),
        )
    return tuple(found.values())


def mapping(value: object) -> Mapping[str, Any]:
    """Return a part of a reply if it is an object, else an empty one."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _first(value: object) -> Mapping[str, Any]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return mapping(items[0]) if items else {}


def _word(value: object, otherwise: str) -> str:
    """Return a short token of the reply that may be stored and logged."""
    return value if isinstance(value, str) and HEADER_VALUE.fullmatch(value) else otherwise


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = cast("list[object]", content) if isinstance(content, list) else []
    texts = [mapping(part).get("text") for part in parts]
    return "".join(text for text in texts if isinstance(text, str))


def _usage(usage: Mapping[str, Any], request: CompletionRequest) -> tuple[int, int, bool]:
    """Return prompt tokens, completion tokens and whether they are only an upper bound."""
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    # A text cannot have cost nothing: usage of zeros is LiteLLM's way of not knowing.
    if isinstance(prompt, int) and isinstance(completion, int) and prompt > 0 <= completion:
        return prompt, completion, False
    return estimate_tokens(sent_characters(request)), request.max_tokens, True


def sent_characters(request: CompletionRequest) -> int:
    """Return the `counted_characters` of everything that a call sends."""
    sent = sum(map(_counted, request.messages)) + sum(map(_counted, request.tools))
    if request.json_schema is not None:
        sent += counted_characters(json.dumps(dict(request.json_schema), ensure_ascii=False))
    return sent


def _counted(part: Mapping[str, Any]) -> int:
    plain = set(part) == {"role", "content"}
    text = part["content"] if plain else json.dumps(dict(part), ensure_ascii=False)
    return counted_characters(text)


def _reported_cost(headers: Mapping[str, str]) -> int | None:
    try:
        micro = Decimal(headers.get("x-litellm-response-cost", "")) * 1_000_000
    except InvalidOperation:
        return None
    if not micro.is_finite() or micro <= 0:
        return None
    return int(micro.to_integral_value(rounding="ROUND_CEILING"))


def request_body(request: CompletionRequest) -> dict[str, Any]:
    """Build the OpenAI-shaped parameters of a call."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": list(request.messages),
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
    }
    if request.tools:
        body["tools"] = list(request.tools)
    if request.json_schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {
                "name": request.json_schema_name or "answer",
                "strict": request.json_schema_strict,
                # A copy: SDKs fit schemas to their provider in place, and ours is kept.
                "schema": deepcopy(dict(request.json_schema)),
            },
        }
    return body


def request_headers(request: CompletionRequest, tenant_header: str) -> dict[str, str]:
    """Build the headers that say whose call it is.

    Raises:
        InvalidInput: Something in `metadata` is no id.
    """
    headers = {tenant_header: str(request.tenant_id), "Idempotency-Key": request.idempotency_key}
    for key, header in METADATA_HEADERS.items():
        if key in request.metadata:
            headers[header] = request.metadata[key]
    for header, value in headers.items():
        if not HEADER_VALUE.fullmatch(value):
            raise InvalidInput(header, "is no id", "Use up to 128 letters, digits and -_.:/ only.")
    return headers
