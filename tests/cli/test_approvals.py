"""Reading what waits for a person, and deciding it."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Radiant, Stack
from tests.conftest import run_sql, with_database
from tests.services.llm_server import OK, content

PHI = "John Smith, MRN 12345678, asks: may he take ibuprofen?"


def waiting(stack: Stack, prompt: str = PHI) -> str:
    """Ask something that needs a review; returns the approval's id."""
    stack.radiant("think", prompt, "--domain", "medical", "--no-wait", "--user", "ann")
    return str(stack.radiant.rows("select id from radiant.approval_request")[0][0])


def states(radiant: Radiant) -> list[tuple[str, ...]]:
    return radiant.rows("select state from radiant.approval_request")


def test_a_reviewer_sees_everything_but_what_identifies(stack: Stack) -> None:
    approval_id = waiting(stack)

    shown = stack.radiant("approvals", "show", approval_id[:8])
    document = stack.radiant("approvals", "show", approval_id, "--json")

    assert shown.exit_code == 0
    for words in ("[PERSON_1]", "Answer of skeptic (skeptic)", "Cato: ", "Draft under review"):
        assert words in shown.stdout
    assert "left (until" in shown.stdout
    assert "Without a decision the session ends without an answer" in shown.stdout
    for output in (shown.stdout, document.stdout):
        assert "John Smith" not in output
        assert "12345678" not in output


def test_a_reviewer_sees_the_dissent_and_who_stands_behind_each_claim(stack: Stack) -> None:
    for agent in ("analyst", "domain_expert", "skeptic", "pragmatist", "safety_reviewer"):
        stack.radiant.models.script(OK, agent=agent)
    body = {
        "answer": "He may not.",
        "claims": [{"text": "John Smith has one kidney.", "agents": ["analyst", "skeptic"]}],
        "dissent": ["The pragmatist would let John Smith take one."],
        "agreement": "low",
    }
    stack.radiant.models.script(content(json.dumps(body)))
    approval_id = waiting(stack)

    shown = " ".join(stack.radiant("approvals", "show", approval_id[:8]).stdout.split())

    assert "The agents disagree." in shown
    assert "- [PERSON_1] has one kidney. (analyst, skeptic)" in shown
    assert "- The pragmatist would let [PERSON_1] take one." in shown
    assert shown.index("Dissent") < shown.index("Draft under review")


def test_an_approved_draft_is_the_answer(stack: Stack) -> None:
    approval_id = waiting(stack)

    result = stack.radiant("approvals", "approve", approval_id[:8], "--as", "dr-lee")
    stack.conclude(approval_id)

    assert result.exit_code == 0
    assert "Recorded: approved by dr-lee." in result.stdout
    assert stack.radiant.rows("select status, final_response = draft from radiant.session") == [
        ("completed", True)
    ]


def test_a_corrected_text_is_read_from_a_file_or_standard_input(
    stack: Stack, tmp_path: Path
) -> None:
    approval_id = waiting(stack)
    text = tmp_path / "answer.txt"
    text.write_text("Ask [PERSON_1]'s own doctor.")

    result = stack.radiant("approvals", "modify", approval_id, "--as", "lee", "--text", str(text))
    stack.conclude(approval_id)
    session_id = str(stack.radiant.rows("select id from radiant.session")[0][0])
    shown = stack.radiant("sessions", "show", session_id)

    assert result.exit_code == 0
    assert "Ask [PERSON_1]'s own doctor." in shown.stdout
    assert "its redactions, like [PERSON_1], were left in" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["reject", "--as", "lee"], 2, "guidance: is empty"),
        (["modify", "--as", "lee"], 2, "edited_text: is missing"),
        (["modify", "--as", "lee", "--text", "missing.txt"], 2, "there is no file missing.txt"),
        (["modify", "--as", "lee", "--text", "-"], 2, "edited_text: is empty"),
        (["approve", "--as", ""], 2, "--as: is empty"),
        (["approve", "--as", "ann"], 3, "the person who asked cannot decide"),
        (["approve"], 3, "the person who asked cannot decide"),
        (["approve", "--as", "lee", "--role", "guest"], 3, "role reviewer is needed"),
    ],
)
def test_a_decision_that_may_not_be_made_changes_nothing(
    stack: Stack, arguments: list[str], exit_code: int, words: str
) -> None:
    approval_id = waiting(stack)

    result = stack.radiant("approvals", arguments[0], approval_id, *arguments[1:])

    assert result.exit_code == exit_code
    assert words in result.stderr
    assert states(stack.radiant) == [("pending",)]


