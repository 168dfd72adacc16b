"""`radiant eval`: measures the parts that judge text, on labelled data."""

import importlib

import click

from radiant_dagster.cli.common import example

# Evaluation -> (module of this package, short help); imported when called, as families are.
EVALUATIONS: dict[str, tuple[str, str]] = {
    "phi": ("eval_phi", "How much of what identifies a person the scrubber masks."),
}


class Evaluations(click.Group):
    """Loads one evaluation when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all evaluations, without importing one."""
        return list(EVALUATIONS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import an evaluation and return its command."""
        if cmd_name not in EVALUATIONS:
            return None
        module = importlib.import_module(f"radiant_dagster.cli.{EVALUATIONS[cmd_name][0]}")
        return getattr(module, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the evaluations, without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in EVALUATIONS.items()])


@click.group(
    cls=Evaluations,
    short_help="Measure the scrubber, Cato and the Grimoire on labelled data.",
    epilog=example("radiant eval phi notes.jsonl"),
)
def eval() -> None:
    """Measure on labelled data of your own, one JSON document a line.

    Nothing leaves this machine and nothing is stored but what you ask for.
    """
