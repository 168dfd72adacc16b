import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiant_dagster.domain.sessions import (
    ALLOWED,
    MAX_CONTEXT_CHARACTERS,
    MAX_PROMPT_CHARACTERS,
    TERMINAL,
    DomainPolicy,
    SessionRequest,
    approval_reasons,
    final_outcome,
    release,
    validate_request,
)
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.errors import InvalidInput

DOMAINS = frozenset({"general", "medical"})
AGENT = AgentConfig("analyst", "analyst", "gpt-4o")
ENDED_FOR_GOOD = TERMINAL - {"failed"}


def policy(*, approval_required: bool = False, stage: Any = "draft") -> DomainPolicy:
    return DomainPolicy("general", approval_required, 300, 60, "reject", stage, 0.0, False)


def request(**changes: Any) -> SessionRequest:
    fields: dict[str, Any] = {
        "prompt": "Why?",
        "domain": "general",
        "user_id": "ann",
        "agents": (AGENT,),
    }
    return SessionRequest(**{**fields, **changes})


def refusal(wanted: SessionRequest) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        validate_request(wanted, domains=DOMAINS, known_tools=frozenset())
    return caught.value


def next_states(status: str) -> set[str]:
    return {target for target, sources in ALLOWED.items() if status in sources}


def test_a_session_that_ended_stays_as_it_ended() -> None:
    for status in ENDED_FOR_GOOD:
        assert next_states(status) <= {status}


@given(st.lists(st.sampled_from(sorted(ALLOWED)), max_size=30))
def test_no_walk_through_the_life_cycle_leaves_an_end_or_skips_the_conclusion(
    wishes: list[str],
) -> None:
    status, walked = "created", ["created"]

    for wish in wishes:
        if status in ALLOWED[wish]:
            status = wish
            walked.append(wish)

    for before, after in itertools.pairwise(walked):
        assert before not in ENDED_FOR_GOOD or after == before
        if after in ("completed", "rejected", "expired") and before != after:
            assert before in ("concluding", "failed")


def test_every_status_can_be_reached_and_every_open_one_can_be_cancelled() -> None:
    reached, frontier = {"created"}, {"created"}

    while frontier:
        frontier = {after for status in frontier for after in next_states(status)} - reached
        reached |= frontier

    assert reached == {"created", *ALLOWED}
    assert ALLOWED["cancelled"] == (reached - TERMINAL) | {"cancelled"}


REASON_INPUTS: dict[str, tuple[Any, Any]] = {
    "requested": (False, True),
    "policy": (policy(), policy(approval_required=True)),
    "cato_verdict": ("safe", "blocked"),
    "swarm_status": ("complete", "degraded"),
    "agreement": ("high", "low"),
    "not_synthesised": (False, True),
}


@given(st.sets(st.sampled_from(sorted(REASON_INPUTS))), st.sampled_from(sorted(REASON_INPUTS)))
def test_a_further_cause_for_approval_never_removes_a_reason(present: set[str], added: str) -> None:
    before = {name: pair[name in present] for name, pair in REASON_INPUTS.items()}
    after = {name: pair[name in present | {added}] for name, pair in REASON_INPUTS.items()}

    reasons, more = approval_reasons(**before), approval_reasons(**after)

    assert set(reasons) <= set(more)
    assert len(reasons) == len(present)
    assert len(more) == len(present | {added})


@pytest.mark.parametrize("verdict", ["review", "blocked", "unavailable"])
def test_anything_but_a_clear_safe_from_cato_asks_a_person(verdict: str) -> None:
    reasons = approval_reasons(
        requested=False,
        policy=policy(),
        cato_verdict=verdict,
        swarm_status="complete",
        agreement="high",
    )

    assert reasons == (f"cato_{verdict}",)


