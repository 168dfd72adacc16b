"""Every fault of a gateway through both transports: code, transient or not, billed or not."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from radiant_dagster.adapters.http_client import HttpClient
from radiant_dagster.adapters.llm import LlmClient
from radiant_dagster.adapters.llm_http import HttpLlm
from radiant_dagster.errors import RadiantError
from tests.adapters.test_llm import REQUEST
from tests.services import llm_faults as fault
from tests.services.llm_faults import Reply, content, error, html, retry_date, slow
from tests.services.llm_server import LlmServer

TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class Row:
    """One fault and what a caller must learn from it.

    Args:
        lasting: `LlmRejected` or a setting to mend, where True; worth another try, where False.
        billed: The provider may have charged.
        waits: Retry-After as the caller sees it, at least and at most.
        sdk_code: What LiteLLM's SDK leaves of it, where that is less.
    """

    reply: Reply
    code: str
    lasting: bool = False
    billed: bool = False
    waits: tuple[float, float] | None = None
    sdk_code: str | None = None


TABLE: dict[str, Row] = {
    "429": Row(error(429), "rate_limited"),
    "429 in seconds": Row(error(429, headers={"retry-after": "7"}), "rate_limited", waits=(7, 7)),
    "429 by date": Row(
        error(429, headers={"retry-after": retry_date(1800)}), "rate_limited", waits=(1, 1800)
    ),
    "429 for days": Row(
        error(429, headers={"retry-after": "999999"}), "rate_limited", waits=(3600, 3600)
    ),
    "429 through the proxy": Row(
        error(429, headers={"llm_provider-retry-after": "7"}), "rate_limited", waits=(7, 7)
    ),
    "408": Row(error(408), "timeout", billed=True),
    "500": Row(error(500), "http_500", billed=True),
    "502 HTML": Row(html(502), "http_502", billed=True),
    "503": Row(error(503, headers={"retry-after": "5"}), "http_503", billed=True, waits=(5, 5)),
    "504": Row(error(504), "http_504", billed=True, sdk_code="timeout"),
    "529": Row(error(529), "http_529", billed=True),
    "slow": Row(slow(60), "timeout", billed=True),
    "a trickle": Row(fault.trickle(60), "timeout", billed=True),
    "malformed": Row(fault.MALFORMED, "malformed", billed=True, sdk_code="http_500"),
    "disconnected before headers": Row(fault.DISCONNECT, "read", billed=True, sdk_code="http_500"),
    "disconnected after headers": Row(
        fault.CUT_AFTER_HEADERS, "read", billed=True, sdk_code="http_500"
    ),
    "disconnected in the body": Row(fault.CUT_IN_BODY, "read", billed=True, sdk_code="http_500"),
    "400": Row(error(400), "bad_request", lasting=True),
    "context window": Row(fault.CONTEXT_WINDOW, "context_window", lasting=True),
    "content policy": Row(fault.CONTENT_POLICY, "content_policy", lasting=True),
    "unknown model": Row(fault.UNKNOWN_MODEL, "unknown_model", lasting=True),
    "no database": Row(fault.NO_DATABASE, "configuration", lasting=True),
    "401": Row(error(401), "authentication", lasting=True),
    "403": Row(error(403), "authentication", lasting=True),
    "404": Row(error(404), "unknown_model", lasting=True),
    "no choices": Row(fault.EMPTY_CHOICES, "empty", lasting=True, billed=True),
    "no content": Row(content(None), "empty", lasting=True, billed=True),
    "cut off": Row(fault.NULL_CONTENT, "truncated", lasting=True, billed=True),
    "filtered": Row(content(None, "content_filter"), "content_policy", lasting=True, billed=True),
}
Outcome = dict[str, Any]


def outcome(llm: LlmClient, server: LlmServer, reply: Reply, model: str) -> Outcome:
    """Make one call that meets a fault and write down what the caller learns."""
    server.script(reply)
    before = len(server.calls)
    try:
        llm.complete(replace(REQUEST, model=model, timeout_seconds=TIMEOUT_SECONDS))
    except RadiantError as raised:
        kinds = [kind.__name__ for kind in type(raised).__mro__]
        return {
            "code": raised.code,
            "lasting": "PermanentError" in kinds,
            "billed": getattr(raised, "billed", False),
            "waits": getattr(raised, "retry_after_seconds", None),
            "calls": len(server.calls) - before,
            "told": "SECRET" in f"{raised} {raised!r}",
        }
    return {"code": "success"}


def through_the_sdk() -> None:
    """Print the outcome of every row; run in a process of its own."""
    from radiant_dagster.adapters.llm_sdk import LiteLlmSdk

    with LlmServer() as server:
        llm = LiteLlmSdk(api_base=f"{server.url}/v1", api_key="k")
        # LiteLLM imports half of itself at its first call, within that call's time.
        llm.complete(replace(REQUEST, model="openai/gpt-4o", timeout_seconds=60))
        found = {
            name: outcome(llm, server, row.reply, "openai/gpt-4o") for name, row in TABLE.items()
        }
    print(json.dumps(found))


@pytest.fixture(scope="module")
def proxy() -> Iterator[dict[str, Outcome]]:
    client = HttpClient()
    with LlmServer() as server:
        llm = HttpLlm(server.url, client=client)
        yield {name: outcome(llm, server, row.reply, "gpt-4o") for name, row in TABLE.items()}
    client.close()


@pytest.fixture(scope="module")
def sdk() -> dict[str, Outcome]:
    # Its own process: LiteLLM's import warns, and no other test should pay for it.
    script = "from tests.adapters.test_llm_faults import through_the_sdk; through_the_sdk()"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return json.loads(done.stdout.decode().splitlines()[-1])


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("transport", ["proxy", "sdk"])
def test_a_fault_is_told_apart_by_both_transports(
    request: pytest.FixtureRequest, transport: Literal["proxy", "sdk"], name: str
) -> None:
    row = TABLE[name]

    found = request.getfixturevalue(transport)[name]

    code = row.sdk_code if transport == "sdk" and row.sdk_code else row.code
    assert (found["code"], found["lasting"], found["billed"]) == (code, row.lasting, row.billed)
    assert found["calls"] == 1
    assert not found["told"]
    if row.waits is None:
        assert found["waits"] is None
    else:
        assert row.waits[0] <= found["waits"] <= row.waits[1]
