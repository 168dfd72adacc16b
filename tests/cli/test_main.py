"""The command as a whole: help, exit codes, error messages, what it imports."""

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from radiant_dagster.cli.main import COMMANDS, _report, main
from radiant_dagster.errors import (
    BudgetMissing,
    ConfigurationError,
    DatabaseUnavailable,
    InvalidInput,
    ServerDied,
    TenantNotFound,
)
from tests.cli.conftest import Radiant

HEAVY = ("dagster", "litellm", "sqlalchemy", "onnxruntime", "psycopg2", "rich", "pydantic")


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from radiant_dagster.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stderr.strip() == "[]"
    assert "Exit codes:" in done.stdout


def test_no_command_imports_dagster_or_a_model() -> None:
    program = (
        "import sys, importlib\n"
        "from radiant_dagster.cli.main import COMMANDS\n"
        "for module, _ in COMMANDS.values():\n"
        "    importlib.import_module('radiant_dagster.cli.' + module)\n"
        "print([n for n in ('dagster', 'litellm', 'onnxruntime', 'celery') if n in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_tells_what_each_command_tells(name: str) -> None:
    command = main.get_command(click.Context(main), name)

    assert command is not None
    assert command.short_help == COMMANDS[name][1]


def every_command() -> list[str]:
    found: list[str] = []
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        inner = list(command.commands) if isinstance(command, click.Group) else []
        found += [name, *(f"{name} {item}" for item in inner)]
    return found


@pytest.mark.parametrize("name", every_command())
def test_every_help_has_an_example(name: str) -> None:
    result = CliRunner().invoke(main, [*name.split(), "--help"])

    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"radiant {name.split()[0]}" in result.stdout


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (InvalidInput("prompt", "is empty", "Ask."), 2),
        (TenantNotFound("x"), 3),
        (DatabaseUnavailable("h:1/x", "gone"), 4),
        (ConfigurationError("RADIANT_HOME", "is bad", "Mend it."), 4),
        (ServerDied("worker", 1, "worker.log", "its last words"), 4),
        (BudgetMissing("day"), 1),
        (click.UsageError("no such option"), 2),
        (ValueError("SECRET-TEXT"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    error: Exception, exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _report(error, as_json=True) == exit_code

    captured = capsys.readouterr()
    assert "Error: " in captured.err
    assert "Traceback" not in captured.err
    assert "SECRET-TEXT" not in captured.err + captured.out
    assert json.loads(captured.out)["error"]["message"]


def test_with_debug_an_error_keeps_its_traceback(radiant: Radiant) -> None:
    quiet = radiant("sessions", "show", "zz")
    debug = radiant("--debug", "sessions", "show", "zz")

    assert quiet.exit_code == 2
    assert isinstance(debug.exception, InvalidInput)


def test_an_unknown_command_is_a_usage_error(radiant: Radiant) -> None:
    result = radiant("sessoins")

    assert result.exit_code == 2
    assert "No such command" in result.stderr


def test_errors_come_as_json_too_with_the_field(radiant: Radiant) -> None:
    result = radiant("think", "", "--json")

    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"] == {
        "code": "invalid_input",
        "field": "prompt",
        "message": "prompt: is empty. Pass the question to think about.",
    }
    assert result.stderr.startswith("Error: prompt: is empty.")
