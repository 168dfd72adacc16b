import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from radiant_dagster.adapters.embeddings import MiniLmEmbeddings
from radiant_dagster.adapters.http_client import HttpClient
from radiant_dagster.adapters.llm import CompletionRequest
from radiant_dagster.adapters.llm_http import HttpLlm
from radiant_dagster.domain.extraction import (
    ExtractedHeuristic,
    copies_run_of_words,
    heuristic_schema,
    librarian_messages,
    parse_extraction,
)
from radiant_dagster.domain.governor import estimate_session
from radiant_dagster.domain.output_schema import AGENT_ANSWER_SCHEMA_NAME, check_answer
from radiant_dagster.domain.prompts import (
    InjectedHeuristic,
    Synthesis,
    agent_messages,
    cited_numbers,
    parse_synthesis,
    synthesis_messages,
    synthesis_schema,
)
from radiant_dagster.domain.swarm import AgentConfig, AgentResult, SwarmTask
from radiant_dagster.errors import LlmRejected
from radiant_dagster.offline.answers import LABEL, reply
from radiant_dagster.offline.server import chunks, completion, latency_seconds
from radiant_dagster.offline.tool_use import expression_in
from radiant_dagster.offline.words import kind_of, options, phrases

ROLES = ("analyst", "domain expert", "skeptic", "pragmatist", "safety reviewer", "historian")
ROLLOUT = "How should a small team roll out a new checkout service without downtime?"
WARFARIN = (
    "A 67-year-old patient on warfarin asks whether ibuprofen is safe for knee pain. What should "
    "the nurse advise?"
)
CHOICE = "Should we use Postgres or MongoDB for event storage?"


def agent(role: str) -> AgentConfig:
    return AgentConfig(role.replace(" ", "_"), role, "gpt-4o")


def answer(
    question: str,
    role: str,
    heuristics: Sequence[InjectedHeuristic] = (),
    context: dict[str, Any] | None = None,
) -> str:
    task = SwarmTask("question", question, context or {})
    return reply(agent_messages(task, agent(role), heuristics), None)


def panel(question: str, heuristics: Sequence[InjectedHeuristic] = ()) -> list[AgentResult]:
    return [
        AgentResult(
            role.replace(" ", "_"), "success", answer(question, role, heuristics), role=role
        )
        for role in ROLES
    ]


def synthesise(question: str, results: list[AgentResult], guidance: str = "") -> Synthesis:
    text = reply(
        synthesis_messages(question, results, guidance=guidance, boundary="b0"), "synthesis_v1"
    )
    return parse_synthesis(text, frozenset(result.agent_id for result in results))


def learn(
    question: str,
    *,
    outcome: str = "approved",
    guidance: str = "",
    domain: str = "general",
) -> tuple[ExtractedHeuristic | None, str]:
    response = synthesise(question, panel(question)).answer
    messages = librarian_messages(
        domain=domain,
        outcome=outcome,
        guidance=guidance,
        prompt=question,
        response=response,
        boundary="b0",
    )
    text = reply(messages, "heuristic_v1")
    return parse_extraction(text, prompt=question, response=response), response


def test_every_role_answers_in_its_own_words_about_the_question() -> None:
    answers = {role: answer(WARFARIN, role) for role in ROLES}

    assert len(set(answers.values())) == len(ROLES)
    for text in answers.values():
        assert "warfarin" in text
        assert "ibuprofen" in text
        assert text.endswith(LABEL)
        assert 200 < len(text) < 1500


def test_the_same_question_gets_the_same_answer() -> None:
    assert answer(ROLLOUT, "analyst") == answer(ROLLOUT, "analyst")


def test_a_fitting_heuristic_is_cited_and_its_advice_visible() -> None:
    lesson = InjectedHeuristic(2, "do", "A question about a checkout service", "Rehearse rollback.")

    text = answer(ROLLOUT, "analyst", [lesson])

    assert cited_numbers(text, 2) == (2,)
    assert "Rehearse rollback." in text


def test_a_heuristic_about_something_else_is_not_cited() -> None:
    lesson = InjectedHeuristic(1, "do", "A question about knitting wool socks", "Count stitches.")

    text = answer(ROLLOUT, "analyst", [lesson])

    assert cited_numbers(text, 1) == ()
    assert "stitches" not in text


def test_a_warning_is_cited_as_something_to_avoid() -> None:
    lesson = InjectedHeuristic(1, "avoid", "A question about downtime", "Deploying on Fridays.")

    assert "Avoiding what an earlier review warned of [H1]" in answer(ROLLOUT, "skeptic", [lesson])


