"""Looking at sessions, stopping them, asking again."""

import json
import uuid

import pytest

from radiant_dagster.adapters import tenants
from radiant_dagster.adapters.postgres import Database
from tests.cli.conftest import PROMPT, Radiant, Stack
from tests.conftest import run_sql
from tests.services.llm_server import OK, content, error


def ask(radiant: Radiant, *options: str) -> str:
    return radiant.json("think", PROMPT, "--detach", *options)["session_id"]


def test_sessions_are_listed_newest_first(radiant: Radiant) -> None:
    first, second = ask(radiant), ask(radiant, "--domain", "legal")

    rows = radiant.json("sessions", "list")["sessions"]
    shown = radiant("sessions", "list").stdout

    assert [row["id"] for row in rows] == [second, first]
    assert shown.index(second[:8]) < shown.index(first[:8])
    assert "legal" in shown


def test_a_session_is_shown_whole(stack: Stack) -> None:
    radiant = stack.radiant
    session_id = ask(radiant, "--require-approval", "--user", "bea")
    (listed,) = radiant.json("approvals", "list")["approvals"]
    radiant("approvals", "reject", listed["id"], "--as", "dr-lee", "--guidance", "Too vague.")
    stack.conclude(listed["id"])

    shown = radiant("sessions", "show", session_id)
    document = radiant.json("sessions", "show", session_id)

    assert shown.exit_code == 0
    for words in (
        PROMPT,
        "asked by bea",
        "Rejected by dr-lee",
        "Too vague.",
        "skeptic",
        "Cato: safe",
        "approval.requested",
        "no answer is handed out",
    ):
        assert words in shown.stdout
    assert document["session"]["final_response"] is None
    assert document["decision"]["verdict"] == "rejected"
    assert document["approvals"][0]["votes"][0]["actor"] == "dr-lee"
    actions = [row["action"] for row in document["audit"]]
    assert actions[0] == "session.created"
    assert actions[-1] == "session.rejected"


def test_what_qualifies_an_answer_stands_above_it(stack: Stack) -> None:
    radiant = stack.radiant
    radiant.models.script(error(401), agent="skeptic")
    radiant.models.script(*[content("no JSON")] * 4, agent=None)
    for agent in ("analyst", "domain_expert", "pragmatist", "safety_reviewer"):
        radiant.models.script(OK, agent=agent)
    session_id = ask(radiant)
    (listed,) = radiant.json("approvals", "list")["approvals"]
    review = radiant("approvals", "show", listed["id"]).stdout
    radiant("approvals", "approve", listed["id"], "--as", "dr-lee", "--yes")
    stack.conclude(listed["id"])

    shown = radiant("sessions", "show", session_id).stdout
    document = radiant.json("sessions", "show", session_id)["session"]

    answer = shown.index("They follow as each agent gave them")
    for words in (
        "Degraded: 4 of 5 agents answered; missing: skeptic (authentication).",
        "Not synthesised: the answers stand side by side",
        "gpt-4o (invalid_synthesis), gpt-4o-mini (invalid_synthesis)",
    ):
        assert " ".join(shown.split()).index(words) < answer
    assert "no model could merge the answers" in review
    assert document["swarm_status"] == "degraded"
    assert document["missing_agents"] == {"skeptic": "authentication"}
    assert document["draft_details"]["not_synthesised"] is True


def test_an_answer_of_the_fallback_model_says_so(stack: Stack) -> None:
    long = content("Keep the fridge closed for four hours. " * 600)
    for agent, reply in (("analyst", OK), ("skeptic", long), ("pragmatist", OK)):
        stack.radiant.models.script(reply, agent=agent)
    stack.radiant.models.script(error(404))
    session_id = ask(stack.radiant, "--panel", "quick")

    shown = " ".join(stack.radiant("sessions", "show", session_id).stdout.split())

    assert "fallback model gpt-4o-mini; failed: gpt-4o (unknown_model)." in shown
    assert "Shortened before they were merged: answers of skeptic." in shown


