"""What a domain's review policy may ask for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiant_dagster.domain.policies import (
    RANGES,
    ReviewPolicy,
    changed_policy,
    differences,
    validate_domain_name,
)
from radiant_dagster.errors import InvalidInput

REFUSED: tuple[tuple[str, Any], ...] = (
    *((name, low - 1) for name, (low, _) in RANGES.items()),
    *((name, high + 1) for name, (_, high) in RANGES.items()),
    ("on_timeout", "approve"),
    ("review_stage", "never"),
    ("required_role", "admin"),
    ("second_role", "viewer"),
    ("assignees", ("system:deadline",)),
)


@pytest.mark.parametrize(("field", "value"), REFUSED)
def test_a_value_that_cannot_hold_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        changed_policy(ReviewPolicy(), {field: value})

    assert caught.value.field in (field, "actor")


def test_both_ends_of_each_range_are_taken() -> None:
    for place in (0, 1):
        values = {name: ends[place] for name, ends in RANGES.items()}

        policy = changed_policy(ReviewPolicy(), values)

        assert {name: getattr(policy, name) for name in values} == values


def test_one_person_cannot_be_both_who_have_to_agree() -> None:
    with pytest.raises(InvalidInput, match="assignees"):
        changed_policy(ReviewPolicy(quorum=2), {"assignees": ("ann", " Ann ")})
    with pytest.raises(InvalidInput, match="assignees"):
        changed_policy(ReviewPolicy(assignees=("ann",)), {"quorum": 2})

    both = changed_policy(ReviewPolicy(quorum=2), {"assignees": ("ann", "bo")})
    anybody = changed_policy(both, {"assignees": ()})

    assert both.assignees == ("ann", "bo")
    assert anybody == ReviewPolicy(quorum=2)


@pytest.mark.parametrize("name", ["", "Medical", "1st", "a-b", "a b", "x" * 64, "a\n"])
def test_a_name_that_the_database_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="name"):
        validate_domain_name(name)


@given(st.integers(1, 2), st.booleans(), st.integers(5, 2_592_000))
def test_a_change_leaves_the_rest_as_it_was_and_is_told_exactly(
    quorum: int, required: bool, seconds: int
) -> None:
    old = ReviewPolicy(on_timeout="escalate", assignees=("ann", "bo"))
    changes = {"quorum": quorum, "approval_required": required, "deadline_seconds": seconds}

    new = changed_policy(old, changes)

    told = {name: pair[1] for name, pair in differences(old, new).items()}
    assert told == {k: v for k, v in changes.items() if getattr(old, k) != v}
    assert (new.on_timeout, new.assignees) == ("escalate", ("ann", "bo"))
