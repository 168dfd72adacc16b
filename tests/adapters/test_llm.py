import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from radiant_dagster.adapters.http_client import HttpClient, process_client
from radiant_dagster.adapters.llm import (
    CompletionRequest,
    LlmClient,
    retry_after_seconds,
)
from radiant_dagster.adapters.llm_http import HttpLlm
from radiant_dagster.adapters.llm_transports import build_llm
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.governor import cost_micro_usd
from radiant_dagster.domain.swarm import SYNTHESIS_SCHEMA_NAME, parse_synthesis, synthesis_schema
from radiant_dagster.errors import (
    Cancelled,
    ConfigurationError,
    InvalidInput,
    LlmRejected,
    LlmUnavailable,
)
from tests.services import llm_server as fake
from tests.services.llm_server import LlmServer

TENANT = UUID("7f0e1a52-3a3c-4a44-9a59-0d1f5d7b0001")
REQUEST = CompletionRequest(
    model="gpt-4o",
    messages=(
        {"role": "system", "content": "Your role: analyst."},
        {"role": "user", "content": "SECRET-PROMPT: should the team migrate the database?"},
    ),
    temperature=0.2,
    max_tokens=500,
    timeout_seconds=10,
    tenant_id=TENANT,
    idempotency_key="session/agent/1",
    metadata={"session_id": "s-1", "agent_id": "analyst"},
)


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer() as running:
        yield running


@pytest.fixture
def client() -> Iterator[HttpClient]:
    made = HttpClient()
    yield made
    made.close()


@pytest.fixture
def llm(server: LlmServer, client: HttpClient) -> LlmClient:
    return HttpLlm(server.url, client=client)


def test_a_completion_carries_text_usage_cost_and_ids(llm: LlmClient, server: LlmServer) -> None:
    done = llm.complete(REQUEST)

    assert "database" in done.text
    assert (done.model_used, done.finish_reason, done.call_id) == ("gpt-4o", "stop", "call-1")
    assert done.cost_micro_usd == cost_micro_usd(
        "gpt-4o", done.prompt_tokens, done.completion_tokens
    )
    assert done.cost_micro_usd > 0
    assert not done.cost_is_estimated
    assert len(server.paid) == 1


def test_a_call_says_whose_it_is_and_always_bounds_the_answer(
    server: LlmServer, client: HttpClient
) -> None:
    llm = HttpLlm(f"{server.url}/v1/", api_key="k-1", tenant_header="X-Customer", client=client)

    llm.complete(REQUEST)

    call = server.calls[0]
    assert call.headers["Authorization"] == "Bearer k-1"
    assert call.headers["X-Customer"] == str(TENANT)
    assert call.headers["Idempotency-Key"] == "session/agent/1"
    assert call.headers["X-Radiant-Session"] == "s-1"
    assert call.headers["X-Radiant-Agent"] == "analyst"
    assert call.body["max_tokens"] == 500
    assert call.body["temperature"] == 0.2


def test_a_json_schema_is_sent_and_its_answer_fits(llm: LlmClient, server: LlmServer) -> None:
    answers = {"question": "Why?", "answers": [{"agent_id": "a", "role": "r", "answer": "So."}]}
    request = replace(
        REQUEST,
        messages=({"role": "user", "content": json.dumps(answers)},),
        json_schema_name=SYNTHESIS_SCHEMA_NAME,
        json_schema=synthesis_schema(),
    )

    done = llm.complete(request)

    assert parse_synthesis(done.text, frozenset({"a"})).agreement == "high"
    sent = server.calls[0].body["response_format"]["json_schema"]
    assert sent == {"name": "synthesis_v1", "strict": True, "schema": synthesis_schema()}


def test_the_cost_a_proxy_reports_overrules_the_table(llm: LlmClient, server: LlmServer) -> None:
    reported = {"x-litellm-response-cost": "0.0001234", "x-litellm-call-id": "proxy-7"}
    server.script(replace(fake.OK, headers=reported))

    done = llm.complete(REQUEST)

    assert done.cost_micro_usd == 124
    assert done.call_id == "proxy-7"


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0, "completion_tokens": 0}])
def test_a_reply_without_usage_is_charged_its_upper_bound(
    llm: LlmClient, server: LlmServer, usage: object
) -> None:
    known = llm.complete(REQUEST)
    server.script(replace(fake.OK, change={"usage": usage}))

    done = llm.complete(REQUEST)

    assert done.cost_is_estimated
    assert done.completion_tokens == 500
    assert done.prompt_tokens >= known.prompt_tokens
    assert done.cost_micro_usd > known.cost_micro_usd