def test_documents_are_drawn_on() -> None:
    context = {"documents": ["Lunch is at noon.\nThe checkout service runs on two nodes."]}

    text = answer(ROLLOUT, "analyst", context=context)

    assert "documents" in text
    assert "two nodes" in text or "nodes" in text
    assert "Lunch" not in text


@pytest.mark.parametrize(
    "question", ["", "hi", "?!", "{not json", "药物" * 50, "a" * 5000, "or", "x or y?", "What or?"]
)
def test_odd_questions_still_get_a_labelled_answer(question: str) -> None:
    results = panel(question)

    assert all((result.response or "").endswith(LABEL) for result in results)
    assert synthesise(question, results).answer.endswith(LABEL)


def test_a_panel_that_agrees_is_merged_with_every_agent_named() -> None:
    merged = synthesise(ROLLOUT, panel(ROLLOUT))

    assert merged.agreement == "high"
    assert merged.dissent == []
    named = {agent_id for claim in merged.claims for agent_id in claim.agents}
    assert named == {role.replace(" ", "_") for role in ROLES}
    assert merged.answer.endswith(LABEL)


def test_a_choice_divides_the_panel_and_the_synthesis_says_so() -> None:
    merged = synthesise(CHOICE, panel(CHOICE))

    assert merged.agreement == "low"
    assert merged.dissent == ["skeptic recommends otherwise: choose MongoDB."]
    assert "Most recommend: choose Postgres." in merged.answer


def test_a_lesson_several_agents_cite_appears_once_with_all_of_them() -> None:
    lesson = InjectedHeuristic(1, "do", "A question about a checkout service", "Rehearse rollback.")

    merged = synthesise(ROLLOUT, panel(ROLLOUT, [lesson]))

    cited = [claim for claim in merged.claims if "[H1]" in claim.text]
    assert len(cited) == 1
    assert len(cited[0].agents) == len(ROLES)
    assert merged.answer.count("Rehearse rollback.") == 1


def test_a_reviewers_guidance_shapes_the_second_synthesis() -> None:
    merged = synthesise(ROLLOUT, panel(ROLLOUT), guidance="Mention the support desk.")

    assert "Mention the support desk." in merged.answer


def test_answers_of_real_models_can_be_merged_too() -> None:
    results = [AgentResult("a", "success", "Yes.", role="r"), AgentResult("b", "success", "No.")]

    assert synthesise("Really?", results).agreement == "high"


@pytest.mark.parametrize("question", [ROLLOUT, WARFARIN, CHOICE])
@pytest.mark.parametrize("outcome", ["approved", "modified", "rejected", "unreviewed"])
def test_what_the_librarian_learns_passes_every_check(question: str, outcome: str) -> None:
    found, response = learn(question, outcome=outcome, guidance="Mention paracetamol.")

    assert found is not None
    assert found.polarity == ("avoid" if outcome == "rejected" else "do")
    assert all(quote in f"{question}\n{response}" for quote in found.evidence_quotes)
    assert not copies_run_of_words(found.action_template, question)
    assert not copies_run_of_words(found.trigger_pattern, question)


def test_a_lesson_names_no_person_number_or_placeholder() -> None:
    found, _ = learn(
        "Anna Smith, 67, [SSN REDACTED], asks Dr. Jones whether warfarin fits her knee surgery.",
        domain="medical",
    )

    assert found is not None
    text = f"{found.trigger_pattern} {found.action_template}"
    assert "warfarin" in text
    for private in ("Anna", "Smith", "Jones", "67", "SSN", "REDACTED"):
        assert private not in text


def test_a_small_talk_session_teaches_nothing() -> None:
    assert learn("hi")[0] is None
    assert learn(ROLLOUT, outcome="expired")[0] is None


@pytest.mark.parametrize(
    ("first", "close", "far"),
    [
        (
            ROLLOUT,
            "What is the safest way for our team to roll out the payment service with no downtime?",
            "How do I bake sourdough bread?",
        ),
        (
            WARFARIN,
            "May a patient who takes warfarin use ibuprofen against back pain?",
            "How is a broken arm treated?",
        ),
    ],
)
def test_a_learned_trigger_is_found_by_a_close_question_only(
    first: str, close: str, far: str
) -> None:
    found, _ = learn(first)
    assert found is not None

    trigger, near, other = MiniLmEmbeddings().embed([found.trigger_pattern, close, far])

    def similarity(vector: list[float]) -> float:
        return sum(a * b for a, b in zip(trigger, vector, strict=True))

    assert similarity(near) > 0.6
    assert similarity(other) < 0.4


