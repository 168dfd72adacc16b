# ruff: noqa: E501  (a pattern cut in the middle of a group is harder to read than a long line)
"""Owns the rules for places smaller than a state: streets, towns with an anchor, postal codes.

A bare town name is left to named-entity recognition: without a list of all towns a rule cannot
tell it from any other capitalised word.
"""

import re

from radiant_dagster.domain.phi_rules import BLANK, LETTER, UPPER, WORD, Rule, digits_at_least, rule
from radiant_dagster.domain.phi_words import US_STATE_NAMES, US_STATES

# Street suffixes of USPS Publication 28, appendix C1, and the usual abbreviations.
_SUFFIX = (
    "Alley|Annex|Arcade|Avenue|Ave|Bayou|Beach|Bend|Bluffs?|Bottom|Boulevard|Blvd|Branch|Bridge|"
    "Brooks?|Burgs?|Bypass|Camp|Canyon|Cape|Causeway|Centers?|Circles?|Cir|Cliffs?|Club|Common|"
    "Commons|Corners?|Course|Courts?|Ct|Coves?|Creek|Crescent|Crest|Crossing|Crossroads?|Curve|Dale|"
    "Dam|Divide|Drives?|Dr|Estates?|Expressway|Extensions?|Falls?|Ferry|Fields?|Flats?|Fords?|"
    "Forest|Forges?|Forks?|Fort|Freeway|Gardens?|Gateway|Glens?|Greens?|Groves?|Harbors?|Haven|"
    "Heights|Highway|Hwy|Hills?|Hollow|Inlet|Islands?|Isle|Junctions?|Keys?|Knolls?|Lakes?|Land|"
    "Landing|Lane|Ln|Lights?|Loaf|Locks?|Lodge|Loop|Mall|Manors?|Meadows?|Mews|Mills?|Mission|"
    "Motorway|Mountains?|Mount|Neck|Orchard|Oval|Overpass|Parks?|Parkways?|Pkwy|Pass|Passage|Path|"
    "Pike|Pines?|Place|Pl|Plains?|Plaza|Points?|Ports?|Prairie|Radial|Ramp|Ranch|Rapids?|Rest|"
    "Ridges?|River|Roads?|Rd|Route|Row|Run|Shoals?|Shores?|Skyway|Springs?|Spurs?|Squares?|Sq|"
    "Station|Stravenue|Streams?|Streets?|St|Summit|Terrace|Ter|Throughway|Trace|Track|Trafficway|"
    "Trails?|Trl|Tunnel|Turnpike|Underpass|Unions?|Valleys?|Via|Viaduct|Views?|Villages?|Ville|"
    "Vista|Walks?|Wall|Ways?|Wells?"
)
_UNIT = r"(?:,?[ \t]{1,2}(?:(?i:apt|apartment|suite|ste|unit|floor|fl|room|rm|no)\b\.?[ \t]?#?|#)[ \t]?[A-Za-z]?\d{1,5}[A-Za-z]?(?:\b|$))?"
_ZIP = r"\d{5}(?:-\d{4})?"
_PLACE_WORD = rf"(?:St\.|Mt\.|Ft\.|{WORD})"
_PLACE = rf"{_PLACE_WORD}(?:{BLANK}{_PLACE_WORD}){{0,3}}"
_STATE = rf"(?:{US_STATES.replace(' ', '|')}|{US_STATE_NAMES})"
# Codes that are also words or credentials when written alone: "Smith, MD", "he, OR she".
_SAFE_STATE = "|".join(
    code
    for code in US_STATES.split()
    if code
    not in {
        "MD",
        "OR",
        "IN",
        "ME",
        "OK",
        "HI",
        "PA",
        "MA",
        "AL",
        "LA",
        "DE",
        "DO",
        "AS",
        "MS",
        "CT",
        "ID",
        "MP",
        "AA",
        "PR",
        "CO",
    }
)
_FOREIGN_STREET = (
    r"(?i:rua|rue|via|viale|piazza|calle|avenida|avenue|camino|carrer|plaza|chaussée|impasse|quai|"
    r"allée|largo|travessa|ulica|ul\.|strada)"
)
_STREET_ENDING = (
    r"(?i:straße|strasse|str\.|gatan|gata|vägen|vegen|vej|veien|gade|weg|straat|gasse|platz|laan|dijk|utca|"
    r"katu|tie|allee|damm|ufer|plein|gracht)"
)

