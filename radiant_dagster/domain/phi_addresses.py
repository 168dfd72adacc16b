# ruff: noqa: E501  (a pattern cut in the middle of a group is harder to read than a long line)
"""Decides how far a postal address reaches, over commas and lines, from the part that shows it.

A flat, a post box or a house number behind "located at" is a sure sign of an address; the street
before it and the town, region, code and country behind it are not recognisable by themselves in
any language. So an address is read from its anchor in both directions while what stands there can
belong to one, and never over a word that cannot. Every step is bounded. Pure.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from radiant_dagster.domain.phi import Span
from radiant_dagster.domain.phi_lexicon import Lexicon, fold
from radiant_dagster.domain.phi_rules import UPPER
from radiant_dagster.domain.phi_words import NOT_NAMES, words

_UNIT = (
    r"(?:(?i:apt|apartment|suite)|Ste|Flat|Appt|Bldg|STE|FLAT)\b\.?[ \t]?#?[ \t]?\d{1,5}[A-Za-z]?\b"
)
_BOX = (
    r"(?i:p\.?[ ]?o\.?[ ]?box|post\s+office\s+box|postfach|apartado|bo[iî]te\s+postale)[ \t]{1,2}\d{1,6}|"
    r"(?i:psc|cmr|unit)[ ]\d{1,6},?[ ](?i:box)[ ]\d{1,6}|"
    r"US(?:NS|NV|S|CGC|AV)[ ][^\W\d_]{2,30}(?=[ \t]*[,\n])"
)
_IT_IS = r"[ \t]{1,3}(?:it[ ]is[ ])?"
# What announces an address. A place that stands somewhere takes a name with a number behind it;
# "sent home on Lasix 40" must not, so what people do takes a number in front of a name alone.
_WHERE = (
    r"(?i:\b(?:address|offices?|restaurant|hotel|shop|store|station|school|located|situated|"
    r"headquarters|building|party|venue)\b[^\n.!]{0,40}?(?:\b(?:is|are|at|to|on|in|of|with)\b|:)"
    rf"{_IT_IS})"
)
_GOING = (
    r"(?i:\b(?:meet[ ](?:you|me|us|at)|arrived|arrives|sent|send|ship(?:ped)?|deliver(?:ed|y)?|letter|"
    r"parcel|package|liv(?:e|es|ed|ing)|resid(?:e|es|ed|ing)|mov(?:e|ed|ing)|stay(?:s|ed|ing)?|home|"
    rf"user)\b[^\n.!]{{0,40}}?(?:\b(?:at|to)\b|:){_IT_IS})"
)
_ANY = r"[^\W\d_](?:[^\W\d_]|['\-](?=[^\W\d_])){0,30}\.?"
_NAMED = rf"(?:(?:[^\W\d_]{{1,4}}\.?[ ]){{0,3}}[{UPPER}](?:[^\W\d_]|['\-](?=[^\W\d_])){{0,30}}\.?|[a-z]{{1,3}}\.)"
_HOUSE_FIRST = rf"[A-Za-z]?(?:[ ]\d{{1,5}})?[ ]{_ANY}(?:[ ]{_NAMED}){{0,4}}"
_HOUSE_LAST = (
    rf"(?!(?i:at|on|in|is|to|of|the|it|a|an)\b){_NAMED}(?:[ ]{_NAMED}){{0,3}}[ ]\d{{1,5}}\b"
)
_ANNOUNCED = (
    re.compile(rf"{_WHERE}(?P<v>\d{{1,6}}{_HOUSE_FIRST}|{_HOUSE_LAST})"),
    re.compile(rf"{_GOING}(?P<v>\d{{2,6}}{_HOUSE_FIRST})"),
)
_ANCHOR = re.compile(rf"(?<![\w.\-])(?P<v>{_UNIT}|{_BOX})")
_CORNER = re.compile(
    r"\b(?P<v>(?i:(?:the[ ])?corner[ ]of)[ ](?:[^\n.?!]|(?<=[ ]\w)\.|(?<=[ ]\w\w)\.|(?<=[ ]\w\w\w)\.){5,80}?)"
    r"(?=[.?!\n]|[ ](?:after|before|for|on|at|last|this)\b|$)"
)
_DOSE = re.compile(
    r"[ \t]?(?:mg|mcg|ml|mL|g|kg|units?|%|mmHg|tabs?|tablets?|years?|yrs?|days?|weeks?|months?|hours?|"
    r"times|points?|minutes?|pm|am)\b"
)
_GAP = re.compile(r"[ \t]{0,3}(?:,|\.(?=\r?\n))?[ \t]{0,3}(?:\r?\n[ \t>?*|\-]{0,10},?[ \t]{0,3})?")
_CODE = re.compile(
    r"(?:[A-Z]{1,2}-)?(?:\d{2}-\d{3}|\d{3,6}(?:[\- ]\d{2,4})?|[A-Z]{1,2}\d[A-Z\d]?[ ]?\d[A-Z]{2}|[A-Z]\d[A-Z][ ]?\d[A-Z]\d)(?![\w\-/]|[ .]\d|[ ]\()"
)
_PART = re.compile(r"\(?[^\W\d_](?:[^\W\d_]|['\-.∆](?=[^\W\d_∆]))*\.?\)?")
_UNIT_PART = re.compile(rf"{_UNIT}|{_BOX}")
_HOUSE = re.compile(r"\d{1,5}[A-Za-z]?(?![\w\-/]|[ .,]\d)")
_PARTICLES = words(
    """
    de del dela la las los le les du des da do dos di della van den der von am an im in aan
    op sur sous y e i el al the of ul os. u. nan und et og upon
    """
)
# Everyday words that towns, regions and streets are made of.
_PLACE_WORDS = words(
    """
    north south east west new old upper lower great little saint st port fort mount lake san
    santa city park beach falls springs rapids hills valley heights grove grand island
    islands bay river village town center centre bridge road street avenue lane drive way
    court place square terrace close crescent trail plaza station hill green field fields
    wood woods forest spring rock rocky state states united kingdom republic federal
    district county province region pine pines oak cape point
    """
)
_BEHIND_REGION = re.compile(r"[ \t]*(?:$|[\r\n]|\d{4,6}\b|[A-Z]\d[A-Z])")
_REGION = re.compile(r"[A-Z]{2,3}")
_MOST_PARTS = 14
_MOST_LINES = 5
# What an address does not begin with.
_LEAD = re.compile(r"(?i:at|in|on|to|and|und|y|e|i|is|an|am)[ \t]+")


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the parts of one address in a text."""

    text: str
    lexicon: Lexicon
    caseless: bool

    def tail(self, position: int) -> int:
        """Return where an address ends that reaches to ``position`` at least."""
        end, lines, seen_code = position, 0, False
        for _ in range(_MOST_PARTS):
            gap = _GAP.match(self.text, end)
            at = gap.end() if gap else end
            broke = "\n" in self.text[end:at]
            lines += broke
            if lines > _MOST_LINES or at >= len(self.text):
                break
            if broke and not self._whole_line(at):
                break
            stop = self._part(at, glued=at == end, own_line=lines > 0)
            if stop is None or (seen_code and broke and not self._country(at)):
                break
            seen_code = seen_code or _CODE.match(self.text, at) is not None
            end = stop
            if self.text[stop - 1] == "." and not _ends_with_short_word(self.text, stop):
                break
        return end

    def _whole_line(self, start: int) -> bool:
        """Tell whether a line holds nothing but parts of an address."""
        line_end = self.text.find("\n", start)
        line_end = len(self.text) if line_end < 0 else line_end
        at = start
        for _ in range(8):
            while at < line_end and self.text[at] in " ,\t\r":
                at += 1
            if at >= line_end:
                return True
            if self.text[at] in ".?!;" or self.text[at : at + 1] == '"':
                return True  # the sentence goes on behind the address
            stop = self._part(at, glued=False, own_line=True)
            if stop is None:
                # "Canada 36523 last night": a line may lead out of the address, not into it.
                return at > start and self.text[at].islower()
            at = stop
        return False

    def _part(self, at: int, *, glued: bool, own_line: bool) -> int | None:
        """Return where the part at a position ends; None where none stands there."""
        if glued and self.text[at].isalnum():
            return None
        for pattern in (_UNIT_PART, _CODE):
            match = pattern.match(self.text, at)
            if match:
                return match.end()
        house = _HOUSE.match(self.text, at)
        if house and not _DOSE.match(self.text, house.end()):
            return house.end()
        word = _PART.match(self.text, at)
        return word.end() if word and self._belongs(word[0], word.end(), own_line) else None

    def _belongs(self, written: str, end: int, own_line: bool) -> bool:
        word = written.strip("().")
        folded = fold(word)
        if folded in _PARTICLES:
            return folded == "nan" or self.text[end : end + 2].strip()[:1].isupper()
        if not (word[:1].isupper() or self.caseless) or self.text[end : end + 1] == ":":
            return False
        if folded in _PLACE_WORDS or folded in self.lexicon.countries or written[0] == "(":
            return True
        if _REGION.fullmatch(word) and own_line:
            return _BEHIND_REGION.match(self.text, end) is not None
        if folded in NOT_NAMES:
            return False
        return folded not in self.lexicon.common or (
            not self.caseless and (own_line or word.isupper() or self._name_follows(end))
        )

    def _name_follows(self, end: int) -> bool:
        """Tell whether an unknown capitalised word comes next, as in "Grand Rapids"."""
        match = _PART.match(self.text, end + 1)
        return (
            match is not None
            and self.text[end] == " "
            and match[0][0].isupper()
            and not self.lexicon.everyday(fold(match[0].strip(".")))
        )

    def _country(self, at: int) -> bool:
        line = self.text[at : at + 40].split("\n")[0].strip(" .,?!")
        return fold(line) in self.lexicon.countries

    def head(self, position: int) -> int:
        """Return where an address begins whose flat or box stands at ``position``."""
        start = self._head_of_line(position)
        line_start = self.text.rfind("\n", 0, start) + 1
        if self.text[line_start:start].strip(" \t>?*|-") or line_start == 0:
            return start
        # The flat opens its line: the street is the line before.
        above_start = self.text.rfind("\n", 0, line_start - 1) + 1
        above = self.text[above_start : line_start - 1]
        if len(above) > 90 or not any(c.isdigit() for c in above):
            return start
        begin = self._head_of_line(line_start - 1)
        prefix = self.text[above_start:begin]
        return begin if begin < line_start - 1 and self._opens(prefix, begin) else start

    def _opens(self, prefix: str, begin: int) -> bool:
        """Tell whether an address may begin behind this prefix of its line."""
        return self.text[begin].isdigit() or not prefix.strip(" \t>?*|-") or prefix.endswith(" ")

    def _head_of_line(self, position: int) -> int:
        """Go left while numbers, capitalised words and particles stand there."""
        line_start = self.text.rfind("\n", 0, position) + 1
        left = self.text[max(line_start, position - 90) : position]
        offset = position - len(left)
        start = position
        for match in reversed(list(re.finditer(r"[^\s,>?*|]+", left))):
            between = left[match.end() : start - offset]
            if between.count(",") > 1 or not self._may_lead(match[0]):
                break
            if match[0].endswith((".", "?", "!")) and len(match[0]) > 5:
                break
            start = offset + match.start()
        while (lead := _LEAD.match(self.text, start, position)) is not None:
            start = lead.end()
        return start

    def _may_lead(self, token: str) -> bool:
        bare = token.strip(".#()")
        if not bare or token.endswith((":", ";")):
            return False
        if bare.isdigit():
            return len(bare) <= 6
        if re.fullmatch(r"\d{1,6}[A-Za-z]?|\d{1,4}[\-/]\d{1,4}[a-z]?", bare):
            return True
        folded = fold(bare)
        if folded in _PARTICLES:
            return folded not in ("in", "of", "at", "the", "i")
        if not (bare[:1].isupper() or self.caseless):
            return False
        return folded in _PLACE_WORDS or not self.lexicon.everyday(folded)


