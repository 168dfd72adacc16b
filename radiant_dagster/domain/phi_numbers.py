"""Decides which placeholder stands for which value of a bundle.

The same value gets the same number in every field; a code counts without its blanks and hyphens,
and `Dr. Smith` is John Smith where there is one. What the input spells out is never given out.
"""

import re
from collections.abc import Iterable

from radiant_dagster.domain.phi_names import name_tokens
from radiant_dagster.domain.phi_text import folded_value, plain_text

PLACEHOLDER = re.compile(
    r"\[(?:PERSON|LOCATION|DATE|AGE_OVER_89|PHONE|EMAIL|SSN|MRN|HEALTH_PLAN_ID|ACCOUNT|IBAN|CREDIT_CARD|"
    r"LICENSE|VEHICLE_ID|DEVICE_ID|URL|IP_ADDRESS|BIOMETRIC|PHOTO|OTHER_ID)_\d{1,4}\]"
)
# Kinds whose values are codes.
COMPACTED = frozenset(
    {"PHONE", "SSN", "MRN", "HEALTH_PLAN_ID", "ACCOUNT", "IBAN", "CREDIT_CARD", "LICENSE"}
    | {"VEHICLE_ID", "DEVICE_ID", "BIOMETRIC", "OTHER_ID"}
)


def compact(value: str) -> str:
    """Return a code without blanks, signs and case, which make no difference."""
    return "".join(c for c in value.casefold() if c.isalnum())


class Numbers:
    """Gives out placeholders: one a value, never one that the input spells out."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._reserved = {m[0] for text in texts for m in PLACEHOLDER.finditer(text)}
        self._by_key: dict[tuple[str, str], str] = {}
        self._alias: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._next: dict[str, int] = {}
        self.mapping: dict[str, str] = {}

    def meet(self, values: Iterable[tuple[str, str]]) -> None:
        """Learn all values of a pass first, so that `Dr. Smith` can be John Smith."""
        people = {name_tokens(plain_text(v).text) for kind, v in values if kind == "PERSON"}
        self._alias.update(_aliases(people | set(self._alias)))

    def placeholder(self, kind: str, value: str) -> str:
        """Return the placeholder of a value: the one it has, or the next."""
        key = (kind, self._key(kind, value))
        known = self._by_key.get(key)
        if known is None:
            known = self._by_key[key] = self._new(kind)
            self.mapping[known] = value
        elif kind == "PERSON" and len(name_tokens(value)) > len(name_tokens(self.mapping[known])):
            self.mapping[known] = value  # the fuller form says more when it is filled in
        return known

    def _key(self, kind: str, value: str) -> str:
        if kind == "PERSON":
            tokens = name_tokens(plain_text(value).text)
            return " ".join(self._alias.get(tokens, tokens)) or folded_value(value)
        if kind in COMPACTED:
            return compact(plain_text(value).text)
        return folded_value(value)

    def _new(self, kind: str) -> str:
        number = self._next.get(kind, 0) + 1
        while f"[{kind}_{number}]" in self._reserved:
            number += 1
        self._next[kind] = number
        return f"[{kind}_{number}]"


def _aliases(people: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Map each name to the one fuller name it can only mean, or to itself."""
    names = [p for p in people if p]
    holders: dict[str, set[tuple[str, ...]]] = {}
    for name in names:
        for token in name:
            holders.setdefault(token, set()).add(name)
    out: dict[tuple[str, ...], tuple[str, ...]] = {}
    for name in names:
        fuller = frozenset(holders[name[0]]).intersection(*(holders[t] for t in name[1:]))
        fuller = {f for f in fuller if len(f) > len(name)}
        # Only the fullest forms count: Smith < John Smith < John A. Smith is one person.
        fullest = {f for f in fuller if not any(set(f) < set(g) for g in fuller)}
        out[name] = next(iter(fullest)) if len(fullest) == 1 else name
    return out