PLACES = (
    rule(
        "street_address",
        "LOCATION",
        rf"(?<![\w.\-/])(?P<v>\d{{1,6}}[A-Za-z]?(?:[ \-]\d{{1,5}})?{BLANK}(?:[NSEW]{{1,2}}\.?{BLANK})?"
        rf"(?:(?:{WORD}|\d{{1,3}}(?:st|nd|rd|th)){BLANK}){{1,4}}(?:{_SUFFIX})\b\.?(?:{BLANK}[NSEW]{{1,2}}\b)?{_UNIT})",
        0.9,
    ),
    rule(
        "street_address_lower",
        "LOCATION",
        rf"(?<![\w.\-/])(?P<v>\d{{1,6}}{BLANK}(?:[A-Za-z]{{2,20}}{BLANK}){{1,3}}"
        rf"(?i:street|avenue|boulevard|road|lane|drive|blvd|ave|rd)\b{_UNIT})",
        0.7,
    ),
    rule(
        "street_foreign",
        "LOCATION",
        rf"(?<!\w)(?P<v>(?:\d{{1,5}}{BLANK}){{0,2}}{_FOREIGN_STREET}{BLANK}(?:(?:(?i:de|du|des|di|da|do|dos|del|della|delle|la|le|las|los|l'|d')[ \t]?){{0,3}}(?:[a-zà-ÿ]{{4,20}}{BLANK})?{WORD}(?:{BLANK}|(?![\w]))){{1,4}}(?:,?[ \t]?\d{{1,5}}[A-Za-z]?)?{_UNIT})",
        0.75,
        digits_at_least(1),
    ),
    rule(
        "street_ending",
        "LOCATION",
        rf"(?<!\w)(?P<v>(?:{WORD}{BLANK}){{0,2}}(?:{LETTER}{{2,25}}{_STREET_ENDING}|{LETTER}{{2,25}}{BLANK}{_STREET_ENDING}){BLANK}\d{{1,4}}[A-Za-z]?\b{_UNIT})",
        0.75,
    ),
    rule(
        "unit",
        "LOCATION",
        r"\b(?P<v>(?:Apt|Apartment|Suite|Ste)\b\.?[ \t]?#?[ \t]?\d{1,5}[A-Z]?)\b",
        0.7,
    ),
    rule(
        "post_box",
        "LOCATION",
        r"\b(?P<v>(?i:p\.?[ ]?o\.?[ ]?box|post\s+office\s+box)[ \t]{0,2}\d{1,6}|(?:PSC|CMR|Unit)[ ]\d{1,6},?[ ]Box[ ]\d{1,6})\b",
        0.85,
    ),
    rule(
        "military_post",
        "LOCATION",
        r"\b(?P<v>(?i:[afd]po),?[ ](?i:aa|ae|ap)[ ]\d{5}(?:-\d{4})?)\b",
        0.9,
    ),
    rule("zip_after_state", "LOCATION", rf"\b{_STATE},?[ \t]{{1,3}}(?P<v>{_ZIP})(?![\d\-])", 0.9),
    rule(
        "zip_label",
        "LOCATION",
        rf"(?i:\b(?:zip|zip\s?code|postal\s?code|post\s?code|postcode))[\s:#=]{{1,3}}(?:(?i:is)\s)?(?P<v>{_ZIP}|[A-Z0-9]{{2,4}}[ ]?[A-Z0-9]{{3}})(?![\w\-])",
        0.95,
    ),
    rule(
        "postcode_uk_canada",
        "LOCATION",
        r"\b(?P<v>[A-Z]{1,2}\d[A-Z\d]?[ ]\d[ABD-HJLNP-UW-Z]{2}|[ABCEGHJ-NPRSTVXY]\d[A-Z][ ]\d[A-Z]\d)\b",
        0.7,
    ),
    # The town and code that close a postal address.
    rule(
        "zip_after_town",
        "LOCATION",
        rf"(?:{_SUFFIX})\b\.?{_UNIT},?[\s]{{1,2}}{_PLACE},?[ \t]{{1,2}}(?P<v>{_ZIP})(?![\d\-])",
        0.88,
    ),
)


def _place(name: str, pattern: str, score: float) -> Rule:
    return Rule(name, "LOCATION", re.compile(pattern), score, None, "weak")


TOWNS = (
    _place(
        "town_state_zip", rf"(?P<v>{_PLACE}),?[ \t]{{1,2}}{_STATE},?[ \t]{{1,2}}{_ZIP}(?!\d)", 0.88
    ),
    _place("town_state", rf"(?P<v>{_PLACE}),[ \t](?:{_SAFE_STATE}|{US_STATE_NAMES})\b", 0.72),
    _place(
        "town_in_state",
        rf"\b(?:in|at|from|of|to|near)[ \t](?P<v>{_PLACE}),[ \t]{_STATE}\b",
        0.8,
    ),
    _place(
        "town_after_street",
        rf"\d[ \t][^\n]{{2,60}}?\b(?:{_SUFFIX})\b\.?{_UNIT},[ \t](?P<v>{_PLACE})[ \t]{_ZIP}(?!\d)",
        0.88,
    ),
    _place(
        "town_label",
        rf"(?i:\b(?:city|town|village|hometown|county|address|birthplace|place\s+of\s+birth)\s?:)[ \t]{{0,3}}(?P<v>{_PLACE})",
        0.85,
    ),
    _place(
        "town_residence",
        r"(?i:\b(?:liv(?:es?|ing|ed)|resid(?:es?|ing|ed)|resident|native|born|raised|home|house|located|based|"
        r"staying|stays|originally|moved?|moving|relocat(?:ed?|ing)|travell?(?:ed|ing|s)?|flew|flying|"
        rf"trip|visit(?:ed|ing)?|citizens?)[ \t]+(?:in|at|of|from|to|near))[ \t]+(?:the[ \t]+)?(?P<v>{_PLACE})",
        0.75,
    ),
    _place("county", rf"(?P<v>(?:{WORD}[ \t]){{1,3}}(?:County|Parish|Township|Borough))\b", 0.8),
    _place(
        "town_prefix",
        rf"\b(?P<v>(?:North|South|East|West|New|Lake|Port|San|Santa|Los|Las|Fort|Mount|Saint|Upper|Lower)[ \t]{WORD})",
        0.45,
    ),
    _place(
        "town_ending",
        rf"\b(?P<v>[{UPPER}]{LETTER}{{2,20}}(?:ville|burgh|burg|borough|bury|shire|mouth|haven|chester|furt|stadt|berg))\b",
        0.4,
    ),
)