def test_a_fallback_model_is_named(llm: LlmClient, server: LlmServer) -> None:
    server.script(replace(fake.OK, change={"model": "gpt-4o-mini"}))

    assert llm.complete(REQUEST).model_used == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("reply", "kind", "billed"),
    [
        (fake.error(408), "timeout", True),
        (fake.error(429), "rate_limited", False),
        (fake.error(500), "http_500", True),
        (fake.html(502), "http_502", True),
        (fake.error(503), "http_503", True),
        (fake.error(504), "http_504", True),
        (fake.error(529), "http_529", True),
        (fake.MALFORMED, "malformed", True),
        (replace(fake.OK, body=b"[]"), "malformed", True),
        (fake.DISCONNECT, "read", True),
    ],
)
def test_what_may_pass_is_transient(
    llm: LlmClient, server: LlmServer, reply: fake.Reply, kind: str, billed: bool
) -> None:
    server.script(reply)

    with pytest.raises(LlmUnavailable) as raised:
        llm.complete(REQUEST)

    assert (raised.value.code, raised.value.billed) == (kind, billed)
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (fake.error(400), "bad_request"),
        (fake.error(422), "bad_request"),
        (fake.error(400, "litellm.ContextWindowExceededError: SECRET-BODY"), "context_window"),
        (fake.error(400, "code: context_length_exceeded"), "context_window"),
        (fake.error(413), "context_window"),
        (fake.error(400, "ContentPolicyViolationError"), "content_policy"),
        (fake.error(400, "Invalid model name passed in model=x"), "unknown_model"),
        (fake.error(401), "authentication"),
        (fake.error(403), "authentication"),
        (fake.error(404), "unknown_model"),
        (fake.error(302, headers={"location": "http://127.0.0.1:1/"}), "bad_request"),
        (fake.EMPTY_CHOICES, "empty"),
        (fake.content(None), "empty"),
        (fake.content("  \n"), "empty"),
        (fake.content(None, "length"), "truncated"),
        (fake.content(None, "content_filter"), "content_policy"),
        (fake.content(None, refusal="SECRET-BODY"), "content_policy"),
    ],
)
def test_what_will_not_pass_is_rejected(
    llm: LlmClient, server: LlmServer, reply: fake.Reply, kind: str
) -> None:
    server.script(reply)

    with pytest.raises(LlmRejected) as raised:
        llm.complete(REQUEST)

    assert raised.value.code == kind
    assert raised.value.billed == (reply.status == 200)


@pytest.mark.parametrize(
    "reply",
    [fake.error(400), fake.error(500), fake.html(502), fake.MALFORMED, fake.DISCONNECT,
     fake.error(401), fake.EMPTY_CHOICES],
)  # fmt: skip
def test_no_error_repeats_the_prompt_or_the_reply(
    llm: LlmClient, server: LlmServer, reply: fake.Reply
) -> None:
    server.script(reply)

    with pytest.raises((LlmRejected, LlmUnavailable)) as raised:
        llm.complete(REQUEST)

    chain: BaseException | None = raised.value
    while chain is not None:
        if not chain.__suppress_context__ or chain is raised.value:
            assert "SECRET" not in f"{chain} {chain!r}"
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)


@pytest.mark.parametrize("header", ["retry-after", "llm_provider-retry-after"])
def test_the_providers_wait_is_passed_on(llm: LlmClient, server: LlmServer, header: str) -> None:
    server.script(fake.error(429, headers={header: "7"}))

    with pytest.raises(LlmUnavailable) as raised:
        llm.complete(REQUEST)

    assert raised.value.retry_after_seconds == 7


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "Wed, 01 Jul 2026 10:00:30 GMT"}, 30),
        ({"retry-after": "Wed, 01 Jul 2026 09:00:00 GMT"}, 0),
        ({"retry-after": "99999"}, 3600),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "0.5", "llm_provider-retry-after": "9"}, 0.5),
        ({"retry-after": "soon", "llm_provider-retry-after": "9"}, 9),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_both_forms(headers: dict[str, str], seconds: float | None) -> None:
    now = datetime(2026, 7, 1, 10, 0, 0, tzinfo=UTC)

    assert retry_after_seconds(headers, now) == seconds


