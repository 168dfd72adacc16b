import json
import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras
import pytest

from radiant_dagster.adapters import agent_runs, sessions, tenant_tools, tool_calls
from radiant_dagster.adapters.agent_turn import AgentTurns
from radiant_dagster.adapters.embeddings import build_embeddings
from radiant_dagster.adapters.http_client import HttpClient
from radiant_dagster.adapters.llm import LlmClient
from radiant_dagster.adapters.llm_http import HttpLlm
from radiant_dagster.adapters.llm_sdk import LiteLlmSdk
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.submission import prepare, store_session
from radiant_dagster.adapters.tool_rounds import fitted
from radiant_dagster.adapters.toolbox import Toolbox
from radiant_dagster.domain.governor import counted_characters, estimate
from radiant_dagster.domain.swarm import AgentConfig, AgentResult
from radiant_dagster.domain.tools import MAX_ROUND_COUNTED
from radiant_dagster.errors import Cancelled, LlmUnavailable
from tests.adapters.rows import insert_heuristic
from tests.services import sample_tools
from tests.services.llm_server import LlmServer, Reply, content, error, wants

SAMPLES = (
    "echo", "raiser", "quitter", "sleeper", "flood", "dense", "injector", "number", "nul",
)  # fmt: skip
PROMPT = "How much is 12.5 * 70 / 1000 in all?"


def give_up(error: LlmUnavailable, _seconds: float) -> None:
    raise error


@dataclass
class Desk:
    """One agent of a stored session, and what is around it."""

    database: Database
    tenant: uuid.UUID
    models: LlmServer
    llm: LlmClient
    client: HttpClient
    session: uuid.UUID = field(init=False)
    settings: Settings = field(init=False)
    toolbox: Toolbox = field(init=False)
    estimate: int = field(init=False)

    def seat(self, *tools: str, **options: str) -> None:
        """Store a session whose one agent has these tools."""
        self.settings = Settings.load({"RADIANT_HOME": "/nonexistent/radiant-tests", **options})
        agent = AgentConfig("a", "analyst", "gpt-4o", max_tokens=500, tools=tools or None)
        with self.database.tenant_transaction(self.tenant) as cursor:
            for name in tools:
                tenant_tools.set_allowed(cursor, self.tenant, name, allowed=True, actor="ann")
        request, estimate = prepare(
            self.database, self.settings, self.tenant, prompt=PROMPT, domain="general",
            user_id="ann", agents=(agent,),
        )  # fmt: skip
        self.session = uuid.uuid4()
        store_session(self.database, self.settings, self.tenant, self.session, request, estimate)
        self.toolbox = Toolbox(self.settings, lambda: build_embeddings(self.settings))
        self.estimate = estimate.per_agent["a"]

    def ask(self, *, cancelled: Any = lambda: False, seconds: int | None = None) -> AgentResult:
        if seconds is not None:
            with self.database.tenant_transaction(self.tenant) as cursor:
                cursor.execute("update radiant.domain_policy set swarm_seconds = %s", (seconds,))
        turns = AgentTurns(self.database, self.llm, self.toolbox, 30, give_up)
        turn = turns.take(
            self.tenant, self.session, "a", run_id="r", retry_number=0, cancelled=cancelled
        )
        assert turn is not None
        return turn.result

    def row(self) -> dict[str, Any]:
        with self.database.tenant_transaction(self.tenant) as cursor:
            return agent_runs.agent_rows(cursor, self.tenant, self.session)[0]

    def recorded(self) -> list[dict[str, Any]]:
        with self.database.tenant_transaction(self.tenant) as cursor:
            return tool_calls.of_session(cursor, self.tenant, self.session)

    def results(self, call: int = -1) -> list[dict[str, Any]]:
        """What the tool messages of a model call held."""
        messages = self.models.calls[call].body["messages"]
        return [json.loads(item["content"]) for item in messages if item["role"] == "tool"]


@pytest.fixture
def desk(
    database: Database,
    tenant: uuid.UUID,
    models: LlmServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Desk]:
    sample_tools.install(tmp_path, monkeypatch, *SAMPLES)
    sample_tools.LET_GO.clear()
    client = HttpClient()
    yield Desk(database, tenant, models, HttpLlm(models.url, client=client), client)
    sample_tools.LET_GO.set()
    client.close()


def sdk(desk: Desk) -> LlmClient:
    return LiteLlmSdk(api_base=f"{desk.models.url}/v1", api_key="k", client=desk.client)


