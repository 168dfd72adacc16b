"""Decides whether text may be stored or handed out: Cato's embedded judgement.

    check_epistemic   a draft       overclaims -> review; injected instructions, secrets and
                                    hidden text -> review or blocked
    check_storage     what is kept  the same without overclaims; also identifiers that scrubbing
                                    left, and the grammar of heuristics -> blocked

Reasons are codes, never text of what was checked: they end in tables, pages and logs. Pure.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Literal

from radiant_dagster.domain.injection import (
    BLOCK_SCORE,
    REVIEW_SCORE,
    SENTENCE_END,
    injection_score,
)
from radiant_dagster.domain.phi import Detector, has_identifiers
from radiant_dagster.domain.phi_text import is_invisible, plain_text
from radiant_dagster.domain.safety_rules import (
    ASSIGNED_SECRET,
    CITATION,
    DOSE,
    FORECAST,
    HEDGE,
    HEURISTIC_FORBIDDEN,
    OUTCOME,
    OVERCLAIM,
    SECRETS,
)

RiskLevel = Literal["none", "low", "medium", "high", "critical"]
Verdict = Literal["safe", "review", "blocked"]

MAX_TRIGGER_CHARACTERS = 300
MAX_ACTION_CHARACTERS = 1_200
_ORDER: tuple[RiskLevel, ...] = ("none", "low", "medium", "high", "critical")

_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_\-])[A-Za-z0-9+/_\-]{80,}={0,2}")
_IMAGE_WITH_QUERY = re.compile(r"!\[[^\]]{0,200}\]\([^)\s]{0,500}[?#&]|<img\b[^>]{0,300}\bsrc\b")
# What a domain may say with a word of doubt only.
UNHEDGED = {
    "medical": ("epistemic:dose_without_hedge", DOSE),
    "financial": ("epistemic:forecast_without_hedge", FORECAST),
    "legal": ("epistemic:outcome_without_hedge", OUTCOME),
}
_ASCII = re.compile(r"[\x00-\x7f]+")
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class CatoRisk:
    """One verdict.

    Args:
        safe: Nothing was found.
        risk_level: How grave it is.
        reasons: Codes such as ``injection:override``.
        blocked: It must not be stored or handed out.
    """

    safe: bool
    risk_level: RiskLevel
    reasons: tuple[str, ...]
    blocked: bool

    @property
    def verdict(self) -> Verdict:
        """Return what to do; a contradictory verdict is read as blocked."""
        if self.blocked or (self.safe and self.risk_level in ("high", "critical")):
            return "blocked"
        return "safe" if self.safe else "review"


@dataclass(frozen=True, slots=True)
class _Finding:
    code: str
    level: RiskLevel
    blocks: bool


def unavailable(kind: str) -> CatoRisk:
    """Return the verdict where there is none: blocked, whatever was asked.

    Args:
        kind: Short code, for instance ``timeout``.
    """
    return CatoRisk(
        safe=False, risk_level="critical", reasons=(f"cato_unavailable:{kind}",), blocked=True
    )


def check_epistemic(content: str, domain: str) -> CatoRisk:
    """Judge a draft answer.

    Args:
        content: The draft.
        domain: Doses matter in ``medical``, forecasts in ``financial``, how courts decide in
            ``legal``; overclaims in every domain.
    """
    findings = [*_injection(content, is_answer=True), *_secrets(content), *_hidden(content)]
    findings += _epistemic(content, domain)
    return _risk(findings)


def check_storage(content: str, content_type: str, detector: Detector) -> CatoRisk:
    """Judge text before it is kept.

    Args:
        content: The text; of a heuristic, its trigger on the first line and its action below.
        content_type: ``heuristic`` adds the grammar of heuristics.
        detector: Finds identifiers that scrubbing left.
    """
    findings = [*_injection(content), *_secrets(content), *_hidden(content)]
    findings += [
        _Finding(f"phi:{kind.lower()}", "high", blocks=True)
        for kind in has_identifiers(content, detector)
    ]
    if content_type == "heuristic":
        findings += _heuristic_grammar(content)
    return _risk(findings)


def _risk(findings: Iterable[_Finding]) -> CatoRisk:
    found = tuple(findings)
    if not found:
        return CatoRisk(safe=True, risk_level="none", reasons=(), blocked=False)
    return CatoRisk(
        safe=False,
        risk_level=_ORDER[max(_ORDER.index(f.level) for f in found)],
        reasons=tuple(sorted({f.code for f in found})),
        blocked=any(f.blocks for f in found),
    )


def instructions_in(content: str) -> tuple[str, ...]:
    """Return the codes of what looks like instructions to a model, or like text hidden from people.

    Args:
        content: Any text, for instance what a tool returned.
    """
    return _risk([*_injection(content), *_hidden(content)]).reasons


def _injection(content: str, *, is_answer: bool = False) -> list[_Finding]:
    score, codes = injection_score(content, is_answer=is_answer)
    if score < REVIEW_SCORE:
        return []
    blocks = score >= BLOCK_SCORE
    return [_Finding(code, "high" if blocks else "medium", blocks) for code in codes]


def _secrets(content: str) -> list[_Finding]:
    text = plain_text(content).text
    found = [_Finding(code, "critical", blocks=True) for code, p in SECRETS if p.search(text)]
    if any(_random(match["v"]) for match in ASSIGNED_SECRET.finditer(text)):
        found.append(_Finding("secret:assigned", "critical", blocks=True))
    return found


def _random(value: str) -> bool:
    """Tell whether a value is random enough for a key: mixed characters and 3 bits of entropy."""
    mixed = sum(
        any(c in kind for c in value) for kind in (ascii_lowercase, ascii_uppercase, digits)
    )
    mixed += any(not c.isalnum() for c in value)
    share = (value.count(c) / len(value) for c in set(value))
    return (
        len(value) >= 8
        and mixed >= 2
        and -sum(p * math.log2(p) for p in share) >= 2.75
        and (any(c.isdigit() for c in value))
    )


def _hidden(content: str) -> list[_Finding]:
    found: list[_Finding] = []
    beyond = _ASCII.sub("", content)  # none of these is ASCII, and nearly all of a text is
    if any(c in _BIDI for c in beyond):
        found.append(_Finding("hidden:bidi", "high", blocks=True))
    if any("\U000e0000" <= c <= "\U000e007f" for c in beyond):
        found.append(_Finding("hidden:tag_characters", "high", blocks=True))
    # A joiner inside an emoji and a byte order mark are harmless; more is a message.
    if sum(is_invisible(c) and c not in "\u200d\ufe0f\ufeff\u00ad" for c in beyond) >= 3:
        found.append(_Finding("hidden:zero_width", "high", blocks=True))
    if any(_encoded(match[0]) for match in _BASE64.finditer(content)):
        found.append(_Finding("hidden:base64", "medium", blocks=True))
    if _IMAGE_WITH_QUERY.search(content):
        found.append(_Finding("hidden:image_link", "high", blocks=True))
    return found


def _encoded(run: str) -> bool:
    return any(c.isdigit() for c in run) and any(c.isupper() for c in run) and run.count("-") < 8


def _heuristic_grammar(content: str) -> list[_Finding]:
    trigger, newline, action = content.strip().partition("\n")
    found: list[_Finding] = []
    limit = MAX_TRIGGER_CHARACTERS if newline else MAX_TRIGGER_CHARACTERS + MAX_ACTION_CHARACTERS
    if len(trigger) > limit:
        found.append(_Finding("heuristic:trigger_too_long", "medium", blocks=True))
    if len(action) > MAX_ACTION_CHARACTERS:
        found.append(_Finding("heuristic:action_too_long", "medium", blocks=True))
    if not trigger.strip():
        found.append(_Finding("heuristic:empty", "medium", blocks=True))
    text = plain_text(content).text
    found += [
        _Finding(code, "high", blocks=True)
        for code, pattern in HEURISTIC_FORBIDDEN
        if pattern.search(text)
    ]
    return found


def _epistemic(content: str, domain: str) -> list[_Finding]:
    """Grade overclaims. They only ever ask for a person: rules cannot prove truth."""
    careful = domain in UNHEDGED
    level: RiskLevel = "medium" if careful else "low"
    text = plain_text(content).text
    found = [
        _Finding(code, level, blocks=False) for code, pattern in OVERCLAIM if _claims(pattern, text)
    ]
    if careful and CITATION.search(text):
        found.append(_Finding("epistemic:unverified_citation", "medium", blocks=False))
    if domain in UNHEDGED:
        code, pattern = UNHEDGED[domain]
        if any(pattern.search(s) and not HEDGE.search(s) for s in SENTENCE_END.split(text)):
            found.append(_Finding(code, "medium", blocks=False))
    return found


_NEGATED = re.compile(
    r"\b(?:not?|never|cannot|can't|isn't|aren't|nothing|nobody|without)\b[\w\s']{0,20}$",
    re.IGNORECASE,
)


def _claims(pattern: re.Pattern[str], text: str) -> bool:
    """Tell whether a claim is made rather than denied: "is not guaranteed" claims nothing."""
    return any(
        not _NEGATED.search(text, max(0, match.start() - 40), match.start())
        for match in pattern.finditer(text)
    )
