"""Owns named-entity recognition by spaCy: people and places that no rule has a cue for.

Loaded at the first text, once a process and after a fork: the model takes about a second and
150 MB. spaCy's ORG and DATE are dropped (they made most false positives in the measurements);
what is a name and what is a term is judged in `domain.phi_ner`. Nothing is downloaded: a model
is a package that is installed or not.
"""

import importlib
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from radiant_dagster.adapters.lexicon import load_lexicon
from radiant_dagster.domain.phi import Span
from radiant_dagster.domain.phi_ner import Mention, chunks, judge_mentions
from radiant_dagster.errors import ScrubberUnavailable

# What finding entities does not need; without them the model is three times as fast.
UNUSED = ("parser", "tagger", "attribute_ruler", "lemmatizer", "senter", "textcat")
KINDS = {
    "PERSON": "PERSON",
    "PER": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "FAC": "LOCATION",
}

REMEMBERED = 256  # lines, in this process's memory only

# Shared by all finders of a process; keyed by process, so that a fork loads its own.
_loaded: dict[tuple[int, str], Any] = {}
_locks: dict[int, threading.Lock] = {}


@dataclass(frozen=True, slots=True)
class NerFinder:
    """Finds people and places with a spaCy model.

    Args:
        model: Name of the model's package.
    """

    model: str

    def __call__(self, text: str) -> Iterable[Span]:
        """Return spans in the offsets of ``text``.

        Raises:
            ScrubberUnavailable: The model is missing or cannot be used.
        """
        load_model(self.model)  # a text that the model need not see fails all the same without it
        mentions = [
            Mention(offset + start, offset + end, kind)
            for offset, piece in chunks(text)
            for start, end, kind in _entities(self.model, piece)
        ]
        return judge_mentions(text, mentions, load_lexicon())


# A text is read again by the scrubber's second pass, by Cato and once more as part of a bundle.
@lru_cache(maxsize=REMEMBERED)
def _entities(model: str, piece: str) -> tuple[tuple[int, int, str], ...]:
    """Return start, end and kind of what the model finds in a piece of text."""
    return tuple(
        (entity.start_char, entity.end_char, KINDS[entity.label_])
        for entity in load_model(model)(piece).ents
        if entity.label_ in KINDS
    )


def load_model(name: str) -> Any:
    """Return a spaCy model, loading it once a process.

    Args:
        name: Package name.

    Raises:
        ScrubberUnavailable: It is not installed, does not fit this spaCy or finds no entities.
    """
    key = (os.getpid(), name)
    found = _loaded.get(key)
    if found is not None:
        return found
    with _locks.setdefault(os.getpid(), threading.Lock()):
        if key not in _loaded:
            _loaded[key] = _load(name)
        return _loaded[key]


def _load(name: str) -> Any:
    try:
        spacy: Any = importlib.import_module("spacy")
        nlp = spacy.load(name, exclude=list(UNUSED))
    except Exception as error:  # noqa: BLE001 - any fault of a third party's model means: no scrubber
        raise ScrubberUnavailable(
            f"RADIANT_NER_MODEL: the model {name} cannot be loaded ({type(error).__name__}); "
            "install it, or set RADIANT_PHI_ENGINE=rules"
        ) from None
    if "ner" not in nlp.pipe_names:
        raise ScrubberUnavailable(f"RADIANT_NER_MODEL: the model {name} finds no entities")
    return nlp
