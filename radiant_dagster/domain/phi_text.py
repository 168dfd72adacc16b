"""Decides what a detector reads: plain text, with every character traced back to the original.

Identifiers are hidden, by accident or on purpose, with full-width digits, zero-width characters,
soft hyphens, typographic dashes and HTML entities. Detection runs on the plain form; spans are
reported in the original's offsets, so that what is masked is what a person sees. No I/O.
"""

import html
import re
import unicodedata
from dataclasses import dataclass

# Dashes and quotes that people and word processors write for the ASCII ones.
_FOLD = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\u02d7\ufe58\ufe63\uff0d", "-"),
    **dict.fromkeys("\u2018\u2019\u02bc\uff07\u02b9", "'"),
    **dict.fromkeys("\u201c\u201d\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2028\u2029", "\n"),
}
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,12});")
# Characters that show nothing: dropped, so that `1<zero width>2` reads 12. Categories Cf and the
# variation selectors and fillers that Unicode calls default-ignorable.
_IGNORABLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u3164\uffa0")


@dataclass(frozen=True, slots=True)
class PlainText:
    """Text to detect on.

    Args:
        text: The plain form.
        starts: Offset in the original of each character of ``text``; empty where both are equal.
        ends: Offset in the original just after each character of ``text``.
    """

    text: str
    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Map a non-empty range of the plain text to the original's offsets."""
        if not self.starts:
            return start, end
        return self.starts[start], self.ends[end - 1]


def is_invisible(character: str) -> bool:
    """Tell whether a character shows nothing and takes no room."""
    if character in _IGNORABLE or "\ufe00" <= character <= "\ufe0f":
        return True
    return unicodedata.category(character) == "Cf" or "\U000e0100" <= character <= "\U000e01ef"


def plain_text(text: str) -> PlainText:
    """Return the form a detector reads: NFKC, visible characters only, entities resolved.

    Args:
        text: Any text; lone surrogates are kept as they are.
    """
    if text.isascii() and "&" not in text:
        return PlainText(text)
    out: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    position, length = 0, len(text)
    while position < length:
        start = position
        piece, position = _next_cluster(text, position, length)
        for character in piece:
            out.append(character)
            starts.append(start)
            ends.append(position)
    return PlainText("".join(out), tuple(starts), tuple(ends))


def _next_cluster(text: str, position: int, length: int) -> tuple[str, int]:
    """Read one character with its combining marks, or one entity, and return its plain form."""
    character = text[position]
    if character == "&":
        entity = _ENTITY.match(text, position, position + 16)
        if entity:
            return _plain(html.unescape(entity[0])), entity.end()
    end = position + 1
    if character.isascii() and (end == length or text[end].isascii()):
        return character, end
    # At most 8 marks at once keep a tower of accents linear; the rest stand alone.
    while end < length and end - position < 8 and unicodedata.combining(text[end]):
        end += 1
    return _plain(text[position:end]), end


def _plain(piece: str) -> str:
    visible = "".join(c for c in piece if not is_invisible(c))
    folded = unicodedata.normalize("NFKC", "".join(_FOLD.get(c, c) for c in visible))
    return "".join(_digit(_FOLD.get(c, c)) for c in folded)


def _digit(character: str) -> str:
    if character.isascii():
        return character
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)


def folded_value(text: str) -> str:
    """Return what makes two written values the same one: plain form, case and blanks folded."""
    return " ".join(plain_text(text).text.casefold().split())
