"""The ``sdk`` transport: LiteLLM in this process, imported at the first call.

The import costs about five CPU-seconds and 160 MB, so this is for one process without a proxy.
Provider keys come from the environment, where LiteLLM looks for them (OPENAI_API_KEY and so on).
Calls run on the shared event loop: cancelling one drops its connection.
"""

import asyncio
import importlib
import importlib.util
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast

from radiant_dagster.adapters.http_client import HttpClient, never, nothing, process_client
from radiant_dagster.adapters.llm import (
    Completion,
    CompletionRequest,
    Transport,
    raise_for_status,
    read_completion,
    rejected,
    request_body,
    request_headers,
)
from radiant_dagster.adapters.llm_stream import STREAMED, StreamedReply
from radiant_dagster.domain.price_list import CHECKED_IN, PriceTable
from radiant_dagster.errors import ConfigurationError, LlmRejected, LlmUnavailable, RadiantError

_IMPORT_LOCK = threading.Lock()


def load_litellm() -> Any:
    """Import LiteLLM once, quiet: no callbacks, no content in logs, no download of prices."""
    with _IMPORT_LOCK:
        # Read by LiteLLM while it is imported; without it, it asks the internet for prices.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        litellm: Any = importlib.import_module("litellm")
        litellm.turn_off_message_logging = True
        litellm.suppress_debug_info = True
        litellm.telemetry = False
        litellm.drop_params = True
        # LiteLLM 1.106 reads `max_retries=0` of an embedding call as "the default", which is 2.
        litellm.DEFAULT_MAX_RETRIES = 0
        for callbacks in ("callbacks", "success_callback", "failure_callback", "input_callback"):
            setattr(litellm, callbacks, [])
        # Its error log quotes provider messages, which quote prompts.
        logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
        # OpenAI's client, which it uses, writes whole requests at DEBUG.
        logging.getLogger("openai").setLevel(logging.WARNING)
        return litellm


def raise_for_exception(error: BaseException) -> None:
    """Raise ours for LiteLLM's: by status first, by class only within a status."""
    name = type(error).__name__
    if name == "MidStreamFallbackError":  # LiteLLM's wrapper around whatever broke a stream
        _raise_for_broken_stream(getattr(error, "original_exception", None))
    if name in ("Timeout", "APITimeoutError"):
        raise LlmUnavailable("timeout", billed=True)
    if name == "APIConnectionError":
        # One class for refused connections, broken replies and LiteLLM's own faults.
        raise LlmUnavailable("connect", billed=True, fix="Check the network and the provider.")
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        raise rejected("bad_request")
    raw = getattr(error, "litellm_response_headers", None)
    headers: dict[str, str] = {}
    if raw is not None:
        pairs = cast("Mapping[str, str]", raw).items()
        headers = {str(key).lower(): str(value) for key, value in pairs}
    # The class says what only the text of a 400 says elsewhere.
    raise_for_status(status, headers, f"{name} {getattr(error, 'message', '')}")


def _raise_for_broken_stream(original: BaseException | None) -> NoReturn:
    if original is None or type(original).__name__ == "APIConnectionError":
        raise LlmUnavailable("read", billed=True)
    try:
        raise_for_exception(original)
    except (LlmUnavailable, LlmRejected) as failure:
        failure.billed = True
        raise
    raise AssertionError("unreachable")


async def _read(stream: Any, streamed: StreamedReply) -> None:
    """Read LiteLLM's stream to its end.

    LiteLLM smooths two things over that count here: where the provider's stream just ends, it makes
    up ``stop``, and where it tells no usage, LiteLLM counts the tokens itself. What the provider
    really said is kept in attributes of the stream.
    """
    async for chunk in stream:
        streamed.add(chunk.model_dump())
    if not (stream.received_finish_reason or stream.intermittent_finish_reason):
        raise LlmUnavailable("read", billed=True)
    if not any(getattr(chunk, "usage", None) for chunk in stream.chunks):
        streamed.usage = {}


class LiteLlmSdk:
    """The gateway on LiteLLM's SDK.

    Args:
        tenant_header: Header that carries the tenant.
        api_base: Another OpenAI-compatible server; None for each provider's own.
        api_key: For `api_base`.
        client: Whose loop runs the calls.
        prices: This deployment's.
    """

    def __init__(
        self,
        *,
        tenant_header: str = "X-Tenant-ID",
        api_base: str | None = None,
        api_key: str | None = None,
        client: HttpClient | None = None,
        prices: PriceTable = CHECKED_IN,
    ) -> None:
        self.transport: Transport = "sdk"
        self._tenant_header = tenant_header
        self.prices = prices
        self._extra = {
            key: value for key, value in (("api_base", api_base), ("api_key", api_key)) if value
        }
        self._client = client or process_client()

    def complete(
        self,
        request: CompletionRequest,
        *,
        cancelled: Callable[[], bool] = never,
        on_text: Callable[[str], None] | None = None,
    ) -> Completion:
        """See `LlmClient.complete`."""
        self.prices.price_of(request.model)
        litellm = load_litellm()
        headers = request_headers(request, self._tenant_header)
        started = time.perf_counter()
        streamed = StreamedReply(on_text) if on_text else None
        body = self._client.run(
            self._call(litellm, request, headers, streamed),
            cancelled=cancelled,
            meanwhile=streamed.hand_over if streamed else nothing,
        )
        return read_completion(
            streamed.finished() if streamed else body,
            request,
            {},
            transport=self.transport,
            latency_ms=round((time.perf_counter() - started) * 1000),
            prices=self.prices,
        )

    async def _call(
        self,
        litellm: Any,
        request: CompletionRequest,
        headers: dict[str, str],
        streamed: StreamedReply | None,
    ) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(request.timeout_seconds):
                reply = await litellm.acompletion(
                    **request_body(request),
                    **(STREAMED if streamed else {}),
                    **self._extra,
                    extra_headers=headers,
                    timeout=request.timeout_seconds,
                    num_retries=0,
                )
                if streamed is None:
                    return reply.model_dump()
                await _read(reply, streamed)
                return {}
        except RadiantError:  # ours already, out of the stream
            raise
        except TimeoutError:
            raise LlmUnavailable("timeout", billed=True) from None
        except Exception as error:  # noqa: BLE001 - LiteLLM raises classes of ten libraries
            failure = error
        # Outside the handler, so that the original, which quotes the prompt, is not chained.
        raise_for_exception(failure)
        raise AssertionError("unreachable")

    def check(self) -> None:
        """See `LlmClient.check`; keys are checked by the provider at the first call."""
        if importlib.util.find_spec("litellm") is None:
            raise ConfigurationError(
                "RADIANT_LLM_TRANSPORT", "is sdk, but LiteLLM is not installed", "Run make install."
            )

    def models(self) -> frozenset[str] | None:
        """Return None: the SDK takes whatever the providers serve."""
        return None
