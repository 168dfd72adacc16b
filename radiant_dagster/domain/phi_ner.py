"""Decides which mentions of a named-entity model are people and places.

A small model takes drugs, eponyms, tests and headings for people. What it says is therefore
trimmed to the words that can be a name, and refused where nothing of it can be one. Pure: the
model itself is loaded in `adapters.ner`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from radiant_dagster.domain.phi import Span
from radiant_dagster.domain.phi_lexicon import Lexicon, Word, thing_follows, words_of
from radiant_dagster.domain.phi_rules import LETTER, UPPER

# The model's memory grows with the text it is given at once.
CHUNK = 4000
# Each piece costs the model two milliseconds before it reads a word, so long texts of short lines
# are not read line by line.
MOST_PIECES = 100
_CAPITALISED = re.compile(rf"[{UPPER}]{LETTER}{{2}}")


@dataclass(frozen=True, slots=True)
class Mention:
    """What a model took for a person or a place, in offsets of the text."""

    start: int
    end: int
    type: str


def chunks(text: str) -> Iterator[tuple[int, str]]:
    """Cut a text at its lines into pieces that a model can take at once, with their offsets.

    A name does not run over a line's end, and a line that was read once need not be read again.
    Lines without one capitalised word are left out: no mention in them would stand, and tables of
    figures take a model longest.
    """
    start, least = 0, len(text) // MOST_PIECES
    while start < len(text):
        end = min(len(text), start + CHUNK)
        line_end = text.find("\n", min(start + least, end), end)
        if line_end >= 0:
            end = line_end + 1
        elif end < len(text):
            blank = text.rfind(" ", start, end)
            end = blank + 1 if blank > start else end
        if _CAPITALISED.search(text, start, end):
            yield start, text[start:end]
        start = end


def judge_mentions(text: str, mentions: Iterable[Mention], lexicon: Lexicon) -> Iterator[Span]:
    """Return the mentions that identify, trimmed.

    Args:
        text: The plain text.
        mentions: What the model found in it.
        lexicon: Knows everyday words.
    """
    for mention in mentions:
        for line_start, line in _lines(text, mention):
            kept = _kept(text, line_start, line, lexicon)
            if kept and _stands(text, kept, mention.type, lexicon):
                yield Span(kept[0].start, kept[-1].end, mention.type, 0.42, "ner")


def _lines(text: str, mention: Mention) -> Iterator[tuple[int, str]]:
    """A model reads over line ends; a name does not."""
    at = mention.start
    for line in text[mention.start : mention.end].split("\n"):
        yield at, line
        at += len(line) + 1


def _kept(text: str, start: int, line: str, lexicon: Lexicon) -> Sequence[Word]:
    """Return the longest run of words that can be a name."""
    best: list[Word] = []
    run: list[Word] = []
    for word in words_of(line):
        moved = Word(start + word.start, start + word.end, word.text, word.folded)
        if _can_name(text, moved, lexicon):
            run.append(moved)
        else:
            run = []
        if len(run) > len(best):
            best = run
    return best


def _can_name(text: str, word: Word, lexicon: Lexicon) -> bool:
    if lexicon.everyday(word.folded):
        return False
    before = text[word.start - 1 : word.start]
    after = text[word.end : word.end + 1]
    return not before.isdigit() and not after.isdigit()


def _stands(text: str, kept: Sequence[Word], kind: str, lexicon: Lexicon) -> bool:
    whole = [word for word in kept if len(word.text) > 2]
    if not whole or all(word.text.isupper() and len(word.text) <= 4 for word in kept):
        return False  # an abbreviation: MRI, HER2
    if not any(word.text[0].isupper() for word in kept):
        return False
    if thing_follows(text, kept[-1].end):
        return False
    if kind == "PERSON" and len(kept) == 1:
        word = kept[0]
        return (
            word.folded in lexicon.given
            or word.folded in lexicon.surnames
            or not word.text.isupper()
        )
    return True
