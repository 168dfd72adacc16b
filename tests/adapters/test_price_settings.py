"""A deployment's own prices, fallbacks and cheaper models: used everywhere, refused when wrong."""

import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from radiant_dagster.adapters.embeddings import build_embeddings
from radiant_dagster.adapters.llm import CompletionRequest, read_completion
from radiant_dagster.adapters.llm_transports import build_llm
from radiant_dagster.adapters.planning import planner_from
from radiant_dagster.adapters.price_settings import cheaper_from, prices_from
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.governor import cost_micro_usd, estimate
from radiant_dagster.domain.price_list import CHECKED_IN
from radiant_dagster.domain.prices import ModelPrice
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.errors import ConfigurationError, InvalidInput
from tests.services.llm_server import LlmServer

OWN = {"input_usd_per_million": 0.15, "output_usd_per_million": 3}

REQUEST = CompletionRequest(
    model="house-model",
    messages=({"role": "user", "content": "How long do vaccines keep cold?"},),
    temperature=0.5,
    max_tokens=100,
    timeout_seconds=5,
    tenant_id=uuid.UUID(int=7),
    idempotency_key="k",
)


def settings(tmp_path: Path, document: object = None, **env: str) -> Settings:
    values = {"RADIANT_HOME": str(tmp_path), **env}
    if document is not None:
        file = tmp_path / "prices.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document))
        values["RADIANT_PRICES_FILE"] = str(file)
    return Settings.load(values)


def test_a_price_of_the_file_adds_a_model_and_replaces_one(tmp_path: Path) -> None:
    document = {"house-model": OWN, "gpt-4o": {"input_usd_per_million": "0.0000001"}}

    prices = prices_from(settings(tmp_path, document))

    assert prices.price_of("openai/house-model") == ModelPrice(150_000, 3_000_000)
    assert prices.price_of("gpt-4o") == ModelPrice(1, 0)
    assert prices.price_of("gpt-4o-mini") == CHECKED_IN.price_of("gpt-4o-mini")
    assert CHECKED_IN.find("house-model") is None


def test_a_model_of_the_file_is_estimated_called_and_charged_by_its_price(
    tmp_path: Path, models: LlmServer
) -> None:
    own = settings(tmp_path, {"house-model": OWN}, LITELLM_PROXY_URL=models.url)
    agent = AgentConfig("a", "analyst", "house-model")

    bound = planner_from(own).estimate([agent], prompt="x", context={}, system_prompt=None)
    answer = build_llm(own).complete(REQUEST)

    assert bound.per_agent["a"] > 0
    assert answer.cost_micro_usd == cost_micro_usd(
        "house-model", answer.prompt_tokens, answer.completion_tokens, prices_from(own)
    )
    with pytest.raises(InvalidInput, match="RADIANT_PRICES_FILE"):
        build_llm(settings(tmp_path, LITELLM_PROXY_URL=models.url)).complete(REQUEST)


def test_an_embedding_model_of_the_file_is_as_long_as_it_says(tmp_path: Path) -> None:
    document = {"house-embedder": {"input_usd_per_million": 0, "dimensions": 768}}

    model = build_embeddings(settings(tmp_path, document, RADIANT_EMBEDDING_MODEL="house-embedder"))

    assert model.dimensions == 768


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "is not JSON"),
        ("\ufeff[]", "is not JSON"),
        ([], "the file: "),
        ({"m": 5}, "m: "),
        ({"m": {}}, r"m\.input_usd_per_million: "),
        ({"m": {**OWN, "output_usd_per_million": -1}}, r"m\.output_usd_per_million: "),
        ({"m": {**OWN, "input_usd_per_million": 1e9}}, r"m\.input_usd_per_million: "),
        ('{"m": {"input_usd_per_million": NaN}}', r"m\.input_usd_per_million: "),
        ({"m": {**OWN, "dimensions": 0}}, r"m\.dimensions: "),
        ({"m": {**OWN, "price": 1}}, r"m\.price: "),
    ],
)
def test_a_wrong_prices_file_is_refused_with_the_entry_and_the_fix(
    tmp_path: Path, document: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"RADIANT_PRICES_FILE: .*{message}") as caught:
        prices_from(settings(tmp_path, document))

    assert "input_usd_per_million" in str(caught.value)


def test_a_missing_prices_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"RADIANT_PRICES_FILE: there is no file .*gone"):
        prices_from(settings(tmp_path, RADIANT_PRICES_FILE=str(tmp_path / "gone.json")))


