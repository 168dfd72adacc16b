"""`radiant eval injection`: how many attacks Cato's embedded rules find, at what price."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from radiant_dagster.cli.common import emit_json, example, json_option, make_console, plain
from radiant_dagster.domain.injection import REVIEW_SCORE, injection_score
from radiant_dagster.domain.injection_scores import (
    Judged,
    LabelledText,
    Rates,
    of_length,
    percentile,
    rates_by_category,
    rates_by_group,
    rates_by_source,
)
from radiant_dagster.errors import InvalidInput

FIELD = "FILE"
TIMED_CHARACTERS = 4096
TIMED_TEXTS = 200


@click.command(
    short_help="Attacks found and false alarms raised by Cato.",
    epilog=example("radiant eval injection FILE.jsonl --json"),
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.jsonl")
@click.option(
    "--predictions", type=click.Path(path_type=Path), metavar="OUT.jsonl",
    help="Write id, score and label (1: flagged) of every text there.",
)  # fmt: skip
@json_option
def eval_injection(file: Path, predictions: Path | None, as_json: bool) -> None:
    """Judge labelled texts with the embedded rules, at the threshold that asks for a person.

    A line of FILE is {"id", "source", "category", "text", "label"}; label 1 is an attack. Nothing
    of a text is printed or written.
    """
    judged = [_judge(truth) for truth in read_labelled(file)]
    if predictions:
        _write(predictions, judged)
    document = {
        "threshold": REVIEW_SCORE,
        "texts": len(judged),
        "groups": _plain(rates_by_group(judged)),
        "sources": _plain(rates_by_source(judged)),
        "categories": _plain(rates_by_category(judged)),
        "timing": _timing([row.truth.text for row in judged]),
    }
    if as_json:
        emit_json(document)
    else:
        _show(document)


def _judge(truth: LabelledText) -> Judged:
    score = injection_score(truth.text)[0]
    return Judged(truth, score, flagged=score >= REVIEW_SCORE)


def read_labelled(file: Path) -> list[LabelledText]:
    """Return the texts of a JSONL file.

    Raises:
        InvalidInput: Names the line and what is wrong with it, never its text.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        raise InvalidInput(FIELD, "is not UTF-8", "Save it as UTF-8.") from None
    except OSError as error:
        raise InvalidInput(
            FIELD, f"cannot be read ({error.strerror})", "Give a JSONL file that exists."
        ) from None
    found = [_labelled(line, number) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise InvalidInput(FIELD, "holds no text", "Give one JSON object a line.")
    return found


def _labelled(line: str, number: int) -> LabelledText:
    try:
        row: Any = json.loads(line)
    except ValueError:
        raise InvalidInput(FIELD, f"line {number} is not JSON", "Mend that line.") from None
    if not isinstance(row, dict):
        raise InvalidInput(FIELD, f"line {number} is no object", "Mend that line.")
    for name in ("id", "source", "category", "text"):
        if not isinstance(row.get(name), str):
            raise InvalidInput(FIELD, f"line {number} has no text in `{name}`", "Add it.")
    label = row.get("label")
    if isinstance(label, bool) or label not in (0, 1):
        raise InvalidInput(
            FIELD, f"line {number} has no `label` of 0 or 1", "1 is an attack, 0 harmless."
        )
    return LabelledText(row["id"], row["source"], row["category"], row["text"], label == 1)


def _write(file: Path, judged: list[Judged]) -> None:
    rows = (
        json.dumps({"id": row.truth.id, "score": row.score, "label": int(row.flagged)})
        for row in judged
    )
    try:
        file.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            "--predictions", f"cannot be written ({error.strerror})", "Give another path."
        ) from None


def _timing(texts: list[str]) -> dict[str, float]:
    pieces = of_length(texts, TIMED_CHARACTERS)[:TIMED_TEXTS]
    injection_score(pieces[0])  # the first one may compile or load something
    spent = [_milliseconds(piece) for piece in pieces]
    return {
        "characters": TIMED_CHARACTERS,
        "texts": len(pieces),
        "p50_ms": round(percentile(spent, 0.5), 2),
        "p99_ms": round(percentile(spent, 0.99), 2),
    }


def _milliseconds(text: str) -> float:
    """Return the shortest of three tries: what the work takes, not what else the machine does."""
    tries: list[float] = []
    for _ in range(3):
        start = time.perf_counter()
        injection_score(text)
        tries.append(time.perf_counter() - start)
    return min(tries) * 1000


def _plain(found: Mapping[str, Rates]) -> dict[str, dict[str, Any]]:
    return {name: asdict(rates) for name, rates in found.items()}


def _show(document: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("set", "attacks", "found", "TPR", "benign", "alarms", "FPR"):
        table.add_column(name, header_style="dim", justify="left" if name == "set" else "right")
    for part in ("groups", "sources", "categories"):
        for name, row in document[part].items():
            table.add_row(
                plain(f"{part[:-1] if part != 'categories' else 'category'} {name}"),
                str(row["attacks"]), str(row["found"]), _percent(row["tpr"]),
                str(row["benign"]), str(row["false_alarms"]), _percent(row["fpr"]),
            )  # fmt: skip
    console = make_console()
    console.print(table)
    timing = document["timing"]
    console.print(
        plain(
            f"Threshold {document['threshold']}; {timing['characters']} characters take "
            f"{timing['p50_ms']} ms (p50), {timing['p99_ms']} ms (p99)."
        )
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
