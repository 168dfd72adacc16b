"""The `radiant` command: its families, its error messages, its exit codes.

Families are imported when one of theirs is called: `radiant --help` answers in a blink, without
the database driver, the model client or any of Dagster.
"""

import importlib
import json
import sys
from collections.abc import Sequence
from typing import Any

import click

EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_STATE = 3
EXIT_UNAVAILABLE = 4
EXIT_INTERRUPTED = 130

# Section -> command -> (module of this package, short help). The help is repeated here so that
# listing the commands imports none of them; a test compares it with the command's own.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Start here": {
        "up": ("stack", "Start everything on this machine; Ctrl-C stops it."),
        "think": ("think", "Ask the Think Tank a question and watch it work."),
        "doctor": ("doctor", "Check every piece and say what to do."),
    },
    "Work": {
        "sessions": ("sessions", "List, show, watch, cancel and rerun sessions."),
        "feedback": ("feedback", "Say how good an answer was that nobody reviewed."),
        "approvals": ("approvals", "Read what waits for a person, and decide it."),
        "grimoire": ("grimoire", "Read and curate what the Think Tank has learned."),
        "scrub": ("scrub", "Mask what identifies a person in a text."),
        "audit": ("audit", "Who did what; and prove that nobody changed it."),
        "budget": ("budget", "Show and set what may be spent; list what was."),
    },
    "Set up": {
        "keys": ("keys", "Make, list and revoke the keys that people and services show."),
        "principals": ("keys", "List people and services, and shut one out."),
        "tenants": ("admin", "Create, list and erase tenants."),
        "domains": ("domains", "Say who reviews a domain's answers, and until when."),
        "tools": ("tools", "List, allow and forbid the tools agents may call."),
        "webhooks": ("webhooks", "Tell other systems of approvals by signed HTTP."),
        "notify": ("notify", "Tell people of approvals by e-mail, Slack, Teams and the rest."),
        "panels": ("admin", "List, show and import panels of agents."),
        "eval": ("evaluate", "Measure the scrubber, Cato and the Grimoire on labelled data."),
        "db": ("db", "Bring the database up to date, or see what it lacks."),
        "config": ("admin", "Show every setting and where it comes from."),
        "mission-control": ("mission_control", "Serve the reviewers' pages and the API."),
        "cato": ("cato", "Serve Cato's safety checks over HTTP."),
        "down": ("stack", "Stop what `radiant up` started."),
        "reset": ("stack", "Stop it and delete all of its data for good."),
    },
}
COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class Radiant(click.Group):
    """Loads command families lazily and turns errors into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all commands, without importing one."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's family and return it."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"radiant_dagster.cli.{COMMANDS[cmd_name][0]}")
        return getattr(module, cmd_name.replace("-", "_"))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section, without importing one."""
        width = max(len(name) for name in COMMANDS)
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                rows = [(name.ljust(width), text) for name, (_, text) in commands.items()]
                formatter.write_dl(rows)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command; ends the process with its exit code."""
        words = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(words, prog_name, complete_var, standalone_mode=False, **extra)
        except click.Abort:
            click.echo("Interrupted.", err=True)
            sys.exit(EXIT_INTERRUPTED)
        except Exception as error:
            # The one boundary of the command line: nobody is shown a traceback unasked.
            if "--debug" in words:
                raise
            sys.exit(_report(error, as_json="--json" in words))
        sys.exit(code if isinstance(code, int) else 0)


def _report(error: Exception, *, as_json: bool) -> int:
    """Print an error and return its exit code."""
    if isinstance(error, click.ClickException):
        if as_json:
            _print_json("usage", error.format_message(), None)
        error.show()
        return error.exit_code if error.exit_code != 1 else EXIT_INPUT
    code, message, field, exit_code = _explain(error)
    if as_json:
        _print_json(code, message, field)
    click.echo(f"Error: {message}", err=True)
    tail = getattr(error, "log_tail", "")
    if tail:
        click.echo(f"Its last lines:\n{tail}", err=True)
    return exit_code


def _explain(error: Exception) -> tuple[str, str, str | None, int]:
    """Return code, message, field and exit code."""
    from radiant_dagster.errors import (
        ConfigurationError,
        InvalidInput,
        RadiantError,
        ServerDied,
        StateError,
        TransientError,
    )

    if not isinstance(error, RadiantError):
        # The type alone: a driver's message may quote what it was given.
        return (
            "unexpected",
            f"an unexpected {type(error).__name__} stopped this command. Run it again with "
            "`radiant --debug ...` to see where, and report it.",
            None,
            EXIT_FAILED,
        )
    field = getattr(error, "field", None) or getattr(error, "setting", None)
    exit_code = EXIT_FAILED
    if isinstance(error, InvalidInput):
        exit_code = EXIT_INPUT
    elif isinstance(error, StateError):
        exit_code = EXIT_STATE
    elif isinstance(error, (TransientError, ConfigurationError, ServerDied)):
        exit_code = EXIT_UNAVAILABLE
    return error.code, str(error), field, exit_code


def _print_json(code: str, message: str, field: str | None) -> None:
    body = {"code": code, **({"field": field} if field else {}), "message": message}
    click.echo(json.dumps({"error": body}, ensure_ascii=False))


HELP = """RADIANT Think Tank: a panel of AI agents thinks about a question, one answer is written
from theirs, and where it matters a person decides before anybody gets it.

\b
First steps, in two terminals:
  radiant up
  radiant think "How should a small clinic prepare for a power cut?"

\b
A question that a person has to approve (medical, financial and legal ones always do):
  radiant think --domain medical "Which vaccines must be thrown away after 6 hours at 12 C?"
  radiant approvals list
  radiant approvals approve ID --as NAME
"""
EPILOG = """\b
Exit codes:
  0    all went well
  1    the session failed, was rejected, expired or cancelled, or a check failed
  2    bad input: a wrong option, file or value
  3    not found, or not possible in its present state
  4    a service cannot be reached or is configured wrongly
  130  interrupted

Reading commands take --json and print one JSON document, errors as {"error": {"code", "field",
"message"}}. Ids may be shortened to their first 6 or more characters. Settings come from
environment variables, see `radiant config show`.
"""


@click.group(
    cls=Radiant,
    help=HELP,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="radiant-dagster", prog_name="radiant")
@click.option("--debug", is_flag=True, help="Show where an error comes from.")
def main(debug: bool) -> None:  # noqa: D103 - click shows HELP
    del debug  # read by Radiant.main, which sees it even where parsing fails


if __name__ == "__main__":
    main()
