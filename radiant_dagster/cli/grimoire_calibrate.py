"""`radiant grimoire calibrate`: which similarity counts as the same kind of question."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from radiant_dagster.adapters.grimoire.calibration import (
    FROM_OUTCOMES,
    Calibrated,
    calibrate_from_labels,
    calibrate_from_outcomes,
)
from radiant_dagster.cli.common import emit_json, example, json_option, load_settings, open_database
from radiant_dagster.domain.calibration import LEAST_OUTCOMES, LEAST_PRECISION
from radiant_dagster.domain.wording import counted
from radiant_dagster.errors import InvalidInput


@click.command(
    short_help="Measure how alike a question has to be.",
    epilog=example(
        "radiant grimoire calibrate",
        "radiant grimoire calibrate --pool triggers.jsonl --questions questions.jsonl --apply",
    ),
)
@click.option(
    "--pool", type=click.Path(path_type=Path), help="Labelled triggers, lines of {text, label}."
)
@click.option(
    "--questions",
    type=click.Path(path_type=Path),
    help="Labelled questions; the label oos is for those that nothing fits.",
)
@click.option("--apply", "apply_", is_flag=True, help="Write the floor; else only show it.")
@json_option
def calibrate(pool: Path | None, questions: Path | None, apply_: bool, as_json: bool) -> None:
    """Choose the similarity floor of the embedding model.

    Without files: from this installation's own outcomes over all tenants. With both files: from
    labelled texts, which the configured model embeds. Shows what would be written; --apply writes
    it.
    """
    if (pool is None) != (questions is None):
        missing = "pool" if pool is None else "questions"
        raise InvalidInput(missing, "is missing", "Give --pool and --questions, or none of them.")
    settings, now = load_settings(), datetime.now(UTC)
    with open_database(settings) as database:
        if pool is None or questions is None:
            found = calibrate_from_outcomes(database, now=now, apply=apply_)
        else:
            # Imported here: it brings what `radiant eval` needs.
            from radiant_dagster.adapters.embeddings import build_embeddings
            from radiant_dagster.cli.eval_memory import load, observe_all

            seen = observe_all(load(pool, settings), load(questions, settings))
            model = build_embeddings(settings)
            found = (calibrate_from_labels(database, model, seen, now=now, apply=apply_),)
    if as_json:
        emit_json({"applied": apply_, "models": [asdict(item) for item in found]})
        return
    for item in found:
        click.echo(_sentence(item))
    if not apply_ and any(item.chosen for item in found):
        click.echo("Nothing was written. Write it with --apply.")


def _sentence(item: Calibrated) -> str:
    seen = counted(item.n, "judged use" if item.source == FROM_OUTCOMES else "question")
    if item.chosen is None:
        few = item.source == FROM_OUTCOMES and item.n < LEAST_OUTCOMES
        why = (
            f"{seen} so far, {LEAST_OUTCOMES} are needed"
            if few
            else f"of {seen}, no floor is right in {LEAST_PRECISION:.0%} of the cases"
        )
        return f"{item.model_id}: stays at {item.before:.2f}: {why}."
    chosen = item.chosen
    leaked = "" if chosen.leakage is None else f", leakage {chosen.leakage:.2f}"
    return (
        f"{item.model_id}: {item.before:.2f} -> {chosen.floor:.2f}, from {seen}: "
        f"precision {chosen.precision:.2f}, coverage {chosen.coverage:.2f}{leaked}."
    )
