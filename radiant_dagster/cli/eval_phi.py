"""`radiant eval phi`: how much of what identifies a person the scrubber masks, and at what cost."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from radiant_dagster.adapters.detectors import ENGINES, Engine, detector_of
from radiant_dagster.adapters.presidio import PresidioDetector
from radiant_dagster.cli.common import emit_json, example, json_option, load_settings, make_console
from radiant_dagster.domain.phi import Detector, scrub_bundle
from radiant_dagster.domain.phi_scores import KNOWN_TYPES, Document, Labelled, score
from radiant_dagster.domain.phi_yardstick import SourceDesignDetector
from radiant_dagster.errors import InvalidInput

SOURCE_DESIGN = "source-design"
PRESIDIO = "presidio"
FIX = 'Each line is {"id", "source", "text", "spans": [{"start", "end", "type"}]}.'
HEADINGS = {
    "entities": "entities",
    "full_percent": "full %",
    "typed_percent": "typed %",
    "character_recall_percent": "recall %",
    "character_precision_percent": "precision %",
    "leak_free_documents_percent": "leak-free %",
    "clean_documents": "clean docs",
    "clean_documents_touched": "touched",
}


@click.command(
    "phi",
    short_help="How much of what identifies a person the scrubber masks.",
    epilog=example(
        "radiant eval phi notes.jsonl",
        "radiant eval phi notes.jsonl --engine rules --predictions masked.jsonl --json",
    ),
)
@click.argument("file", metavar="FILE.jsonl", type=click.Path(path_type=Path))
@click.option(
    "--predictions",
    metavar="OUT.jsonl",
    type=click.Path(path_type=Path),
    help='Write what was masked, one {"id", "spans"} a line; offsets and kinds, no text.',
)
@click.option(
    "--engine",
    type=click.Choice([*ENGINES, PRESIDIO, SOURCE_DESIGN]),
    help="What scrubs. Default: RADIANT_PHI_ENGINE. source-design: seven patterns.",
)
@json_option
def eval_phi(file: Path, predictions: Path | None, engine: str | None, as_json: bool) -> None:
    """Scrub labelled texts and count what was missed, and what was masked for nothing.

    An identifier is covered ("full") where every letter and digit of it is masked, and typed where
    the kind is right as well. Organisations, titles, nationalities and ages below 90 count neither
    way. A clean document has no label at all.
    """
    settings = load_settings()
    name = engine or settings.phi_engine
    documents = list(read_documents(file))
    began = time.perf_counter()
    detector = _detector(name, settings.ner_model)
    scrub_bundle({"text": "Dr. Warm Up, 1 Oak Street, +1 212 555 0100."}, detector)
    load_seconds = time.perf_counter() - began
    masked = [_masked(document, detector) for document in documents]
    seconds, cpu_seconds = _timed(detector, documents)
    if predictions is not None:
        _write(predictions, documents, masked)
    size = sum(len(document.text.encode(errors="replace")) for document in documents)
    figures: dict[str, Any] = {
        "engine": name,
        **score(zip(documents, masked, strict=True)).figures(),
        "kilobytes": round(size / 1024, 1),
        "kilobytes_per_second": round(size / 1024 / seconds, 1) if seconds else None,
        "kilobytes_per_cpu_second": round(size / 1024 / cpu_seconds, 1) if cpu_seconds else None,
        "load_seconds": round(load_seconds, 2),
        "peak_megabytes": _peak_megabytes(),
    }
    if as_json:
        emit_json(figures)
    else:
        _show(figures)


def _timed(detector: Detector, documents: Sequence[Document]) -> tuple[float, float]:
    """Read all documents once; scrubbing reads each at least twice. Return seconds, and of CPU."""
    began, worked = time.perf_counter(), time.process_time()
    for document in documents:
        detector.detect(document.text)
    return time.perf_counter() - began, time.process_time() - worked


def _detector(engine: str, model: str) -> Detector:
    if engine == SOURCE_DESIGN:
        return SourceDesignDetector()
    if engine == PRESIDIO:
        return PresidioDetector(model)
    chosen: Engine = next(known for known in ENGINES if known == engine)
    return detector_of(chosen, model)


def _masked(document: Document, detector: Detector) -> tuple[Labelled, ...]:
    if isinstance(detector, SourceDesignDetector):  # it knows no second pass and no bundle
        found = detector.detect(document.text)
    else:
        found = scrub_bundle({"text": document.text}, detector).spans["text"]
    return tuple(Labelled(span.start, span.end, span.type) for span in found)


def read_documents(file: Path) -> Iterator[Document]:
    """Read labelled documents.

    Args:
        file: JSON Lines in UTF-8; empty lines are skipped.

    Raises:
        InvalidInput: Names the file's problem, or the line and the field.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise InvalidInput("FILE", f"there is no file {file}", "Name an existing one.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "FILE", f"{file} cannot be read ({type(error).__name__})", "Give a UTF-8 text file."
        ) from None
    number = 0
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _document(number, line)
    if not any(line.strip() for line in lines):
        raise InvalidInput("FILE", f"{file} is empty", FIX)


