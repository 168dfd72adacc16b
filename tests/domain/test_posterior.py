import pytest

from radiant_dagster.domain.posterior import probability_above_half, upper_bound


def test_two_good_outcomes_make_a_candidate_probable() -> None:
    untouched, twice_good, twice_bad = (1.0, 1.0), (3.0, 1.0), (1.0, 3.0)

    sure = [probability_above_half(*posterior) for posterior in (untouched, twice_good, twice_bad)]

    # Beta(3, 1) has the density 3p², so 1 - 0.5³ of it lies above one half.
    assert sure == pytest.approx([0.5, 0.875, 0.125])


def test_an_upper_bound_leaves_the_rest_of_the_probability_above_it() -> None:
    # Beta(1, n) lies below x with 1 - (1 - x)ⁿ.
    assert upper_bound(1, 1, 0.9) == pytest.approx(0.9)
    assert upper_bound(1, 5, 0.9) == pytest.approx(1 - 0.1 ** (1 / 5))
    assert upper_bound(1, 9, 0.9) < 0.3 < upper_bound(1, 5, 0.9)
