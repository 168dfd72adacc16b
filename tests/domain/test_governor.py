import json
import random
import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiant_dagster.adapters.price_table import rate, table
from radiant_dagster.domain.governor import (
    AGREEMENT_CALL,
    BROKEN_REPLIES,
    CONSULT_CALL,
    MESSAGE_OVERHEAD_TOKENS,
    SYNTHESIS_MAX_TOKENS,
    TRIGGER_CALL,
    cost_micro_usd,
    counted_characters,
    estimate,
    estimate_embedding,
    estimate_session,
    estimate_tokens,
    known_models,
)
from radiant_dagster.domain.price_list import CHECKED_IN
from radiant_dagster.domain.prompts import InjectedHeuristic, agent_messages, synthesis_messages
from radiant_dagster.domain.swarm import AgentConfig, AgentResult, SwarmTask
from radiant_dagster.errors import InvalidInput


def agent(number: int, model: str = "gpt-4o", max_tokens: int = 1000) -> AgentConfig:
    return AgentConfig(f"a{number}", "analyst", model, max_tokens=max_tokens)


def test_a_call_costs_what_the_price_list_says() -> None:
    # 1000 x $2.50 and 500 x $10.00 a million tokens
    assert cost_micro_usd("gpt-4o", 1000, 500) == 2500 + 5000


def test_a_fraction_of_a_micro_dollar_is_rounded_up() -> None:
    assert cost_micro_usd("text-embedding-3-small", 1, 0) == 1
    assert cost_micro_usd("gpt-4o", 0, 0) == 0


def test_a_long_call_costs_the_long_rates() -> None:
    short = cost_micro_usd("gemini-2.5-pro", 200_000, 0)
    long = cost_micro_usd("gemini-2.5-pro", 200_001, 0)

    assert (short, long) == (250_000, 500_003)


def test_a_model_without_a_price_is_refused_with_the_field_and_the_fix() -> None:
    with pytest.raises(InvalidInput, match="gpt-imaginary") as raised:
        cost_micro_usd("gpt-imaginary", 1, 1)

    assert raised.value.field == "model"
    assert "gpt-4o" in raised.value.fix


@pytest.mark.parametrize("model", ["openai/gpt-4o", "azure/gpt-4o", "offline-demo/gpt-4o"])
def test_a_provider_prefix_does_not_hide_the_price(model: str) -> None:
    assert CHECKED_IN.price_of(model) == CHECKED_IN.price_of("gpt-4o")


def test_negative_usage_is_refused() -> None:
    with pytest.raises(InvalidInput, match="negative"):
        cost_micro_usd("gpt-4o", -1, 5)


def test_the_models_of_the_default_settings_are_known_and_embeddings_are_no_chat_models() -> None:
    assert {"gpt-4o", "gpt-4o-mini"} <= known_models()
    assert "text-embedding-3-small" not in known_models()


def random_letters(count: int) -> str:
    source = random.Random(7)
    return "".join(source.choice(string.ascii_lowercase) for _ in range(count))


# Tokens of gpt-4o's or gpt-4's tokenizer, the larger, measured with LiteLLM's token counter.
@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The patient should be seen by a doctor before changing any dosage. " * 10, 131),
        ("患者在改变任何药物剂量之前应当咨询医生。" * 10, 270),
        (random_letters(400) * 5, 1051),
        ("\U0001f9ec\U0001f9a0\U0001fa7a" * 50, 450),
        ('{"a":[1,2,{"b":null}],"c":"\\n\\t"}' * 20, 380),
    ],
    ids=["english", "chinese", "random letters", "emoji", "json"],
)
def test_no_kind_of_text_has_more_tokens_than_the_estimate(text: str, tokens: int) -> None:
    assert estimate_tokens(counted_characters(text)) - MESSAGE_OVERHEAD_TOKENS >= tokens


def test_plain_english_is_estimated_at_two_characters_a_token() -> None:
    text = "please say what the team should do first "

    assert counted_characters(text) == len(text)


def test_what_tokenizes_badly_counts_twice_and_beyond_ascii_by_its_bytes() -> None:
    once, twice, wide = "ab ", "Z9\n\x7f", "\x80é药😀\ud800"

    assert counted_characters(once + twice + wide) == 3 + 2 * 4 + 2 * (2 + 2 + 3 + 4 + 3)


@given(st.text(), st.text())
def test_counting_texts_apart_never_gives_more_than_together(first: str, second: str) -> None:
    apart = counted_characters(first) + counted_characters(second)

    assert apart <= counted_characters(first + second)


