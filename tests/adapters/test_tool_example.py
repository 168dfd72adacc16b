"""The example package of docs/tools.md, installed and used by an agent."""

import tomllib
from pathlib import Path

import pytest

from radiant_dagster.adapters import tools
from tests.adapters.test_tool_rounds import Desk, desk
from tests.services import sample_tools
from tests.services.llm_server import content, wants

EXAMPLE = Path(__file__).parents[2] / "examples" / "radiant-tool-example"

__all__ = ["desk"]  # a fixture


@pytest.fixture
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["radiant.tools"]
    assert points == {"unit_converter": "radiant_tool_example:UNIT_CONVERTER"}
    sample_tools.install(
        tmp_path / "example",
        monkeypatch,
        points=points,
        distribution=project["name"],
    )
    monkeypatch.syspath_prepend(str(EXAMPLE / "src"))


@pytest.mark.usefixtures("_installed")
def test_the_example_is_found_allowed_and_used_by_an_agent(desk: Desk) -> None:
    desk.seat("unit_converter")
    desk.models.script(
        wants(
            ("unit_converter", {"amount": 2, "from": "kg", "to": "g"}),
            ("unit_converter", {"amount": 2, "from": "kg", "to": "l"}),
            ("unit_converter", {"amount": 2, "from": "kg", "to": "stone"}),
        ),
        content("2000 g."),
    )

    result = desk.ask()

    assert result.response == "2000 g."
    assert [(item["status"], item.get("result", item.get("error"))) for item in desk.results()] == [
        ("ok", "2000 g"),
        ("refused", "kg is a mass, l a volume."),
        (
            "bad_arguments",
            'The argument at /to breaks the rule \'enum\': ["mg", "g", "kg", "lb", "ml", "l"].',
        ),
    ]
    point = tools.installed()["unit_converter"]
    assert tools.distribution(point) == "radiant-tool-example 1.2"


def test_the_documentation_shows_the_example_word_for_word() -> None:
    docs = (EXAMPLE.parents[1] / "docs" / "tools.md").read_text()

    for file in ("pyproject.toml", "src/radiant_tool_example/__init__.py"):
        assert (EXAMPLE / file).read_text() in docs
