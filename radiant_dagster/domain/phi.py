"""Decides what identifies a person in text, and replaces it by consistent placeholders.

    fields of one review  ->  scrub_bundle  ->  the same fields with [PERSON_1], [DATE_2], ...
                                            ->  mapping placeholder -> original, for the vault

One bundle is one review: the same value gets the same number in every field, and what was found
in one field is masked in all of them. A literal placeholder in the input is left as it is and its
number is never given out, so it can neither be mistaken for a found value nor be filled in later.
Pure: rules are in `phi_rules` and `phi_names`; another detector (named-entity recognition) plugs
in behind `Detector`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from radiant_dagster.domain.phi_names import NAMES, name_tokens, trim_name
from radiant_dagster.domain.phi_numbers import COMPACTED, PLACEHOLDER, Numbers, compact
from radiant_dagster.domain.phi_places import PLACES, TOWNS
from radiant_dagster.domain.phi_rules import DATES, IDENTIFIERS, Rule
from radiant_dagster.domain.phi_text import PlainText, plain_text
from radiant_dagster.domain.phi_words import COULD_BE_NAMES, NOT_NAMES, ORGANISATION_ENDS
from radiant_dagster.errors import ScrubberUnavailable

TYPES = (
    "PERSON", "LOCATION", "DATE", "AGE_OVER_89", "PHONE", "EMAIL", "SSN", "MRN", "HEALTH_PLAN_ID",
    "ACCOUNT", "IBAN", "CREDIT_CARD", "LICENSE", "VEHICLE_ID", "DEVICE_ID", "URL", "IP_ADDRESS",
    "BIOMETRIC", "PHOTO", "OTHER_ID",
)  # fmt: skip
RULES: tuple[Rule, ...] = IDENTIFIERS + DATES + PLACES + TOWNS + NAMES

# A replacement changes what stands beside it; two passes are the rule, ten mean a detector that
# sees identifiers in placeholders.
_MAX_PASSES = 10
PHRASE_WORDS = 8  # no name or place is longer; a "name" of a whole page is not looked for again

_WORD = re.compile(r"[^\W\d_]+(?:['\-][^\W\d_]+)*")
_CODE = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9](?:[A-Za-z0-9]|[\-.](?=[A-Za-z0-9])){4,40}")
_NAME_GAP = re.compile(r"[ \t]{1,3}(?:[^\W\d_]\.?[ \t]{1,3})?")


@dataclass(frozen=True, slots=True)
class Span:
    """One identifier in a text. Carries no text, so it may be logged.

    Args:
        start: Offset in the original text, in characters.
        end: Offset just after it.
        type: One of `TYPES`.
        score: 0 to 1.
        recogniser: Name of the rule that found it.
    """

    start: int
    end: int
    type: str
    score: float
    recogniser: str


class Detector(Protocol):
    """Finds identifiers in one text."""

    def detect(self, text: str) -> tuple[Span, ...]:
        """Return spans in the original's offsets, ordered, not overlapping."""
        ...


# Reads the plain text and returns spans in its offsets; they may overlap others.
Finder = Callable[[str], Iterable[Span]]


@dataclass(frozen=True, slots=True)
class RuleDetector:
    """The rules, and what else finds identifiers; by itself no model, no I/O.

    Args:
        rules: What to apply; every rule of this module unless a test narrows it.
        finders: What adds to them: a model, a list of places.
    """

    rules: tuple[Rule, ...] = RULES
    finders: tuple[Finder, ...] = ()

    def detect(self, text: str) -> tuple[Span, ...]:
        """Return spans in the original's offsets, ordered, not overlapping.

        Args:
            text: Any text; by rules alone, 100,000 characters take about a second.
        """
        plain = plain_text(text)
        found = [span for rule in self.rules for span in _apply(rule, plain.text)]
        for finder in self.finders:
            found.extend(finder(plain.text))
        known = _Known.of(plain.text, found)
        found.extend(known.find(plain.text))
        return _to_original(plain, resolve(found, plain.text))


def _apply(rule: Rule, text: str) -> Iterable[Span]:
    for match in rule.pattern.finditer(text):
        start, end = match.span("v")
        if rule.accept is not None and not rule.accept(text[start:end]):
            continue
        if rule.name_cue is not None:
            trimmed = trim_name(text, start, end, rule)
            if trimmed is None:
                continue
            start, end = trimmed
        yield Span(start, end, rule.type, rule.score, rule.name)


def resolve(spans: Iterable[Span], text: str) -> tuple[Span, ...]:
    """Make spans disjoint without uncovering anything: the higher score keeps the overlap.

    Args:
        spans: In offsets of ``text``.
        text: Where placeholders are left alone.
    """
    taken = bytearray(len(text))
    for match in PLACEHOLDER.finditer(text):
        taken[match.start() : match.end()] = b"\1" * (match.end() - match.start())
    kept: list[Span] = []
    for span in sorted(spans, key=lambda s: (-s.score, s.start - s.end, s.start)):
        for start, end in _free(taken, span.start, span.end):
            start, end = _shrink(text, start, end)
            if start < end:
                kept.append(Span(start, end, span.type, span.score, span.recogniser))
        taken[span.start : span.end] = b"\1" * (span.end - span.start)
    return _join_names(sorted(kept, key=lambda s: s.start), text)


