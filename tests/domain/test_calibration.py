import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiant_dagster.domain.calibration import (
    LEAST_OUTCOMES,
    LEAST_PRECISION,
    Observation,
    choose_floor,
    choose_floor_near,
    quality,
)
from radiant_dagster.domain.hubness import hub_positions
from radiant_dagster.domain.retrieval_scores import Bm25, fused, score

OBSERVATIONS = st.builds(Observation, st.floats(0, 1), st.booleans(), st.booleans())


def seen(similarity: float, *, right: int, wrong: int, outside: int = 0) -> list[Observation]:
    return (
        [Observation(similarity, relevant=True)] * right
        + [Observation(similarity, relevant=False)] * wrong
        + [Observation(similarity, relevant=False, in_scope=False)] * outside
    )


def test_a_floor_is_described_by_what_it_offers_and_to_whom() -> None:
    observations = seen(0.8, right=6, wrong=1, outside=1) + seen(0.4, right=2, wrong=1, outside=3)

    found = quality(observations, 0.6)

    assert found.precision == 6 / 8
    assert found.recall == 6 / 10
    assert found.coverage == 7 / 10
    assert found.leakage == 1 / 4
    assert found.n == 14


def test_the_floor_of_the_best_f1_is_chosen_among_the_precise_ones() -> None:
    observations = seen(0.9, right=30, wrong=2) + seen(0.6, right=30, wrong=8)
    noise = seen(0.3, right=5, wrong=60, outside=40)

    chosen = choose_floor(observations + noise)

    assert chosen is not None
    assert chosen.floor == pytest.approx(0.6)


@given(st.lists(OBSERVATIONS, max_size=60))
def test_no_chosen_floor_is_less_precise_than_the_rule(observations: list[Observation]) -> None:
    chosen = choose_floor(observations)

    if chosen is not None:
        assert chosen.precision is not None
        assert chosen.precision >= LEAST_PRECISION
        assert chosen == quality(observations, chosen.floor)


def test_where_nothing_is_precise_enough_no_floor_is_chosen() -> None:
    assert choose_floor(seen(0.9, right=7, wrong=3)) is None
    assert choose_floor([]) is None


def test_outcomes_move_a_floor_only_so_far_and_only_where_there_are_enough() -> None:
    low = seen(0.2, right=LEAST_OUTCOMES, wrong=0)
    high = seen(0.95, right=LEAST_OUTCOMES, wrong=0) + seen(0.72, right=0, wrong=100)

    lowest, highest = choose_floor_near(low, 0.5), choose_floor_near(high, 0.5)

    assert lowest is None  # nothing is offered at any floor in reach
    assert highest is None  # .70 is as far as it may go, and that is not precise
    reachable = choose_floor_near(seen(0.45, right=LEAST_OUTCOMES, wrong=0), 0.5)
    assert reachable is not None
    assert reachable.floor == pytest.approx(0.45)
    assert choose_floor_near(low[:-1], 0.1) is None


def test_scores_of_a_ranking_are_the_textbooks() -> None:
    first, third = (["a", "b", "b"], "a", 1), (["b", "b", "a"], "a", 2)

    found = score([first, third])

    assert found.hit_at_1 == 0.5
    assert found.hit_at_5 == 1
    assert found.mrr_at_10 == pytest.approx((1 + 1 / 3) / 2)
    assert found.ndcg_at_10 == pytest.approx((1 + 0.5 / (1 + 1 / np.log2(3))) / 2)


def test_lexical_rankings_prefer_rare_words_and_are_fused_by_rank() -> None:
    lexical = Bm25(["cold storage of vaccines", "storage of files", "storage of wood"])

    assert lexical.ranking("vaccines in storage", 3)[0] == 0
    assert lexical.ranking("nothing known", 3) == []
    assert fused([[1, 2, 3], [2, 9]], 3) == [2, 1, 9]


def clinc_like(random: np.random.Generator, intents: int, each: int) -> np.ndarray:
    """Return unit vectors of many topics: alike within one, nearly unrelated between them."""
    topics = random.normal(size=(intents, 384)) + 0.35 * random.normal(size=384)
    rows = np.repeat(topics, each, axis=0) + 0.8 * random.normal(size=(intents * each, 384))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("each", [1, 5])
@pytest.mark.parametrize("mixed", [20, 100])
def test_every_planted_hub_raises_the_alarm_and_no_honest_row_does(each: int, mixed: int) -> None:
    random = np.random.default_rng(3)
    honest = clinc_like(random, 150, each)
    means = [
        honest[random.choice(len(honest), mixed, replace=False)].mean(axis=0) for _ in range(5)
    ]
    planted = np.array([mean / np.linalg.norm(mean) for mean in means])

    found = hub_positions(np.vstack([honest, planted]).tolist())

    assert found == tuple(range(len(honest), len(honest) + 5))
    assert hub_positions(honest.tolist()) == ()
