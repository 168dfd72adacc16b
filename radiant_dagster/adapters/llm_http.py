"""The ``proxy`` and ``offline`` transports: plain HTTP to an OpenAI-compatible server."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from radiant_dagster.adapters.http_client import (
    HttpClient,
    HttpFailure,
    HttpReply,
    never,
    process_client,
)
from radiant_dagster.adapters.llm import (
    Completion,
    CompletionRequest,
    Transport,
    key_unknown,
    mapping,
    raise_for_status,
    read_completion,
    request_body,
    request_headers,
)
from radiant_dagster.adapters.llm_stream import STREAMED, EventReader, StreamedReply
from radiant_dagster.domain.price_list import CHECKED_IN, PriceTable
from radiant_dagster.errors import ConfigurationError, LlmUnavailable

READINESS_SECONDS = 10.0


class HttpLlm:
    """The ``proxy`` and ``offline`` transports.

    Args:
        base_url: With or without ``/v1``.
        api_key: Sent as a bearer token.
        tenant_header: Header that carries the tenant.
        transport: ``offline`` marks every answer as the demo model's.
        client: Shared by all calls of the process.
        prices: This deployment's.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        tenant_header: str = "X-Tenant-ID",
        transport: Literal["proxy", "offline"] = "proxy",
        client: HttpClient | None = None,
        prices: PriceTable = CHECKED_IN,
    ) -> None:
        self.transport: Transport = transport
        self._base_url = base_url.rstrip("/").removesuffix("/v1") + "/v1"
        self._authorization = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._tenant_header = tenant_header
        self.prices = prices
        self._client = client or process_client()
        self._setting = "LITELLM_PROXY_URL" if transport == "proxy" else "RADIANT_OFFLINE_MODEL_URL"

    def complete(
        self,
        request: CompletionRequest,
        *,
        cancelled: Callable[[], bool] = never,
        on_text: Callable[[str], None] | None = None,
    ) -> Completion:
        """See `LlmClient.complete`."""
        self.prices.price_of(request.model)
        headers = {
            **self._authorization,
            **request_headers(request, self._tenant_header),
            "Content-Type": "application/json",
        }
        asked = request_body(request) | (STREAMED if on_text else {})
        body = json.dumps(asked, ensure_ascii=False).encode("utf-8", "replace")
        streamed = StreamedReply(on_text)
        started = time.perf_counter()
        try:
            reply = self._client.request(
                "POST",
                f"{self._base_url}/chat/completions",
                headers=headers,
                body=body,
                timeout_seconds=request.timeout_seconds,
                cancelled=cancelled,
                on_chunk=EventReader(streamed.add_data).feed if on_text else None,
                meanwhile=streamed.hand_over,
            )
        except HttpFailure as failure:
            raise self._unavailable(failure) from None
        latency_ms = round((time.perf_counter() - started) * 1000)
        if reply.status != 200:
            raise_for_status(reply.status, reply.headers, _hint(reply))
        in_pieces = on_text is not None and not reply.body
        return read_completion(
            streamed.finished() if in_pieces else _parsed(reply),
            request,
            {**reply.headers, **streamed.cost_header()},
            transport=self.transport,
            latency_ms=latency_ms,
            prices=self.prices,
        )

    def _unavailable(self, failure: HttpFailure) -> LlmUnavailable:
        unsent = failure.kind == "connect"
        start = "start the proxy" if self.transport == "proxy" else "run `radiant up`"
        fix = f"Check {self._setting}, or {start}." if unsent else ""
        return LlmUnavailable(failure.kind, billed=not unsent, fix=fix)

    def check(self) -> None:
        """See `LlmClient.check`."""
        reply = self._list_models()
        if reply.status == 200:
            return
        if reply.status in (401, 403):
            raise ConfigurationError(
                "LITELLM_API_KEY", "the server refuses this key", "Set the key it was started with."
            )
        if "No connected db" in _hint(reply):
            raise key_unknown()
        if reply.status in (408, 429) or reply.status >= 500:
            raise LlmUnavailable(
                f"http_{reply.status}", fix=f"See the log of the server at {self._setting}."
            )
        raise ConfigurationError(
            self._setting,
            f"answers {reply.status} to GET /v1/models, so it is no OpenAI-compatible server",
            "Give the base URL of a LiteLLM proxy, for instance http://127.0.0.1:4000.",
        )

    def models(self) -> frozenset[str] | None:
        """See `LlmClient.models`; a wildcard route means that names are not known."""
        reply = self._list_models()
        if reply.status != 200:
            return None
        try:
            listed = mapping(_parsed(reply)).get("data")
        except LlmUnavailable:
            return None
        entries = cast("list[object]", listed) if isinstance(listed, list) else []
        names = {name for entry in entries if isinstance(name := mapping(entry).get("id"), str)}
        return None if not names or any("*" in name for name in names) else frozenset(names)

    def _list_models(self) -> HttpReply:
        try:
            return self._client.request(
                "GET",
                f"{self._base_url}/models",
                headers=self._authorization,
                timeout_seconds=READINESS_SECONDS,
            )
        except HttpFailure as failure:
            raise self._unavailable(failure) from None


def _hint(reply: HttpReply) -> str:
    return reply.body[:10_000].decode("utf-8", "replace")


def _parsed(reply: HttpReply) -> Mapping[str, Any]:
    try:
        value = json.loads(reply.body)
    except ValueError:
        value = None
    if not isinstance(value, Mapping):
        raise LlmUnavailable("malformed", billed=True)
    return cast("Mapping[str, Any]", value)
