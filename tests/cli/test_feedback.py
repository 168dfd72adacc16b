"""`radiant feedback` and `radiant think --follow`."""

import json
from pathlib import Path

from tests.cli.conftest import PROMPT, Stack
from tests.services.llm_server import content

LESSON = {
    "polarity": "do", "domain": "general", "trigger_pattern": PROMPT,
    "action_template": "Name who moves the stock first, and where it goes.",
}  # fmt: skip


def answered(stack: Stack) -> str:
    return stack.radiant.json("think", PROMPT)["session"]["id"]


def test_somebody_says_how_good_an_answer_was(stack: Stack, tmp_path: Path) -> None:
    session_id = answered(stack)
    better = tmp_path / "better.txt"
    better.write_text("It depends on the fridge.")

    given = stack.radiant.json(
        "feedback", session_id[:8], "corrected", "--text", str(better), "--as", "lee"
    )
    again = stack.radiant("feedback", session_id, "good", "--as", "lee")

    assert given["outcome"] is True
    assert again.exit_code == 3
    assert "recorded already" in again.stderr
    assert stack.radiant.rows("select actor, verdict from radiant.session_feedback") == [
        ("lee", "corrected")
    ]


def test_a_follow_up_reaches_the_agents_with_the_answer_and_shows_its_parent(
    stack: Stack,
) -> None:
    parent = answered(stack)

    child = stack.radiant.json("think", "And what would that cost?", "--follow", parent[:8])

    (name,) = child["session"]["context"]
    shown = stack.radiant("sessions", "show", child["session"]["id"]).stdout
    assert child["session"]["status"] == "completed"
    assert child["session"]["parent_session_id"] == parent
    assert parent in name
    assert f"Follows session {parent}" in shown


def test_an_unknown_session_cannot_be_followed(stack: Stack) -> None:
    result = stack.radiant("think", PROMPT, "--follow", "abcdef12")

    assert result.exit_code == 3
    assert stack.radiant.nothing_happened()


def test_who_judges_an_answer_sees_what_that_moved_and_so_does_the_session(
    stack: Stack, tmp_path: Path
) -> None:
    radiant = stack.radiant
    lesson = tmp_path / "lesson.jsonl"
    lesson.write_text(json.dumps(LESSON))
    (learned,) = radiant.json("grimoire", "import", str(lesson), "--active")["imported"]
    radiant.models.script(content("Name who moves the stock first [H1]."), agent="skeptic")
    for agent in ("analyst", "domain_expert", "pragmatist", "safety_reviewer"):
        radiant.models.script(content("Keep the fridge closed."), agent=agent)
    session_id = answered(stack)

    before = radiant("sessions", "show", session_id).stdout
    said = radiant("feedback", session_id, "good", "--as", "lee").stdout
    late = radiant("feedback", session_id, "bad", "--as", "kim").stdout
    after = radiant("sessions", "show", session_id).stdout
    uses = radiant("grimoire", "show", learned).stdout

    assert "Cited by skeptic. Nobody has judged the answer yet." in before
    assert f"That credits what was cited: radiant feedback {session_id[:8]} good" in before
    assert "That credits" not in after
    assert "1 heuristic offered, 1 cited, 0 credited" in before
    assert f"it moves 1 heuristic: radiant sessions show {session_id[:8]}" in said
    assert "Somebody judged this answer before you" in late
    assert "1 heuristic offered, 1 cited, 1 credited" in after
    assert "Cited by skeptic. The outcome was worth 1.00 of 1; credited as 0.20 of a use." in after
    assert f"H1 {learned[:8]}" in after
    assert f"session {session_id}: cited by 1 of 5 agents, worth 1.00, credited as 0.20" in uses


def test_an_answer_without_any_heuristic_says_that_nothing_moves(stack: Stack) -> None:
    said = stack.radiant("feedback", answered(stack), "good").stdout

    assert "No heuristic moves: the agents cited none" in said


def test_what_a_session_taught_is_told_as_it_stands_by_now(stack: Stack) -> None:
    radiant = stack.radiant
    session_id = answered(stack)
    taught = radiant.json("sessions", "show", session_id)["learned"]["id"]

    at_first = radiant("sessions", "show", session_id).stdout
    radiant("grimoire", "promote", taught, "--as", "cora")
    promoted = radiant("sessions", "show", session_id).stdout
    again = radiant("sessions", "show", answered(stack)).stdout

    assert f"radiant grimoire promote {taught[:8]}" in " ".join(at_first.split())
    assert f"a heuristic, now active: radiant grimoire show {taught[:8]}" in promoted
    assert "nothing: it repeats what the Grimoire had told the agents" in again


def test_a_reviewer_reads_what_the_numbers_in_the_answers_stand_for(
    stack: Stack, tmp_path: Path
) -> None:
    radiant = stack.radiant
    lesson = tmp_path / "lesson.jsonl"
    lesson.write_text(json.dumps(LESSON))
    radiant("grimoire", "import", str(lesson), "--active")
    radiant.json("think", PROMPT, "--require-approval", "--no-wait")
    (listed,) = radiant.json("approvals", "list")["approvals"]

    shown = radiant("approvals", "show", listed["id"]).stdout

    assert f"H1 (do) When: {PROMPT}" in shown
