"""Decides how well a scrubber did on labelled text: what it covered, and what it took for nothing.

An identifier counts as covered only where every letter and digit of it is masked: half a name is
a leak. `DONT_CARE` kinds (organisations, nationalities, ages below 90) are neither reward nor
false positive. Pure: the command reads the file and runs the scrubber.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from radiant_dagster.domain.phi import TYPES

DONT_CARE = frozenset({"ORGANIZATION", "TITLE", "NRP", "AGE"})
KNOWN_TYPES = frozenset(TYPES) | DONT_CARE
# Labelled data knows accounts only; our own kind for international ones is not a wrong type.
_SAME = {"IBAN": "ACCOUNT"}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A range of a text and what it is.

    Args:
        start: Offset in characters.
        end: Offset just after it.
        type: One of `KNOWN_TYPES`; other systems' predictions may carry any word.
    """

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class Document:
    """One labelled text.

    Args:
        id: Of the data set.
        source: Where it comes from; figures are given for each.
        text: What the scrubber reads.
        spans: What a person labelled.
    """

    id: str
    source: str
    text: str = field(repr=False)
    spans: tuple[Labelled, ...]


@dataclass(slots=True)
class Tally:
    """Counts of one group of documents; ratios are percentages, None where nothing was counted."""

    documents: int = 0
    entities: int = 0
    full: int = 0
    typed: int = 0
    characters: int = 0
    covered_characters: int = 0
    masked_characters: int = 0
    right_characters: int = 0
    documents_with_identifiers: int = 0
    leak_free_documents: int = 0
    clean_documents: int = 0
    clean_documents_touched: int = 0

    def figures(self) -> dict[str, float | int | None]:
        """Return the counts and what they mean, in percent."""
        return {
            "documents": self.documents,
            "entities": self.entities,
            "full_percent": _percent(self.full, self.entities),
            "typed_percent": _percent(self.typed, self.entities),
            "character_recall_percent": _percent(self.covered_characters, self.characters),
            "character_precision_percent": _percent(self.right_characters, self.masked_characters),
            "leak_free_documents_percent": _percent(
                self.leak_free_documents, self.documents_with_identifiers
            ),
            "clean_documents": self.clean_documents,
            "clean_documents_touched": self.clean_documents_touched,
        }


@dataclass(slots=True)
class TypeTally:
    """Counts of one kind of identifier."""

    entities: int = 0
    full: int = 0
    typed: int = 0

    def figures(self) -> dict[str, float | int | None]:
        """Return the counts and percentages."""
        return {
            "entities": self.entities,
            "full_percent": _percent(self.full, self.entities),
            "typed_percent": _percent(self.typed, self.entities),
        }


@dataclass(slots=True)
class Scores:
    """Figures over all documents, by source and by kind of identifier."""

    overall: Tally = field(default_factory=Tally)
    by_source: dict[str, Tally] = field(default_factory=dict)
    by_type: dict[str, TypeTally] = field(default_factory=dict)

    def figures(self) -> dict[str, object]:
        """Return everything as plain values."""
        return {
            "overall": self.overall.figures(),
            "by_source": {name: self.by_source[name].figures() for name in sorted(self.by_source)},
            "by_type": {name: self.by_type[name].figures() for name in sorted(self.by_type)},
        }


def score(predictions: Iterable[tuple[Document, Sequence[Labelled]]]) -> Scores:
    """Compare what was masked with what was labelled.

    Args:
        predictions: Each document with the spans that a scrubber masked in it.
    """
    scores = Scores()
    for document, masked in predictions:
        tallies = (scores.overall, scores.by_source.setdefault(document.source, Tally()))
        any_cover = _cover(document.text, masked)
        by_type = _cover_by_type(document.text, masked)
        core = [span for span in document.spans if span.type not in DONT_CARE]
        leaks = 0
        for span in core:
            wanted = _letters(document.text, span)
            kind = _SAME.get(span.type, span.type)
            full = all(any_cover[at] for at in wanted)
            typed = full and kind in by_type and all(by_type[kind][at] for at in wanted)
            leaks += not full
            for tally in (*tallies, scores.by_type.setdefault(kind, TypeTally())):
                tally.entities += 1
                tally.full += full
                tally.typed += typed
        for tally in tallies:
            _count_document(tally, document, core, leaks, touched=bool(masked))
            _count_characters(tally, document, core, any_cover)
    return scores


def _count_document(
    tally: Tally, document: Document, core: Sequence[Labelled], leaks: int, *, touched: bool
) -> None:
    tally.documents += 1
    if core:
        tally.documents_with_identifiers += 1
        tally.leak_free_documents += not leaks
    if not document.spans:
        tally.clean_documents += 1
        tally.clean_documents_touched += touched


def _count_characters(
    tally: Tally, document: Document, core: Sequence[Labelled], any_cover: bytearray
) -> None:
    text = document.text
    labelled = _cover(text, core)
    ignored = _cover(text, [span for span in document.spans if span.type in DONT_CARE])
    for at, character in enumerate(text):
        if not character.isalnum():
            continue
        if labelled[at]:
            tally.characters += 1
            tally.covered_characters += any_cover[at]
        if any_cover[at] and (labelled[at] or not ignored[at]):
            tally.masked_characters += 1
            tally.right_characters += labelled[at]


def _letters(text: str, span: Labelled) -> list[int]:
    return [at for at in range(span.start, min(span.end, len(text))) if text[at].isalnum()]


def _cover(text: str, spans: Iterable[Labelled]) -> bytearray:
    cover = bytearray(len(text))
    for span in spans:
        stop = min(span.end, len(text))
        cover[span.start : stop] = b"\1" * max(0, stop - span.start)
    return cover


def _cover_by_type(text: str, spans: Sequence[Labelled]) -> Mapping[str, bytearray]:
    kinds = {_SAME.get(span.type, span.type) for span in spans}
    return {
        kind: _cover(text, (s for s in spans if _SAME.get(s.type, s.type) == kind))
        for kind in kinds
    }


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None
