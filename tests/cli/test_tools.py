from pathlib import Path

import pytest

from tests.cli.conftest import PROMPT, Radiant
from tests.services import sample_tools

PANEL = """
agents:
  - {agent_id: a, role: analyst, model: gpt-4o, tools: [echo]}
"""


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample_tools.install(tmp_path, monkeypatch, "echo", "bad_schema")


def test_tools_are_listed_with_where_they_come_from_and_what_is_wrong(radiant: Radiant) -> None:
    listed = radiant.json("tools", "list")["tools"]
    shown = radiant("tools", "list").stdout

    tools = {item["tool"]["name"]: item for item in listed}
    assert tools["calculator"]["allowed"]
    assert tools["grimoire_search"]["allowed"]
    assert not tools["echo"]["allowed"]
    assert tools["echo"]["tool"]["source"] == "sample-tools 1.2"
    assert "no JSON schema" in tools["bad_schema"]["tool"]["problem"]
    assert "Evaluate an arithmetic expression" in shown


def test_a_tool_can_be_named_only_while_it_is_allowed(radiant: Radiant, tmp_path: Path) -> None:
    panel = tmp_path / "panel.yaml"
    panel.write_text(PANEL)
    ask = ("think", "--panel", str(panel), "--estimate", PROMPT)

    before = radiant(*ask)
    allowed = radiant("tools", "allow", "echo", "--as", "bo")
    during = radiant(*ask)
    forbidden = radiant("tools", "forbid", "echo")
    after = radiant(*ask)

    assert before.exit_code == after.exit_code == 2
    assert "agents[0].tools: 'echo' is not installed or this tenant may not use it" in before.stderr
    assert "Available: calculator, grimoire_search." in before.stderr
    assert allowed.stdout == "Agents may call echo now.\n"
    assert during.exit_code == 0
    assert forbidden.stdout == "Agents may not call echo now.\n"
    rows = radiant.rows("select actor, action, detail->>'tool' from radiant.audit order by id")
    assert rows == [("bo", "tool.allowed", "echo"), ("ann", "tool.forbidden", "echo")]


def test_a_panel_with_a_tool_is_imported_only_while_it_is_allowed(
    radiant: Radiant, tmp_path: Path
) -> None:
    panel = tmp_path / "panel.yaml"
    panel.write_text(PANEL)

    refused = radiant("panels", "import", "echoes", str(panel))
    radiant("tools", "allow", "echo")
    imported = radiant("panels", "import", "echoes", str(panel))

    assert refused.exit_code == 2
    assert "agents[0].tools" in refused.stderr
    assert imported.exit_code == 0
    assert radiant.json("panels", "show", "echoes")["agents"][0]["tools"] == ["echo"]


@pytest.mark.parametrize("command", ["allow", "forbid"])
def test_an_unknown_tool_is_neither_allowed_nor_forbidden(radiant: Radiant, command: str) -> None:
    result = radiant("tools", command, "web_search")

    assert result.exit_code == 2
    assert "name: there is no tool 'web_search'. Available: calculator, echo" in result.stderr


def test_a_broken_tool_is_not_allowed(radiant: Radiant) -> None:
    result = radiant("tools", "allow", "bad_schema")

    assert result.exit_code == 4
    assert "sample-tools 1.2" in result.stderr