def test_the_dearest_model_that_may_answer_is_reserved(tmp_path: Path) -> None:
    own = settings(
        tmp_path,
        RADIANT_FALLBACK_MODELS=" gpt-4o-mini = gpt-4.1 + gpt-4-turbo ",
    )
    prices = prices_from(own)

    bound = estimate(1_000, 500, "openai/gpt-4o-mini", prices)

    assert prices.may_answer("gpt-4o-mini") == ("gpt-4o-mini", "gpt-4.1", "gpt-4-turbo")
    assert bound == estimate(1_000, 500, "gpt-4-turbo")
    assert bound > estimate(1_000, 500, "gpt-4o-mini")


def test_the_fallback_that_answered_is_charged_by_its_own_price(tmp_path: Path) -> None:
    prices = prices_from(settings(tmp_path, RADIANT_FALLBACK_MODELS="gpt-4o-mini=gpt-4-turbo"))
    body = {
        "model": "gpt-4-turbo",
        "choices": [{"message": {"content": "Four hours."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3},
    }
    request = replace(REQUEST, model="gpt-4o-mini")

    known = read_completion(body, request, {}, transport="proxy", latency_ms=1, prices=prices)
    unknown = read_completion(body, request, {}, transport="proxy", latency_ms=1)

    assert known.cost_micro_usd == cost_micro_usd("gpt-4-turbo", 10, 3)
    assert unknown.cost_micro_usd == cost_micro_usd("gpt-4o-mini", 10, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpt-4o", "'gpt-4o' is no pair"),
        ("gpt-4o=", "'gpt-4o=' is no pair"),
        ("gpt-4o=gpt-imaginary", "no price is known for 'gpt-imaginary'"),
        ("gpt-imaginary=gpt-4o", "no price is known for 'gpt-imaginary'"),
        ("gpt-4o=text-embedding-3-small", "is an embedding model"),
        ("gpt-4o=gpt-4.1+gpt-4o", "falls back to itself"),
        ("gpt-4o=gpt-4.1,gpt-4o=gpt-4", "names 'gpt-4o' twice"),
    ],
)
def test_wrong_fallbacks_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"RADIANT_FALLBACK_MODELS: .*{message}"):
        prices_from(settings(tmp_path, RADIANT_FALLBACK_MODELS=text))


def test_a_cheaper_model_of_the_settings_replaces_the_built_in_one(tmp_path: Path) -> None:
    own = settings(tmp_path, RADIANT_CHEAPER_MODELS="gpt-4o=gpt-4.1-nano, o1=gpt-4o")

    cheaper = cheaper_from(own, prices_from(own))

    assert (cheaper["gpt-4o"], cheaper["o1"]) == ("gpt-4.1-nano", "gpt-4o")
    assert cheaper["gpt-5"] == "gpt-5-mini"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpt-4o", "is no pair"),
        ("gpt-4o=gpt-imaginary", "no price is known"),
        ("gpt-4o-mini=gpt-4o", "'gpt-4o' is not cheaper than 'gpt-4o-mini'"),
        ("gpt-4o=gpt-4o", "is not cheaper"),
        ("gpt-5=o3", "is not cheaper"),
    ],
)
def test_wrong_cheaper_models_are_refused(tmp_path: Path, text: str, message: str) -> None:
    own = settings(tmp_path, RADIANT_CHEAPER_MODELS=text)

    with pytest.raises(ConfigurationError, match=f"RADIANT_CHEAPER_MODELS: .*{message}"):
        cheaper_from(own, prices_from(own))


def test_prices_that_turn_a_built_in_pair_round_cannot_make_a_circle(tmp_path: Path) -> None:
    own = settings(
        tmp_path,
        {"gpt-4o-mini": {"input_usd_per_million": 50, "output_usd_per_million": 50}},
        RADIANT_CHEAPER_MODELS="gpt-4o-mini=gpt-4o",
    )

    with pytest.raises(ConfigurationError, match="circle: gpt-4o"):
        cheaper_from(own, prices_from(own))


def test_routing_is_on_or_off(tmp_path: Path) -> None:
    assert planner_from(settings(tmp_path)).routing
    assert not planner_from(settings(tmp_path, RADIANT_ROUTING="off")).routing
    with pytest.raises(ConfigurationError, match="RADIANT_ROUTING"):
        settings(tmp_path, RADIANT_ROUTING="maybe")
