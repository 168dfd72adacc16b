# ruff: noqa: E501  (a pattern cut in the middle of a group is harder to read than a long line)
"""Owns the PHI rules: one pattern an identifier, anchored by a label, a check digit or its shape.

The 18 kinds are those of the HIPAA Safe Harbor rule, 45 CFR 164.514(b)(2)(i). A rule never
takes bare digits without a label, a check digit or a telephone's grouping, because laboratory
values are bare digits too. Every repeat is bounded, so that matching stays linear in the length
of the text. Places are in `phi_places`, names in `phi_names`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from radiant_dagster.domain import phi_checks as check

# Upper-case letters of the Latin, Greek and Cyrillic blocks, as the body of a character class.
UPPER = "".join(chr(c) for c in range(0x41, 0x530) if chr(c).isupper())
LETTER = r"[^\W\d_]"
WORD = rf"[{UPPER}](?:{LETTER}|['\-](?={LETTER})){{1,30}}"
BLANK = r"[ \t]{1,3}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to see an identifier.

    Args:
        name: Shown as the span's recogniser.
        type: Kind of identifier.
        pattern: Its group ``v`` is the value; the rest is the label that stays readable.
        score: 0 to 1; where two rules overlap, the higher one names the type.
        accept: Must hold for the value, for instance a check digit.
        name_cue: Set on rules whose value is a name: how far the context vouches for it.
    """

    name: str
    type: str
    pattern: re.Pattern[str]
    score: float
    accept: Callable[[str], bool] | None = None
    name_cue: Literal["strong", "weak"] | None = None


def digits_at_least(least: int) -> Callable[[str], bool]:
    """Return a test that a value carries at least so many digits."""
    return lambda value: len(check.digits(value)) >= least


def rule(
    name: str, kind: str, pattern: str, score: float, accept: Callable[[str], bool] | None = None
) -> Rule:
    """Compile one rule; see `Rule` for the arguments."""
    return Rule(name, kind, re.compile(pattern), score, accept)


# Between a label and its value: "MRN is 48", "MRN# 48", "MRN no.: 48", "MRN\n48", "MRN (48)".
_JOIN = (
    r"(?:[\s:#=\-.(]{1,4}(?i:is|was|number|num|no|nr|id|identifier|code|of|reads|ending(?:\s+in)?)"
    r"(?![A-Za-z])){0,3}[\s:#=\-.(]{0,4}"
)
_ID = r"[A-Za-z0-9](?:[A-Za-z0-9]|[\-./](?=[A-Za-z0-9])){2,30}"  # letters and digits in groups
_NUMBER_WORD = r"(?i:\s{0,2}(?:#|no\b\.?|nos\b\.?|num\b\.?|number|id\b|identifier|code|nr\b\.?))"


def _labelled(
    name: str, kind: str, labels: str, score: float, *, value: str = _ID, digits: int = 4
) -> Rule:
    pattern = rf"(?<![A-Za-z])(?i:{labels}){_JOIN}(?P<v>{value})(?![A-Za-z0-9])"
    return rule(name, kind, pattern, score, digits_at_least(digits))


_SSN = r"\d{3}[ \-.]?\d{2}[ \-.]?\d{4}"
_LAST4 = r"(?:[xX*]{3}[ \-]?[xX*]{2}[ \-]?)?\d{4}"
_CARD = r"\d(?:[ \-]?\d){11,18}"
_EXTENSION = r"(?:[ \t]{0,2}(?i:x|ext\.?|extension)[ \t]{0,2}\d{1,6})?"
_NANP = rf"(?:\+?1[ .\-]?)?(?:\(\d{{3}}\)[ .\-]?|\d{{3}}[ .\-])\d{{3}}[ .\-]\d{{4}}{_EXTENSION}"
_DIALLED = rf"[+(]?\d(?:[ \t().\-/]{{0,3}}\d){{4,14}}{_EXTENSION}"