def _free(taken: bytearray, start: int, end: int) -> Iterable[tuple[int, int]]:
    while start < end:
        start = taken.find(0, start, end)
        if start < 0:
            return
        stop = taken.find(1, start, end)
        stop = end if stop < 0 else stop
        yield start, stop
        start = stop


def _shrink(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and not (text[start].isalnum() or text[start] in "(+"):
        start += 1
    while start < end and not (text[end - 1].isalnum() or text[end - 1] in ")"):
        end -= 1
    return (start, end) if any(c.isalnum() for c in text[start:end]) else (start, start)


def _join_names(spans: Sequence[Span], text: str) -> tuple[Span, ...]:
    """Join neighbouring words of one name, so that a person is one placeholder."""
    out: list[Span] = []
    for span in spans:
        last = out[-1] if out else None
        if (
            last is not None
            and last.type == span.type == "PERSON"
            and _NAME_GAP.fullmatch(text, last.end, span.start)
        ):
            out[-1] = Span(last.start, span.end, "PERSON", last.score, last.recogniser)
        else:
            out.append(span)
    return tuple(out)


def _to_original(plain: PlainText, spans: Iterable[Span]) -> tuple[Span, ...]:
    out: list[Span] = []
    for span in spans:
        start, end = plain.original(span.start, span.end)
        if out and start < out[-1].end:  # one character of the original became two
            start = out[-1].end
        if start < end:
            out.append(Span(start, end, span.type, span.score, span.recogniser))
    return tuple(out)


@dataclass(frozen=True, slots=True)
class _Known:
    """Values found once, looked for everywhere: words of names, phrases and codes."""

    names: frozenset[str]
    phrases: Mapping[tuple[str, ...], str]
    codes: Mapping[str, str]

    @staticmethod
    def of(text: str, spans: Iterable[Span]) -> "_Known":
        return _Known.of_values((s.type, text[s.start : s.end]) for s in spans)

    @staticmethod
    def of_values(values: Iterable[tuple[str, str]]) -> "_Known":
        names: set[str] = set()
        phrases: dict[tuple[str, ...], str] = {}
        codes: dict[str, str] = {}
        for kind, value in values:
            if kind == "PERSON":
                names.update(t for t in name_tokens(value) if len(t) > 2 and _masks_alone(t))
            elif kind in COMPACTED:
                code = compact(value)
                if len(code) >= 5 and sum(c.isdigit() for c in code) >= 4:
                    codes.setdefault(code, kind)
            if kind in ("PERSON", "LOCATION"):
                words = tuple(m[0].casefold().removesuffix("'s") for m in _WORD.finditer(value))
                alone = len(words) == 1 and kind == "LOCATION" and _masks_alone(words[0])
                if 1 < len(words) <= PHRASE_WORDS or alone:
                    phrases.setdefault(words, kind)
        return _Known(frozenset(names), phrases, codes)

    def find(self, text: str) -> Iterable[Span]:
        """Return every other place where a known value stands."""
        words = (
            [(m.start(), m.end(), m[0]) for m in _WORD.finditer(text)]
            if self.names or self.phrases
            else []
        )
        for index, (start, end, word) in enumerate(words):
            yield from self._word(text, start, end, word)
            run = words[index : index + PHRASE_WORDS]
            folded = tuple(w.casefold().removesuffix("'s") for _, _, w in run)
            for length in range(len(run), 0, -1):
                kind = self.phrases.get(folded[:length])
                if kind == "PERSON" or (kind and word[0].isupper()):
                    _, end_of_run, last = run[length - 1]
                    possessive = 2 if last.endswith("'s") else 0
                    yield Span(start, end_of_run - possessive, kind, 0.55, "propagated")
                    break
        if self.codes:
            for match in _CODE.finditer(text):
                kind = self.codes.get(compact(match[0]))
                if kind:
                    yield Span(match.start(), match.end(), kind, 0.55, "propagated")

    def retyped(self, span: Span, text: str) -> Span:
        """Return the span under the type that the bundle knows its code by."""
        if span.type not in COMPACTED:
            return span
        kind = self.codes.get(compact(plain_text(text[span.start : span.end]).text), span.type)
        return Span(span.start, span.end, kind, span.score, span.recogniser)

    def _word(self, text: str, start: int, end: int, word: str) -> Iterable[Span]:
        if not word[0].isupper():
            return
        base = word[:-2] if word.endswith(("'s", "'S")) else word
        folded = base.casefold()
        if folded in self.names:
            if folded in COULD_BE_NAMES and _thing_follows(text, end):
                return
            yield Span(start, start + len(base), "PERSON", 0.5, "propagated")
            return
        offset = start
        for part in re.split(r"(['\-])", base):
            if len(part) > 2 and part[0].isupper() and part.casefold() in self.names:
                yield Span(offset, offset + len(part), "PERSON", 0.5, "propagated")
            offset += len(part)


def _masks_alone(word: str) -> bool:
    return word not in NOT_NAMES or word in COULD_BE_NAMES


def _thing_follows(text: str, position: int) -> bool:
    following = _WORD.search(text, position, position + 40)
    return (
        following is not None
        and not text[position : following.start()].strip(" -'")
        and following[0].lower() in ORGANISATION_ENDS
    )


@dataclass(frozen=True, slots=True)
class ScrubbedBundle:
    """The fields of one review without identifiers.

    Args:
        fields: Same keys as the input, safe to show.
        mapping: Placeholder to the original value as first written; for the vault only, never
            for a log. Hidden from ``repr``.
        counts: How many places were masked, by type.
        spans: Per field what was masked, in the offsets of the input; no text.
    """

    fields: Mapping[str, str] = field(repr=False)
    mapping: Mapping[str, str] = field(repr=False)
    counts: Mapping[str, int]
    spans: Mapping[str, tuple[Span, ...]] = field(default_factory=dict[str, tuple[Span, ...]])


def scrub_bundle(fields: Mapping[str, str], detector: Detector) -> ScrubbedBundle:
    """Mask every identifier of a bundle of texts that belong together.

    Args:
        fields: Name of the field to its text: prompt, each answer, draft, guidance.
        detector: What finds identifiers.

    Returns:
        The bundle; scrubbing its fields again changes nothing.

    Raises:
        ScrubberUnavailable: The detector does not come to rest, so nothing may be shown.
    """
    numbers = Numbers(fields.values())
    counts: dict[str, int] = {}
    current = dict(fields)
    masked: dict[str, tuple[_Masked, ...]] = dict.fromkeys(current, ())
    for _ in range(_MAX_PASSES):
        found = {name: detector.detect(text) for name, text in current.items()}
        known = _known_in(found, current)
        spans = {name: _with_known(text, found[name], known) for name, text in current.items()}
        if not any(spans.values()):
            done = {name: tuple(m.span for m in masked[name]) for name in masked}
            return ScrubbedBundle(current, numbers.mapping, dict(sorted(counts.items())), done)
        numbers.meet(
            (s.type, current[name][s.start : s.end]) for name in current for s in spans[name]
        )
        for name, text in current.items():
            current[name], masked[name] = _replace(text, spans[name], masked[name], numbers, counts)
    raise ScrubberUnavailable("the detector keeps finding identifiers in scrubbed text")


def _known_in(found: Mapping[str, tuple[Span, ...]], current: Mapping[str, str]) -> _Known:
    """Collect what the fields give away; of two types, the higher score names a code."""
    spans = [(span, current[name]) for name in found for span in found[name]]
    spans.sort(key=lambda item: -item[0].score)
    return _Known.of_values((s.type, plain_text(t[s.start : s.end]).text) for s, t in spans)


def _with_known(text: str, own: tuple[Span, ...], known: _Known) -> tuple[Span, ...]:
    """Add to one field's spans what the whole bundle gave away, under one type a code."""
    plain = plain_text(text)
    more = _to_original(plain, resolve(known.find(plain.text), plain.text))
    return tuple(known.retyped(span, text) for span in resolve((*own, *more), text))


@dataclass(frozen=True, slots=True)
class _Masked:
    """A placeholder: what it stands for in the input, and how much longer it is."""

    span: Span
    grown: int


def _replace(
    text: str,
    spans: Sequence[Span],
    masked: tuple[_Masked, ...],
    numbers: "Numbers",
    counts: dict[str, int],
) -> tuple[str, tuple[_Masked, ...]]:
    """Put placeholders in, and note where they stand in the text as it first was."""
    pieces: list[str] = []
    out = list(masked)
    position = shift = before = 0
    for span in spans:
        # Placeholders of earlier passes in front of this span moved it by what they grew.
        while before < len(masked) and masked[before].span.start + shift < span.start:
            shift += masked[before].grown
            before += 1
        placeholder = numbers.placeholder(span.type, text[span.start : span.end])
        pieces += (text[position : span.start], placeholder)
        counts[span.type] = counts.get(span.type, 0) + 1
        first = Span(span.start - shift, span.end - shift, span.type, span.score, span.recogniser)
        out.append(_Masked(first, len(placeholder) - (span.end - span.start)))
        position = span.end
    out.sort(key=lambda item: item.span.start)
    return "".join(pieces) + text[position:], tuple(out)


def has_identifiers(text: str, detector: Detector) -> tuple[str, ...]:
    """Return the types of identifiers left in a text, sorted; empty where it is clean."""
    return tuple(sorted({span.type for span in detector.detect(text)}))
