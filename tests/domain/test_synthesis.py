import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiant_dagster.domain.governor import counted_characters
from radiant_dagster.domain.swarm import MAX_ANSWER_TOKENS_IN_SYNTHESIS, AgentResult
from radiant_dagster.domain.synthesis import (
    LOW_COSINE,
    Agreement,
    agreement_of,
    mean_cosine,
    shown_answers,
    unsynthesised,
)

LONG = 2 * MAX_ANSWER_TOKENS_IN_SYNTHESIS


def result(agent_id: str, response: str, status: Any = "success") -> AgentResult:
    return AgentResult(agent_id, status, response, role="analyst")


@pytest.mark.parametrize("unit", ["word ", "\u8bcd", "\U0001f600", '"', "\n", "A1"])
def test_an_answer_of_any_script_is_cut_to_what_is_paid_for(unit: str) -> None:
    long = unit * LONG

    shown = shown_answers([result("a", long), result("b", unit)])

    sent = shown.results[0].response or ""
    counted = counted_characters(json.dumps(sent, ensure_ascii=False))
    assert 0.8 * LONG < counted <= LONG
    assert long.startswith(sent)
    assert shown.cut == ("a",)
    assert shown.results[1].response == unit


def test_only_successful_answers_are_shown() -> None:
    shown = shown_answers([result("a", "yes"), result("b", "half an ans", "timeout")])

    assert [item.agent_id for item in shown.results] == ["a"]


@pytest.mark.parametrize(
    ("degrees", "mean"), [([], None), ([10], None), ([0, 60], 0.5), ([0, 0, 90], 1 / 3)]
)
def test_the_mean_cosine_is_over_all_pairs(degrees: list[float], mean: float | None) -> None:
    angles = [math.radians(degree) for degree in degrees]

    found = mean_cosine([(math.cos(angle), math.sin(angle)) for angle in angles])

    assert found == (None if mean is None else pytest.approx(mean))


@given(st.sampled_from(["high", "low", "unknown"]), st.none() | st.floats(-1, 1))
def test_a_measure_only_ever_lowers_the_agreement(
    reported: Agreement, cosine: float | None
) -> None:
    agreement = agreement_of(reported, cosine)

    assert agreement in ("low", reported)
    assert (agreement == "low") == (
        reported == "low" or (cosine is not None and cosine < LOW_COSINE)
    )


def test_a_draft_that_no_model_wrote_names_each_agent_and_keeps_its_whole_answer() -> None:
    long = "x" * LONG * 2

    draft = unsynthesised([result("a", long), result("b", "No."), result("c", "so", "failed")])

    assert draft.startswith("Not synthesised")
    assert draft.endswith(f"analyst (a):\n{long}\n\nanalyst (b):\nNo.")
