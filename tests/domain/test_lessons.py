"""What may be learned, where it belongs, what it proves, and what the Grimoire had said itself."""

import json
import uuid
from typing import Any

import pytest

from radiant_dagster.domain.dedup import (
    Bands,
    Link,
    Neighbour,
    Placement,
    links_of,
    place,
    same_facts,
)
from radiant_dagster.domain.learning import (
    LearningCaps,
    evidence_reward,
    may_promote,
    teaching,
)
from radiant_dagster.domain.priming import (
    Lesson,
    lessons_in_tool_output,
    says_the_same,
    without_lessons,
)

BANDS = Bands(merge_at=0.95, link_at=0.80)
TRIGGER = "A question about cold storage"
ACTION = "Say how long the cold holds and name the hour at which the stock must move elsewhere."
OTHER_ACTION = "Ask who holds the keys, then call the landlord about the broken lock today."
A, B = uuid.UUID(int=1), uuid.UUID(int=2)
SESSION: dict[str, Any] = {
    "status": "concluding",
    "swarm_status": "complete",
    "draft": "The draft.",
    "final": "The answer.",
    "guidance": "",
    "not_synthesised": False,
}
H = Lesson("do", TRIGGER, ACTION)


def neighbour(
    similarity: float, *, number: uuid.UUID = A, polarity: Any = "do", action: str = ACTION
) -> Neighbour:
    return Neighbour(number, polarity, TRIGGER, action, similarity)


def placed(*neighbours: Neighbour, action: str = ACTION) -> Placement:
    return place("do", TRIGGER, action, neighbours, BANDS)


def test_nearly_the_same_lesson_is_merged() -> None:
    assert placed(neighbour(0.97)) == Placement(merge_into=A)


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        (neighbour(0.97, action=OTHER_ACTION), "conflict"),
        (neighbour(0.97, action=ACTION.replace("must", "must never")), "conflict"),
        (neighbour(0.97, action=ACTION.replace("the hour", "4 hours")), "conflict"),
        (neighbour(0.97, polarity="avoid"), "conflict"),
        (neighbour(0.85, polarity="avoid"), "conflict"),
        (neighbour(0.85), "near_copy"),
        (neighbour(0.85, action=OTHER_ACTION), "near_copy"),
    ],
)
def test_what_is_near_but_not_the_same_is_linked(other: Neighbour, kind: Any) -> None:
    assert placed(other) == Placement(links=(Link(A, kind, other.similarity),))


@pytest.mark.parametrize("polarity", ["do", "avoid"])
def test_below_the_bands_lessons_have_nothing_to_do_with_each_other(polarity: str) -> None:
    assert placed(neighbour(0.79, polarity=polarity)) == Placement()


def test_a_merged_lesson_leaves_its_conflicts_to_the_row_that_lives_on() -> None:
    near, against = neighbour(0.85, number=B), neighbour(0.9, number=B, polarity="avoid")

    assert placed(neighbour(0.97), near) == Placement(merge_into=A)
    assert placed(neighbour(0.97), against) == Placement(A, (Link(B, "conflict", 0.9),))


def test_what_a_person_wrote_stands_beside_its_copies_as_well() -> None:
    copy, against = neighbour(0.97), neighbour(0.9, number=B, polarity="avoid")

    links = links_of("do", TRIGGER, ACTION, (copy, against, neighbour(0.79)), BANDS)

    assert links == (Link(A, "near_copy", 0.97), Link(B, "conflict", 0.9))


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("Give 5 mg daily.", "Give 5 mg each day.", True),
        ("Give 5 mg daily.", "Give 5 mcg daily.", False),
        ("Wait two hours.", "Wait six hours.", False),
        ("Increase it slowly.", "Decrease it slowly.", False),
        ("Act before noon.", "Act after noon.", False),
        ("Do log it.", "Don\u2019t log it.", False),
        ("Log \uff15 readings.", "LOG 5 readings.", True),
    ],
)
def test_numbers_units_negations_and_directions_tell_a_copy_from_its_opposite(
    a: str, b: str, *, same: bool
) -> None:
    assert same_facts(a, b) is same


@pytest.mark.parametrize(
    ("verdict", "changes", "response", "polarities"),
    [
        ("approved", {}, "The answer.", ("do",)),
        (None, {}, "The answer.", ("do",)),
        ("modified", {}, "The answer.", ("do",)),
        ("modified", {"guidance": "Name the hour."}, "The answer.", ("do", "avoid")),
        ("rejected", {"guidance": "Wrong dose.", "final": None}, "The draft.", ("avoid",)),
    ],
)
def test_each_outcome_teaches_from_its_own_text(
    verdict: str | None, changes: dict[str, Any], response: str, polarities: tuple[str, ...]
) -> None:
    taught = teaching(verdict, **SESSION | changes)

    assert (taught.refusal, taught.response, taught.polarities) == ("", response, polarities)


