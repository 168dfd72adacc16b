"""Where the shapes of Mission Control's plots stand; the template draws them as SVG.

Colours and fonts are the style sheet's, so plots follow light and dark by themselves.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 720.0, 260.0
LEFT, BOTTOM, TOP = 88.0, 30.0, 14.0
STEPS_OF_SECONDS = (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 7200, 21600, 86400, 604800)


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle; `kind` is its class, `label` what a pointer or screen reader says."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line through the days that have a value; days without one interrupt it."""

    path: str
    dots: tuple[tuple[float, float], ...]
    kind: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A value on an axis; `at` is its place along it."""

    at: float
    value: float


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot with its frame."""

    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    days: tuple[tuple[float, str], ...]
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    floor: float = HEIGHT - BOTTOM


def _x(index: int, count: int) -> float:
    return LEFT + (WIDTH - LEFT) * index / max(count, 1)


def _y(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top, 1)


def _days(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[float, str], ...]:
    """Label about five of the days, the last one among them."""
    step = max(math.ceil(len(rows) / 5), 1)
    width = (WIDTH - LEFT) / max(len(rows), 1)
    last = len(rows) - 1  # it ends where the plot ends, the others are centred below their day
    return tuple(
        (
            round(_x(index, len(rows)) + width * (1 if index == last else 0.5), 1),
            f"{rows[index]['day']:%d %b}",
        )
        for index in range(last, -1, -step)
    )


def _ticks(top: float) -> tuple[Tick, ...]:
    return tuple(Tick(_y(top * share, top), top * share) for share in (0.0, 0.5, 1.0))


def decisions(rows: Sequence[Mapping[str, Any]]) -> Plot:
    """Return stacked bars a day: decided by people, and expired above them.

    Args:
        rows: day, decided (expired ones too) and expired, one row a day, the oldest first.
    """
    most = max((row["decided"] for row in rows), default=0)
    top = float(max(2 * math.ceil(most / 2), 2))  # even, so that the half is a number too
    width = round((WIDTH - LEFT) / max(len(rows), 1) * 0.7, 1)
    bars: list[Bar] = []
    for index, row in enumerate(rows):
        x = round(_x(index, len(rows)) + width * 0.2, 1)
        people, everything = row["decided"] - row["expired"], row["decided"]
        label = f"{row['day']:%d %b}: {people} by people, {row['expired']} expired"
        y, above = _y(people, top), _y(everything, top)
        if people:
            bars.append(Bar(x, y, width, round(HEIGHT - BOTTOM - y, 1), "people", label))
        if row["expired"]:
            bars.append(Bar(x, above, width, round(y - above, 1), "expired", label))
    return Plot(tuple(bars), (), _ticks(top), _days(rows))


def times(rows: Sequence[Mapping[str, Any]]) -> Plot:
    """Return two lines over the days: median and 95th percentile of the time to a decision.

    Args:
        rows: day, p50_seconds and p95_seconds, None on days without a decision.
    """
    longest = max((float(row["p95_seconds"] or 0) for row in rows), default=0.0)
    top = next((float(step) for step in STEPS_OF_SECONDS if step >= longest), longest)
    half = (WIDTH - LEFT) / max(len(rows), 1) / 2
    lines = tuple(
        _line(
            [
                None
                if row[name] is None
                else (round(_x(n, len(rows)) + half, 1), _y(row[name], top))
                for n, row in enumerate(rows)
            ],
            name[:3],
        )
        for name in ("p95_seconds", "p50_seconds")
    )
    return Plot((), lines, _ticks(top), _days(rows))


def _line(points: Sequence[tuple[float, float] | None], kind: str) -> Line:
    path, broken = "", True
    for point in points:
        if point is not None:
            path += f"{'M' if broken else 'L'}{point[0]} {point[1]}"
        broken = point is None
    return Line(path, tuple(point for point in points if point), kind)
