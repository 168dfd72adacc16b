"""Decides which unlabelled digits are a telephone number, by the numbering plans of countries.

The rules know North American groups, country codes and labels. What is left are national forms
such as `030/901820` and `(08) 9123 4567`: digits that look so and are assigned in some country.
Only forms with a leading zero, an area code in brackets or a hyphen before the last four are
asked about, because laboratory values are groups of digits too.
"""

import importlib
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from radiant_dagster.domain.phi import Span
from radiant_dagster.domain.phi_words import words

REGIONS = words(
    """
    GB DE FR IT ES PT NL BE CH AT IE DK SE NO FI PL CZ SK HU RO BG GR HR SI RS UA EE LV LT IS
    TR IL AU NZ IN JP KR CN BR MX AR CL ZA NG KE EG TN MA PH ID MY TH VN UY CY
    """
)
_GROUPED = re.compile(
    r"(?<![\w.,+/\-:$])(?P<v>"
    r"0\d{1,4}(?:[ ]?[ /\-][ ]?\d{2,8}){1,5}"
    r"|\(0?\d{1,4}\)[ ]?\d{2,4}(?:[ \-]?\d{2,5}){1,3}"
    r"|\d{2}[ ]\d{4,5}-\d{4}"
    r")(?![\w/%]|[.,\-]\d|[ ]?(?:mg|mcg|mL|ml|g|kg|units?|IU|mmHg)\b)"
)
_PER_TEXT = (
    2000  # numbers of one text that are looked up; a table of figures must not take a minute
)


def find_phones(text: str) -> Iterator[Span]:
    """Return national telephone numbers without a label.

    Args:
        text: Plain text.
    """
    for count, match in enumerate(_GROUPED.finditer(text)):
        digits = "".join(c for c in match["v"] if c.isdigit())
        if 8 <= len(digits) <= 13 and (count >= _PER_TEXT or _assigned(digits)):
            yield Span(match.start("v"), match.end("v"), "PHONE", 0.62, "phone_national")


def _assigned(digits: str) -> bool:
    library = _library()
    for region in REGIONS:
        try:
            number = library.parse(digits, region)
        except library.NumberParseException:
            continue
        if library.is_valid_number_for_region(number, region):
            return True
    return False


@cache
def _library() -> Any:
    """Import at the first such number: 30 ms, and it holds a plan a country."""
    return importlib.import_module("phonenumbers")
