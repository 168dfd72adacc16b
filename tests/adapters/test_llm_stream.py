"""Streamed answers: the text while it arrives, and the same judgement at the end."""

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiant_dagster.adapters.http_client import HttpClient
from radiant_dagster.adapters.llm import LlmClient
from radiant_dagster.adapters.llm_http import HttpLlm
from radiant_dagster.adapters.llm_stream import EventReader
from radiant_dagster.domain.governor import cost_micro_usd
from radiant_dagster.errors import Cancelled, LlmRejected, LlmUnavailable
from tests.adapters.test_llm import REQUEST
from tests.services import llm_server as fake
from tests.services import llm_streams as steps
from tests.services.llm_server import LlmServer, Reply


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer() as running:
        yield running


@pytest.fixture
def llm(server: LlmServer) -> Iterator[LlmClient]:
    client = HttpClient()
    yield HttpLlm(server.url, client=client)
    client.close()


def test_text_is_handed_over_before_the_answer_is_complete(
    llm: LlmClient, server: LlmServer
) -> None:
    server.script(Reply(stream=("Hello ", steps.PAUSE, "world", steps.STOP, steps.DONE)))
    seen: list[tuple[str, int, bool]] = []

    def take(text: str) -> None:
        seen.append((text, threading.get_ident(), server.go_on.is_set()))
        server.go_on.set()  # the server waits for this before it sends the rest

    done = llm.complete(REQUEST, on_text=take)

    here = threading.get_ident()
    assert seen == [("Hello ", here, False), ("world", here, True)]
    assert done.text == "Hello world"
    assert done.finish_reason == "stop"


def test_a_streamed_answer_equals_the_whole_one(llm: LlmClient, server: LlmServer) -> None:
    whole = llm.complete(REQUEST)
    pieces: list[str] = []

    done = llm.complete(REQUEST, on_text=pieces.append)

    same = {"call_id": "", "latency_ms": 0}
    assert replace(done, **same) == replace(whole, **same)
    assert "".join(pieces) == done.text
    plain, streamed = (call.body for call in server.calls)
    assert "stream" not in plain
    assert streamed == {**plain, "stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize("where", ["usage", "event"])
def test_the_cost_in_the_last_chunk_overrules_the_table(
    llm: LlmClient, server: LlmServer, where: str
) -> None:
    last = steps.usage(11, 7)
    if where == "usage":
        last = steps.usage(11, 7, cost=0.0001234)
    else:
        assert isinstance(last, dict)
        last = {**last, "cost": 0.0001234}
    server.script(Reply(stream=("Hello", steps.STOP, last, steps.DONE)))

    done = llm.complete(REQUEST, on_text=lambda _text: None)

    assert (done.prompt_tokens, done.completion_tokens) == (11, 7)
    assert (done.cost_micro_usd, done.cost_is_estimated) == (124, False)


def test_a_stream_without_usage_is_charged_its_upper_bound(
    llm: LlmClient, server: LlmServer
) -> None:
    server.script(Reply(stream=("Hello", steps.STOP, steps.DONE)))

    done = llm.complete(REQUEST, on_text=lambda _text: None)

    assert done.cost_is_estimated
    assert done.completion_tokens == 500
    assert done.cost_micro_usd == cost_micro_usd("gpt-4o", done.prompt_tokens, 500)


def test_a_server_that_does_not_stream_is_fine(llm: LlmClient, server: LlmServer) -> None:
    choice = {"message": {"content": "Whole."}, "finish_reason": "stop"}
    server.script(Reply(body=json.dumps({"choices": [choice]}).encode()))
    pieces: list[str] = []

    assert llm.complete(REQUEST, on_text=pieces.append).text == "Whole."
    assert pieces == []


TRANSIENT = {
    "cut": (("Hello", steps.CUT), "read", True),
    "ends without an end": (("Hello",), "read", True),
    "nothing at all": ((), "read", True),
    "malformed chunk": (("Hello", steps.MALFORMED_CHUNK, steps.DONE), "malformed", True),
    "no object": ((b"data: []\n\n",), "malformed", True),
    "503 in the middle": (("Hello", steps.error_event("503"), steps.DONE), "http_503", True),
    "429 after text": (("Hello", steps.error_event(429)), "rate_limited", True),
    "429 before any text": ((steps.error_event("rate_limit_exceeded"),), "rate_limited", False),
    "error without a code": (("Hello", steps.error_event(None)), "http_500", True),
}


@pytest.mark.parametrize("case", TRANSIENT)
def test_a_broken_stream_is_transient_like_a_broken_reply(
    llm: LlmClient, server: LlmServer, case: str
) -> None:
    stream, code, billed = TRANSIENT[case]
    server.script(Reply(stream=stream))

    with pytest.raises(LlmUnavailable) as raised:
        llm.complete(REQUEST, on_text=lambda _text: None)

    assert (raised.value.code, raised.value.billed) == (code, billed)
    assert "SECRET" not in f"{raised.value} {raised.value!r}"
    assert raised.value.__cause__ is None
    assert len(server.calls) == 1


REJECTED = {
    "content filter": (("Hel", steps.error_event(None, "content_policy_violation")),
                       "content_policy", True),
    "wrong key": ((steps.error_event("401"),), "authentication", False),
    "no text": ((steps.STOP, steps.DONE), "empty", True),
    "no text at all": ((steps.DONE,), "empty", True),
}  # fmt: skip


@pytest.mark.parametrize("case", REJECTED)
def test_what_will_not_pass_in_a_stream_is_rejected(
    llm: LlmClient, server: LlmServer, case: str
) -> None:
    stream, code, billed = REJECTED[case]
    server.script(Reply(stream=stream))

    with pytest.raises(LlmRejected) as raised:
        llm.complete(REQUEST, on_text=lambda _text: None)

    assert (raised.value.code, raised.value.billed) == (code, billed)
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (fake.content(None, "length"), "truncated"),
        (fake.content(None, "content_filter"), "content_policy"),
        (fake.content(None, refusal="SECRET-BODY"), "content_policy"),
        (fake.EMPTY_CHOICES, "empty"),
        (fake.error(401), "authentication"),
        (fake.error(400, "code: context_length_exceeded"), "context_window"),
    ],
)
def test_empty_and_refused_answers_are_judged_as_without_streaming(
    llm: LlmClient, server: LlmServer, reply: Reply, code: str
) -> None:
    server.script(reply, reply)

    for on_text in (None, lambda _text: None):
        with pytest.raises(LlmRejected) as raised:
            llm.complete(REQUEST, on_text=on_text)
        assert raised.value.code == code


