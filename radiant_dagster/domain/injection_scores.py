"""Decides how well injected instructions are found: rates by source, category and group. Pure.

A false alarm sends a harmless text to a person, a miss lets an attack through as data. The direct
sources are attacks that speak to the model; in the indirect ones an order hides in somebody's mail
or table, which no classifier of whole texts tells from the mail around it: they never share a rate.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

INDIRECT_PREFIX = "bipia"
CLINICAL_PREFIX = "clinical"


@dataclass(frozen=True, slots=True)
class LabelledText:
    """One text with the truth about it.

    Args:
        id: Unique in its file.
        source: Where it comes from, for instance ``deepset``.
        category: What kind it is, for instance ``direct``.
        text: What is judged.
        attack: Whether it carries injected instructions.
    """

    id: str
    source: str
    category: str
    text: str
    attack: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """A labelled text and what the detector said.

    Args:
        truth: The labelled text.
        score: The detector's score.
        flagged: The score reaches the threshold.
    """

    truth: LabelledText
    score: float
    flagged: bool


@dataclass(frozen=True, slots=True)
class Rates:
    """How often a detector is right on one set.

    Args:
        attacks: Texts with injected instructions.
        found: Those of them that were flagged.
        benign: Harmless texts.
        false_alarms: Those of them that were flagged.
        tpr: ``found`` of ``attacks``, from 0 to 1; None where there is none.
        fpr: ``false_alarms`` of ``benign``, from 0 to 1; None where there is none.
    """

    attacks: int
    found: int
    benign: int
    false_alarms: int
    tpr: float | None
    fpr: float | None


def rates(judged: Iterable[Judged]) -> Rates:
    """Count hits and false alarms."""
    rows = tuple(judged)
    attacks = sum(row.truth.attack for row in rows)
    found = sum(row.truth.attack and row.flagged for row in rows)
    benign = len(rows) - attacks
    alarms = sum(row.flagged for row in rows) - found
    return Rates(
        attacks=attacks,
        found=found,
        benign=benign,
        false_alarms=alarms,
        tpr=found / attacks if attacks else None,
        fpr=alarms / benign if benign else None,
    )


def _direct(truth: LabelledText) -> bool:
    return not truth.source.startswith(INDIRECT_PREFIX)


GROUPS: dict[str, Callable[[LabelledText], bool]] = {
    # Clinical notes are what the product reads all day: they have a rate of their own.
    "direct": lambda truth: _direct(truth) and not truth.source.startswith(CLINICAL_PREFIX),
    "indirect": lambda truth: not _direct(truth),
    "clinical": lambda truth: truth.source.startswith(CLINICAL_PREFIX),
    "direct_and_clinical": _direct,
    "overall": lambda _: True,
}


def rates_by_source(judged: Sequence[Judged]) -> dict[str, Rates]:
    """Return the rates of each source, by name."""
    names = sorted({row.truth.source for row in judged})
    return {name: rates(row for row in judged if row.truth.source == name) for name in names}


def rates_by_category(judged: Sequence[Judged]) -> dict[str, Rates]:
    """Return the rates of each category, by name."""
    names = sorted({row.truth.category for row in judged})
    return {name: rates(row for row in judged if row.truth.category == name) for name in names}


def rates_by_group(judged: Sequence[Judged]) -> dict[str, Rates]:
    """Return the rates of the groups that have targets; empty groups are left out."""
    chosen = {
        name: [row for row in judged if belongs(row.truth)] for name, belongs in GROUPS.items()
    }
    return {name: rates(rows) for name, rows in chosen.items() if rows}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least a share of all does not exceed.

    Args:
        values: At least one.
        share: Above 0, at most 1.
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def of_length(texts: Sequence[str], characters: int) -> tuple[str, ...]:
    """Join texts, in their order, into as many of one length as they fill; at least one."""
    joined = "\n".join(texts)
    while joined and len(joined) < characters:
        joined += "\n" + joined
    return tuple(
        joined[start : start + characters]
        for start in range(0, max(1, len(joined) - characters + 1), characters)
    )
