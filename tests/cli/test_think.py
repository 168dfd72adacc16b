"""Asking: from the question to the answer, with launched runs executed in this process."""

import contextlib
import json
import os
import pty
import sys

import pytest

from radiant_dagster.adapters import sessions
from radiant_dagster.adapters.session_view import Progress
from radiant_dagster.cli import think
from radiant_dagster.cli.common import Client
from radiant_dagster.errors import DagsterUnavailable
from tests.cli.conftest import PROMPT, Radiant, Stack
from tests.services.llm_server import error


def test_a_question_gets_its_answer(stack: Stack) -> None:
    result = stack.radiant("think", PROMPT)

    assert result.exit_code == 0, result.stderr
    answer = stack.radiant.rows("select final_response from radiant.session")[0][0]
    assert answer in result.stdout
    assert "Complete: 5 of 5 agents answered." in result.stdout
    assert "Nobody reviewed it: no approval was needed." in result.stdout
    assert "a heuristic, quarantined" in result.stdout
    assert f"{stack.radiant.dagster.url}/runs/" in result.stdout


@pytest.mark.parametrize(("options", "live"), [((), False), (("--live",), True)])
def test_agents_stream_only_where_somebody_watches(
    radiant: Radiant, options: tuple[str, ...], live: bool
) -> None:
    radiant.json("think", PROMPT, "--detach", *options)

    assert radiant.rows("select live from radiant.session") == [(live,)]


def test_only_ids_go_to_dagster(stack: Stack) -> None:
    stack.radiant("think", PROMPT)

    (config,) = stack.radiant.dagster.launched
    ((session_id,),) = stack.radiant.rows("select id from radiant.session")
    wanted = {"tenant_id": str(stack.radiant.tenant), "session_id": str(session_id)}
    assert config == {"ops": {"open_session": {"config": wanted}}}


def test_the_result_comes_as_one_json_document(stack: Stack) -> None:
    document = stack.radiant.json("think", PROMPT)

    assert document["session"]["status"] == "completed"
    assert document["session"]["prompt"] == PROMPT
    assert len(document["agents"]) == 5
    assert document["librarian"]["decision"] == "stored"
    assert document["learned"]["state"] == "quarantined"


def test_a_degraded_swarm_is_stated_above_the_answer(stack: Stack) -> None:
    stack.radiant.models.script(error(401), agent="skeptic")
    asked = stack.radiant("think", PROMPT, "--no-wait")
    (listed,) = stack.radiant.json("approvals", "list")["approvals"]
    stack.radiant("approvals", "approve", listed["id"], "--as", "dr-lee")
    stack.conclude(listed["id"])

    result = stack.radiant("sessions", "watch", listed["session_id"])

    assert asked.exit_code == 0
    assert result.exit_code == 0
    above, _, below = result.stdout.partition("5 agents looked at")
    above = above or result.stdout.partition("4 agents looked at")[0]
    assert "Degraded: 4 of 5 agents answered; missing: skeptic (authentication)." in above
    assert "Approved by dr-lee" in above
    assert "Degraded" not in below


def test_a_failed_session_says_why_and_fails_the_command(stack: Stack) -> None:
    for agent in ("analyst", "domain_expert", "skeptic"):
        stack.radiant.models.script(error(401), agent=agent)

    result = stack.radiant("think", PROMPT)

    assert result.exit_code == 1
    assert "quorum_not_reached" in result.stdout
    assert "Failed: 2 of 5 agents answered; missing: analyst (authentication)" in result.stdout


def test_a_question_that_needs_a_person_says_how_to_decide(stack: Stack) -> None:
    result = stack.radiant("think", PROMPT, "--domain", "medical", "--no-wait")

    ((approval_id,),) = stack.radiant.rows("select id from radiant.approval_request")
    assert result.exit_code == 0
    assert "questions of this domain are always reviewed" in result.stdout
    assert "within 4:5" in result.stdout
    for verb in ("show", "approve", "reject", "modify"):
        assert f"radiant approvals {verb} {approval_id}" in result.stdout
    draft = stack.radiant.rows("select draft from radiant.session")[0][0]
    assert draft not in result.stdout


def test_a_detached_question_ends_with_its_id(radiant: Radiant) -> None:
    document = radiant.json("think", PROMPT, "--detach")

    ((session_id, run_id),) = radiant.rows("select id, dagster_run_id from radiant.session")
    assert document["session_id"] == str(session_id)
    assert document["run_id"] == run_id


