"""Decides how much a text looks like instructions to a model.

The signs of `injection_rules` are looked for in the text as it reads, without its disguises, and
in what its encoded runs say. Signs count where they stand together: in a window of two sentences,
or at half their weight over the whole text, since long texts collect them by chance.

It is a filter for the blatant. What keeps stored text from being obeyed is that it only ever
reaches a model as data. Pure.
"""

import re
from collections.abc import Iterable, Sequence

from radiant_dagster.domain.injection_rules import SIGNS
from radiant_dagster.domain.injection_views import decoded, readable, undisguised

BLOCK_SCORE = 5.0  # one blatant sign, or two strong ones in one place
REVIEW_SCORE = 3.0
WHOLE_TEXT_SHARE = 0.5  # signs far apart count half: long texts collect them by chance

_WINDOW_SENTENCES = 2
_MAX_WINDOW_CHARACTERS = 600
_ENCODED_WEIGHT = 2.0
_FLOOD_WEIGHT = 3.0
_TASK_WEIGHT = 3.0

# A table, or a letter with its heading or salutation: data that asks nothing of a model.
_TABLE_ROW = re.compile(r"[ \t]*\|.*\|[ \t]*")
_LETTER = re.compile(
    r"(?:\A|\n|\|)\s*(?:subject|from|received|date|sent|email_from)\s?:|\A\s*(?:hi|hello|dear)\s+\w",
    re.IGNORECASE,
)
# A line that sets a task: a question of its own, or work on words.
_TASK = re.compile(
    r"(?:please\s+|now\s+)?(?:(?:what|who|how|why|when|where|which|can\s+you|could\s+you|is|are|do|does)"
    r"\b[^\n]{3,300}\?|(?:explain|describe|write|translate|summari[sz]e|list|compose|generate|render|"
    r"convert|calculate|compare|classify|rewrite|paraphrase|design|discuss|analy[sz]e|evaluate|"
    r"recommend|suggest|identify|develop|create|provide|encode|craft|give|find)\b[^\n]{8,300})",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(r"(?<=[.!?。])\s+|\n+")

Found = tuple[float, frozenset[str]]


def injection_score(content: str, *, is_answer: bool = False) -> tuple[float, tuple[str, ...]]:
    """Weigh the signs of injected instructions, in the whole and in each window of sentences.

    Args:
        content: Any text.
        is_answer: An answer of ours, whose tables and questions are its own. In what comes from
            elsewhere, a task beside a table or below a letter is a sign.

    Returns:
        The highest score (3 asks for a person, 5 blocks) and the codes that made it.
    """
    text = readable(content)
    score, codes = _score(undisguised(text))
    for said in decoded(text):
        inner, inner_codes = _score(said)
        if inner > 0 and inner + _ENCODED_WEIGHT > score:
            score, codes = inner + _ENCODED_WEIGHT, inner_codes | {"injection:encoded"}
    if not is_answer and _task_in_data(text):
        score, codes = max(score, _TASK_WEIGHT), codes | {"injection:task_in_data"}
    if _floods(text):
        score, codes = score + _FLOOD_WEIGHT, codes | {"injection:flood"}
    return score, tuple(sorted(codes))


def _score(text: str) -> Found:
    lowered = text.lower()
    hits = [
        (index, match.start())
        for index, sign in enumerate(SIGNS)
        for match in _first_matches(sign.pattern, text if sign.cased else lowered)
    ]
    if not hits:
        return 0.0, frozenset()
    best = _weigh({index for index, _ in hits}, WHOLE_TEXT_SHARE)
    for start, end in _windows(text):
        found = _weigh({index for index, position in hits if start <= position < end}, 1.0)
        best = max(best, found, key=lambda pair: pair[0])
    return best


def _weigh(indexes: Iterable[int], share: float) -> Found:
    signs = [SIGNS[index] for index in indexes]
    return share * sum(sign.weight for sign in signs), frozenset(sign.code for sign in signs)


def _first_matches(pattern: re.Pattern[str], text: str) -> Iterable[re.Match[str]]:
    # 50 hits of one sign decide as well as a million and keep windows cheap.
    for count, match in enumerate(pattern.finditer(text)):
        if count == 50:
            return
        yield match


def _windows(text: str) -> Sequence[tuple[int, int]]:
    ends = [match.start() for match in SENTENCE_END.finditer(text)] + [len(text)]
    starts = [0, *ends[:-1]]
    windows: list[tuple[int, int]] = []
    for index, start in enumerate(starts):
        end = ends[min(index + _WINDOW_SENTENCES - 1, len(ends) - 1)]
        if end - start <= _MAX_WINDOW_CHARACTERS:
            windows.append((start, end))
            continue
        # A text without full stops.
        windows += [
            (part, min(end, part + _MAX_WINDOW_CHARACTERS))
            for part in range(start, end, _MAX_WINDOW_CHARACTERS // 2)
        ]
    return windows


def _task_in_data(text: str) -> bool:
    """Tell whether a table or letter has a line beside it that sets somebody a task."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        return False
    beside = [line for line in lines if not _TABLE_ROW.fullmatch(line)]
    if len(lines) - len(beside) >= 3:
        return any(_TASK.match(line) for line in beside)
    # Of a letter only the end: questions in it are its own.
    return bool(_LETTER.search(text)) and bool(_TASK.fullmatch(lines[-1]))


def _floods(text: str) -> bool:
    """Tell whether a few tokens are repeated to push instructions out of a model's sight."""
    words = text.split()
    return len(words) >= 40 and len(set(words)) < len(words) * 0.12