def _document(number: int, line: str) -> Document:
    try:
        row: Any = json.loads(line)
    except ValueError:
        raise InvalidInput("FILE", f"line {number} is not JSON", FIX) from None
    if not isinstance(row, Mapping):
        raise InvalidInput("FILE", f"line {number} is not an object", FIX)
    for field in ("id", "source", "text"):
        if not isinstance(row.get(field), str):
            raise InvalidInput("FILE", f"line {number} has no text in `{field}`", FIX)
    if not isinstance(row.get("spans"), list):
        raise InvalidInput("FILE", f"line {number} has no list in `spans`", FIX)
    spans = tuple(_span(number, span, len(row["text"])) for span in row["spans"])
    return Document(row["id"], row["source"], row["text"], spans)


def _span(number: int, span: Any, length: int) -> Labelled:
    start, end, kind = (
        (span.get(name) for name in ("start", "end", "type"))
        if isinstance(span, Mapping)
        else (None, None, None)
    )
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= length:
        raise InvalidInput("FILE", f"line {number}: `start` and `end` of a span do not fit", FIX)
    if kind not in KNOWN_TYPES:
        known = ", ".join(sorted(KNOWN_TYPES))
        raise InvalidInput("FILE", f"line {number}: a span's `type` is unknown", f"Use: {known}.")
    return Labelled(start, end, kind)


def _write(
    file: Path, documents: Sequence[Document], masked: Sequence[tuple[Labelled, ...]]
) -> None:
    rows = (
        json.dumps(
            {
                "id": document.id,
                "spans": [{"start": s.start, "end": s.end, "type": s.type} for s in spans],
            }
        )
        for document, spans in zip(documents, masked, strict=True)
    )
    try:
        file.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            "--predictions", f"{file} cannot be written ({type(error).__name__})", "Name another."
        ) from None


def _peak_megabytes() -> float | None:
    """Return the most memory this process ever held; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kilobytes, macOS bytes.
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)


def _show(figures: Mapping[str, Any]) -> None:
    console = make_console()
    groups = {"all": figures["overall"], **figures["by_source"]}
    console.print(_table("source", groups, list(HEADINGS)))
    console.print()
    console.print(_table("kind", figures["by_type"], ["entities", "full_percent", "typed_percent"]))
    console.print(
        f"\n{figures['engine']}: {figures['kilobytes_per_second']} KB/s "
        f"({figures['kilobytes_per_cpu_second']} a second of CPU) over "
        f"{figures['kilobytes']} KB, loaded in {figures['load_seconds']} s, "
        f"peak {figures['peak_megabytes']} MB"
    )


def _table(title: str, groups: Mapping[str, Mapping[str, Any]], columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(title, header_style="dim")
    for column in columns:
        table.add_column(HEADINGS[column], header_style="dim", justify="right")
    for name, row in groups.items():
        shown = ("-" if row[column] is None else str(row[column]) for column in columns)
        table.add_row(name, *shown)
    return table
