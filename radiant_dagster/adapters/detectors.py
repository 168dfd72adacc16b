"""Decides which PHI detector a process uses; the one place where engines are put together.

`rules` is always there. `rules+ner` adds a model that knows names and places without a cue. A
model that is missing raises `ScrubberUnavailable` at the first text: what is not scrubbed is
withheld, never shown because a part of the scrubber was absent.
"""

from typing import Literal

from radiant_dagster.adapters.lexicon import LexiconFinder
from radiant_dagster.adapters.ner import NerFinder
from radiant_dagster.adapters.phones import find_phones
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.phi import Detector, RuleDetector

Engine = Literal["rules", "rules+ner"]
ENGINES: tuple[Engine, ...] = ("rules", "rules+ner")


def build_detector(settings: Settings) -> Detector:
    """Return the detector that the settings name; loads no model yet.

    Args:
        settings: ``phi_engine`` and ``ner_model``.
    """
    return detector_of(settings.phi_engine, settings.ner_model)


def detector_of(engine: Engine, model: str) -> Detector:
    """Return the detector of an engine; loads no model yet.

    Args:
        engine: Rules alone, or with a model.
        model: Package name of the spaCy model, for ``rules+ner``.
    """
    if engine == "rules":
        return RuleDetector(finders=(LexiconFinder(), find_phones))
    return RuleDetector(finders=(LexiconFinder(), find_phones, NerFinder(model)))