def test_a_slow_answer_is_a_timeout_that_may_be_billed(llm: LlmClient, server: LlmServer) -> None:
    server.script(fake.slow(30))

    with pytest.raises(LlmUnavailable) as raised:
        llm.complete(replace(REQUEST, timeout_seconds=0.2))

    assert (raised.value.code, raised.value.billed) == ("timeout", True)


def test_a_server_that_is_away_is_surely_unbilled_and_the_setting_is_named(
    client: HttpClient,
) -> None:
    with LlmServer() as gone:
        url = gone.url

    with pytest.raises(LlmUnavailable, match="LITELLM_PROXY_URL") as raised:
        HttpLlm(url, client=client).complete(REQUEST)

    assert (raised.value.code, raised.value.billed) == ("connect", False)


def test_a_cancelled_call_is_dropped_on_the_wire(llm: LlmClient, server: LlmServer) -> None:
    server.script(fake.slow(60))

    with pytest.raises(Cancelled):
        llm.complete(REQUEST, cancelled=lambda: bool(server.calls))

    for _ in range(500):
        if server.calls[0].dropped:
            break
        threading.Event().wait(0.01)
    assert server.calls[0].dropped
    assert not server.paid


def test_a_call_that_is_cancelled_before_it_starts_is_never_sent(
    llm: LlmClient, server: LlmServer
) -> None:
    with pytest.raises(Cancelled):
        llm.complete(REQUEST, cancelled=lambda: True)

    assert server.calls == []


def test_a_model_without_a_price_is_refused_before_anything_is_sent(
    llm: LlmClient, server: LlmServer
) -> None:
    with pytest.raises(InvalidInput, match=r"^model: no price"):
        llm.complete(replace(REQUEST, model="gpt-imaginary"))

    assert server.calls == []


def test_content_cannot_travel_in_a_header(llm: LlmClient, server: LlmServer) -> None:
    smuggled = replace(REQUEST, metadata={"agent_id": "a\r\nX-Evil: 1"})

    with pytest.raises(InvalidInput, match="X-Radiant-Agent"):
        llm.complete(smuggled)

    assert server.calls == []