def test_the_kind_of_a_question_is_told() -> None:
    assert kind_of(CHOICE) == "choice"
    assert options(CHOICE) == ("Postgres", "MongoDB")
    assert kind_of("Is it safe to stop metformin before surgery?") == "yes_no"
    assert kind_of(ROLLOUT) == "open"


def test_phrases_leave_out_empty_words() -> None:
    assert phrases(ROLLOUT, 3) == ["small team", "checkout service", "downtime"]


def test_a_careful_field_waits_for_a_person() -> None:
    assert "wait until the treating clinician" in answer("Can she take ibuprofen?", "analyst")


def test_latency_is_the_same_for_the_same_role_unless_it_is_set() -> None:
    request = {"messages": agent_messages(SwarmTask("q", "Why?", {}), agent("analyst"), ())}

    assert latency_seconds(request, None) == latency_seconds(request, None)
    assert 0.15 <= latency_seconds(request, None) <= 0.4
    assert latency_seconds(request, 5) == 0.005


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "radiant_dagster.offline", "--port", str(port), "--latency-ms", "0"],
        cwd=Path(__file__).parents[1],
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(20) in (0, -15)


@pytest.fixture
def client() -> Iterator[HttpClient]:
    made = HttpClient()
    yield made
    made.close()


@pytest.fixture
def llm(url: str, client: HttpClient) -> HttpLlm:
    return HttpLlm(url, transport="offline", client=client)


def request(role: str, question: str = ROLLOUT) -> CompletionRequest:
    return CompletionRequest(
        model="gpt-4o",
        messages=agent_messages(SwarmTask("question", question, {}), agent(role), ()),
        temperature=0.3,
        max_tokens=1000,
        timeout_seconds=20,
        tenant_id=UUID(int=1),
        idempotency_key="k",
    )


def test_the_gateway_talks_to_the_demo_model_and_says_so(llm: HttpLlm) -> None:
    llm.check()

    done = llm.complete(request("analyst"))

    assert done.text == answer(ROLLOUT, "analyst")
    assert done.model_used == "offline-demo/gpt-4o"
    assert done.finish_reason == "stop"
    assert not done.cost_is_estimated
    assert done.completion_tokens == -(-len(done.text) // 4)
    assert "gpt-4o" in (llm.models() or ())


def test_the_demo_model_streams_the_same_answer_in_readable_pieces(llm: HttpLlm) -> None:
    whole = llm.complete(request("analyst"))
    pieces: list[str] = []

    done = llm.complete(request("analyst"), on_text=pieces.append)

    assert done.text == whole.text == "".join(pieces)
    assert done.model_used == "offline-demo/gpt-4o"
    assert done.completion_tokens == whole.completion_tokens
    assert not done.cost_is_estimated


@pytest.mark.parametrize("characters", [0, 1, 23, 24, 25, 1000])
def test_the_pieces_of_a_demo_answer_are_its_text(characters: int) -> None:
    text = "x" * characters
    asked: dict[str, Any] = {"model": "gpt-4o", "messages": [], "stream_options": {}}
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    body = {**completion(asked), "choices": [choice]}

    cut = chunks(body, asked, 24)

    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in cut]
    assert "".join(deltas) == text
    assert len(cut) <= 25
    assert all(chunk["radiant_offline"] for chunk in cut)


def test_a_demo_session_costs_less_than_its_estimate(llm: HttpLlm) -> None:
    agents = [agent(role) for role in ROLES]
    bound = estimate_session(agents, len(ROLLOUT), 0, "gpt-4o", "gpt-4o-mini")

    spent = {a.agent_id: llm.complete(request(a.role)).cost_micro_usd for a in agents}

    assert all(0 < spent[a.agent_id] <= bound.per_agent[a.agent_id] for a in agents)


def test_structured_calls_work_over_http(llm: HttpLlm) -> None:
    results = panel(ROLLOUT)
    asked = replace(
        request("analyst"),
        messages=synthesis_messages(ROLLOUT, results, boundary="b0"),
        json_schema_name="synthesis_v1",
        json_schema=synthesis_schema(),
    )
    merged = parse_synthesis(
        llm.complete(asked).text, frozenset(result.agent_id for result in results)
    )
    learned = replace(
        asked,
        messages=librarian_messages(
            domain="general",
            outcome="approved",
            guidance="",
            prompt=ROLLOUT,
            response=merged.answer,
            boundary="b0",
        ),
        json_schema_name="heuristic_v1",
        json_schema=heuristic_schema(),
    )

    found = parse_extraction(llm.complete(learned).text, prompt=ROLLOUT, response=merged.answer)

    assert found is not None