def test_the_second_decision_learns_of_the_first(stack: Stack) -> None:
    approval_id = waiting(stack)
    stack.radiant("approvals", "approve", approval_id, "--as", "lee")

    result = stack.radiant(
        "approvals", "reject", approval_id, "--as", "mia", "--guidance", "Wrong."
    )

    assert result.exit_code == 3
    assert "already approved by lee" in result.stderr
    assert states(stack.radiant) == [("approved",)]


def test_the_list_shows_what_waits_and_with_all_what_was_decided(stack: Stack) -> None:
    approval_id = waiting(stack)
    before = stack.radiant("approvals", "list").stdout
    stack.radiant("approvals", "approve", approval_id, "--as", "lee")

    after = stack.radiant("approvals", "list").stdout
    everything = stack.radiant("approvals", "list", "--all").stdout

    assert approval_id[:8] in before
    assert after.strip() == "Nothing waits for a decision."
    assert "approved" in everything


def test_a_reviewers_own_login_is_used_and_is_enough(
    stack: Stack, admin_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    approval_id = waiting(stack)
    run_sql(
        admin_url,
        "do $$ begin create role radiant_test_reviewer login noinherit password 'r';"
        " exception when duplicate_object then null; end $$",
        "grant radiant_review to radiant_test_reviewer",
    )
    name = stack.radiant.owner_url.rsplit("/", 1)[-1]
    url = with_database(admin_url, name, "radiant_test_reviewer:r")
    monkeypatch.setenv("RADIANT_REVIEW_DATABASE_URL", url)

    listed = stack.radiant.json("approvals", "list")["approvals"]
    result = stack.radiant("approvals", "approve", approval_id, "--as", "lee")

    assert [row["id"] for row in listed] == [approval_id]
    assert result.exit_code == 0, result.stderr
    assert states(stack.radiant) == [("approved",)]


def test_the_main_login_does_not_stand_in_for_a_reviewers(
    radiant: Radiant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADIANT_REVIEW_DATABASE_URL", "postgresql://r:tops3cret@127.0.0.1:1/x")

    result = radiant("approvals", "list")

    assert result.exit_code == 4
    assert "127.0.0.1:1/x" in result.stderr
    assert "tops3cret" not in result.stderr


def test_an_unknown_approval_is_said_so(radiant: Radiant) -> None:
    result = radiant("approvals", "approve", "abcdef12", "--as", "lee")

    assert result.exit_code == 3
    assert "No approval abcdef12." in result.stderr


def test_a_decision_that_could_not_be_carried_out_is_launched_again_by_retry(
    stack: Stack,
) -> None:
    approval_id = waiting(stack)
    stack.radiant("approvals", "approve", approval_id, "--as", "dr-lee")
    run_sql(stack.radiant.owner_url, "update radiant.approval_decision set failures = 3")

    told = stack.radiant("doctor").stdout
    result = stack.radiant("approvals", "retry", approval_id[:8], "--as", "ann")

    assert f"radiant approvals retry {approval_id}" in " ".join(told.split())
    assert "Decisions: none is stuck" in stack.radiant("doctor").stdout
    assert result.exit_code == 0
    assert "radiant sessions watch" in result.stdout
    assert stack.radiant.rows(
        "select failures, done_at is null from radiant.approval_decision"
    ) == [(0, True)]
    stack.conclude(approval_id)
    again = stack.radiant("approvals", "retry", approval_id)
    assert again.exit_code == 3
    assert "carried out" in again.stderr
