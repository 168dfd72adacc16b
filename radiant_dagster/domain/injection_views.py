"""Decides in which forms a text is searched for instructions: as it reads, undisguised, decoded.

    as it reads   NFKC, visible characters, entities resolved (`phi_text.plain_text`)
    undisguised   look-alike letters, leetspeak and s p a c e d words written plainly
    decoded       what base64, hexadecimal and binary runs say, where they say text

A form is only made where something in the text asks for it, so plain prose costs one pass. Pure.
"""

import base64
import binascii
import re

from radiant_dagster.domain.phi_text import plain_text

MOST_DECODED_RUNS = 20  # a text with more is suspicious by itself and decoding them tells no more
_LONGEST_RUN = 8_000

# Cyrillic, Greek and Armenian letters that look like Latin ones (Unicode TR39's confusables, the
# ones a reader takes for the letter itself).
_LOOK_ALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝѵɡαοντικρυχηϲᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢАВЕКМНОРСТХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧօսոհı",
    "aeopcyxijshdqwvgaovtikpuxncabcdeghijklmnoprtuvwyzABEKMHOPCTXIJSABEZHIKMNOPTYXounhi",
)
_LEET = str.maketrans("013457@$!|", "oieastasil")
_MIXED_WORD = re.compile(r"[^\W\d_]*[^\x00-\x7f][^\W\d_]*")
_LATIN = re.compile(r"[a-zA-Z]")
_LEET_WORD = re.compile(r"(?<![\w@$])(?=\w{0,30}[a-zA-Z][013457@$!|]{1,3}[a-zA-Z])[\w@$!|]{3,40}")
_SPACED = re.compile(r"(?<!\w)[^\W\d_](?:([ .\-_*|])[^\W\d_](?:\1[^\W\d_]){3,})(?!\w)")
_REGIONAL = {chr(0x1F1E6 + n): chr(ord("a") + n) for n in range(26)}
_REGIONAL_LETTER = re.compile("[\U0001f1e6-\U0001f1ff]")

_BASE64_RUN = re.compile(r"(?<![A-Za-z0-9+/_\-])[A-Za-z0-9+/_\-]{16,}={0,2}")
_HEX_RUN = re.compile(r"(?<![0-9a-fA-F])(?:(?:0x|\\x|%)?[0-9a-fA-F]{2}[ ,:]?){10,}")
_BINARY_RUN = re.compile(r"(?<![01])(?:[01]{8}[ ,]?){4,}")


def readable(content: str) -> str:
    """Return a text as it reads: visible characters in their plain forms."""
    return plain_text(content).text


def undisguised(text: str) -> str:
    """Return a readable text with disguised words written plainly.

    Args:
        text: What `readable` returned. Words in one script and numbers stay as they are.
    """
    if not text.isascii():
        # Every second regional letter: next to each other they are flags, and spaces read alike.
        text = _REGIONAL_LETTER.sub(lambda match: _REGIONAL[match[0]], text)
        text = _MIXED_WORD.sub(_latin_word, text)
    text = _LEET_WORD.sub(lambda match: match[0].translate(_LEET), text)
    return _SPACED.sub(lambda match: " " + match[0].replace(match[1], "") + " ", text)


def _latin_word(match: re.Match[str]) -> str:
    """Write a word in Latin letters where some of it is and the rest looks like it."""
    word = match[0]
    plain = word.translate(_LOOK_ALIKES)
    disguised = plain.isascii() and (len(word) > 3 or _LATIN.search(word))
    return plain if disguised else word


def decoded(text: str) -> tuple[str, ...]:
    """Return what encoded runs of a text say, where they say something readable.

    Args:
        text: What `readable` returned.
    """
    runs = [
        *((_from_binary, match[0]) for match in _BINARY_RUN.finditer(text)),
        *((_from_hex, match[0]) for match in _HEX_RUN.finditer(text)),
        *((_from_base64, match[0]) for match in _BASE64_RUN.finditer(text)),
    ]
    said = (decode(run[:_LONGEST_RUN]) for decode, run in runs[:MOST_DECODED_RUNS])
    return tuple(dict.fromkeys(text for text in said if text))


def _from_base64(run: str) -> str:
    clean = run.rstrip("=").replace("-", "+").replace("_", "/")
    clean = clean[: len(clean) - (len(clean) % 4 == 1)]
    try:
        return _prose(base64.b64decode(clean + "=" * (-len(clean) % 4)))
    except (binascii.Error, ValueError):
        return ""


def _from_hex(run: str) -> str:
    digits = re.sub(r"0x|\\x|[^0-9a-fA-F]", "", run)
    return _prose(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _from_binary(run: str) -> str:
    return _prose(bytes(int(octet, 2) for octet in re.findall(r"[01]{8}", run)))


def _prose(data: bytes) -> str:
    """Return bytes as text where they are one: printable, mostly letters."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return ""
    letters = sum(c.isalpha() or c in " .,!?'\n" for c in text)
    return text if len(text) >= 4 and text.isprintable() and letters >= len(text) * 0.85 else ""