@pytest.mark.parametrize(
    ("verdict", "changes", "refusal"),
    [
        ("rejected", {"final": None}, "rejected_without_guidance"),
        ("rejected", {"final": None, "guidance": "  "}, "rejected_without_guidance"),
        ("rejected", {"draft": None, "guidance": "Why?"}, "no_answer"),
        ("expired", {"final": None}, "expired"),
        ("approved", {"final": " "}, "no_answer"),
        ("approved", {"swarm_status": "degraded"}, "swarm_degraded"),
        ("approved", {"status": "failed"}, "session_failed"),
        ("approved", {"status": "cancelled"}, "session_cancelled"),
        ("approved", {"final": "The draft.", "not_synthesised": True}, "not_synthesised"),
        ("rejected", {"guidance": "Why?", "not_synthesised": True}, "not_synthesised"),
    ],
)
def test_other_sessions_teach_nothing_and_say_why(
    verdict: str | None, changes: dict[str, Any], refusal: str
) -> None:
    assert teaching(verdict, **SESSION | changes).refusal == refusal


def test_a_rejection_vouches_for_what_to_avoid_and_against_what_to_do() -> None:
    draft, edited = "one two three four five", "one two three 4 5"

    assert evidence_reward("approved", "do", draft, draft) == 1
    assert evidence_reward("rejected", "avoid", draft, None) == 1
    assert evidence_reward("rejected", "do", draft, None) == 0
    assert evidence_reward("modified", "do", draft, edited) == pytest.approx(0.6)
    assert evidence_reward("modified", "avoid", draft, edited) == pytest.approx(0.4)
    assert evidence_reward(None, "do", draft, draft) is None
    assert evidence_reward("expired", "do", draft, None) is None


PROVEN: dict[str, Any] = {
    "domain": "general",
    "auto_promote": True,
    "users": 2,
    "objections": 0,
    "alpha": 3.0,
    "beta": 1.0,
}


@pytest.mark.parametrize(
    "change",
    [
        {"domain": "medical"},
        {"domain": "financial"},
        {"domain": "legal"},
        {"auto_promote": False},
        {"users": 1},
        {"objections": 1},
        {"alpha": 2.0},  # one approval: P(p > 0.5) = 0.75
        {"beta": 2.5},
    ],
)
def test_a_candidate_is_promoted_only_where_everything_speaks_for_it(
    change: dict[str, Any],
) -> None:
    assert may_promote(**PROVEN)
    assert not may_promote(**PROVEN | change)


def test_the_days_caps_leave_room_up_to_their_number() -> None:
    caps = LearningCaps(per_user_day=20, per_tenant_day=500)

    assert not caps.reached(of_user=19, of_tenant=499)
    assert caps.reached(of_user=20, of_tenant=20)
    assert caps.reached(of_user=0, of_tenant=500)


def test_what_the_grimoire_said_is_taken_out_of_an_answer() -> None:
    said = "Say how long the cold holds, and name the hour at which the stock MUST move elsewhere."
    own = "Keep the fridge closed."

    assert without_lessons(f"{own} {said} Log it.", [H]).split() == f"{own} Log it.".split()
    assert without_lessons(own, [H]) == own
    assert without_lessons(f"{own} {said}", []) == f"{own} {said}"


def test_a_sentence_keeps_what_is_its_own_around_a_short_quote() -> None:
    text = (
        "Before anybody opens a door in the ward tonight, say how long the cold holds, write the "
        "temperature of each fridge down and tell the pharmacist who is on call about it."
    )

    left = without_lessons(text, [H])

    assert "how long the cold" not in left
    assert left.startswith("Before anybody opens a door in the ward tonight,")
    assert "tell the pharmacist who is on call" in left


def test_a_lesson_that_repeats_an_offered_one_is_recognised_by_either_half() -> None:
    assert says_the_same("do", "Somewhere else entirely, for other people", ACTION.upper(), [H])
    assert says_the_same("do", TRIGGER, OTHER_ACTION, [H])
    assert not says_the_same("do", "Locks that do not open", OTHER_ACTION, [H])
    assert not says_the_same("avoid", TRIGGER, ACTION, [H])


def test_lessons_found_with_the_tool_count_as_offered_even_where_the_record_was_cut() -> None:
    output = json.dumps({"heuristics": [{"kind": "do", "when": TRIGGER, "then": ACTION}]})

    assert lessons_in_tool_output(output) == (H,)
    (cut,) = lessons_in_tool_output(output[:-20])
    assert without_lessons("Say how long the cold holds and name the hour.", [cut]) == ""