def _ends_with_short_word(text: str, end: int) -> bool:
    word = re.search(r"([^\W\d_]+)\.$", text[max(0, end - 8) : end])
    return word is not None and len(word[1]) <= 3


def find_addresses(text: str, lexicon: Lexicon) -> Iterator[Span]:
    """Return postal addresses.

    Args:
        text: Plain text.
        lexicon: Tells everyday words from others.
    """
    reader = _Reader(text, lexicon, text == text.lower())
    done = 0
    for match in _ANCHOR.finditer(text):
        if match.start() < done:
            continue
        start = reader.head(match.start("v"))
        done = reader.tail(match.end("v"))
        yield Span(start, done, "LOCATION", 0.58, "address")
    for pattern in _ANNOUNCED:
        for match in pattern.finditer(text):
            dose = _DOSE.match(text, match.end("v"))
            if dose is None and _street_like(match["v"], lexicon):
                end = reader.tail(match.end("v"))
                yield Span(match.start("v"), end, "LOCATION", 0.5, "address_cue")
    for match in _CORNER.finditer(text):
        yield Span(match.start("v"), match.end("v"), "LOCATION", 0.5, "address_corner")


def _street_like(value: str, lexicon: Lexicon) -> bool:
    parts = [word for word in re.findall(r"[^\W\d_]+", value) if len(word) > 1]
    return any(
        word[0].isupper() and (fold(word) in _PLACE_WORDS or not lexicon.everyday(fold(word)))
        for word in parts
    ) or bool(parts and value[0].isdigit() and all(not lexicon.everyday(fold(w)) for w in parts))
