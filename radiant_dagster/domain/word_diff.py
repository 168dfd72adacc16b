"""Which words of a text a reviewer changed.

Myers' O(ND) difference over words, bounded: beyond `MAX_EDITS` changes what lies between the
common beginning and end is shown as replaced, which is what such an edit is. The page's script
`diff.js` does the same in the browser.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["same", "removed", "added"]
MAX_EDITS = 800
WORD = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """Neighbouring words with one fate.

    Args:
        kind: What became of them.
        text: The words with the white space between them.
    """

    kind: Kind
    text: str


def word_diff(old: str, new: str) -> tuple[Piece, ...]:
    """Return the pieces of both texts, in reading order.

    Those that are not ``added`` make up `old`, those that are not ``removed`` make up `new`.
    """
    before, after = WORD.findall(old), WORD.findall(new)
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    end = 0
    while (
        end < min(len(before), len(after)) - start
        and before[len(before) - 1 - end] == after[len(after) - 1 - end]
    ):
        end += 1
    middle = _middle(before[start : len(before) - end], after[start : len(after) - end])
    return _merged(
        [*_all("same", before[:start]), *middle, *_all("same", before[len(before) - end :])]
    )


def _all(kind: Kind, words: Sequence[str]) -> list[tuple[Kind, str]]:
    return [(kind, word) for word in words]


def _middle(before: Sequence[str], after: Sequence[str]) -> list[tuple[Kind, str]]:
    trace = _trace(before, after) if before and after else None
    if trace is None:
        return _all("removed", before) + _all("added", after)
    return _walk_back(before, after, trace)


def _trace(before: Sequence[str], after: Sequence[str]) -> list[dict[int, int]] | None:
    """Return how far each diagonal reached by number of edits, None beyond the bound."""
    reach = {1: 0}
    trace: list[dict[int, int]] = []
    for edits in range(min(len(before) + len(after), MAX_EDITS) + 1):
        trace.append(dict(reach))
        for diagonal in range(-edits, edits + 1, 2):
            x = _step(reach, diagonal, edits)
            y = x - diagonal
            while x < len(before) and y < len(after) and before[x] == after[y]:
                x, y = x + 1, y + 1
            reach[diagonal] = x
            if x >= len(before) and y >= len(after):
                return trace
    return None


def _step(reach: dict[int, int], diagonal: int, edits: int) -> int:
    if _is_insertion(reach, diagonal, edits):
        return reach[diagonal + 1]
    return reach[diagonal - 1] + 1


def _is_insertion(reach: dict[int, int], diagonal: int, edits: int) -> bool:
    if diagonal in (-edits, edits):
        return diagonal == -edits
    return reach[diagonal - 1] < reach[diagonal + 1]


def _walk_back(
    before: Sequence[str], after: Sequence[str], trace: list[dict[int, int]]
) -> list[tuple[Kind, str]]:
    x, y = len(before), len(after)
    found: list[tuple[Kind, str]] = []
    for edits in range(len(trace) - 1, -1, -1):
        reach, diagonal = trace[edits], x - y
        inserted = _is_insertion(reach, diagonal, edits)
        previous = diagonal + 1 if inserted else diagonal - 1
        from_x = reach[previous] if edits else 0
        from_y = from_x - previous if edits else 0
        while x > from_x and y > from_y:
            x, y = x - 1, y - 1
            found.append(("same", before[x]))
        if edits:
            found.append(("added", after[from_y]) if inserted else ("removed", before[from_x]))
        x, y = from_x, from_y
    return found[::-1]


def _merged(words: Sequence[tuple[Kind, str]]) -> tuple[Piece, ...]:
    pieces: list[tuple[Kind, list[str]]] = []
    for kind, word in words:
        if pieces and pieces[-1][0] == kind:
            pieces[-1][1].append(word)
        else:
            pieces.append((kind, [word]))
    return tuple(Piece(kind, "".join(texts)) for kind, texts in pieces)