IDENTIFIERS = (
    # Names of the record, the person's plans, accounts and papers, each behind its label.
    _labelled(
        "mrn_label",
        "MRN",
        r"mrns?|mr\s?#|med(?:ical)?\.?\s+rec(?:ord)?s?(?:\s+(?:number|no\.?|id))?|"
        r"(?:patient|pt|chart|hospital|record|encounter|unit|visit|pat)\s?(?:number|id\b|no\b\.?|#)|"
        r"chart|uhid|csn",
        0.9,
    ),
    _labelled(
        "health_plan_label",
        "HEALTH_PLAN_ID",
        r"(?:member|subscriber|insurance|insured|policy|group|plan|health\s+plan|payer|medicare|"
        r"medicaid|beneficiary|medicare\s+beneficiary)" + _NUMBER_WORD + r"|mbi|hicn|"
        r"medicare\s+beneficiary\s+identifier|(?:insurance|policy|medicare|medicaid)\s?[:#]",
        0.9,
    ),
    rule(
        "medicare_beneficiary",
        "HEALTH_PLAN_ID",
        r"(?<![A-Za-z0-9])(?P<v>[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9]\d-?"
        r"[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9]\d-?[AC-HJKMNP-RT-Y]{2}\d{2})(?![A-Za-z0-9])",
        0.85,
    ),
    _labelled("account_label", "ACCOUNT", r"account|acct\b\.?|a/c|routing|invoice", 0.85),
    rule(
        "iban",
        "IBAN",
        r"(?<![A-Za-z0-9])(?P<v>[A-Z]{2}\d{2}(?:[ \-]?[A-Z0-9]{4}){2,7}(?:[ \-]?[A-Z0-9]{1,3})?)(?![A-Za-z0-9])",
        0.95,
        check.iban,
    ),
    rule(
        "card_check_digit",
        "CREDIT_CARD",
        rf"(?<![\dA-Za-z.\-])(?P<v>{_CARD})(?![\d\-])",
        0.8,
        check.payment_card,
    ),
    _labelled(
        "card_label",
        "CREDIT_CARD",
        r"(?:credit|debit|backup|bank|payment)?\s?card(?:\s+on\s+file)?|visa|mastercard|amex|"
        r"american\s+express|discover",
        0.92,
        value=_CARD,
        digits=12,
    ),
    rule(
        "ssn_shape",
        "SSN",
        r"(?<![\d\-])(?P<v>\d{3}([ \-])\d{2}\2\d{4})(?![\d\-])",
        0.8,
        check.ssn,
    ),
    _labelled(
        "ssn_label", "SSN", r"ssn?|social\s+security|social|itin|tin|tax\s+id", 0.95, value=_SSN
    ),
    _labelled(
        "ssn_last_four",
        "SSN",
        r"(?:last\s+(?:four|4)(?:\s+digits)?(?:\s+(?:of\s+)?(?:the\s+|her\s+|his\s+)?"
        r"(?:ssn|social(?:\s+security)?))?|ssn|social\s+security)(?:\s+(?:number|no\.?))?"
        r"(?:\s+(?:ends?|ending)\s+(?:in|with))?",
        0.9,
        value=_LAST4,
    ),
    _labelled("npi_label", "LICENSE", r"npi|dea|upin", 0.95),
    rule("npi_check_digit", "LICENSE", r"(?<![\d\-.])(?P<v>[12]\d{9})(?![\d\-])", 0.6, check.npi),
    rule("dea_check_digit", "LICENSE", r"\b(?P<v>[A-Z][A-Z9]\d{7})\b", 0.6, check.dea),
    _labelled(
        "licence_label",
        "LICENSE",
        r"(?:driver'?s?'?\s+|driving\s+|medical\s+|nursing\s+|state\s+|pharmacy\s+)?licen[sc]e(?!\s+plate)|"
        r"lic\b\.?|d\.?l\b\.?|passport|certificate|registration|permit|state\s+id|national\s+id",
        0.85,
        value=r"[A-Z]{0,4}[ \-]?\d(?:[A-Z0-9]|-(?=[A-Z0-9])){3,20}",
    ),
    rule("vin_check_digit", "VEHICLE_ID", r"\b(?P<v>[A-HJ-NPR-Z0-9]{17})\b", 0.85, check.vin),
    _labelled(
        "vin_label",
        "VEHICLE_ID",
        r"vin|vehicle\s+identification",
        0.95,
        value=r"[A-Za-z0-9]{11,17}",
    ),
    _labelled(
        "plate_label",
        "VEHICLE_ID",
        r"(?:licen[sc]e\s+|number\s+|registration\s+)?plates?|licen[sc]e\s+tag|registration\s+mark",
        0.95,
        value=r"[A-Z0-9]{1,4}[ \-]?[A-Z0-9]{2,6}",
        digits=1,
    ),
    rule(
        "device_udi",
        "DEVICE_ID",
        r"(?P<v>\(01\)\d{14}(?:\((?:10|11|17|21)\)[A-Za-z0-9\-]{1,20}){0,4})",
        0.97,
    ),
    rule("mac_address", "DEVICE_ID", r"\b(?P<v>(?:[0-9A-Fa-f]{2}[:\-]){5}[0-9A-Fa-f]{2})\b", 0.95),
    _labelled(
        "device_label",
        "DEVICE_ID",
        r"serial|s/n|sn|udi|imei|device\s+id|lot|model\s+(?:no\b\.?|number)|implant\s+(?:no|id)",
        0.92,
        digits=3,
    ),
    rule(
        "biometric_label",
        "BIOMETRIC",
        r"(?<![A-Za-z])(?i:fingerprint|finger\s+print|retina|retinal|iris|voice\s?print|voice|faceprint|"
        r"facial|biometric|palm\s?print|gait|dna)(?:\s+[a-z]{1,12}){0,3}[\s:#=]{1,3}"
        r"(?P<v>[A-Za-z0-9](?:[A-Za-z0-9]|[\-_](?=[A-Za-z0-9])){6,128})(?![A-Za-z0-9])",
        0.9,
        digits_at_least(3),
    ),
    rule(
        "photo_file",
        "PHOTO",
        r"(?<![\w.])(?P<v>[\w\-]{1,80}\.(?i:jpe?g|png|gif|heic|heif|tiff?|bmp|webp|dcm|mov|mp4))\b",
        0.95,
    ),
    _labelled(
        "other_label",
        "OTHER_ID",
        r"accession|specimen|study|sample|docket|case|claim|order|rx|prescription|ticket|reference|ref\b\.?|"
        r"employee|student|badge|subject|participant|enrol?lment|trial|tracking|confirmation|"
        r"user\s?id|pathology|protocol|record",
        0.7,
        value=r"(?:[A-Z]{1,8}-?\d(?:[A-Za-z0-9]|-(?=[A-Za-z0-9])){2,20}|\d{2,4}-[A-Za-z0-9\-]{3,20}|\d{6,15})",
    ),
    _labelled("bare_id_label", "OTHER_ID", r"\bid(?=\s?[:#])|identifier", 0.65),
    # Addresses of machines.
    rule(
        "email",
        "EMAIL",
        r"(?<![\w.+\-])(?P<v>[\w.+\-]{1,64}@[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,6})",
        0.98,
    ),
    rule(
        "email_spelled",
        "EMAIL",
        r"(?<![\w.+\-])(?P<v>[\w.+\-]{1,64}\s{0,2}[\[(]?\s?(?:at|AT|@)\s?[\])]?\s{0,2}[\w\-]{1,63}"
        r"\s{0,2}[\[(]?\s?(?:dot|DOT)\s?[\])]?\s{0,2}(?i:com|org|net|edu|gov|io|uk|de|fr|ca))\b",
        0.9,
    ),
    rule("url", "URL", r"(?P<v>(?i:https?|ftp|sftp)://[^\s<>\"'`\])}]{1,2000})", 0.97),
    rule(
        "url_host",
        "URL",
        r"(?<![\w@.\-/])(?P<v>(?:(?i:www)\.[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,5}|"
        r"[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){0,4}\."
        r"(?i:com|org|net|edu|gov|mil|info|biz|io|me|health|app|dev|co\.uk|de|fr|eu))(?![\w@])"
        r"(?:/[^\s<>\"'`\])}]{0,500})?)",
        0.94,
    ),
    rule(
        "ipv4", "IP_ADDRESS", r"(?<![\d.])(?P<v>\d{1,3}(?:\.\d{1,3}){3})(?!\.?\d)", 0.9, check.ipv4
    ),
    rule(
        "ipv6",
        "IP_ADDRESS",
        r"(?<![\w:.])(?P<v>(?:[0-9A-Fa-f]{1,4}(?::|::)){2,7}[0-9A-Fa-f]{1,4}|"
        r"[0-9A-Fa-f]{1,4}::[0-9A-Fa-f]{1,4})(?![\w:])",
        0.9,
        check.ipv6,
    ),
    # Telephones: grouped as in North America, with a country code, or behind a label.
    rule("phone_nanp", "PHONE", rf"(?<![\w.+\-])(?P<v>{_NANP})(?![\d\-])", 0.82),
    rule(
        "phone_country_code",
        "PHONE",
        rf"(?<![\w+])(?P<v>(?:\+|00)[1-9]\d{{0,2}}(?:[ \t().\-/]{{0,3}}\d){{6,13}}{_EXTENSION})(?!\d)",
        0.83,
    ),
    rule(
        "phone_label",
        "PHONE",
        r"(?<![A-Za-z])(?i:tel(?:ephone)?|phones?|ph|fax|mobile|cell(?:phone)?|call(?:ed|ing|s)?|"
        r"call\s?back|contact|pag(?:er|ed|e)|text(?:ed)?|whatsapp|dial|hotline|reach(?:ed)?|sms|ring|voicemail|"
        r"beeper|extension|ext)\b(?:\s+(?i:me|him|her|them|us|you|back|dr\.?))?"
        r"(?:[\s:#.(\-]{1,3}(?i:at|on|is|number|no|via|me|nr))?"
        rf"(?:[\s:#.\-]{{1,3}}(?i:is|at))?[\s:#.\-]{{0,4}}(?P<v>{_DIALLED})(?![\d\-/])",
        0.84,
        digits_at_least(5),
    ),
    rule(
        "phone_number_label",
        "PHONE",
        r"(?i:\bnumber\s+(?:is|to|was)|\bnumber\s*:|\bat)\s+(?P<v>[+(]?\d{2,4}\)?(?:[ .\-]\d{2,4}){2,5})(?![\d\-])",
        0.5,
        lambda value: 7 <= len(check.digits(value)) <= 15,
    ),
    rule(
        "phone_kind_after",
        "PHONE",
        rf"(?<![\w.+\-])(?P<v>{_DIALLED})(?=[ \t]{{1,2}}\(?(?i:office|fax|mobile|home|cell|work|tel|phone)\b)",
        0.75,
        digits_at_least(7),
    ),
    rule(
        "phone_ten_digits",
        "PHONE",
        r"(?<![\w.\-$+])(?P<v>[2-9]\d{2}[2-9]\d{6})(?![\w\-.]\d|\d)",
        0.4,
    ),
)

