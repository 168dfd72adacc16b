"""Keeps what the Grimoire said itself out of what is learned.

An answer that was given lessons repeats them. Learned from again, a lesson would be its own proof:
of 10,134 memories of one public deployment 668 were copies of one recalled hallucination.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from radiant_dagster.domain.dedup import much_alike
from radiant_dagster.domain.heuristics import Polarity

RUN_WORDS = 5  # so many words in a row are taken from a lesson, not met by chance
COVERED_SHARE = 0.5  # of a sentence's words: what is left of it says nothing of its own

_WORD = re.compile(r"[^\W_]+")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?\n]*\s*")


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a session was offered, as its agents saw it."""

    polarity: Polarity
    trigger_pattern: str
    action_template: str


def lessons_in_tool_output(output: str) -> tuple[Lesson, ...]:
    """Return the lessons that an agent found with `grimoire_search`.

    Args:
        output: JSON as the tool gives it; where it was cut, all of it counts as one lesson.
    """
    try:
        found = json.loads(output)["heuristics"]
        return tuple(Lesson(item["kind"], item["when"], item["then"]) for item in found)
    except (ValueError, KeyError, TypeError):
        return (Lesson("do", "", output),)


def without_lessons(text: str, lessons: Iterable[Lesson]) -> str:
    """Return a text without what it repeats of lessons, word for word or nearly so."""
    runs = {
        run
        for lesson in lessons
        for said in (lesson.trigger_pattern, lesson.action_template)
        for run in _runs([word for word, _, _ in _words(said)])
    }
    if not runs:
        return text
    return "".join(_without(match[0], runs) for match in _SENTENCE.finditer(text))


def _without(sentence: str, runs: set[tuple[str, ...]]) -> str:
    words = _words(sentence)
    covered = [False] * len(words)
    for start, run in enumerate(_runs([word for word, _, _ in words])):
        if run in runs:
            covered[start : start + len(run)] = [True] * len(run)
    if not any(covered):
        return sentence
    if sum(covered) >= COVERED_SHARE * len(words):
        return ""
    # Joined by a space, so that what is left and right of a gap does not become one quote.
    pieces: list[str] = []
    start = 0
    for (_, first, last), hidden in zip(words, covered, strict=True):
        if hidden:
            pieces.append(sentence[start:first])
            start = last
    pieces.append(sentence[start:])
    return " ".join(piece for piece in (part.strip() for part in pieces) if piece) + " "


def _words(text: str) -> list[tuple[str, int, int]]:
    return [(_plain(m[0]), m.start(), m.end()) for m in _WORD.finditer(text)]


def _plain(word: str) -> str:
    return unicodedata.normalize("NFKC", word).casefold()


def _runs(words: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + RUN_WORDS]) for i in range(len(words) - RUN_WORDS + 1)]


def says_the_same(
    polarity: Polarity, trigger_pattern: str, action_template: str, lessons: Iterable[Lesson]
) -> bool:
    """Tell whether a new lesson repeats the occasion or the advice of one that was offered."""
    return any(
        lesson.polarity == polarity
        and (
            much_alike(trigger_pattern, lesson.trigger_pattern)
            or much_alike(action_template, lesson.action_template)
        )
        for lesson in lessons
    )
