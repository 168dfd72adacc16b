"""Bar charts as SVG, for the metadata of assets.

By hand: a few rectangles are no reason to install a plotting library on every worker.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap

PLOT_HEIGHT, LABEL_HEIGHT, LINE_HEIGHT, GAP = 120, 18, 14, 2
# What Dagit shows of a metadata value on a screen of 1280; it cuts off what is wider.
MOST_WIDTH, CAPTION_CHARACTERS = 300, 52
DARK, MIDDLE, LIGHT = "#2f6fde", "#7fa5ea", "#c9d8f5"


@dataclass(frozen=True, slots=True)
class Bar:
    """One place on the horizontal axis.

    Args:
        name: Shown where the pointer rests on it, and below the first and the last bar.
        amounts: One a series; each at least 0.
    """

    name: str
    amounts: tuple[float, ...]


def bars(
    caption: str,
    columns: Sequence[Bar],
    *,
    colours: Sequence[str],
    side_by_side: bool = False,
    most: float | None = None,
    width: int = 0,
) -> str:
    """Draw a column a bar, its series on top of each other or side by side.

    Args:
        caption: What is shown, the colours' meaning included.
        colours: One a series.
        most: Amount of a full column; the greatest that occurs where left out.
        width: Of a column in pixels; as wide as the picture allows where left out.
    """
    heights = [max(c.amounts) if side_by_side else sum(c.amounts) for c in columns]
    full = most or max(heights, default=0) or 1
    step = width or MOST_WIDTH // max(1, len(columns))
    lines = wrap(caption, CAPTION_CHARACTERS)
    total, bottom = step * len(columns), LABEL_HEIGHT + LINE_HEIGHT * (len(lines) - 1) + PLOT_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" '
        f'height="{bottom + LABEL_HEIGHT}" font-family="sans-serif" font-size="11">',
        *(
            f'<text x="0" y="{12 + LINE_HEIGHT * number}">{escape(line)}</text>'
            for number, line in enumerate(lines)
        ),
    ]
    for number, column in enumerate(columns):
        left, top = number * step + GAP / 2, float(bottom)
        share = (step - GAP) / len(colours) if side_by_side else step - GAP
        for series, (amount, colour) in enumerate(zip(column.amounts, colours, strict=True)):
            if not amount:
                continue
            height = PLOT_HEIGHT * min(1.0, amount / full)
            top = bottom - height if side_by_side else top - height
            x = left + series * share if side_by_side else left
            parts.append(
                f'<rect x="{x:.1f}" y="{top:.1f}" width="{share:.1f}" height="{height:.1f}" '
                f'fill="{colour}"><title>{escape(column.name)}</title></rect>'
            )
    parts.append(f'<line x1="0" y1="{bottom}" x2="{total}" y2="{bottom}" stroke="#888"/>')
    if columns:
        label = bottom + 13
        parts += [
            f'<text x="0" y="{label}">{escape(columns[0].name)}</text>',
            f'<text x="{total}" y="{label}" text-anchor="end">{escape(columns[-1].name)}</text>',
        ]
    return "".join([*parts, "</svg>"])


def picture(name: str, svg: str) -> str:
    """Return a picture as Markdown that holds all of it: Dagit's Markdown loads nothing else."""
    return f"![{name}](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"


def cell(value: object) -> str:
    """Return a value for a Markdown table; free text must not make cells of its own."""
    return " ".join(str(value).split()).replace("|", "/")
