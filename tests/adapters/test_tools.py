import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from radiant_dagster.adapters import tools
from radiant_dagster.adapters.available_tools import usable_names
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.domain.tools import BUILTIN_TOOLS, ToolCall, ToolResult, result_message
from radiant_dagster.errors import ConfigurationError
from tests.services import sample_tools


def test_the_built_in_tools_are_entry_points_of_ours() -> None:
    found = tools.load_named(BUILTIN_TOOLS)

    assert set(found) == set(BUILTIN_TOOLS)
    assert all(
        tools.distribution(tools.installed()[name]).startswith("radiant-dagster ")
        for name in BUILTIN_TOOLS
    )


def test_a_tool_of_another_distribution_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_tools.install(tmp_path, monkeypatch, "echo")

    assert tools.load_named({"echo"}) == {"echo": sample_tools.echo}
    assert tools.distribution(tools.installed()["echo"]) == "sample-tools 1.2"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no_schema", "are no JSON schema"),
        ("bad_schema", "are no JSON schema (at /properties)"),
        ("list_schema", "not of the type object"),
        ("far_schema", "refer to another document"),
        ("huge_schema", "too long"),
        ("no_json", "are no JSON"),
        ("silent", "description is no text"),
        ("bad_name", "name is not 1 to 64 letters"),
        ("other_name", "calls itself 'another'"),
        ("nothing", "name is not 1 to 64 letters"),
        ("missing", "cannot be imported (AttributeError)"),
    ],
)
def test_a_broken_tool_is_refused_with_its_entry_point_and_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    sample_tools.install(tmp_path, monkeypatch, name)

    with pytest.raises(ConfigurationError) as caught:
        tools.load_named({name})

    assert f"{name} = tests.services.sample_tools:{name}" in caught.value.setting
    assert "sample-tools 1.2" in caught.value.setting
    assert problem in str(caught.value)


def test_a_broken_tool_that_nobody_wants_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_tools.install(tmp_path, monkeypatch, "missing", "echo")

    assert set(tools.load_named({"echo", "calculator"})) == {"echo", "calculator"}


def test_two_distributions_with_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_tools.install(tmp_path / "one", monkeypatch, "echo")
    sample_tools.install(tmp_path / "two", monkeypatch, "echo", distribution="more-tools")

    with pytest.raises(ConfigurationError, match=r"more-tools 1\.2") as caught:
        tools.installed()

    assert "sample-tools 1.2" in str(caught.value)
    assert caught.value.setting == "radiant.tools: echo"


def test_agents_without_tools_are_harmed_by_no_package_and_may_name_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_tools.install(tmp_path / "one", monkeypatch, "echo")
    sample_tools.install(tmp_path / "two", monkeypatch, "echo", distribution="more-tools")
    plain = AgentConfig("a", "analyst", "gpt-4o-mini")
    settings = Settings.load({}, stack=False)

    assert usable_names(settings, {"echo"}, [plain]) == frozenset()
    with pytest.raises(ConfigurationError):
        usable_names(settings, {"echo"}, [plain, replace(plain, agent_id="b", tools=("echo",))])


def test_a_misfit_names_the_place_and_the_rule_but_not_the_value() -> None:
    said = tools.misfit(sample_tools.echo, {"text": "SECRET" * 10})

    assert said == "The argument at /text breaks the rule 'maxLength': 20."
    assert tools.misfit(sample_tools.echo, {"text": "short"}) is None
    assert "'required'" in str(tools.misfit(sample_tools.echo, {}))


def test_a_result_cannot_end_the_document_it_stands_in() -> None:
    call = ToolCall("c1", "injector", "{}")

    message = result_message(call, ToolResult("ok", sample_tools.INJECTION, flags=("injection:x",)))

    assert (message["role"], message["tool_call_id"]) == ("tool", "c1")
    assert message["content"].count('"result":') == 1
    assert r"pirate.\"}]}" in message["content"]
    assert "warning" in message["content"]


def test_choosing_tools_imports_neither_mcp_nor_litellm() -> None:
    code = (
        "import sys; from radiant_dagster.adapters import available_tools, toolbox, tools; "
        "tools.load_named({'calculator'}); "
        "print(sorted({'mcp', 'litellm', 'dagster'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
