"""Decides where a new lesson belongs among those that are there: merge, link, or neither.

The bands belong to the embedding model, and work on the cosine of the triggers:

    >= merge_at  same polarity, advice much alike       merged into that row, undoable
                 same polarity, other advice            conflict
    >= link_at   same polarity                          near copy: a curator looks
                 opposite polarity (any similarity up)  conflict
    below        nothing to do with each other

Cosine alone does not tell a copy from its opposite: of paraphrases with altered facts every tenth
pair at 0.95 says something else. So a merge also needs equal numbers with their units, equal
negations and directions ("before", "increase"), and nearly the same words of advice.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from radiant_dagster.domain.heuristics import Polarity
from radiant_dagster.domain.posterior import similarity_of_texts

NEIGHBOURS = 5
MUCH_ALIKE = 0.8  # of the words of two pieces of advice: one in ten may differ, none that turns it
LinkKind = Literal["near_copy", "conflict"]
Relation = Literal["copy", "near_copy", "conflict"]

_NUMBER = re.compile(
    r"\d+(?:[.,:]\d+)*\s*(?:%|[^\W\d_]+)?|\b(?:one|two|three|four|five|six|seven|eight|nine|ten"
    r"|eleven|twelve|half|twice|once|hundred|thousand)\b"
)
_TURNING = re.compile(
    r"n['\u2019]t\b|\b(?:no|not|never|none|nor|neither|without|cannot|avoid|unless|except|always"
    r"|only|before|after|until|increase|decrease|raise|lower|reduce|more|less|most|least|start|stop"
    r"|begin|end|open|close|closed|above|below|over|under|first|last|early|late|high|low|allow"
    r"|forbid|include|exclude|accept|refuse|reject|add|remove|enable|disable)\b"
)
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Bands:
    """From which cosine of two triggers a lesson is merged, and from which it is linked."""

    merge_at: float
    link_at: float


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A live lesson near the new one.

    Args:
        similarity: Cosine of the triggers.
    """

    id: UUID
    polarity: Polarity
    trigger_pattern: str
    action_template: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Link:
    """A pair that a curator should look at."""

    other: UUID
    kind: LinkKind
    similarity: float


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a new lesson belongs.

    Args:
        merge_into: The row that says the same, None where it stands for itself.
        links: Of the row that lives on, to others.
    """

    merge_into: UUID | None = None
    links: tuple[Link, ...] = ()


def place(
    polarity: Polarity,
    trigger_pattern: str,
    action_template: str,
    neighbours: Sequence[Neighbour],
    bands: Bands,
) -> Placement:
    """Decide where a new lesson belongs.

    Args:
        neighbours: The nearest live ones of either polarity, nearest first.
        bands: Of the embedding model.
    """
    merge_into: UUID | None = None
    links: list[Link] = []
    for other in neighbours:
        found = relation(polarity, trigger_pattern, action_template, other, bands)
        if found == "copy" and merge_into is None:
            merge_into = other.id
        elif found is not None:
            links.append(_link(found, other))
    if merge_into is not None:  # what is near a copy is near the row it is merged into, and linked
        links = [link for link in links if link.kind == "conflict"]
    return Placement(merge_into, tuple(links))


def links_of(
    polarity: Polarity,
    trigger_pattern: str,
    action_template: str,
    neighbours: Sequence[Neighbour],
    bands: Bands,
) -> tuple[Link, ...]:
    """Decide what a lesson that a person wrote stands beside: nothing is merged unasked."""
    links: list[Link] = []
    for other in neighbours:
        found = relation(polarity, trigger_pattern, action_template, other, bands)
        if found is not None:
            links.append(_link(found, other))
    return tuple(links)


def _link(found: Relation, other: Neighbour) -> Link:
    return Link(other.id, "conflict" if found == "conflict" else "near_copy", other.similarity)


def relation(
    polarity: Polarity,
    trigger_pattern: str,
    action_template: str,
    other: Neighbour,
    bands: Bands,
) -> Relation | None:
    """Tell what two lessons are to each other, None where they have nothing to do."""
    if other.similarity < bands.link_at:
        return None
    if other.polarity != polarity:
        return "conflict"
    if other.similarity < bands.merge_at:
        return "near_copy"
    facts = same_facts(
        f"{trigger_pattern}\n{action_template}",
        f"{other.trigger_pattern}\n{other.action_template}",
    )
    alike = facts and much_alike(action_template, other.action_template)
    return "copy" if alike else "conflict"


def same_facts(a: str, b: str) -> bool:
    """Tell whether two texts name the same numbers, negations and directions."""
    return _facts(a) == _facts(b)


def _facts(text: str) -> tuple[Counter[str], Counter[str]]:
    normal = unicodedata.normalize("NFKC", text).casefold()
    numbers = Counter("".join(found.split()) for found in _NUMBER.findall(normal))
    return numbers, Counter(_TURNING.findall(normal))


def much_alike(a: str, b: str) -> bool:
    """Tell whether two pieces of advice are nearly the same, word for word."""
    return similarity_of_texts(_plain(a), _plain(b)) >= MUCH_ALIKE


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