@given(st.sampled_from(["rejected", "expired"]), st.booleans(), st.none() | st.text())
def test_a_rejected_or_expired_draft_is_never_released(
    verdict: str, reviewed: bool, edited: str | None
) -> None:
    outcome = release(verdict=verdict, draft="D", draft_reviewed=reviewed, edited_text=edited)

    assert outcome.text is None
    assert not outcome.needs_draft
    assert final_outcome(verdict) == verdict


@pytest.mark.parametrize("edited", [None, "", "  \n"])
def test_guidance_without_a_text_means_a_new_draft_that_is_reviewed_again(
    edited: str | None,
) -> None:
    outcome = release(verdict="modified", draft="D", draft_reviewed=True, edited_text=edited)

    assert outcome.text is None
    assert outcome.needs_draft
    assert outcome.review_again


def test_an_edited_text_is_released_with_a_note_on_redactions_left_in_it() -> None:
    plain = release(verdict="modified", draft="D", draft_reviewed=True, edited_text="Fine.")
    redacted = release(
        verdict="modified", draft="D", draft_reviewed=True, edited_text="Ask [AGE_OVER_89_1]."
    )

    assert (plain.text, plain.note) == ("Fine.", "edited")
    assert (redacted.text, redacted.note) == ("Ask [AGE_OVER_89_1].", "redactions_left")


def test_approved_answers_without_a_draft_are_synthesised_first() -> None:
    outcome = release(verdict="approved", draft=None, draft_reviewed=False, edited_text=None)

    assert outcome.needs_draft
    assert not outcome.review_again


def test_an_unknown_verdict_ends_without_an_answer() -> None:
    assert final_outcome("granted") == "rejected"
    assert final_outcome(None) == "completed"


def test_answers_are_reviewed_without_a_draft_only_where_a_review_is_certain() -> None:
    stage = policy(stage="answers")

    assert not stage.drafts_before_review(requested=True)
    assert stage.drafts_before_review(requested=False)
    assert policy(stage="draft").drafts_before_review(requested=True)


def test_a_sound_request_passes() -> None:
    wanted = request(context={"documents": ["a", "b"]}, system_prompt="Be brief.")

    validate_request(wanted, domains=DOMAINS, known_tools=frozenset())


BAD: Mapping[str, tuple[dict[str, Any], str, str]] = {
    "empty prompt": ({"prompt": " \n "}, "prompt", "question"),
    "long prompt": ({"prompt": "x" * (MAX_PROMPT_CHARACTERS + 1)}, "prompt", "--context"),
    "NUL": ({"prompt": "a\x00b"}, "prompt", "Remove"),
    "lone surrogate": ({"prompt": "a\ud800b"}, "prompt", "Remove"),
    "unknown domain": ({"domain": "medcial"}, "domain", "general, medical"),
    "long context": ({"context": {"d": "x" * MAX_CONTEXT_CHARACTERS}}, "context", "excerpt"),
    "NUL deep in the context": ({"context": {"d": [{"e": "a\x00"}]}}, "context", "Remove"),
    "no JSON": ({"context": {"d": {1, 2}}}, "context", "texts"),
    "not a number": ({"context": {"d": float("nan")}}, "context", "finite"),
    "long system prompt": ({"system_prompt": "x" * 8_001}, "system_prompt", "Shorten"),
    "NUL in system prompt": ({"system_prompt": "\x00"}, "system_prompt", "Remove"),
    "nobody asks": ({"user_id": " "}, "user_id", "Name the person"),
    "long name": ({"user_id": "x" * 201}, "user_id", "Shorten"),
    "no agents": ({"agents": ()}, "agents", "panel"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_refused_with_field_and_fix(case: str) -> None:
    changes, field, fix = BAD[case]

    error = refusal(request(**changes))

    assert error.field == field
    assert fix in error.fix
    assert "x" * 100 not in str(error)


def test_a_backslash_before_u0000_is_ordinary_text() -> None:
    wanted = request(context={"d": "the escape \\u0000 in a manual"})

    validate_request(wanted, domains=DOMAINS, known_tools=frozenset())
