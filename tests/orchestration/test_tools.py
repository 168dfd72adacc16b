"""A session whose agents use a tool, from its submission to what people see of it."""

from pathlib import Path

from tests.cli.conftest import Stack, radiant, stack
from tests.services.llm_server import error

__all__ = ["radiant", "stack"]  # fixtures

QUESTION = "A vial holds 12.5 ml; how much is 12.5 * 16 ml in all?"


def ask(stack: Stack, panel: Path, *options: str) -> str:
    panel.write_text(
        "agents:\n"
        "  - {agent_id: a, role: analyst, model: gpt-4o, tools: [calculator]}\n"
        "  - {agent_id: b, role: skeptic, model: gpt-4o}\n"
    )
    result = stack.radiant("think", "--panel", str(panel), "--no-wait", *options, QUESTION)
    assert result.exit_code == 0, result.stderr
    return str(stack.radiant.json("sessions", "list")["sessions"][0]["id"])


def test_what_the_demo_model_calculates_is_shown_with_the_session(
    stack: Stack, tmp_path: Path
) -> None:
    session_id = ask(stack, tmp_path / "panel.yaml")

    shown = stack.radiant("sessions", "show", session_id).stdout
    view = stack.radiant.json("sessions", "show", session_id)
    assert 'Tool calculator {"expression": "12.5 * 16"} (ok,' in shown
    assert "The calculator says that 12.5 * 16 is 200." in shown
    assert [agent["calls"] for agent in view["agents"]] == [2, 1]
    assert [call["output"] for call in view["tool_calls"]] == ["200"]


def test_a_reviewer_sees_what_the_agents_had_tools_do(stack: Stack, tmp_path: Path) -> None:
    ask(stack, tmp_path / "panel.yaml", "--require-approval")
    (row,) = stack.radiant.json("approvals", "list")["approvals"]

    shown = stack.radiant("approvals", "show", row["id"]).stdout

    assert "Tools the agents used" in shown
    assert 'a: calculator {"expression": "12.5 * 16"} (ok)' in shown


def test_a_fault_between_two_rounds_buys_the_agent_a_second_try(
    stack: Stack, tmp_path: Path
) -> None:
    models = stack.radiant.models
    models.script(error(503), agent="a")
    models.script(error(503), agent="b")

    session_id = ask(stack, tmp_path / "panel.yaml")

    view = stack.radiant.json("sessions", "show", session_id)
    assert view["session"]["status"] == "completed"
    assert [agent["attempts"] for agent in view["agents"]] == [2, 2]
    spent = sum(agent["cost_micro_usd"] for agent in view["agents"])
    assert 0 < spent < view["session"]["cost_micro_usd"] < view["session"]["estimated_micro_usd"]
