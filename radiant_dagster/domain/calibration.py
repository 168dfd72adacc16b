"""Which similarity counts as "the same kind of question" for an embedding model.

A floor belongs to a model: 0.75 offers nothing with one and everything with another. It is chosen
from observations of the nearest heuristic, and says with what precision, recall, coverage and
leakage it was chosen.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

LEAST_PRECISION = 0.75  # three of four offered heuristics fit; with less they are noise
LEAST_OUTCOMES = 200  # judged uses, below which outcomes say too little
# Uses below the floor are never observed, so outcomes alone cannot tell how far down to go.
MOST_BELOW_START = 0.1
MOST_ABOVE_START = 0.2
STEP = 0.01


@dataclass(frozen=True, slots=True)
class Observation:
    """The nearest heuristic of one question.

    Args:
        similarity: Of question and trigger, cosine.
        relevant: It was the right one.
        in_scope: There was a right one to find.
    """

    similarity: float
    relevant: bool
    in_scope: bool = True


@dataclass(frozen=True, slots=True)
class Quality:
    """What a floor does.

    Args:
        n: Observations it was measured on.
        precision: Right ones among the offered, None where nothing is offered.
        recall: Questions offered the right one, among those that have one.
        coverage: Questions offered anything, among those that have a right one.
        leakage: Questions offered something though nothing fits; None where there were none.
    """

    floor: float
    n: int
    precision: float | None
    recall: float
    coverage: float
    leakage: float | None

    @property
    def f1(self) -> float:
        """Return the harmonic mean of precision and recall."""
        both = (self.precision or 0.0) + self.recall
        return 2 * (self.precision or 0.0) * self.recall / both if both else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return it as it is stored beside the floor."""
        return {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


def quality(observations: Sequence[Observation], floor: float) -> Quality:
    """Measure a floor."""
    offered = [item for item in observations if item.similarity >= floor]
    right = sum(item.relevant for item in offered)
    inside = sum(item.in_scope for item in observations)
    outside = len(observations) - inside
    leaked = sum(not item.in_scope for item in offered)
    return Quality(
        floor=floor,
        n=len(observations),
        precision=right / len(offered) if offered else None,
        recall=right / inside if inside else 0.0,
        coverage=(len(offered) - leaked) / inside if inside else 0.0,
        leakage=leaked / outside if outside else None,
    )


def choose_floor(
    observations: Sequence[Observation], *, least: float = 0.0, most: float = 1.0
) -> Quality | None:
    """Choose the floor of the best F1 among those with a precision of 0.75 or more.

    Of equal ones the higher floor is chosen: it offers less for the same good.

    Args:
        least: The floor is not below this.
        most: Nor above this.

    Returns:
        None where no floor is precise enough.
    """
    first, last = round(least / STEP), round(most / STEP)
    measured = (quality(observations, round(step * STEP, 2)) for step in range(first, last + 1))
    precise = [item for item in measured if (item.precision or 0.0) >= LEAST_PRECISION]
    return max(precise, key=lambda item: (item.f1, item.floor), default=None)


def choose_floor_near(observations: Sequence[Observation], start: float) -> Quality | None:
    """Choose a floor from outcomes, not far from the model's start value.

    Returns:
        None where there are too few outcomes, or no floor in reach is precise enough.
    """
    if len(observations) < LEAST_OUTCOMES:
        return None
    least, most = max(0.0, start - MOST_BELOW_START), min(1.0, start + MOST_ABOVE_START)
    return choose_floor(observations, least=least, most=most)