def test_max_tokens_cuts_the_answer(llm: HttpLlm) -> None:
    done = llm.complete(replace(request("analyst"), max_tokens=10))

    assert done.finish_reason == "length"
    assert done.completion_tokens == 10


def test_an_unknown_schema_is_refused(llm: HttpLlm) -> None:
    odd = replace(request("analyst"), json_schema_name="poem_v1", json_schema={"type": "object"})

    with pytest.raises(LlmRejected, match="bad_request"):
        llm.complete(odd)


def test_an_agents_own_schema_is_filled(llm: HttpLlm) -> None:
    schema = {
        "type": "object",
        "properties": {
            "verdict": {"enum": ["yes", "no"]},
            "why": {"type": "string", "maxLength": 20},
            "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 2},
            "sure": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "share": {"type": "number", "minimum": 0.5},
        },
        "required": ["verdict", "why", "steps", "sure", "share"],
        "additionalProperties": False,
        "$defs": {"step": {"type": "object", "properties": {"next": {"$ref": "#/$defs/step"}}}},
    }
    asked = replace(
        request("analyst"), json_schema_name=AGENT_ANSWER_SCHEMA_NAME, json_schema=schema
    )

    done = llm.complete(asked)

    assert check_answer(done.text, schema).problem == ""


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[]",
        b"{}",
        b'{"model": "gpt-4o", "messages": "hi"}',
        b'{"model": "gpt-4o", "messages": [1]}',
        b'{"messages": []}',
    ],
)
def test_a_bad_request_gets_an_openai_shaped_error(
    url: str, client: HttpClient, body: bytes
) -> None:
    got = client.request(
        "POST", f"{url}/v1/chat/completions", headers={}, body=body, timeout_seconds=20
    )

    assert got.status == 400
    assert json.loads(got.body)["error"]["type"] == "invalid_request_error"


def test_every_reply_is_labelled_in_header_and_body(url: str, client: HttpClient) -> None:
    body = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "Why?"}]}'

    got = client.request(
        "POST", f"{url}/v1/chat/completions", headers={}, body=body, timeout_seconds=20
    )
    health = client.request("GET", f"{url}/health", headers={}, timeout_seconds=20)

    assert got.headers["x-radiant-offline"] == "1"
    assert json.loads(got.body)["radiant_offline"] is True
    assert json.loads(got.body)["choices"][0]["message"]["content"].endswith(LABEL)
    assert json.loads(health.body) == {"status": "ok", "model": "offline demo model"}


def test_the_server_loads_neither_dagster_nor_litellm() -> None:
    script = (
        "import sys; import radiant_dagster.offline.__main__; "
        "print({'dagster', 'litellm', 'onnxruntime', 'psycopg2'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    assert done.stdout.decode().strip() == "set()"


def calculator(**more: Any) -> dict[str, Any]:
    tool = {"type": "function", "function": {"name": "calculator", "parameters": {}}}
    return {"model": "gpt-4o", "max_tokens": 500, "tools": [tool], **more}


@pytest.mark.parametrize(
    ("question", "expression"),
    [
        ("How much is 12.5 * 70 / 1000 in all?", "12.5 * 70 / 1000"),
        ("What is (3 + 4) * 2?", "(3 + 4) * 2"),
        ("Is 2**10 more than 1000?", "2**10"),
        ("3 × 4 beds", "3 × 4"),
        ("Should we open 24/7 from 2026-11-22 on, for 10-20 people?", None),
        ("Why does version 1.2.3 - the old one - fail?", None),
    ],
)
def test_an_expression_is_told_from_dates_and_ranges(question: str, expression: str | None) -> None:
    assert expression_in(question) == expression


def test_the_demo_model_asks_the_calculator_once_and_only_where_it_is_offered() -> None:
    asked: list[dict[str, Any]] = [{"role": "user", "content": '{"question": "What is 6 * 7?"}'}]
    result = {"tool": "calculator", "status": "ok", "result": "42"}
    answered = [*asked, {"role": "tool", "content": json.dumps(result)}]

    wanted = completion(calculator(messages=asked))["choices"][0]
    told = completion(calculator(messages=answered))["choices"][0]
    without = completion({"model": "gpt-4o", "messages": asked})["choices"][0]

    call = wanted["message"]["tool_calls"][0]["function"]
    assert (wanted["finish_reason"], call["name"]) == ("tool_calls", "calculator")
    assert json.loads(call["arguments"]) == {"expression": "6 * 7"}
    assert "The calculator says that 6 * 7 is 42." in told["message"]["content"]
    assert "tool_calls" not in without["message"]
