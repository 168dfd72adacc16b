import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiant_dagster.domain.approvals import (
    MAX_EDIT_CHARACTERS,
    MAX_GUIDANCE_CHARACTERS,
    NO_DRAFT,
    PendingApproval,
    Vote,
    attempt_of,
    continuation_run_key,
    extended_deadline,
    judge_vote,
    may_extend,
    payload_hash,
    require_reviewed_text,
    validate_vote,
)
from radiant_dagster.errors import (
    ApprovalChanged,
    ApprovalExpired,
    ApprovalForbidden,
    InvalidInput,
)

DEADLINE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BEFORE = DEADLINE - timedelta(seconds=1)
REQUEST = PendingApproval(
    id=uuid.UUID(int=7),
    domain="general",
    requested_by="ann",
    deadline=DEADLINE,
    quorum=1,
    required_role="reviewer",
    payload_sha256=payload_hash("draft"),
    withheld=False,
    voters=(),
)
VOTE = Vote(
    actor="dr-lee",
    roles=frozenset({"reviewer"}),
    verdict="approved",
    payload_sha256=payload_hash("draft"),
)
REJECTION = replace(VOTE, verdict="rejected", guidance="Wrong dose.")

times = st.integers(-86_400_000_000, 86_400_000_000).map(
    lambda microseconds: DEADLINE + timedelta(microseconds=microseconds)
)


@given(
    times,
    st.sampled_from(["approved", "rejected", "modified"]),
    st.sampled_from(["ann", "dr-lee", "dr-wu"]),
    st.sets(st.sampled_from(["reviewer", "senior"])),
    st.booleans(),
    st.integers(1, 2),
)
def test_no_vote_counts_at_or_after_the_deadline_whoever_casts_it(
    now: datetime, verdict: Any, actor: str, roles: set[str], withheld: bool, quorum: int
) -> None:
    request = replace(REQUEST, withheld=withheld, quorum=quorum)
    vote = replace(VOTE, verdict=verdict, actor=actor, roles=frozenset(roles), guidance="g")

    try:
        judge_vote(request, vote, now=now)
    except ApprovalExpired:
        expired = True
    except ApprovalForbidden:
        expired = False
    else:
        expired = False

    assert expired == (now >= DEADLINE)


def test_the_last_microsecond_counts_and_the_deadline_itself_does_not() -> None:
    assert judge_vote(REQUEST, VOTE, now=DEADLINE - timedelta(microseconds=1)) == "approved"
    with pytest.raises(ApprovalExpired):
        judge_vote(REQUEST, VOTE, now=DEADLINE)


def test_the_person_who_asked_cannot_decide() -> None:
    for actor in ("ann", "Ann", " ANN "):
        with pytest.raises(ApprovalForbidden, match="the person who asked"):
            judge_vote(REQUEST, replace(VOTE, actor=actor), now=BEFORE)


def test_the_required_role_is_needed() -> None:
    with pytest.raises(ApprovalForbidden, match="role senior is needed"):
        judge_vote(replace(REQUEST, required_role="senior"), VOTE, now=BEFORE)


def test_nobody_votes_twice() -> None:
    request = replace(REQUEST, quorum=2, voters=("dr-lee",))

    for actor in ("dr-lee", "Dr-Lee"):
        with pytest.raises(ApprovalForbidden, match="recorded already"):
            judge_vote(request, replace(VOTE, actor=actor), now=BEFORE)


def test_a_vote_on_another_text_does_not_count() -> None:
    with pytest.raises(ApprovalChanged):
        judge_vote(REQUEST, replace(VOTE, payload_sha256=payload_hash("other")), now=BEFORE)


@pytest.mark.parametrize("verdict", ["approved", "modified"])
def test_a_withheld_text_can_only_be_rejected(verdict: Any) -> None:
    withheld = replace(REQUEST, withheld=True)

    with pytest.raises(ApprovalForbidden, match="only be rejected"):
        judge_vote(withheld, replace(VOTE, verdict=verdict), now=BEFORE)
    assert judge_vote(withheld, REJECTION, now=BEFORE) == "rejected"


