"""Owns Microsoft Presidio as a detector: a peer that `radiant eval phi` compares with.

Optional (the extra `presidio`), imported at the first text. Its e-mail recogniser is replaced by
its own patterns alone: it asks tldextract, which downloads a list of domains at run time, and a
scrub opens no connection.
"""

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from radiant_dagster.adapters.ner import load_model
from radiant_dagster.domain.phi import Span, resolve
from radiant_dagster.errors import ScrubberUnavailable

# What Presidio calls our kinds; nationalities and the like are no identifiers here.
KINDS = {
    "PERSON": "PERSON",
    "LOCATION": "LOCATION",
    "DATE_TIME": "DATE",
    "PHONE_NUMBER": "PHONE",
    "EMAIL_ADDRESS": "EMAIL",
    "US_SSN": "SSN",
    "US_ITIN": "SSN",
    "CREDIT_CARD": "CREDIT_CARD",
    "IBAN_CODE": "IBAN",
    "US_BANK_NUMBER": "ACCOUNT",
    "US_DRIVER_LICENSE": "LICENSE",
    "MEDICAL_LICENSE": "LICENSE",
    "US_PASSPORT": "LICENSE",
    "US_NPI": "LICENSE",
    "US_MBI": "HEALTH_PLAN_ID",
    "UK_NHS": "MRN",
    "URL": "URL",
    "IP_ADDRESS": "IP_ADDRESS",
    "MAC_ADDRESS": "DEVICE_ID",
    "CRYPTO": "OTHER_ID",
}


@dataclass(frozen=True, slots=True)
class PresidioDetector:
    """Presidio's English recognisers with a spaCy model.

    Args:
        model: Name of the model's package.
    """

    model: str

    def detect(self, text: str) -> tuple[Span, ...]:
        """Return spans in the text's offsets, ordered, not overlapping.

        Raises:
            ScrubberUnavailable: Presidio or the model is missing.
        """
        results = _analyzer(self.model).analyze(text=text, language="en")
        spans = (
            Span(item.start, item.end, KINDS[item.entity_type], float(item.score), "presidio")
            for item in results
            if item.entity_type in KINDS
        )
        return resolve(spans, text)


@cache
def _analyzer(model: str) -> Any:
    try:
        presidio: Any = importlib.import_module("presidio_analyzer")
        nlp: Any = importlib.import_module("presidio_analyzer.nlp_engine")
    except ImportError as error:
        raise ScrubberUnavailable(
            f"package {error.name} is missing; install radiant-dagster[presidio]"
        ) from None
    load_model(model)  # Presidio would download a model that is missing
    try:
        engine: Any = nlp.NlpEngineProvider(
            nlp_configuration={
                "nlp_engine_name": "spacy",
                "models": [{"lang_code": "en", "model_name": model}],
            }
        ).create_engine()
        registry: Any = presidio.RecognizerRegistry()
        registry.load_predefined_recognizers(languages=["en"], nlp_engine=engine)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - its faults are of many libraries
        raise ScrubberUnavailable(
            f"RADIANT_NER_MODEL: Presidio cannot use {model} ({type(error).__name__})"
        ) from None
    email: Any = importlib.import_module("presidio_analyzer.predefined_recognizers").EmailRecognizer
    registry.remove_recognizer("EmailRecognizer")
    registry.add_recognizer(
        presidio.PatternRecognizer(supported_entity="EMAIL_ADDRESS", patterns=email.PATTERNS)
    )
    return presidio.AnalyzerEngine(registry=registry, nlp_engine=engine)
