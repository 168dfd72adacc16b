"""`radiant eval`: measure what guards the product on labelled data.

Each evaluation is one file of this package, imported when it is called.
"""

import importlib

import click

# Name -> (module of this package, short help); the command in it is called as its module.
EVALUATIONS: dict[str, tuple[str, str]] = {
    "injection": ("eval_injection", "Attacks found and false alarms raised by Cato."),
}


class Evaluations(click.Group):
    """Loads one evaluation at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all evaluations, without importing one."""
        return list(EVALUATIONS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import an evaluation and return it."""
        if cmd_name not in EVALUATIONS:
            return None
        name = EVALUATIONS[cmd_name][0]
        return getattr(importlib.import_module(f"radiant_dagster.cli.{name}"), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the evaluations, without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in EVALUATIONS.items()])


@click.group(
    cls=Evaluations,
    short_help="Measure the scrubber, Cato and the Grimoire on labelled data.",
    epilog="\b\nExample:\n  radiant eval injection FILE.jsonl --json",
)
def eval() -> None:
    """Measure what guards the product on labelled data, at the thresholds it ships with."""
