"""Owns the source design's seven patterns, as the yardstick that `radiant eval phi` compares with.

They are measured and never used to scrub: they take a laboratory value for a postal code and leave
every name. Kept in the order in which the design applies them, each on what the one before left.
"""

import re
from dataclasses import dataclass

from radiant_dagster.domain.phi import Span

_SEVEN = (
    ("SSN", re.compile(r"\b\d{3}-\d{2}-\d{4}\b", re.IGNORECASE)),
    ("SSN", re.compile(r"\b\d{9}\b", re.IGNORECASE)),
    ("EMAIL", re.compile(r"\b[A-Z0-9._%+-]+@[A-Z0-9.-]+\.[A-Z|]{2,}\b", re.IGNORECASE)),
    ("PHONE", re.compile(r"\b\d{3}[-.\s]?\d{3}[-.\s]?\d{4}\b", re.IGNORECASE)),
    ("LOCATION", re.compile(r"\b\d{5}(?:-\d{4})?\b", re.IGNORECASE)),
    ("CREDIT_CARD", re.compile(r"\b\d{4}(?:[-\s]?\d{4}){3}\b", re.IGNORECASE)),
    ("MRN", re.compile(r"\b(?:MRN|Patient ID|Medical Record)[:\s]*\w+\b", re.IGNORECASE)),
)


@dataclass(frozen=True, slots=True)
class SourceDesignDetector:
    """What the source design masks before a review."""

    def detect(self, text: str) -> tuple[Span, ...]:
        """Return spans in the text's offsets, ordered, not overlapping."""
        left = text
        found: list[Span] = []
        for kind, pattern in _SEVEN:
            for match in pattern.finditer(left):
                found.append(Span(match.start(), match.end(), kind, 1.0, "source_design"))
            # Blanked out in place: what one pattern took, the next does not see.
            left = pattern.sub(lambda match: "\0" * len(match[0]), left)
        return tuple(sorted(found, key=lambda span: span.start))