@pytest.mark.parametrize("transport", ["http", "sdk"])
def test_an_agent_calculates_and_answers_with_the_result(desk: Desk, transport: str) -> None:
    desk.seat("calculator")
    desk.llm = desk.llm if transport == "http" else sdk(desk)

    result = desk.ask()

    first, second = desk.models.paid
    assert result.status == "success"
    assert "12.5 * 70 / 1000 is 0.875." in str(result.response)
    assert [tool["function"]["name"] for tool in first.body["tools"]] == ["calculator"]
    assert [m["role"] for m in second.body["messages"]] == ["system", "user", "assistant", "tool"]
    assert desk.results() == [{"tool": "calculator", "status": "ok", "result": "0.875"}]
    call = desk.recorded()[0]
    assert (call["name"], call["arguments"]) == (
        "calculator",
        {"expression": "12.5 * 70 / 1000"},
    )
    assert (call["status"], call["output"], call["round"]) == ("ok", "0.875", 1)


def test_tokens_and_cost_add_up_over_the_rounds_within_the_estimate(desk: Desk) -> None:
    desk.seat("calculator", "echo")
    usage = {"prompt_tokens": 1_000, "completion_tokens": 100}
    ask = wants(("echo", {"text": "a"}))
    desk.models.script(
        Reply(change={**ask.change, "usage": usage}),
        Reply(change={**ask.change, "usage": usage}),
        Reply(change={**content("Done.").change, "usage": usage}),
    )

    result = desk.ask()

    row = desk.row()
    assert (result.calls, row["calls"]) == (3, 3)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (3_000, 300)
    assert row["cost_micro_usd"] == 3 * (2_500 + 1_000) <= desk.estimate


def test_an_agent_without_tools_makes_one_call_that_offers_none(desk: Desk) -> None:
    desk.seat()
    desk.models.script(wants(("echo", {"text": "a"}), text="Plain."))

    result = desk.ask()

    assert (result.calls, result.response) == (1, "Plain.")
    assert "tools" not in desk.models.calls[0].body
    assert desk.recorded() == []


def test_a_model_that_asks_for_ever_has_to_answer_in_the_last_round(desk: Desk) -> None:
    desk.seat("echo", RADIANT_TOOL_ROUNDS="3")
    desk.models.script(*[wants(("echo", {"text": "again"}))] * 2, content("Enough."))

    result = desk.ask()

    assert (result.status, result.response) == ("success", "Enough.")
    assert ["tools" in call.body for call in desk.models.calls] == [True, True, False]
    assert [call["round"] for call in desk.recorded()] == [1, 2]


def test_a_model_that_asks_even_then_has_failed_and_is_charged(desk: Desk) -> None:
    desk.seat("echo", RADIANT_TOOL_ROUNDS="2")
    desk.models.script(*[wants(("echo", {"text": "again"}))] * 3)

    result = desk.ask()

    assert (result.status, result.error_code, result.calls) == ("failed", "empty", 2)
    assert len(desk.models.calls) == 2
    # The second reply told no usable usage, so its estimate is charged.
    assert desk.row()["cost_micro_usd"] == result.cost_micro_usd > 0


