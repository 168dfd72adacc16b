"""One repair and no more, through both transports."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from radiant_dagster.adapters.http_client import HttpClient
from radiant_dagster.adapters.llm import Completion, CompletionRequest, LlmClient
from radiant_dagster.adapters.llm_http import HttpLlm
from radiant_dagster.adapters.structured import ask_for_json
from radiant_dagster.errors import LlmRejected, LlmUnavailable
from tests.adapters.test_llm import REQUEST
from tests.services.llm_server import LlmServer, Reply, content, error

SCHEMA = {
    "type": "object",
    "properties": {"verdict": {"type": "string"}},
    "required": ["verdict"],
}
FITS, BROKEN = content('{ "verdict": "yes" }'), content("Yes.")


def ask(llm: LlmClient, request: CompletionRequest = REQUEST) -> tuple[Completion, bool]:
    return ask_for_json(llm.complete, request, SCHEMA)


def check_contract(llm: LlmClient, server: LlmServer, request: CompletionRequest) -> None:
    """Go through every end that a structured call has."""
    server.script(FITS)
    once, fits = ask(llm, request)
    assert (once.text, fits, len(server.paid)) == ('{"verdict":"yes"}', True, 1)
    sent = server.calls[0].body["response_format"]["json_schema"]
    assert (sent["name"], sent["schema"]) == ("agent_answer", SCHEMA)

    server.script(BROKEN, FITS)
    twice, fits = ask(llm, request)
    assert (twice.text, fits, len(server.paid)) == ('{"verdict":"yes"}', True, 3)
    roles = [message["role"] for message in server.calls[-1].body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]

    server.script(BROKEN, BROKEN)
    _, fits = ask(llm, request)
    assert (fits, len(server.paid)) == (False, 5)

    server.script(error(429))
    with pytest.raises(LlmUnavailable):
        ask(llm, request)
    server.script(error(401))
    with pytest.raises(LlmRejected):
        ask(llm, request)


def test_a_structured_call_is_repaired_once() -> None:
    client = HttpClient()
    with LlmServer() as server:
        check_contract(HttpLlm(server.url, client=client), server, REQUEST)
    client.close()


@pytest.mark.parametrize("repair", [error(429), error(401), error(500), content(None)])
def test_a_repair_that_fails_leaves_the_first_answer(repair: Reply) -> None:
    client = HttpClient()
    with LlmServer() as server:
        server.script(BROKEN, repair)

        answer, fits = ask(HttpLlm(server.url, client=client))

    assert not fits
    assert answer.text == "Yes."
    client.close()


def test_there_is_no_repair_after_the_swarms_deadline() -> None:
    client = HttpClient()
    with LlmServer() as server:
        server.script(replace(BROKEN, delay_seconds=0.2))
        llm = HttpLlm(server.url, client=client)

        def late(request: CompletionRequest) -> Completion:
            return llm.complete(replace(request, timeout_seconds=60))

        _, fits = ask_for_json(late, replace(REQUEST, timeout_seconds=0.1), SCHEMA)

        assert not fits
        assert len(server.calls) == 1
    client.close()


SDK_SCRIPT = """
from dataclasses import replace
from radiant_dagster.adapters.llm_sdk import LiteLlmSdk
from tests.adapters.test_structured import REQUEST, check_contract
from tests.services.llm_server import LlmServer

with LlmServer() as server:
    llm = LiteLlmSdk(api_base=server.url + "/v1", api_key="k")
    check_contract(llm, server, replace(REQUEST, model="openai/gpt-4o"))
print("fine")
"""


def test_the_sdk_keeps_the_same_contract_for_structured_calls() -> None:
    # Its own process: LiteLLM's import warns, and no other test should pay for it.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SDK_SCRIPT],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=110,
        check=False,
    )

    assert done.stdout.decode().strip().endswith("fine"), done.stderr.decode()[-3000:]
