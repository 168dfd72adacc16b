"""Decides what lists of names, places and everyday words say about capitalised words.

A list knows "Lukas" and "Wroclaw" where no cue stands beside them, and the list of everyday words
keeps headings, drugs and the beginnings of sentences from being taken for people. Weak on their
own, so that any rule with a cue outranks them. Pure: `adapters.lexicon` reads the lists.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from radiant_dagster.domain.phi import Span
from radiant_dagster.domain.phi_words import (
    COULD_BE_NAMES,
    NOT_NAMES,
    ORGANISATION_ENDS,
    THINGS_OF_PLACES,
    words,
)

_WORD = re.compile(r"[^\W\d_]+(?:['\-][^\W\d_]+)*")
_NEAR = re.compile(r"[ \t]{1,2}|\.[ \t]")
_NEXT = re.compile(r"(?:'s)?[ \t\-]{1,3}(?P<word>[^\W\d_]+)")
_LONGEST_PLACE = 5  # words
# What stands before a place of which only the context says that it is one.
_PLACE_CUE = re.compile(
    r"(?:\b(?:in|at|from|to|near|of|around|outside|via|through|visit(?:ed|ing)?|leav(?:e|ing)|"
    r"reach(?:ed)?|toward|towards|for|city|town|village|southern|northern|eastern|western|"
    r"central)[ \t]{1,2}|,[ \t]{1,2}|(?:^|\n)[ \t>?*|\-]{0,8})$",
    re.IGNORECASE,
)
_AFTER_NAME = re.compile(r"[ \t]{0,2}(?:$|[,.;:!?)\n\"]|'s\b|and\b|or\b|[a-z])")
_SPEAKER = re.compile(
    r"(?m)^[ \t>]{0,4}(?P<v>[^\W\d_a-z][^\W\d_]{2,20}):[ ](?=[^\W\d_a-z][^\W\d_]*[ ,.'])"
)
# Brands and terms that are given names as well.
_DRUG_NAMES = words(
    """
    allegra yasmin yaz alli mirena kyleena skyla elmiron evista angeliq marvelon tavor
    lucentis alimta eloxatin synthroid kenalog depo celebrex jolivette sharobel aviane
    lessina portia alesse levora trivora beyaz lidia
    """
)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Word lists, folded: case-folded and without accents.

    Args:
        given: Given names.
        surnames: Family names.
        common: Everyday words of English.
        cities: Large towns, known without a cue.
        towns: Smaller ones, which need a cue.
        countries: Countries, and the largest regions of some.
    """

    given: frozenset[str] = field(repr=False)
    surnames: frozenset[str] = field(repr=False)
    common: frozenset[str] = field(repr=False)
    cities: frozenset[str] = field(repr=False)
    towns: frozenset[str] = field(repr=False)
    countries: frozenset[str] = field(repr=False)
    openers: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # First words of places of several words, so that most words are looked up once.
        lists = (self.cities, self.towns, self.countries)
        several = {place.split(" ", 1)[0] for places in lists for place in places if " " in place}
        object.__setattr__(self, "openers", frozenset(several))

    def everyday(self, folded: str) -> bool:
        """Tell whether a word is an everyday or clinical one and so no name by itself."""
        return folded in self.common or folded in NOT_NAMES or folded in _DRUG_NAMES


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text."""

    start: int
    end: int
    text: str
    folded: str


def fold(word: str) -> str:
    """Return a word without case and accents, as the lists hold it."""
    if word.isascii():
        return word.lower()
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def words_of(text: str) -> list[Word]:
    """Return the words of a text in order; a possessive 's belongs to none."""
    out: list[Word] = []
    for match in _WORD.finditer(text):
        word = match[0]
        if word.endswith(("'s", "'S")):
            word = word[:-2]
        out.append(Word(match.start(), match.start() + len(word), word, fold(word)))
    return out


def find_in_lexicon(text: str, lexicon: Lexicon) -> Iterator[Span]:
    """Return people and places that the lists know.

    Args:
        text: Plain text.
        lexicon: The lists.
    """
    tokens = words_of(text)
    caseless = not any(word.text[0].isupper() for word in tokens)
    yield from _places(text, tokens, lexicon, caseless=caseless)
    yield from _people(text, tokens, lexicon, caseless=caseless)
    yield from _speakers(text, lexicon)


def _places(
    text: str, tokens: Sequence[Word], lexicon: Lexicon, *, caseless: bool
) -> Iterator[Span]:
    index = 0
    while index < len(tokens):
        taken = _place_at(text, tokens, index, lexicon, caseless=caseless)
        if taken:
            first, last = tokens[index], tokens[index + taken - 1]
            yield Span(first.start, last.end, "LOCATION", 0.48, "place_list")
        index += taken or 1


def _place_at(
    text: str, tokens: Sequence[Word], index: int, lexicon: Lexicon, *, caseless: bool
) -> int:
    """Return how many tokens from here on are a place; 0 for none."""
    first = tokens[index]
    if not (first.text[0].isupper() or caseless):
        return 0
    for count in range(_LONGEST_PLACE if first.folded in lexicon.openers else 1, 0, -1):
        run = tokens[index : index + count]
        if len(run) < count or not _adjacent(text, run):
            continue
        folded = " ".join(word.folded for word in run)
        if folded in lexicon.countries:
            return 0 if thing_follows(text, run[-1].end) else count
        if caseless or (count == 1 and (len(folded) < 3 or lexicon.everyday(folded))):
            continue
        if folded in lexicon.cities or (
            folded in lexicon.towns
            and _PLACE_CUE.search(text, max(0, first.start - 24), first.start)
        ):
            if count == 1 and first.text.isupper() and len(first.text) <= 4:
                continue
            return 0 if thing_follows(text, run[-1].end) else count
    return 0