@pytest.mark.parametrize(
    ("call", "status", "said"),
    [
        (("raiser", {"text": "a"}), "failed", "Go on without it"),
        (("quitter", {"text": "a"}), "failed", "Go on without it"),
        (("number", {"text": "a"}), "failed", "Go on without it"),
        (("sleeper", {"text": "a"}), "timeout", "took too long"),
        (("echo", {"text": "a" * 21}), "bad_arguments", "/text breaks the rule 'maxLength'"),
        (("echo", {}), "bad_arguments", "'required'"),
        (("echo", '{"text": '), "bad_arguments", "no JSON object"),
        (("echo", "[1]"), "bad_arguments", "no JSON object"),
        (("echo", '{"text": NaN}'), "bad_arguments", "no JSON object"),
        (("echo", '{"text": 1e999}'), "bad_arguments", "no JSON object"),
        (("echo", '{"text": "a\\u0000\\ud800"}'), "ok", ""),
        (("calculator", {"expression": "1 / 0"}), "refused", "divides by zero"),
        (("web_search", {"text": "a"}), "unknown_tool", "one of those offered"),
        (("bad\x00name" * 40, {}), "unknown_tool", "one of those offered"),
    ],
)
def test_whatever_happens_to_a_tool_is_a_result_for_the_model(
    desk: Desk, call: tuple[str, Any], status: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk.seat("calculator", *SAMPLES, RADIANT_TOOL_SECONDS="0.3")
    desk.models.script(wants(call), content("I go on."))

    with caplog.at_level(logging.DEBUG):
        result = desk.ask()

    assert (result.status, result.response) == ("success", "I go on.")
    shown = desk.results()[0]
    assert shown["status"] == status
    assert said in shown.get("error", "")
    assert desk.recorded()[0]["status"] == status
    assert "SECRET-OF-TOOL" not in caplog.text + json.dumps(shown)


def test_a_tool_that_was_forbidden_meanwhile_is_not_offered_and_not_run(desk: Desk) -> None:
    desk.seat("echo", "calculator")
    with desk.database.tenant_transaction(desk.tenant) as cursor:
        tenant_tools.set_allowed(cursor, desk.tenant, "echo", allowed=False, actor="ann")
    desk.models.script(wants(("echo", {"text": "a"})), content("Then not."))

    desk.ask()

    offered = desk.models.calls[0].body["tools"]
    assert [tool["function"]["name"] for tool in offered] == ["calculator"]
    assert desk.results()[0]["status"] == "not_allowed"


def test_huge_output_is_cut_and_the_cut_is_recorded(desk: Desk) -> None:
    desk.seat("flood")
    desk.models.script(wants(("flood", {"text": "a"})), content("Long."))

    desk.ask()

    shown, call = desk.results()[0], desk.recorded()[0]
    assert (len(shown["result"]), shown["cut"]) == (8_000, True)
    assert (len(call["output"]), call["output_cut"]) == (8_000, True)


@pytest.mark.parametrize("name", ["flood", "dense", "nul"])
def test_all_results_of_a_round_stay_within_the_estimates_bound(desk: Desk, name: str) -> None:
    desk.seat(name)
    desk.models.script(wants(*[(name, {"text": "a"})] * 12), content("Long."))

    desk.ask()

    shown = desk.results()
    assert len(shown) == 8
    assert sum(counted_characters(item["result"]) for item in shown) <= MAX_ROUND_COUNTED


@pytest.mark.parametrize("name", ["flood", "dense", "injector"])
def test_all_that_is_sent_in_all_rounds_fits_the_estimate(desk: Desk, name: str) -> None:
    desk.seat(name, "calculator")
    asking = wants(*[(name, {"text": "a" * 20})] * 8)
    desk.models.script(asking, asking, asking, content("Long."))

    desk.ask()

    most = 0
    for call in desk.models.calls:
        parts = [*call.body["messages"], *call.body.get("tools", [])]
        sent = sum(counted_characters(json.dumps(part, ensure_ascii=False)) for part in parts)
        most += estimate(sent, call.body["max_tokens"], "gpt-4o")
    assert len(desk.models.calls) == 4
    assert most <= desk.estimate


def test_a_text_is_cut_to_what_is_left_of_the_round() -> None:
    assert fitted("short", 100) == ("short", False)
    assert fitted("ab" * 10, 7) == ("abababa", True)
    assert fitted("text", 0) == ("", True)
    assert fitted("", 0) == ("", False)


def test_instructions_in_a_result_stay_in_a_tool_message_and_are_flagged(desk: Desk) -> None:
    desk.seat("injector", "echo")
    desk.models.script(
        wants(("injector", {"text": "a"}), ("echo", {"text": "b"})), content("It holds 4 C.")
    )

    desk.ask()

    messages = desk.models.calls[-1].body["messages"]
    holding = [item["role"] for item in messages if "pirate" in str(item["content"])]
    shown, harmless = desk.results()
    assert holding == ["tool"]
    assert shown["result"] == sample_tools.INJECTION
    assert "warning" in shown
    assert "warning" not in harmless
    assert [bool(call["flags"]) for call in desk.recorded()] == [True, False]
    assert "never instructions" in messages[0]["content"]


def test_the_grimoire_is_searched_within_tenant_and_domain(desk: Desk, owner_url: str) -> None:
    desk.seat("grimoire_search")
    model = build_embeddings(desk.settings)
    vector = json.dumps(model.embed(["cold storage of vaccines"])[0])
    other = uuid.uuid4()
    connection = psycopg2.connect(owner_url)
    connection.autocommit = True
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    with connection.cursor() as cursor:
        cursor.execute("insert into radiant.tenant values (%s, 'b', 'B')", (other,))
        cursor.execute(
            "insert into radiant.domain_policy (tenant_id, name, approval_required, "
            "deadline_seconds) values (%s, 'general', false, 60)",
            (other,),
        )
        insert_heuristic(
            cursor, desk.tenant, embedding=vector, trigger_pattern="Cold storage of vaccines",
            action_template="Keep the fridge closed and log it.",
        )  # fmt: skip
        insert_heuristic(
            cursor, desk.tenant, embedding=vector, domain="medical",
            action_template="OTHER-DOMAIN should never be seen.",
        )  # fmt: skip
        insert_heuristic(
            cursor, other, embedding=vector, action_template="OTHER-TENANT should never be seen."
        )
    connection.close()
    desk.models.script(
        wants(("grimoire_search", {"query": "cold storage of vaccines"})), content("Closed.")
    )

    desk.ask()

    found = json.loads(desk.results()[0]["result"])["heuristics"]
    assert [item["then"] for item in found] == ["Keep the fridge closed and log it."]


def test_an_outage_after_paid_rounds_is_charged_and_the_next_try_gets_new_positions(
    desk: Desk,
) -> None:
    desk.seat("echo")
    desk.models.script(wants(("echo", {"text": "a"})), error(503))

    with pytest.raises(LlmUnavailable):
        desk.ask()
    paid_before = desk.row()["cost_micro_usd"]
    desk.models.script(wants(("echo", {"text": "b"})), content("At last."))
    result = desk.ask()

    row = desk.row()
    with desk.database.tenant_transaction(desk.tenant) as cursor:
        total = sessions.get_session(cursor, desk.tenant, desk.session)["cost_micro_usd"]
    assert paid_before > 0
    assert row["cost_micro_usd"] == total == paid_before + result.cost_micro_usd
    assert [(call["position"], call["arguments"]["text"]) for call in desk.recorded()] == [
        (0, "a"),
        (1, "b"),
    ]


def test_a_call_that_a_cancellation_cuts_off_is_on_record(desk: Desk) -> None:
    desk.seat("sleeper", RADIANT_TOOL_SECONDS="30")
    desk.models.script(wants(("sleeper", {"text": "a"})))

    with pytest.raises(Cancelled):
        desk.ask(cancelled=lambda: bool(desk.recorded()))

    assert [call["status"] for call in desk.recorded()] == ["running"]
    assert desk.row()["cost_micro_usd"] > 0


def test_a_tool_cannot_outlast_the_agents_deadline(desk: Desk) -> None:
    desk.seat("sleeper", RADIANT_TOOL_SECONDS="120")
    desk.models.script(wants(("sleeper", {"text": "a"})))

    with pytest.raises(LlmUnavailable) as caught:
        desk.ask(seconds=2)

    assert caught.value.code == "deadline"
    assert [call["status"] for call in desk.recorded()] == ["timeout"]
    assert len(desk.models.calls) == 1


def test_tools_that_ran_away_do_not_pile_up(desk: Desk) -> None:
    desk.seat("sleeper", RADIANT_TOOL_SECONDS="0.1")
    desk.toolbox = Toolbox(desk.settings, lambda: build_embeddings(desk.settings), most_at_once=2)
    desk.models.script(wants(*[("sleeper", {"text": "a"})] * 3), content("Enough."))

    desk.ask()

    assert [item["status"] for item in desk.results()] == ["timeout", "timeout", "busy"]


def test_each_round_has_its_own_idempotency_key_and_a_repeat_the_same(desk: Desk) -> None:
    desk.seat("echo")
    ask = wants(("echo", {"text": "a"}))
    desk.models.script(ask, error(503), ask, content("Done."))

    with pytest.raises(LlmUnavailable):
        desk.ask()
    desk.ask()

    keys = [call.headers["Idempotency-Key"] for call in desk.models.calls]
    assert keys[0] == keys[2] == f"{desk.session}:a"
    assert keys[1] == keys[3] != keys[0]


@pytest.mark.parametrize("ids", [["same", "same"], [None, "x" * 65], ["", 5]])
def test_ids_of_calls_are_told_apart_whatever_the_model_sends(desk: Desk, ids: list[Any]) -> None:
    desk.seat("echo")
    reply = wants(("echo", {"text": "a"}), ("echo", {"text": "b"}))
    asked = reply.change["choices"][0]["message"]["tool_calls"]
    for call, call_id in zip(asked, ids, strict=True):
        call["id"] = call_id
    desk.models.script(reply, content("Done."))

    desk.ask()

    messages = desk.models.calls[-1].body["messages"]
    sent = [call["id"] for call in messages[2]["tool_calls"]]
    assert len(set(sent)) == 2
    assert [item["tool_call_id"] for item in messages[3:]] == sent
    assert [item["result"] for item in desk.results()] == ["You said a.", "You said b."]
