"""Chooses how models are called: through a proxy, the LiteLLM library, or the demo model."""

from radiant_dagster.adapters.llm import LlmClient
from radiant_dagster.adapters.llm_http import HttpLlm
from radiant_dagster.adapters.llm_sdk import LiteLlmSdk
from radiant_dagster.adapters.price_settings import prices_from
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.errors import ConfigurationError


def build_llm(settings: Settings) -> LlmClient:
    """Build the gateway the settings ask for; nothing is contacted.

    Raises:
        ConfigurationError: The transport's URL is not set, or a setting about prices is wrong.
    """
    prices = prices_from(settings)
    transport = settings.resolved_llm_transport
    if transport == "sdk":
        return LiteLlmSdk(tenant_header=settings.tenant_header, prices=prices)
    if transport == "proxy":
        if settings.litellm_proxy_url is None:
            raise ConfigurationError(
                "LITELLM_PROXY_URL",
                "is not set, but RADIANT_LLM_TRANSPORT is proxy",
                "Set it to the proxy's base URL, for instance http://127.0.0.1:4000.",
            )
        key = settings.litellm_api_key
        return HttpLlm(
            settings.litellm_proxy_url,
            api_key=key.get_secret_value() if key else None,
            tenant_header=settings.tenant_header,
            prices=prices,
        )
    if settings.offline_model_url is None:
        raise ConfigurationError(
            "RADIANT_OFFLINE_MODEL_URL",
            "is not set and no other model is configured",
            "Run `radiant up`, which starts the demo model, or set LITELLM_PROXY_URL.",
        )
    return HttpLlm(
        settings.offline_model_url,
        tenant_header=settings.tenant_header,
        transport="offline",
        prices=prices,
    )