def test_thirty_two_threads_share_one_loop_and_run_at_once(
    llm: LlmClient, server: LlmServer
) -> None:
    wanted = {f"agent{n}" for n in range(32)}
    together = threading.Barrier(32)
    before = threading.active_count()
    got: dict[str, str] = {}
    for name in wanted:
        server.script(replace(fake.content(name), delay_seconds=0.3), agent=name)

    def ask(name: str) -> None:
        together.wait()
        got[name] = llm.complete(replace(REQUEST, metadata={"agent_id": name})).text

    threads = [threading.Thread(target=ask, args=(name,)) for name in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert got == {name: name for name in wanted}
    assert server.most_at_once == 32
    assert threading.active_count() == before + 1


def test_calls_one_after_another_reuse_a_connection(llm: LlmClient, server: LlmServer) -> None:
    for _ in range(5):
        llm.complete(REQUEST)

    assert len(server.peers) == 1


def test_a_forked_worker_makes_its_own_loop(server: LlmServer) -> None:
    # In a process of its own: forking this one, with its threads, is what pytest warns of.
    script = f"""
import os
from radiant_dagster.adapters.http_client import process_client
ask = lambda: process_client().request(
    "GET", "{server.url}/v1/models", headers={{}}, timeout_seconds=10).status
assert ask() == 200
child = os.fork()
if child == 0:
    os._exit(0 if ask() == 200 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert ask() == 200
"""

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr.decode()


def test_a_process_has_one_client() -> None:
    assert process_client() is process_client()


def test_a_working_server_passes_the_readiness_check_and_lists_models(
    server: LlmServer, client: HttpClient
) -> None:
    server.models = ["gpt-4o", "gpt-4o-mini"]
    llm = HttpLlm(server.url, client=client)

    llm.check()

    assert llm.models() == {"gpt-4o", "gpt-4o-mini"}


def test_names_behind_a_wildcard_route_are_not_known(server: LlmServer, llm: LlmClient) -> None:
    server.models = ["gpt-4o", "openai/*"]

    assert llm.models() is None


@pytest.mark.parametrize(
    ("reply", "setting"),
    [
        (fake.error(401), "LITELLM_API_KEY"),
        (fake.error(400, "No connected db."), "LITELLM_API_KEY"),
        (fake.error(404), "LITELLM_PROXY_URL"),
        (fake.html(301), "LITELLM_PROXY_URL"),
    ],
)
def test_a_readiness_check_names_the_setting_that_is_wrong(
    llm: LlmClient, server: LlmServer, reply: fake.Reply, setting: str
) -> None:
    server.models_reply = reply

    with pytest.raises(ConfigurationError) as raised:
        llm.check()

    assert raised.value.setting == setting


def test_a_proxy_without_a_database_makes_a_wrong_key_a_configuration_error(
    llm: LlmClient, server: LlmServer
) -> None:
    server.script(fake.error(400, "No connected db."))

    with pytest.raises(ConfigurationError, match="LITELLM_API_KEY"):
        llm.complete(REQUEST)


def test_a_server_that_is_down_fails_the_readiness_check_for_now(
    llm: LlmClient, server: LlmServer
) -> None:
    server.models_reply = fake.error(503)

    with pytest.raises(LlmUnavailable, match="LITELLM_PROXY_URL"):
        llm.check()


def test_the_settings_choose_the_transport(server: LlmServer) -> None:
    home = {"RADIANT_HOME": "/nonexistent"}
    offline = build_llm(Settings.load({**home, "RADIANT_OFFLINE_MODEL_URL": server.url}))
    proxy = build_llm(Settings.load({**home, "LITELLM_PROXY_URL": server.url}))
    sdk = build_llm(Settings.load({**home, "RADIANT_LLM_TRANSPORT": "sdk"}))

    assert [offline.transport, proxy.transport, sdk.transport] == ["offline", "proxy", "sdk"]
    assert offline.complete(REQUEST).model_used == "offline-demo/gpt-4o"
    assert proxy.complete(REQUEST).model_used == "gpt-4o"
    sdk.check()
    assert sdk.models() is None


@pytest.mark.parametrize(
    ("transport", "setting"),
    [("proxy", "LITELLM_PROXY_URL"), ("offline", "RADIANT_OFFLINE_MODEL_URL")],
)
def test_a_transport_without_its_url_is_a_configuration_error(transport: str, setting: str) -> None:
    settings = Settings.load({"RADIANT_HOME": "/nonexistent", "RADIANT_LLM_TRANSPORT": transport})

    with pytest.raises(ConfigurationError) as raised:
        build_llm(settings)

    assert raised.value.setting == setting


SDK_SCRIPT = """
import os, sys, threading
from dataclasses import replace
from radiant_dagster.adapters.llm_sdk import LiteLlmSdk
from radiant_dagster.errors import Cancelled, LlmRejected, LlmUnavailable
from tests.adapters.test_llm import REQUEST
from tests.services import llm_server as fake

def fails(reply):
    server.script(reply)
    try:
        llm.complete(request)
    except (LlmUnavailable, LlmRejected) as error:
        assert "SECRET" not in f"{error}", error
        assert error.__context__ is None or error.__suppress_context__
        return error
    raise AssertionError(reply)

with fake.LlmServer() as server:
    llm = LiteLlmSdk(api_base=server.url + "/v1", api_key="k")
    assert "litellm" not in sys.modules
    request = replace(REQUEST, model="openai/gpt-4o")
    done = llm.complete(request)
    assert done.model_used == "gpt-4o" and done.cost_micro_usd > 0, done
    headers = {k.lower(): v for k, v in server.calls[0].headers.items()}
    assert headers["idempotency-key"] == "session/agent/1", headers
    assert headers["x-tenant-id"] == str(REQUEST.tenant_id)
    assert server.calls[0].body["max_tokens"] == 500

    limited = fails(fake.error(429, headers={"retry-after": "7"}))
    assert (limited.code, limited.retry_after_seconds) == ("rate_limited", 7), limited
    assert fails(fake.error(500)).code == "http_500"
    assert fails(fake.error(503)).code == "http_503"
    assert fails(fake.error(401)).code == "authentication"
    assert fails(fake.error(404)).code == "unknown_model"
    assert fails(fake.error(400, "maximum context length is 8192 tokens")).code == "context_window"
    assert fails(fake.content(None)).code == "empty"
    assert fails(fake.EMPTY_CHOICES).code == "empty"
    assert len(server.calls) == 9, len(server.calls)

    sent = len(server.calls)
    server.script(fake.slow(60))
    try:
        llm.complete(request, cancelled=lambda: len(server.calls) > sent)
    except Cancelled:
        pass
    for _ in range(500):
        if server.calls[-1].dropped:
            break
        threading.Event().wait(0.01)
    assert server.calls[-1].dropped

    from radiant_dagster.adapters.embeddings import LiteLlmEmbeddings
    from radiant_dagster.errors import ConfigurationError, EmbeddingUnavailable
    os.environ |= {"OPENAI_BASE_URL": server.url + "/v1", "OPENAI_API_KEY": "k"}
    model = LiteLlmEmbeddings("text-embedding-3-small")
    first, second = model.embed(["aa", "a" * 9])
    assert round(second[0] / second[1]) == 9
    sent = len(server.calls)
    for status, wanted in ((503, EmbeddingUnavailable), (401, ConfigurationError)):
        server.script(fake.error(status))
        try:
            model.embed_one("text")
        except wanted as error:
            assert "SECRET" not in f"{error}"
    assert len(server.calls) == sent + 2, len(server.calls) - sent
print("fine")
"""


def test_the_sdk_transport_keeps_the_same_contract() -> None:
    # Its own process: LiteLLM's import warns, and no other test should pay for it.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SDK_SCRIPT],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=110,
        check=False,
    )

    assert done.stdout.decode().strip().endswith("fine"), done.stderr.decode()[-3000:]
    assert "SECRET" not in done.stderr.decode()


