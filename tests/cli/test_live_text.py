"""The live view of a session whose agents stream: labelled, on one line, harmless."""

import io
import uuid
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from radiant_dagster.adapters.session_view import AgentProgress, Progress
from radiant_dagster.cli.live_text import End
from radiant_dagster.cli.progress import progress_table


def agent(name: str = "analyst", **changes: Any) -> AgentProgress:
    values: dict[str, Any] = {
        "agent_id": name, "role": "analyst", "model": "gpt-4o", "status": "running",
        "attempts": 1, "latency_ms": 0, "tokens": 0, "cost_micro_usd": 0, "error_code": None,
        "cited": 0, "draft": None, "draft_tokens": None,
    }  # fmt: skip
    return AgentProgress(**(values | changes))


def session(*agents: AgentProgress, **changes: Any) -> Progress:
    values: dict[str, Any] = {
        "id": uuid.UUID(int=1), "status": "running", "domain": "general", "swarm_status": None,
        "missing_agents": {}, "cost_micro_usd": 0, "offline_demo": False, "live": True,
        "dagster_run_id": None, "conclude_run_id": None, "failure_code": None,
        "failure_message": None, "elapsed_seconds": 1.0, "agents": agents, "review": None,
    }  # fmt: skip
    return Progress(**(values | changes))


def drawn(now: Progress, width: int = 120) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None).print(
        progress_table(now)
    )
    return out.getvalue().splitlines()


def test_the_end_of_a_draft_stands_beside_its_agent_and_is_labelled() -> None:
    lines = drawn(session(agent(draft="First. " * 50 + "Close the fridge.", draft_tokens=90)))

    assert "draft of an agent, unchecked" in lines[1]
    assert "running" in lines[2]
    assert lines[2].rstrip().endswith("Close the fridge.")
    assert len(lines) == 3


def test_where_a_person_has_to_look_first_only_the_number_of_tokens_shows() -> None:
    lines = drawn(session(agent(draft=None, draft_tokens=312)))

    assert lines[2].rstrip().endswith("312 tokens")


def test_a_session_nobody_watches_has_no_column_of_drafts() -> None:
    lines = drawn(session(agent(), live=False))

    assert "unchecked" not in "\n".join(lines)


def test_a_spinner_moves_while_the_agent_is_at_work_only() -> None:
    first, second = (drawn(session(agent(), elapsed_seconds=at))[2] for at in (1.0, 1.25))
    done = drawn(session(agent(status="success")))[2]

    assert first != second
    assert " success" in done
    assert first.split()[3] not in done


@pytest.mark.parametrize("width", [20, 40, 79, 80, 120, 300])
def test_the_view_keeps_its_lines_and_their_width_while_text_grows(width: int) -> None:
    drafts = (None, "x", "word " * 200, "漢字" * 200, "no_spaces" * 50)
    shapes = set()

    for draft in drafts:
        tokens = None if draft is None else len(draft)
        lines = drawn(session(agent(draft=draft, draft_tokens=tokens), agent("b")), width)
        shapes.add((len(lines), lines[1]))
        assert max(cell_len(line) for line in lines) <= width

    assert len(shapes) == 1


def test_a_models_text_steers_no_terminal_and_is_no_markup() -> None:
    text = "[bold red]stop[/] [link=http://x]\x1b[2J\x1b]52;c;x\x07\x9b1m \u202eabc\r\nnext\x00"

    shown = "\n".join(drawn(session(agent(draft=text, draft_tokens=9))))

    for steering in ("\x1b", "\x07", "\x9b", "\u202e", "\r", "\x00"):
        assert steering not in shown
    assert "[bold red]stop[/] [link=http://x]" in shown
    assert "abc next" in shown


@example("\u2764\ufe0f" * 40, 21)  # hearts that a selector makes two cells wide
@given(st.text(max_size=300), st.integers(0, 60))
def test_the_end_of_any_text_fits(text: str, width: int) -> None:
    fitted = End(text).fitted(width)

    assert cell_len(fitted) <= width
    assert "\n" not in fitted