@given(
    st.sampled_from(["gpt-4o", "gpt-4o-mini", "gemini-2.5-pro", "claude-sonnet-4-5"]),
    st.integers(0, 500_000),
    st.integers(1, 32_768),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_no_call_within_its_bounds_costs_more_than_its_estimate(
    model: str, characters: int, max_tokens: int, sent: float, answered: float
) -> None:
    reserved = estimate(characters, max_tokens, model)
    prompt_tokens = int(estimate_tokens(characters) * sent)

    assert cost_micro_usd(model, prompt_tokens, int(max_tokens * answered)) <= reserved


def test_a_session_is_estimated_by_step_and_the_parts_add_up() -> None:
    agents = [agent(1), agent(2, model="gpt-4o-mini"), agent(3, max_tokens=2000)]

    found = estimate_session(agents, 400, 0, "gpt-4o", "gpt-4o-mini")

    assert set(found.per_agent) == {"a1", "a2", "a3"}
    assert found.per_agent["a2"] < found.per_agent["a1"] < found.per_agent["a3"]
    parts = sum(found.per_agent.values()) + found.synthesis + found.librarian
    assert found.total_micro_usd == parts
    assert sum(call.estimate * call.times for call in found.calls) == parts


def test_embeddings_are_planned_only_where_they_are_paid_for() -> None:
    free = estimate_session([agent(1)], 400, 0, "gpt-4o", "gpt-4o-mini")

    paid = estimate_session(
        [agent(1)], 400, 0, "gpt-4o", "gpt-4o-mini", embedding_model="text-embedding-3-small"
    )

    extra = [call for call in paid.calls if call.purpose == "embedding"]
    assert free.embeddings == 0
    assert [call.call for call in extra] == [CONSULT_CALL, AGREEMENT_CALL, TRIGGER_CALL]
    assert paid.embeddings == paid.total_micro_usd - free.total_micro_usd > 0
    longest = estimate_embedding(["Ω" * 100_000], "text-embedding-3-small")
    assert longest == cost_micro_usd("text-embedding-3-small", 8_016, 0)


def test_an_agent_with_tools_is_estimated_for_all_of_its_rounds() -> None:
    plain, armed = agent(1), replace(agent(2), tools=("calculator",))

    def found(rounds: int) -> dict[str, int]:
        return estimate_session(
            [plain, armed], 400, 0, "gpt-4o", "gpt-4o-mini", tool_rounds=rounds
        ).per_agent

    one, two, four = found(1), found(2), found(4)
    assert one["a1"] == two["a1"] == four["a1"] < one["a2"]
    # Each round sends again what the rounds before it brought.
    assert two["a2"] > 2 * one["a2"]
    assert four["a2"] > 2 * two["a2"]


def test_documents_and_a_longer_question_raise_every_agents_estimate() -> None:
    small = estimate_session([agent(1)], 400, 0, "gpt-4o", "gpt-4o-mini")
    documents = estimate_session([agent(1)], 400, 100_000, "gpt-4o", "gpt-4o-mini")
    question = estimate_session([agent(1)], 20_000, 0, "gpt-4o", "gpt-4o-mini")

    assert documents.per_agent["a1"] - small.per_agent["a1"] == 50_000 * 2.5
    assert question.per_agent["a1"] > small.per_agent["a1"]
    assert question.synthesis > small.synthesis


def test_the_messages_really_sent_fit_the_sessions_estimate() -> None:
    agents = [agent(number) for number in range(5)]
    prompt = 'Should "the team" migrate\nthe database? ' * 20
    # As much as is ever offered: five, 600 tokens of two characters in all.
    heuristics = [
        InjectedHeuristic(n, "do", "When, then. " * 10, "Do; so. " * 15) for n in range(1, 6)
    ]
    results = [
        AgentResult(a.agent_id, "success", "A long answer, with commas. " * 180, role=a.role)
        for a in agents
    ]

    found = estimate_session(
        agents, counted_characters(json.dumps(prompt)), 0, "gpt-4o", "gpt-4o-mini"
    )
    sent = agent_messages(SwarmTask("t", prompt, {}), agents[0], heuristics)
    merged = synthesis_messages(prompt, results, boundary="b0")

    for messages, max_tokens, reserved in (
        (sent, 1000, found.per_agent["a0"]),
        (merged, SYNTHESIS_MAX_TOKENS, found.synthesis // BROKEN_REPLIES),
    ):
        counted = sum(counted_characters(message["content"]) for message in messages)
        assert estimate(counted, max_tokens, "gpt-4o") <= reserved


def test_the_rules_around_a_tiny_answer_are_part_of_the_estimate() -> None:
    found = estimate_session([agent(1, max_tokens=1)], 3, 0, "gpt-4o", "gpt-4o-mini")
    merged = synthesis_messages("?", [AgentResult("a1", "success", "A")], boundary="b0")

    counted = sum(counted_characters(message["content"]) for message in merged)

    assert estimate(counted, SYNTHESIS_MAX_TOKENS, "gpt-4o") <= found.synthesis // BROKEN_REPLIES


@pytest.mark.parametrize("models", [("gpt-4o", "gpt-4o-mini"), ("gpt-4o-mini", "gpt-4o")])
def test_the_dearer_of_both_synthesisers_is_reserved(models: tuple[str, str]) -> None:
    dear = estimate_session([agent(1)], 400, 0, "gpt-4o", "gpt-4o-mini")

    found = estimate_session(
        [agent(1)], 400, 0, models[0], "gpt-4o-mini", fallback_synthesis_model=models[1]
    )

    assert (found.synthesis, found.total_micro_usd) == (dear.synthesis, dear.total_micro_usd)


def test_a_session_with_an_unknown_model_is_refused() -> None:
    with pytest.raises(InvalidInput, match="gpt-imaginary"):
        estimate_session([agent(1)], 10, 0, "gpt-imaginary", "gpt-4o-mini")


def test_the_generated_table_keeps_what_is_sold_by_the_token() -> None:
    costs = {
        "openai/gpt-x": {
            "litellm_provider": "openai",
            "mode": "chat",
            "input_cost_per_token": 1.5e-07,
            "output_cost_per_token": 6e-07,
            "input_cost_per_token_above_200k_tokens": 3e-07,
            "output_cost_per_token_above_200k_tokens": 1.2e-06,
        },
        "gpt-x-realtime": {
            "litellm_provider": "openai",
            "mode": "chat",
            "input_cost_per_token": 1.0,
        },
        "free": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 0},
        "drawing": {
            "litellm_provider": "openai",
            "mode": "image_generation",
            "input_cost_per_token": 1.0,
        },
    }

    assert list(table(costs)) == [
        '    "gpt-x": ModelPrice(150000, 600000, 200000, 300000, 1200000),'
    ]


def test_rates_are_rounded_up_not_down() -> None:
    assert rate(2.5e-06) == 2_500_000
    assert rate(1.00000000001e-12) == 2
    assert rate(None) == 0