_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December|"
    r"JANUARY|FEBRUARY|MARCH|APRIL|MAY|JUNE|JULY|AUGUST|SEPTEMBER|OCTOBER|NOVEMBER|DECEMBER|"
    r"january|february|april|june|july|august|september|october|november|december|"
    r"(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|JAN|FEB|MAR|APR|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\b\.?)"
)
_MONTHS_ABROAD = (
    r"januar|jänner|februar|märz|mai|juni|juli|oktober|dezember|janvier|février|mars|avril|juin|juillet|août|"
    r"septembre|octobre|novembre|décembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|"
    r"noviembre|diciembre|gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre|janeiro|"
    r"fevereiro|março|maio|junho|julho|setembro|outubro|novembro|dezembro|januari|februari|maart|augustus"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR = r"(?:(?:19|20)\d{2})"
_CLOCK = r"(?:[ T]{1,2}\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:[ ]?(?:Z\b|[AaPp]\.?[Mm]\b))?)?"


def _calendar(value: str) -> bool:
    numbers = [int(n) for n in re.findall(r"\d+", value)[:3]]
    if numbers[0] > 31:  # year first
        return numbers[1] <= 12 and numbers[2] <= 31
    day_month = max(numbers[:2]), min(numbers[:2])
    return 1 <= day_month[1] <= 12 and 1 <= day_month[0] <= 31


_NOT_A_DOSE = r"(?!\s?(?:mg|mcg|ml|mL|g|units?|%|mmHg)\b)"

DATES = (
    rule(
        "date_numeric",
        "DATE",
        rf"(?<![\w./\-])(?P<v>\d{{1,2}}([/\-.])\d{{1,2}}\2(?:\d{{4}}|\d{{2}}(?!\.\d)){_CLOCK})(?![\d/\-]){_NOT_A_DOSE}",
        0.88,
        _calendar,
    ),
    rule(
        "date_iso",
        "DATE",
        rf"(?<![\w./\-])(?P<v>{_YEAR}([/\-.])\d{{1,2}}\2\d{{1,2}}{_CLOCK})(?![\d/\-])",
        0.9,
        _calendar,
    ),
    rule(
        "date_compact_label",
        "DATE",
        rf"(?i:\b(?:dob|d\.o\.b\.?|birth|date|born|admitted|discharged|dos))\W{{0,3}}(?P<v>(?:{_YEAR}\d{{4}}|\d{{4}}{_YEAR}))(?!\d)",
        0.9,
    ),
    rule(
        "date_month_first",
        "DATE",
        rf"\b(?P<v>{_MONTH}[ \t]{{0,2}}{_DAY}(?!\d)(?:,?[ \t]{{1,2}}{_YEAR}|,?[ \t]'\d{{2}})?{_CLOCK})(?![\d/]){_NOT_A_DOSE}",
        0.88,
    ),
    rule(
        "date_day_first",
        "DATE",
        rf"(?<![\w/.\-])(?P<v>{_DAY}(?:[ \t]{{1,2}}of)?[ \t\-]{{1,2}}(?:{_MONTH}|may|march)(?:,?[ \t\-]{{1,2}}(?:{_YEAR}|\d{{2}}(?!\d)))?{_CLOCK})\b",
        0.88,
    ),
    rule("date_month_year", "DATE", rf"\b(?P<v>{_MONTH},?(?:[ \t]of)?[ \t]{{1,2}}{_YEAR})\b", 0.8),
    rule(
        "date_month_letters",
        "DATE",
        rf"(?<![\w.\-/])(?P<v>{_DAY}[ \-/]?(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[ \-/]?"
        rf"(?:{_YEAR}|\d{{2}})|{_YEAR}[ \-/](?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[ \-/]{_DAY})"
        r"(?![\w\-/])",
        0.86,
    ),
    rule(
        "date_other_languages",
        "DATE",
        rf"(?<![\w.\-/])(?P<v>{_DAY}\.?[ ](?:de[ ]|di[ ])?(?i:{_MONTHS_ABROAD})\b(?:,?[ ](?:de[ ]|del[ ])?{_YEAR})?)",
        0.86,
    ),
    rule("date_short_year", "DATE", rf"\b(?P<v>{_MONTH}[ ]['’]\d{{2}})(?!\w)", 0.84),
    rule(
        "date_month_slash_year",
        "DATE",
        rf"(?<![\w/.\-])(?P<v>(?:0[1-9]|1[0-2])/{_YEAR}|(?<=in )\d/{_YEAR}|(?<=since )\d/{_YEAR})(?![\w/\-]|\.\d)",
        0.7,
    ),
    rule(
        "date_compact",
        "DATE",
        rf"(?<![\w.,\-/$#])(?P<v>{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?![\w\-/%]|[.,]\d|[ ]?(?:copies|cells|IU|units))",
        0.45,
    ),
    # A year by itself; Safe Harbor allows it, people who label dates do not.
    rule(
        "year",
        "DATE",
        r"(?i:\b(?:in|since|of|from|until|till|by|before|after|during|circa|around|year|early|late|"
        r"mid|born|summer|winter|spring|fall|autumn|christmas|easter|founded|class[ ]of))[ \t]"
        r"(?P<v>(?:19|20)\d{2})(?![\w/\-]|[.,]\d|[ \t]?(?:%|(?i:m[gl]|mcg|ml|units?|cal|kcal|calories|"
        r"patients?|cells?|steps|people|participants|g|kg|iu|cases|adults|women|men|subjects|meters?|m)\b))",
        0.5,
    ),
    rule(
        "date_without_year",
        "DATE",
        r"(?i:\b(?:on|since|dated?|visit|by|until|till|from|seen|before|after|dob|collected|started|"
        r"due|through|thru|admitted|discharged|starting|appointment|appt|scheduled(?:\s+for)?|written|"
        r"surgery|performed|drawn|and|to|for|of|fu|f/u))[ \t:]{1,2}"
        r"(?P<v>(?:0?[1-9]|1[0-2])/(?:0?[1-9]|[12]\d|3[01]))(?![\d/%]|\.\d|\s?(?:of|points?|pain|mg|tab)\b)",
        0.7,
    ),
    rule(
        "age_over_89",
        "AGE_OVER_89",
        r"(?<![\d.\-/])(?P<v>9\d|1[0-2]\d)(?=[ \-]{0,2}(?i:years?[ \-]{1,2}(?:old|of\s+age)|"
        r"yrs?[ \-.]{0,2}(?:old|of\s+age)?\b|y\.?[/ ]?o\b|y\.o\.?|yo[mfw]?\b|year[\- ]old))",
        0.95,
    ),
    rule(
        "age_label",
        "AGE_OVER_89",
        r"(?i:\b(?:aged?|turn(?:ed|ing|s))\b)(?:\s{0,2}(?i:is|of|was|:|=|at))?[ \t]{0,2}"
        r"(?P<v>9\d|1[0-2]\d)(?![\d%/]|\.\d|\s?(?:mg|ml|mcg))",
        0.93,
    ),
    rule(
        "age_after_name",
        "AGE_OVER_89",
        r"(?:(?<=[a-z],)|(?<=[A-Z],)|(?<=[a-z])[ ]\()[ \t]{0,2}(?P<v>9\d|1[0-2]\d)[ \t]?(?:[MF]\b|(?i:fe)?(?i:male)\b)",
        0.9,
    ),
    rule(
        "age_nineties",
        "AGE_OVER_89",
        r"(?i:\b(?:her|his|their)\s+)(?P<v>9\ds|(?i:nineties))\b",
        0.8,
    ),
)
