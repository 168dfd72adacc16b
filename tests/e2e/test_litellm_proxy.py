"""The shipped proxy configuration under a real LiteLLM proxy, in an environment of its own.

Opt-in, for the proxy takes 750 MB and a minute to start:
    python -m venv /tmp/proxy && /tmp/proxy/bin/pip install 'litellm[proxy]==1.106.2'
    RADIANT_TEST_LITELLM=/tmp/proxy/bin/litellm make test ARGS=tests/e2e/test_litellm_proxy.py
"""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from radiant_dagster.adapters.llm import CompletionRequest
from radiant_dagster.adapters.llm_http import HttpLlm
from radiant_dagster.errors import ConfigurationError
from tests.services.llm_server import LlmServer

LITELLM = os.environ.get("RADIANT_TEST_LITELLM", "")
CONFIG = Path(__file__).parents[2] / "deploy" / "litellm.yaml"
KEY = "sk-for-this-test"

pytestmark = [
    pytest.mark.skipif(not LITELLM, reason="RADIANT_TEST_LITELLM names no litellm program"),
    pytest.mark.timeout(240),
]


@pytest.fixture(scope="module")
def provider() -> Iterator[LlmServer]:
    with LlmServer() as server:
        yield server


@pytest.fixture(scope="module")
def proxy(provider: LlmServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = os.environ | {
        "OPENAI_API_KEY": "x",
        "OPENAI_API_BASE": f"{provider.url}/v1",
        "LITELLM_API_KEY": KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    process = subprocess.Popen(
        [LITELLM, "--config", str(CONFIG), "--host", "127.0.0.1", "--port", str(port)],
        env=env,
        cwd=tmp_path_factory.mktemp("proxy"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_alive(f"{url}/health/liveliness")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def wait_until_alive(url: str) -> None:
    end = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(url, timeout=2)
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < end, "the proxy did not start"
            time.sleep(0.5)
        else:
            return


def request() -> CompletionRequest:
    return CompletionRequest(
        model="gpt-4o-mini",
        messages=({"role": "user", "content": '{"question": "Why?", "role": "analyst"}'},),
        temperature=0.2,
        max_tokens=200,
        timeout_seconds=30,
        tenant_id=uuid.uuid4(),
        idempotency_key="one",
    )


def test_a_call_goes_through_and_is_priced(proxy: str, provider: LlmServer) -> None:
    llm = HttpLlm(proxy, api_key=KEY)
    llm.check()

    answer = llm.complete(request())

    assert answer.text
    assert answer.cost_micro_usd > 0
    assert answer.prompt_tokens > 0
    assert len(provider.paid) == 1
    assert provider.paid[0].body["max_tokens"] == 200


def test_the_proxy_tells_its_models(proxy: str) -> None:
    assert HttpLlm(proxy, api_key=KEY).models() == {
        "gpt-4o",
        "gpt-4o-mini",
        "text-embedding-3-small",
    }


def test_a_wrong_key_is_a_configuration_error(proxy: str) -> None:
    with pytest.raises(ConfigurationError, match="LITELLM_API_KEY"):
        HttpLlm(proxy, api_key="sk-wrong").check()