def _people(
    text: str, tokens: Sequence[Word], lexicon: Lexicon, *, caseless: bool
) -> Iterator[Span]:
    if caseless:
        yield from _people_in_lower_case(text, tokens, lexicon)
        return
    index = 0
    while index < len(tokens):
        run = _capitalised_run(text, tokens, index)
        if run and (found := _name_in(text, run, lexicon)):
            yield found
        index += max(1, len(run))


def _speakers(text: str, lexicon: Lexicon) -> Iterator[Span]:
    """Return who speaks in a dialogue: where one line opens with a known name, all openers are."""
    found = [match for match in _SPEAKER.finditer(text) if not lexicon.everyday(fold(match["v"]))]
    if len(found) > 1 and any(fold(match["v"]) in lexicon.given for match in found):
        for match in found:
            yield Span(match.start("v"), match.end("v"), "PERSON", 0.38, "speaker")


def _people_in_lower_case(text: str, tokens: Sequence[Word], lexicon: Lexicon) -> Iterator[Span]:
    for index, word in enumerate(tokens):
        if word.folded not in lexicon.given or lexicon.everyday(word.folded):
            continue
        end = index + 1
        while (
            end < min(len(tokens), index + 3)
            and _adjacent(text, tokens[end - 1 : end + 1])
            and (len(tokens[end].text) == 1 or not lexicon.everyday(tokens[end].folded))
        ):
            end += 1
        yield Span(word.start, tokens[end - 1].end, "PERSON", 0.35, "name_list")


def _capitalised_run(text: str, tokens: Sequence[Word], index: int) -> Sequence[Word]:
    end = index
    while end < len(tokens) and tokens[end].text[0].isupper():
        if end > index and not _adjacent(text, tokens[end - 1 : end + 1]):
            break
        end += 1
    return tokens[index:end]


def _name_in(text: str, run: Sequence[Word], lexicon: Lexicon) -> Span | None:
    """Return the name in a run of capitalised words."""
    part = _name_part(run, lexicon)
    if not part or thing_follows(text, part[-1].end):
        return None
    whole = [word for word in part if len(word.text) > 1]
    if len(whole) == 1 and _single_name(text, whole[0], lexicon):
        return Span(part[0].start, part[-1].end, "PERSON", 0.4, "name_list")
    # Two unknown capitalised words are a name more often than anything but an organisation.
    known = any(w.folded in lexicon.given or w.folded in lexicon.surnames for w in whole)
    if len(whole) > 1 and (known or not any(w.text.isupper() for w in whole)):
        return Span(part[0].start, part[-1].end, "PERSON", 0.44, "name_list")
    return None


def _name_part(run: Sequence[Word], lexicon: Lexicon) -> Sequence[Word]:
    """Cut a run down to the words that can be a name: the first such ones."""
    first, last = 0, len(run)
    while first < last and (_no_name(run[first], lexicon) or len(run[first].text) == 1):
        first += 1
    stop = first
    while stop < last and (not _no_name(run[stop], lexicon) or len(run[stop].text) == 1):
        stop += 1
    # "James Sparks": behind a given name an everyday word is the surname.
    if stop == first + 1 and stop < last and run[first].folded in lexicon.given:
        stop += _surname(run[stop])
    while stop > first and len(run[stop - 1].text) == 1:
        stop -= 1
    return run[first:stop]


def _single_name(text: str, word: Word, lexicon: Lexicon) -> bool:
    return (
        word.folded in lexicon.given
        and len(word.text) > 2
        and not (word.text.isupper() and len(word.text) <= 4)
        and word.folded not in lexicon.cities
        and _AFTER_NAME.match(text, word.end) is not None
    )


def _surname(word: Word) -> bool:
    """Tell whether an everyday word can be the surname behind a given name: "James Sparks"."""
    return (
        word.folded not in NOT_NAMES - COULD_BE_NAMES
        and word.folded not in ORGANISATION_ENDS
        and not (word.text.isupper() and len(word.text) <= 4)
    )


def _no_name(word: Word, lexicon: Lexicon) -> bool:
    return (
        lexicon.everyday(word.folded)
        or word.folded in ORGANISATION_ENDS
        or (word.text.isupper() and 1 < len(word.text) <= 4)
        or ("-" in word.folded and any(p in lexicon.common for p in word.folded.split("-")))
    )


def thing_follows(text: str, position: int) -> bool:
    """Tell whether the next word makes the ones before it an organisation or a term."""
    match = _NEXT.match(text, position)
    return match is not None and (
        fold(match["word"]) in ORGANISATION_ENDS or fold(match["word"]) in THINGS_OF_PLACES
    )


def _adjacent(text: str, run: Sequence[Word]) -> bool:
    return all(_NEAR.fullmatch(text, a.end, b.start) is not None for a, b in pairwise(run))