def test_a_stream_that_stalls_is_a_timeout_that_may_be_billed(
    llm: LlmClient, server: LlmServer
) -> None:
    server.script(Reply(stream=("Hello", steps.STALL)))
    pieces: list[str] = []

    with pytest.raises(LlmUnavailable) as raised:
        llm.complete(replace(REQUEST, timeout_seconds=0.5), on_text=pieces.append)

    assert (raised.value.code, raised.value.billed) == ("timeout", True)
    assert pieces == ["Hello"]


def test_a_cancelled_stream_is_dropped_on_the_wire(llm: LlmClient, server: LlmServer) -> None:
    server.script(Reply(stream=("Hello", steps.STALL)))
    pieces: list[str] = []

    with pytest.raises(Cancelled):
        llm.complete(REQUEST, cancelled=lambda: bool(pieces), on_text=pieces.append)

    for _ in range(500):
        if server.calls[0].dropped:
            break
        threading.Event().wait(0.01)
    assert server.calls[0].dropped


def test_a_watcher_that_fails_ends_the_call(llm: LlmClient, server: LlmServer) -> None:
    server.script(Reply(stream=("Hello", steps.STALL)))

    with pytest.raises(ZeroDivisionError):
        llm.complete(REQUEST, on_text=lambda _text: print(1 / 0))


@given(st.lists(st.integers(0, 60), max_size=8), st.sampled_from([b"\n", b"\r\n"]))
def test_events_are_read_wherever_the_pieces_break(cuts: list[int], newline: bytes) -> None:
    lines = [": ping", "data: größer", "", "event: x", "data:{", "data: }", "", ""]
    body = newline.join(line.encode() for line in lines)
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    got: list[bytes] = []
    reader = EventReader(got.append)

    for start, end in itertools.pairwise(edges):
        reader.feed(body[start:end])

    assert got == ["größer".encode(), b"{\n}"]


SDK_SCRIPT = """
from dataclasses import replace
from radiant_dagster.adapters.llm_sdk import LiteLlmSdk
from radiant_dagster.errors import Cancelled, LlmRejected, LlmUnavailable
from tests.adapters.test_llm import REQUEST
from tests.adapters.test_llm_stream import TRANSIENT
from tests.services import llm_server as fake
from tests.services import llm_streams as steps
from tests.services.llm_server import Reply

with fake.LlmServer() as server:
    llm = LiteLlmSdk(api_base=server.url + "/v1", api_key="k")
    request = replace(REQUEST, model="openai/gpt-4o")

    def fails(reply, request=request):
        server.script(reply)
        try:
            llm.complete(request, on_text=lambda text: None)
        except (LlmUnavailable, LlmRejected) as error:
            assert "SECRET" not in f"{error}", error
            assert error.__context__ is None or error.__suppress_context__
            return error
        raise AssertionError(reply)

    seen = []
    def take(text):
        seen.append(text)
        server.go_on.set()
    server.script(Reply(stream=("Hello ", steps.PAUSE, "world", steps.STOP, steps.usage(11, 7),
                                steps.DONE)))
    done = llm.complete(request, on_text=take)
    assert seen == ["Hello ", "world"], seen
    assert (done.text, done.prompt_tokens, done.completion_tokens) == ("Hello world", 11, 7), done
    assert not done.cost_is_estimated and done.finish_reason == "stop", done

    server.script(Reply(stream=("Hello", steps.STOP, steps.DONE)))
    done = llm.complete(request, on_text=take)
    assert done.cost_is_estimated and done.completion_tokens == 500, done

    for case, (stream, _, _) in TRANSIENT.items():
        error = fails(Reply(stream=stream))
        assert isinstance(error, LlmUnavailable), (case, error)
        assert error.billed or "before" in case or "nothing" in case, (case, error)
    assert fails(Reply(stream=("Hello", steps.CUT))).code == "read"
    assert fails(Reply(stream=("Hello",))).code == "read"
    assert fails(fake.content(None, "length")).code == "truncated"
    assert fails(fake.content(None)).code == "empty"
    assert fails(fake.error(401)).code == "authentication"
    assert fails(fake.error(429)).code == "rate_limited"
    stalled = fails(Reply(stream=("Hello", steps.STALL)), replace(request, timeout_seconds=0.5))
    assert (stalled.code, stalled.billed) == ("timeout", True), stalled

    server.script(Reply(stream=("Hello", steps.STALL)))
    seen.clear()
    try:
        llm.complete(request, cancelled=lambda: bool(seen), on_text=seen.append)
    except Cancelled:
        print("fine")
"""


def test_the_sdk_streams_under_the_same_contract() -> None:
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