SDK_LOGGING_SCRIPT = """
import logging, os, sys
from dataclasses import replace
logging.basicConfig(level=logging.DEBUG)  # as chatty as a process can be
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else its import asks the internet for prices
import litellm
from litellm.integrations.custom_logger import CustomLogger

heard = []
class Spy(CustomLogger):
    def log_pre_api_call(self, *details): heard.append(details)
    def log_success_event(self, *details): heard.append(details)
    async def async_log_success_event(self, *details): heard.append(details)
    async def async_log_failure_event(self, *details): heard.append(details)
for name in ("callbacks", "success_callback", "failure_callback", "input_callback"):
    getattr(litellm, name).append(Spy())

from radiant_dagster.adapters.llm_sdk import LiteLlmSdk
from radiant_dagster.errors import LlmRejected, LlmUnavailable
from tests.adapters.test_llm import REQUEST
from tests.services import llm_server as fake

with fake.LlmServer() as server:
    llm = LiteLlmSdk(api_base=server.url + "/v1", api_key="SECRET-KEY")
    request = replace(REQUEST, model="openai/gpt-4o")
    server.script(fake.content("SECRET-ANSWER"))
    assert llm.complete(request).text == "SECRET-ANSWER"
    for reply in (fake.error(400, "SECRET-BODY"), fake.error(503, "SECRET-BODY"), fake.MALFORMED):
        server.script(reply)
        try:
            llm.complete(request)
        except (LlmRejected, LlmUnavailable):
            pass
    assert len(server.calls) >= 4 and "SECRET-PROMPT" in str(server.calls[0].body)
print("heard", len(heard))
"""


def test_the_sdk_hands_no_text_to_a_log_or_to_callbacks_of_others() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SDK_LOGGING_SCRIPT],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=110,
        check=False,
    )

    said = done.stdout.decode() + done.stderr.decode()
    assert done.stdout.decode().strip().endswith("heard 0"), said[-3000:]
    assert [line for line in said.splitlines() if "SECRET" in line] == []


def test_building_a_gateway_does_not_import_litellm() -> None:
    script = (
        "import sys; import radiant_dagster.adapters.llm, radiant_dagster.adapters.llm_http, "
        "radiant_dagster.adapters.llm_sdk, radiant_dagster.adapters.embeddings; "
        "print({'litellm', 'dagster', 'onnxruntime'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    assert done.stdout.decode().strip() == "set()"
