"""`radiant eval memory`: does the Grimoire find what fits, by the product's own ranking.

A folder holds sets of files: NAME_pool.jsonl (what is stored), NAME_q.jsonl (questions) and, for
all sets together, *_oos.jsonl (questions that nothing fits). A label stands for the right advice.
Vectors beside a file (FILE.minilm.f16.npy without the .jsonl, a row a line) save the embedding.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import numpy as np
from rich.table import Table

from radiant_dagster.adapters.embeddings import BATCH, MINILM_SETTING, build_embeddings
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.cli.common import emit_json, example, json_option, load_settings, make_console
from radiant_dagster.cli.labelled import OUT_OF_SCOPE, Labelled, read_labelled
from radiant_dagster.domain.calibration import Observation, Quality, choose_floor, quality
from radiant_dagster.domain.retrieval_scores import CUT, Bm25, Scores, fused, score
from radiant_dagster.domain.selection import (
    CANDIDATES_PER_SLOT,
    MAX_AVOID,
    MAX_DO,
    TOKEN_WEIGHT,
    Candidate,
    by_marginal_relevance,
    exact_tokens,
)
from radiant_dagster.domain.wording import counted
from radiant_dagster.errors import InvalidInput

POOL, QUESTIONS, OUT = "_pool.jsonl", "_q.jsonl", "*_oos.jsonl"
CANDIDATES = (MAX_DO + MAX_AVOID) * CANDIDATES_PER_SLOT
METHODS = {
    "dense": "nearest first (dense)",
    "mmr": "with variety, what sessions get (mmr)",
    "rescue": "with rescue by exact tokens (rescue)",
    "bm25_blend": "0.8 meaning + 0.2 BM25 (bm25_blend)",
    "rrf": "reciprocal rank fusion with BM25 (rrf)",
}
UNTESTED = 0.5  # the posterior mean of what nobody has judged yet


@dataclass(frozen=True)
class Texts:
    """Labelled texts and their vectors, L2-normalised, a row each."""

    items: tuple[Labelled, ...]
    vectors: np.ndarray


@click.command(
    "memory",
    short_help="Measure how well the Grimoire finds what fits.",
    epilog=example("radiant eval memory DIR --json"),
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--merge-at", default=0.95, show_default=True, type=click.FloatRange(0, 1))
@click.option("--link-at", default=0.80, show_default=True, type=click.FloatRange(0, 1))
@json_option
def eval_memory(folder: Path, merge_at: float, link_at: float, as_json: bool) -> None:
    """Measure finding, the floor and merging on labelled texts.

    DIR holds NAME_pool.jsonl and NAME_q.jsonl, lines of {"text", "label"}, and perhaps
    NAME_oos.jsonl with questions that nothing fits.
    """
    names = sorted(path.name.removesuffix(POOL) for path in folder.glob(f"*{POOL}"))
    if not names:
        raise InvalidInput(
            "DIR", f"{folder} holds no NAME{POOL}", "Name a folder with labelled data."
        )
    # What is measured is the ranking; the model that needs no network stands for all of them.
    settings = load_settings().model_copy(update={"embedding_model": MINILM_SETTING})
    outside = [load(path, settings) for path in sorted(folder.glob(OUT))]
    report = {
        name: measure(
            load(folder / f"{name}{POOL}", settings),
            load(folder / f"{name}{QUESTIONS}", settings),
            outside,
            bands={"merge": merge_at, "link": link_at},
        )
        for name in names
    }
    if as_json:
        emit_json({"sets": report})
        return
    for name, found in report.items():
        _print(name, found)


def load(path: Path, settings: Settings) -> Texts:
    """Read labelled texts with their vectors; embeds them where none are given for the model.

    Raises:
        InvalidInput: A file is broken, or the vectors are not as many as the lines.
    """
    items = read_labelled(path)
    stored = path.with_suffix(".minilm.f16.npy")
    if settings.embedding_model != MINILM_SETTING or not stored.is_file():
        model = build_embeddings(settings)
        texts = [item.text for item in items]
        rows = [model.embed(texts[n : n + BATCH]) for n in range(0, len(texts), BATCH)]
        return Texts(items, np.asarray([row for batch in rows for row in batch]))
    try:
        vectors = np.load(stored, allow_pickle=False).astype(float)
    except (OSError, ValueError):
        raise InvalidInput(
            str(stored), "is no array of numpy", "Remove it or make it anew."
        ) from None
    if vectors.ndim != 2 or len(vectors) != len(items):
        raise InvalidInput(
            str(stored), f"does not hold {len(items)} rows", "Remove it or make it anew."
        )
    return Texts(items, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def measure(
    pool: Texts, questions: Texts, outside: list[Texts], *, bands: dict[str, float]
) -> dict[str, Any]:
    """Measure one set."""
    similarities = questions.vectors @ pool.vectors.T
    methods: dict[str, list[list[int]]] = {}
    lexical = Bm25([item.text for item in pool.items])
    for item, row in zip(questions.items, similarities, strict=True):
        for method, ranking in _rankings(pool, lexical, item.text, row):
            methods.setdefault(method, []).append(ranking)
    calibrated, held_out = _floor(pool, questions, outside)
    return {
        "stored": len(pool.items),
        "questions": len(questions.items),
        "out_of_scope": sum(len(texts.items) for texts in outside),
        "rankings": {
            name: asdict(_score(pool, questions, found)) for name, found in methods.items()
        },
        "floor": {
            "calibrated": calibrated.as_dict() if calibrated else None,
            "held_out": held_out.as_dict() if held_out else None,
        },
        "bands": {name: _band(pool, least) for name, least in bands.items()},
    }


def _rankings(
    pool: Texts, lexical: Bm25, text: str, similarities: np.ndarray
) -> Iterator[tuple[str, list[int]]]:
    """Yield the ten best positions by every method; `dense`, `mmr` and `rescue` are ours."""
    dense = [int(n) for n in np.argsort(-similarities, kind="stable")[:CANDIDATES]]
    tokens = exact_tokens(text)
    yield "dense", dense[:CUT]
    candidates = [_candidate(pool, n, similarities) for n in dense]
    chosen = by_marginal_relevance(candidates, most=CUT)
    yield "mmr", [candidate.id.int for candidate in chosen]
    if tokens:
        held = {n: set(exact_tokens(pool.items[n].text)) for n in range(len(pool.items))}
        holding = [n for n, words in held.items() if words.intersection(tokens)]
        candidates = [
            _candidate(pool, n, similarities, len(held[n].intersection(tokens)) / len(tokens))
            for n in {*dense, *holding}
        ]
    by_fit = sorted(candidates, key=lambda item: (-item.fit, item.id.int))
    yield "rescue", [candidate.id.int for candidate in by_fit[:CUT]]
    scores = lexical.scores(text)
    best = max(scores.values(), default=1.0)
    blend = {
        n: (1 - TOKEN_WEIGHT) * float(similarities[n]) + TOKEN_WEIGHT * scores.get(n, 0.0) / best
        for n in {*dense, *scores}
    }
    yield "bm25_blend", sorted(blend, key=lambda n: (-blend[n], n))[:CUT]
    yield "rrf", fused([dense, lexical.ranking(text, CANDIDATES)], CUT)


def _candidate(
    pool: Texts, position: int, similarities: np.ndarray, tokens: float = 0.0
) -> Candidate:
    return Candidate(
        id=UUID(int=position),
        polarity="do",
        trigger_pattern=pool.items[position].text,
        action_template=pool.items[position].label,
        similarity=float(similarities[position]),
        confidence=UNTESTED,
        embedding=pool.vectors[position],  # pyright: ignore[reportArgumentType] - behaves as one
        tokens=tokens,
    )


def _score(pool: Texts, questions: Texts, rankings: list[list[int]]) -> Scores:
    labels = [item.label for item in pool.items]
    return score(
        [
            ([labels[n] for n in ranking], item.label, labels.count(item.label))
            for item, ranking in zip(questions.items, rankings, strict=True)
        ]
    )


def _floor(
    pool: Texts, questions: Texts, outside: list[Texts]
) -> tuple[Quality | None, Quality | None]:
    """Calibrate on every other question, measure on the rest."""
    observations = [seen for texts in (questions, *outside) for seen in observe_all(pool, texts)]
    calibrated = choose_floor(observations[::2])
    return calibrated, calibrated and quality(observations[1::2], calibrated.floor)


def observe_all(pool: Texts, questions: Texts) -> list[Observation]:
    """Return how near the nearest of each question is, and whether it is the right one."""
    similarities = questions.vectors @ pool.vectors.T
    nearest = similarities.argmax(axis=1)
    return [
        Observation(
            float(row[best]),
            relevant=pool.items[int(best)].label == item.label,
            in_scope=item.label != OUT_OF_SCOPE,
        )
        for item, row, best in zip(questions.items, similarities, nearest, strict=True)
    ]


def _band(pool: Texts, least: float) -> dict[str, Any]:
    """Return how many pairs of the stored are that alike, and how many join different labels."""
    labels = [item.label for item in pool.items]
    first, second = np.nonzero(np.triu(pool.vectors @ pool.vectors.T, 1) >= least)
    wrong = sum(labels[int(a)] != labels[int(b)] for a, b in zip(first, second, strict=True))
    pairs = len(first)
    return {
        "at": least,
        "pairs": pairs,
        "different": wrong,
        "precision": round(1 - wrong / pairs, 4) if pairs else None,
    }


def _print(name: str, found: dict[str, Any]) -> None:
    click.echo(f"{name}: {found['stored']} stored, {counted(found['questions'], 'question')}")
    table = Table(box=None, pad_edge=False)
    for title in ("ranking", "hit@1", "hit@5", "MRR@10", "nDCG@10"):
        table.add_column(title, header_style="dim")
    for method, scores in found["rankings"].items():
        table.add_row(
            METHODS.get(method, method), *(f"{value:.3f}" for value in scores.values())
        )  # fmt: skip
    make_console().print(table)
    held_out = found["floor"]["held_out"]
    if held_out is None:
        click.echo("No floor is precise enough.")
    else:
        leaked = "-" if held_out["leakage"] is None else f"{held_out['leakage']:.3f}"
        click.echo(
            f"Floor {held_out['floor']:.2f}, on the other half: precision "
            f"{held_out['precision']:.3f}, coverage {held_out['coverage']:.3f}, leakage {leaked}"
        )
    for band, pairs in found["bands"].items():
        click.echo(
            f"Pairs to {band} ({pairs['at']:.2f}): {pairs['pairs']}, {pairs['different']} of them "
            "about different things"
        )