def test_an_id_may_be_shortened(radiant: Radiant) -> None:
    session_id = ask(radiant)

    document = radiant.json("sessions", "show", session_id[:6].upper())

    assert document["session"]["id"] == session_id


@pytest.mark.parametrize(
    ("text", "exit_code", "words"),
    [
        ("00000000-0000-4000-8000-000000000000", 3, "No session 00000000-0000-4000"),
        ("abcdef12", 3, "No session abcdef12"),
        ("abc", 2, "session: is not an id"),
        ("%%%%%%", 2, "session: is not an id"),
    ],
)
def test_an_unknown_id_is_said_so(radiant: Radiant, text: str, exit_code: int, words: str) -> None:
    result = radiant("sessions", "show", text)

    assert result.exit_code == exit_code
    assert words in result.stderr


def test_an_ambiguous_id_is_not_guessed(radiant: Radiant) -> None:
    ask(radiant)
    ask(radiant)
    run_sql(
        radiant.owner_url,
        "delete from radiant.agent_run",
        "update radiant.session s set id = ('abcdef12-0000-4000-8000-00000000000' || n.n)::uuid"
        " from (select id, row_number() over () as n from radiant.session) n where n.id = s.id",
    )

    result = radiant("sessions", "show", "abcdef12")

    assert result.exit_code == 2
    assert "several ids begin so" in result.stderr


def test_another_tenants_session_answers_like_none(radiant: Radiant, database: Database) -> None:
    session_id = ask(radiant)
    tenants.create_tenant(database, uuid.uuid4(), "other", "Other")

    for text in (session_id, session_id[:8]):
        result = radiant("sessions", "show", text, "--tenant", "other")
        assert result.exit_code == 3
        assert result.stderr.startswith(f"Error: No session {text}.")


def test_a_cancelled_session_stops_its_run(radiant: Radiant) -> None:
    session_id = ask(radiant)
    ((run_id,),) = radiant.rows("select dagster_run_id from radiant.session")

    result = radiant("sessions", "cancel", session_id[:8], "--as", "bea")

    assert result.exit_code == 0
    assert radiant.dagster.terminated == [run_id]
    assert radiant.rows("select status from radiant.session") == [("cancelled",)]
    assert ("bea", "session.cancelled") in radiant.rows("select actor, action from radiant.audit")


def test_a_session_is_cancelled_though_dagster_is_away(
    radiant: Radiant, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = ask(radiant)
    monkeypatch.setenv("RADIANT_DAGSTER_URL", "http://127.0.0.1:1")

    result = radiant("sessions", "cancel", session_id)

    assert result.exit_code == 0
    assert "Warning: its run stops at its next step only." in result.stderr
    assert radiant.rows("select status from radiant.session") == [("cancelled",)]


def test_a_rerun_asks_the_same_as_somebody_else(
    radiant: Radiant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    notes = tmp_path_factory.mktemp("documents") / "notes.txt"
    notes.write_text("Two fridges.")
    first = ask(
        radiant, "--panel", "quick", "--require-approval", "--context", str(notes), "--user", "bea"
    )

    second = radiant.json("sessions", "rerun", first[:8], "--detach", "--user", "carl")

    columns = "prompt, domain, context, require_approval, estimated_micro_usd"
    rows = radiant.rows(f"select {columns} from radiant.session")  # noqa: S608
    assert rows[0] == rows[1]
    assert radiant.rows("select rerun_of, user_id from radiant.session order by created_at") == [
        (None, "bea"),
        (first, "carl"),
    ]
    agents = radiant.rows(
        "select agent_id, role, model, temperature, max_tokens, instructions, count(*)"
        " from radiant.agent_run group by 1, 2, 3, 4, 5, 6"
    )
    assert [row[-1] for row in agents] == [2, 2, 2]
    assert len(radiant.dagster.launched) == 2
    assert second["session_id"] != first


def test_no_session_yet_says_what_to_do(radiant: Radiant) -> None:
    result = radiant("sessions", "list")

    assert "radiant think" in result.stdout
    assert json.loads(radiant("sessions", "list", "--json").stdout) == {"sessions": []}