def test_documents_reach_the_session(
    radiant: Radiant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one, two = (tmp_path_factory.mktemp(name) / "notes.txt" for name in ("a", "b"))
    one.write_text("first")
    two.write_text("second")

    radiant("think", PROMPT, "--detach", "--context", str(one), "--context", str(two))

    ((context,),) = radiant.rows("select context from radiant.session")
    assert context == {"notes.txt": "first", str(two): "second"}


def test_a_question_is_read_from_standard_input(radiant: Radiant) -> None:
    result = radiant("think", "-", "--detach", stdin="Was ist zu tun, Frau Müller?\n".encode())

    assert result.exit_code == 0
    assert radiant.rows("select prompt from radiant.session") == [
        ("Was ist zu tun, Frau Müller?\n",)
    ]


def test_an_answer_cannot_steer_the_terminal(radiant: Radiant, client: Client) -> None:
    session_id = think.submit_and_launch(client, think.Question(PROMPT, "ann"))
    answer = "Done.\x1b[2J\x1b]52;c;aGk=\x07 \u202egnp.exe [red]x[/red] \x9b31m"
    with client.database.tenant_transaction(client.tenant_id) as cursor:
        sessions.update_session(
            cursor, client.tenant_id, session_id, status="completed", final_response=answer
        )

    shown = radiant("sessions", "watch", str(session_id))
    document = radiant("sessions", "show", str(session_id), "--json")

    assert "[red]x[/red]" in shown.stdout
    assert json.loads(document.stdout)["session"]["final_response"] == answer
    for steering in ("\x1b", "\x07", "\x9b"):
        assert steering not in shown.stdout + document.stdout
    assert "\u202e" not in shown.stdout


def test_following_tells_of_every_look_until_the_end(stack: Stack, client: Client) -> None:
    seen: list[Progress] = []
    session_id = think.submit_and_launch(client, think.Question(PROMPT, "ann"))

    last = think.follow(client, session_id, seen.append)

    assert seen[-1] == last
    assert last.status == "completed"
    assert {agent.status for agent in last.agents} == {"success"}
    assert last.cost_micro_usd > 0


def test_following_waits_for_the_person_and_the_continuation(stack: Stack, client: Client) -> None:
    session_id = think.submit_and_launch(
        client, think.Question(PROMPT, "ann", require_approval=True)
    )
    left: list[float] = []

    def decide(now: Progress) -> None:
        if now.waits_for_person and now.review:
            left.append(now.review.seconds_left)
            stack.radiant("approvals", "approve", str(now.review.id), "--as", "dr-lee")
            stack.conclude(str(now.review.id))

    last = think.follow(client, session_id, decide)

    assert last.status == "completed"
    assert len(left) == 1
    assert 0 < left[0] <= 1800


def test_a_run_that_died_unrecorded_is_not_waited_for(radiant: Radiant, client: Client) -> None:
    radiant.dagster.run_status = "FAILURE"
    session_id = think.submit_and_launch(client, think.Question(PROMPT, "ann"))

    with pytest.raises(DagsterUnavailable, match="daemon seems to be down"):
        think.follow(client, session_id, lambda _now: None, check_seconds=0.0)


def test_leaving_a_session_lets_it_go_on(client: Client) -> None:
    session_id = think.submit_and_launch(client, think.Question(PROMPT, "ann"))

    def leave(_now: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        think.follow(client, session_id, leave)

    with client.database.tenant_transaction(client.tenant_id) as cursor:
        row = sessions.get_session(cursor, client.tenant_id, session_id)
    assert row["status"] == "created"


def on_a_terminal(*arguments: str, until: bytes, then: bytes) -> tuple[int, str]:
    """Run the command on a pseudo-terminal, and type when a text shows."""
    pid, terminal = pty.fork()
    if pid == 0:  # the child becomes the command
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "50"}
        command = [sys.executable, "-m", "radiant_dagster.cli.main", *arguments]
        os.execv(command[0], command)  # noqa: S606 - a terminal's child, no shell wanted
    shown, typed = b"", False
    with contextlib.suppress(OSError):  # how a terminal says that its process has ended
        while part := os.read(terminal, 65_536):
            shown += part
            if until in shown and not typed:
                typed = True
                os.write(terminal, then)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


@pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")
def test_leaving_a_live_view_says_how_to_come_back(radiant: Radiant) -> None:
    exit_code, shown = on_a_terminal("think", PROMPT, until=b"waiting for a worker", then=b"\x03")

    ((session_id, status, live),) = radiant.rows("select id, status, live from radiant.session")
    assert exit_code == 130
    assert live
    assert f"radiant sessions watch {session_id}" in shown
    assert f"radiant sessions cancel {session_id}" in shown
    assert status == "created"