def test_two_approvals_make_a_quorum_of_two_and_one_rejection_ends_it() -> None:
    request = replace(REQUEST, quorum=2)

    first = judge_vote(request, VOTE, now=BEFORE)
    second = judge_vote(replace(request, voters=("dr-wu",)), VOTE, now=BEFORE)
    rejection = judge_vote(request, REJECTION, now=BEFORE)

    assert (first, second, rejection) == (None, "approved", "rejected")


BAD_VOTES: dict[str, tuple[Vote, str]] = {
    "nobody": (replace(VOTE, actor=" "), "actor"),
    "nobody's name": (replace(VOTE, actor=" System:deadline"), "actor"),
    "rejected without a reason": (replace(VOTE, verdict="rejected"), "guidance"),
    "modified without a change": (replace(VOTE, verdict="modified"), "edited_text"),
    "modified with blanks": (
        replace(VOTE, verdict="modified", guidance=" ", edited_text="\n"),
        "edited_text",
    ),
    "approved with a text": (replace(VOTE, edited_text="CANARY"), "edited_text"),
    "rejected with a text": (replace(REJECTION, edited_text="CANARY"), "edited_text"),
    "long guidance": (
        replace(REJECTION, guidance="CANARY" * MAX_GUIDANCE_CHARACTERS),
        "guidance",
    ),
    "long text": (
        replace(VOTE, verdict="modified", edited_text="CANARY" * MAX_EDIT_CHARACTERS),
        "edited_text",
    ),
    "NUL in guidance": (replace(REJECTION, guidance="CANARY\x00"), "guidance"),
    "surrogate in text": (
        replace(VOTE, verdict="modified", edited_text="CANARY\udc00"),
        "edited_text",
    ),
}


@pytest.mark.parametrize("case", BAD_VOTES)
def test_a_bad_vote_is_refused_with_its_field_and_without_its_text(case: str) -> None:
    vote, field = BAD_VOTES[case]

    with pytest.raises(InvalidInput) as caught:
        validate_vote(vote)

    assert caught.value.field == field
    assert "CANARY" not in str(caught.value)


def test_sound_votes_pass() -> None:
    for vote in (
        VOTE,
        REJECTION,
        replace(VOTE, verdict="modified", guidance="Shorter."),
        replace(VOTE, verdict="modified", edited_text="Better."),
    ):
        validate_vote(vote)


def test_only_the_text_that_was_reviewed_may_be_released() -> None:
    decision = {"approval_id": REQUEST.id, "payload_sha256": memoryview(payload_hash("draft"))}

    require_reviewed_text(decision, "draft")
    for other in ("draft ", None, ""):
        with pytest.raises(ApprovalChanged):
            require_reviewed_text(decision, other)
    assert payload_hash("") == NO_DRAFT


def test_a_deadline_is_extended_once_by_its_original_length() -> None:
    created = DEADLINE - timedelta(minutes=5)
    now = DEADLINE + timedelta(seconds=30)

    later = extended_deadline(created, DEADLINE, now)

    assert later == now + timedelta(minutes=5)
    assert may_extend("escalate", None)
    assert not may_extend("escalate", now)
    assert not may_extend("reject", None)
    assert extended_deadline(DEADLINE, DEADLINE, now) > now


@given(st.uuids(), st.integers(1, 9))
def test_a_run_key_names_its_attempt(approval_id: uuid.UUID, attempt: int) -> None:
    assert attempt_of(continuation_run_key(approval_id, attempt)) == attempt


@pytest.mark.parametrize("key", [None, "", "approval", "approval:x:", "other:x:2", "approval:x:-1"])
def test_other_run_keys_name_none(key: str | None) -> None:
    assert attempt_of(key) is None
