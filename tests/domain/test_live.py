from dataclasses import replace

import pytest

from radiant_dagster.domain.live import text_may_be_shown, tokens_so_far
from radiant_dagster.domain.sessions import DomainPolicy

OPEN = DomainPolicy("general", False, 1800, 120, "reject", "draft", 0.0, True)


@pytest.mark.parametrize(
    ("requested", "approval_required", "shown"),
    [(False, False, True), (True, False, False), (False, True, False), (True, True, False)],
)
def test_drafts_are_shown_only_where_no_review_is_certain(
    requested: bool, approval_required: bool, shown: bool
) -> None:
    policy = replace(OPEN, approval_required=approval_required)

    assert text_may_be_shown(requested=requested, policy=policy) is shown


@pytest.mark.parametrize(("characters", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (1248, 312)])
def test_a_started_token_counts(characters: int, tokens: int) -> None:
    assert tokens_so_far(characters) == tokens
