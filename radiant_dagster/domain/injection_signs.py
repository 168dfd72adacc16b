# ruff: noqa: E501  (a pattern cut in the middle of a group is harder to read than a long line)
"""Owns what a sign of injected instructions is, and the words that several of them share."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign.

    Args:
        code: Becomes the reason; never carries text of the content.
        weight: Added once where the pattern occurs.
        pattern: Reads lower-case text unless ``cased``.
        cased: Reads the text with its capitals.
    """

    code: str
    weight: float
    pattern: re.Pattern[str]
    cased: bool = False


def sign(code: str, weight: float, pattern: str, *, cased: bool = False) -> Sign:
    """Return a sign; ``code`` without its ``injection:``."""
    return Sign(f"injection:{code}", weight, re.compile(pattern), cased)


OLD = (
    r"(?:previous(?:ly)?|prior|above|earlier|preceding|before|foregoing|former|old|original|initial|existing|system|current|"
    r"out[- ]of[- ]date|all|any|every(?:thing)?|these|those|your|my\s+last|the\s+following|what\s+i\s+said)"
)
ORDERS = (
    r"(?:instructions?|prompts?|rules?|directives?|guidelines?|commands?|orders|programming|training|polic(?:y|ies)|"
    r"assignments?|messages?|context|text|tasks?|everything|questions?|requests?|information|constraints?|resume|document|"
    r"article|table|function|summary|statements?|conversation|thoughts?|memory|memories|limitations|safeguards|content)"
)
DROP = r"(?:ignore|disregard|forget|bypass|override|abandon|erase|wipe|delete|clear|reset|drop|overlook|neglect|discard|skip)"
WRITE = r"(?:write|say|tell|state|claim|print|output|repeat|answer|respond|reply|type|return|generate|create|compose|formulate|produce|give|make|schreib\w{0,3}|verfass\w{0,3}|formulier\w{0,3}|erzähl\w{0,3}|generier\w{0,3}|nenn\w{0,3}|sag\w{0,3})"
ASK = r"(?:tell\s+(?:me|us)|give\s+(?:me|us)|show\s+(?:me|us)|share|reveal|list|guess|provide|display|print|describe|spell|what(?:'s|\s+is|\s+was|\s+are)|which\s+is|can\s+you|could\s+you|would\s+you|do\s+you\s+know)"
LANGUAGE = r"(?:english|german|french|spanish|italian|portuguese|russian|chinese|mandarin|japanese|korean|arabic|hindi|dutch|polish|turkish|swedish|greek|latin|ukrainian|deutsch|englisch|französisch|spanisch|esperanto|klingon|emojis?|binary|morse)"
