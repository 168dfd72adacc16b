"""`radiant feedback` and `radiant think --follow`."""

from pathlib import Path

from tests.cli.conftest import PROMPT, Stack


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
