"""Owns the word lists of the scrubber: reads them once a process, at the first text.

About 270,000 folded words in 20 MB of memory, read in a fifth of a second. The files are made by
`make word-lists`; where they come from is in `word_lists/SOURCES.md`.
"""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from radiant_dagster.domain.phi import Span
from radiant_dagster.domain.phi_addresses import find_addresses
from radiant_dagster.domain.phi_lexicon import Lexicon, find_in_lexicon
from radiant_dagster.errors import ScrubberUnavailable


@cache
def load_lexicon() -> Lexicon:
    """Return the lists.

    Raises:
        ScrubberUnavailable: A file is missing or damaged.
    """
    return Lexicon(
        *(_read(name) for name in ("given", "surnames", "common", "cities", "towns", "countries"))
    )


def _read(name: str) -> frozenset[str]:
    file = resources.files("radiant_dagster.adapters") / "word_lists" / f"{name}.txt.gz"
    try:
        return frozenset(gzip.decompress(file.read_bytes()).decode().split("\n")) - {""}
    except (OSError, EOFError, ValueError):
        raise ScrubberUnavailable(
            f"the word list {name} is missing or damaged; reinstall radiant-dagster"
        ) from None


@dataclass(frozen=True, slots=True)
class LexiconFinder:
    """Finds the people, places and addresses that the lists know or help to read."""

    def __call__(self, text: str) -> Iterator[Span]:
        """Return spans in the offsets of ``text``."""
        lexicon = load_lexicon()
        yield from find_in_lexicon(text, lexicon)
        yield from find_addresses(text, lexicon)
