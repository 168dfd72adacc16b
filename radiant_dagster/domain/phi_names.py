# ruff: noqa: E501  (a pattern cut in the middle of a group is harder to read than a long line)
"""Decides which capitalised words are a person or a town, from the words around them.

Context vouches for a name either strongly (a title, a label with a colon, a credential) or
weakly (a preposition, a relation, a mere given name). A strong cue also takes words that are
eponyms or everyday words ("Dr. Young"); a weak one never does, so that "with Parkinson" stays.
"""

import re
from typing import Literal

from radiant_dagster.domain.phi_rules import BLANK, LETTER, UPPER, WORD, Rule
from radiant_dagster.domain.phi_words import (
    COULD_BE_NAMES,
    GIVEN_NAMES,
    LETTERED_NOUNS,
    NOT_NAMES,
    ORGANISATION_ENDS,
    PLACE_ENDERS,
    PLACE_OPENERS,
    THINGS_OF_PLACES,
)

_INITIAL = rf"[{UPPER}]\.?(?!{LETTER})"
_PARTICLE = (
    r"(?:de la|de los|de las|de|da|das|do|dos|del|della|di|du|van der|van den|van de|van|von der|von|"
    r"zu|ter|ten|den|der|bin|ibn|al|el|le|la|y|e|af|av|St\.)"
)
_PART = rf"(?:(?:{_PARTICLE}{BLANK})?{WORD}|{_INITIAL})"
NAME = rf"(?:{_PARTICLE}{BLANK})?(?:{_INITIAL}{BLANK}?)?{WORD}(?:{BLANK}{_PART}){{0,4}}"
_FULL = rf"(?:{_INITIAL}{BLANK}?)?{WORD}(?:{BLANK}{_PART}){{1,4}}"
_CAPS = rf"[{UPPER}](?:[{UPPER}]|['\-](?=[{UPPER}])){{1,30}}"
_LAST_FIRST = (
    rf"(?:{_PARTICLE}{BLANK})?{WORD}(?:[ \-]{WORD})?,[ \t]{{1,2}}{WORD}(?:{BLANK}{_PART}){{0,2}}"
)

_CREDENTIAL = (
    r"(?:M\.?D\.?|D\.?O\.?|R\.?N\.?|N\.?P\.?|P\.?A\.?(?:-C)?|Ph\.?D\.?|D\.?D\.?S\.?|D\.?M\.?D\.?|"
    r"O\.?D\.?|LPN|LVN|CRNA|CNM|FNP(?:-C|-BC)?|DNP|APRN|ARNP|MBBS|FRCP|FACP|FACS|FACC|PharmD|R\.?Ph\.?|"
    r"PsyD|LCSW|LMFT|LPC|MSW|DPT|PT|OTR(?:/L)?|DPM|DVM|J\.?D\.?|Esq\.?|BSN|MSN|CNA|EMT|RD)"
)
_TITLE = (
    r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Doctor|Prof|Professor|Nurse|Sister|Rev|Reverend|Father|Fr|Hon|Judge|Justice|"
    r"Sir|Dame|Lady|Lord|Madam|Capt|Captain|Sgt|Sergeant|Lt|Lieutenant|Col|Colonel|Officer|Detective|"
    r"Attorney|Senator|MR|MRS|MS|DR|PROF|Sra?|Srta|Herr|Frau|Mme|Mlle|Monsieur|Madame|Señora?|Don|Doña)"
)
_ROLE = (
    r"patient(?:'s)?(?:\s+name)?|pt(?:\s+name)?|(?:full\s+|last\s+|first\s+|legal\s+|maiden\s+)?name|"
    r"attending(?:\s+physician)?|providers?|physician|surgeon|prescriber|ordering(?:\s+(?:physician|provider))?|"
    r"referr(?:ing|al|ed\s+by)(?:\s+(?:physician|provider))?|pcp|consultant|anesthesiologist|radiologist|"
    r"pathologist|resident|therapist|social\s+worker|case\s+manager|nurse|nursing|rn|"
    r"guarantor|subscriber|insured|member|policy\s?holder|beneficiary|account\s+holder|cardholder|"
    r"client|plaintiff|defendant|opposing\s+party|opposing\s+counsel|attorney|counsel|claimant|petitioner|"
    r"respondent|deponent|emergency\s+contact|next\s+of\s+kin|nok|contact(?:\s+person)?|guardian|caregiver|"
    r"witness|signed(?:\s+by)?|dictated(?:\s+by)?|transcribed(?:\s+by)?|author(?:ed\s+by)?|reviewed\s+by|"
    r"prepared\s+by|caller|employee|interpreter|attn|attention|re|cc|from|to|mother|father|spouse|"
    r"husband|wife|partner|son|daughter|sister|brother|parent|informant|donor|recipient|reporter|"
    r"interviewer|student|teacher|manager|ceo|owner|agent|buyer|seller|tenant|landlord|trustee|executor"
)
_RELATION = (
    r"patient|pt|client|caller|wife|husband|spouse|partner|mother|father|mom|dad|mum|son|daughter|brother|sister|"
    r"aunt|uncle|niece|nephew|cousin|grandmother|grandfather|grandson|granddaughter|grandma|grandpa|"
    r"stepson|stepdaughter|stepmother|stepfather|friend|neighbou?r|roommate|boyfriend|girlfriend|fianc[ée]e?|"
    r"caregiver|guardian|guarantor|attorney|lawyer|colleague|nurse|resident|surgeon|physician|therapist|"
    r"pharmacist|interpreter|subscriber|party|contact|employee|defendant|plaintiff|witness|boss|manager|"
    r"teacher|actor|actress|singer|kids?|grandchild|stepchild|grandpa|bride|groom|widow|widower|classmate|coworker|landlord|nanny|babysitter|coach|tutor|professor|president|director|minister|child|baby|infant|twins?|sibling|man|woman"
)
_AGE_OR_ID = (
    r"(?=\s?,?\s{0,2}\(?\s?(?:\d{1,3}[ \-]?(?:y\.?/?o\b|y\.o|years?|yrs?|yo[mf]?\b|[MF]\b)|"
    r"(?i:aged?\s+\d|dob\b|d\.o\.b|born\b|mrn\b|ssn\b|date\s+of\s+birth|medical\s+record)))"
)
_VERB = (
    r"(?:states?|stated|reports?|reported|denie[sd]|complain(?:s|ed)|endorse[sd]|says?|said|presents?|presented|"
    r"called|returns?|returned|arrived|notes|asked|agrees?|agreed|lives?|works?|drives|felt|feels|"
    r"(?:was|is|has been|had been|will be)[ ](?:a|an|the|transferred|admitted|discharged|seen|referred|born|"
    r"diagnosed|brought|evaluated|treated|found|started|scheduled|prescribed|intubated|extubated|"
    r"\d{1,3}[ \-]year))\b"
)


def _name(name: str, pattern: str, score: float, cue: Literal["strong", "weak"]) -> Rule:
    return Rule(name, "PERSON", re.compile(pattern), score, None, cue)


NAMES = (
    _name(
        "title",
        rf"(?<!\w){_TITLE}\b\.?[ \t]{{0,3}}(?:{_TITLE}\.?[ \t]{{1,3}})?(?P<v>{NAME})",
        0.92,
        "strong",
    ),
    _name(
        "credential", rf"(?<![\w'])(?P<v>{NAME}),?[ \t]{{1,2}}{_CREDENTIAL}(?![\w])", 0.9, "strong"
    ),
    _name(
        "role_label_last_first",
        rf"(?<!\w)(?i:{_ROLE})[ \t]{{0,3}}[:=#\-][ \t]{{0,4}}(?P<v>{_LAST_FIRST})",
        0.93,
        "strong",
    ),
    _name(
        "role_label",
        rf"(?<!\w)(?i:{_ROLE})[ \t]{{0,3}}(?::|=|\bis\b)\s{{0,6}}(?P<v>{NAME})",
        0.89,
        "strong",
    ),
    _name(
        "last_first",
        rf"(?<!\w)(?P<v>{_LAST_FIRST})(?:{_AGE_OR_ID}|(?=[ \t]{{0,2}}\(\d))",
        0.8,
        "weak",
    ),
    _name(
        "last_first_caps",
        rf"(?m)^[ \t]{{0,4}}(?P<v>{_CAPS},[ \t]{_CAPS}(?:[ \t]{_CAPS}){{0,2}})\b",
        0.7,
        "weak",
    ),
    _name("name_age", rf"(?<![\w'])(?P<v>{NAME}){_AGE_OR_ID}", 0.85, "weak"),
    _name(
        "name_at",
        rf"(?<![\w'])(?P<v>{_FULL})(?=[ \t]at[ \t](?:home|bedside|work|the|our|clinic)\b)",
        0.7,
        "weak",
    ),
    _name("name_speaks", rf"(?<![\w'])(?P<v>{NAME})(?=[ \t]{{1,2}}{_VERB})", 0.75, "weak"),
    _name(
        "relation",
        rf"(?<!\w)(?i:{_RELATION})(?:,|[ \t]+(?i:is|was|named|called))?[ \t]{{1,3}}(?P<v>{NAME})",
        0.8,
        "weak",
    ),
    _name(
        "preposition",
        r"(?<!\w)(?i:by|from|with|for|to|of|and|saw|met|called|named|referring|cites?|paged|contacted|told|"
        r"asked|thank|against|between|behalf\s+of|via|about|informed|notified|call|contact|or|known\s+as|"
        rf"assistant\s+to|heard|see|hear)[ \t]{{1,2}}(?P<v>{_FULL})",
        0.65,
        "weak",
    ),
    _name(
        "introduction",
        r"(?<!\w)(?i:my\s+name\s+is|my\s+name's|i\s+am|i'm|this\s+is|name\s+is|names\s+is|called|signed|"
        rf"named|known\s+as|call\s+me)[ \t]{{1,3}}(?P<v>{NAME})",
        0.75,
        "weak",
    ),
    _name(
        "name_lower_case",
        rf"(?<!\w)(?i:my\s+name\s+is|(?:patient|pt|client|full)\s+name\s?[:=])[ \t]{{0,3}}"
        rf"(?P<v>{LETTER}{{2,20}}(?:[ \t](?!and\b|from\b|born\b|who\b|i\b|dob\b){LETTER}{{2,20}}){{0,2}})",
        0.6,
        "weak",
    ),
    _name(
        "greeting",
        rf"(?<!\w)(?i:dear|hi|hello|hey|thanks|thank\s+you|greetings|good\s+(?:morning|evening|afternoon))[ \t]{{1,2}}(?P<v>{NAME})(?=[ \t]{{0,2}}[,!.;:\n])",
        0.75,
        "weak",
    ),
    _name(
        "sign_off",
        r"(?i:sincerely|regards|respectfully|cheers|yours\s+truly|best\s+wishes|thank\s+you|thanks|best)[ \t]{0,2},"
        rf"\s{{1,6}}(?P<v>{NAME})",
        0.85,
        "strong",
    ),
    _name(
        "middle_initial",
        rf"(?<![\w'])(?P<v>{WORD}{BLANK}(?:[{UPPER}]\.{BLANK}){{1,2}}(?:{_PARTICLE}{BLANK})?{WORD})",
        0.7,
        "weak",
    ),
    _name("given_name", rf"(?<![\w'])(?P<v>{_FULL})", 0.6, "weak"),
)

_TOKEN = re.compile(rf"{LETTER}(?:{LETTER}|['\-.](?={LETTER}))*")
_SUFFIXES = frozenset({"jr", "sr", "ii", "iii", "iv"})


def trim_name(text: str, start: int, end: int, rule: Rule) -> tuple[int, int] | None:
    """Cut a candidate down to the name in it, or refuse it.

    Args:
        text: The plain text.
        start: Where the candidate begins.
        end: Where it ends, exclusive.
        rule: The rule that found it; its cue decides how everyday words are read.

    Returns:
        The name's range, or None where no word of it is one.
    """
    tokens = [(m.start(), m.end(), m[0]) for m in _TOKEN.finditer(text, start, end)]
    if rule.type == "LOCATION":
        return _trim_place(text, tokens)
    if rule.name_cue == "weak":
        while tokens and not _opens_weak(tokens):
            tokens.pop(0)
    else:
        while tokens and _is_everyday(tokens[0][2]):
            tokens.pop(0)
    kept: list[tuple[int, int, str]] = []
    for index, token in enumerate(tokens):
        if index and _is_everyday(token[2]):
            break
        kept.append(token)
        if token[2].lower().endswith("'s"):
            break
    while kept and kept[-1][2].islower():  # a particle that lost its name
        kept.pop()
    if not kept or not _stands(text, kept, rule):
        return None
    last = kept[-1]
    stop = last[1] - 2 if last[2].lower().endswith("'s") else last[1]
    return kept[0][0], stop


def _trim_place(text: str, tokens: list[tuple[int, int, str]]) -> tuple[int, int] | None:
    while tokens and _is_everyday(tokens[0][2]) and tokens[0][2].lower() not in PLACE_OPENERS:
        tokens.pop(0)
    own = [word.lower() for _, _, word in tokens if word.lower() not in NOT_NAMES - {"county"}]
    own = [word for word in own if word not in PLACE_ENDERS]
    if not own or all(word.isupper() and len(word) <= 4 for _, _, word in tokens):
        return None
    after = _TOKEN.match(text, min(len(text), _skip_blank(text, tokens[-1][1])))
    if after is not None and after[0].lower() in ORGANISATION_ENDS | THINGS_OF_PLACES:
        return None
    return tokens[0][0], tokens[-1][1]


def _is_everyday(word: str) -> bool:
    lower = word.lower().removesuffix("'s")
    return len(lower) > 1 and lower in NOT_NAMES and lower not in COULD_BE_NAMES


def _opens_weak(tokens: list[tuple[int, int, str]]) -> bool:
    lower = tokens[0][2].lower().removesuffix("'s")
    if lower not in NOT_NAMES and lower not in ORGANISATION_ENDS:
        return True
    follower = tokens[1][2] if len(tokens) > 1 else ""
    # "Thomas Jones" is a person, "Thomas splint" is not; "May repeat" is not.
    return lower in GIVEN_NAMES and follower[:1].isupper() and not _is_everyday(follower)


def _stands(text: str, kept: list[tuple[int, int, str]], rule: Rule) -> bool:
    words = [word.lower().removesuffix("'s") for _, _, word in kept]
    if rule.name == "given_name" and words[0] not in GIVEN_NAMES:
        return False
    if rule.name == "given_name" and len([word for word in words if len(word) > 1]) < 2:
        return False
    if rule.name == "middle_initial" and words[0] in LETTERED_NOUNS:
        return False
    if rule.name in ("preposition", "middle_initial") and len(words) < 2:
        return False
    if rule.name_cue == "strong":
        return True
    if (
        all(word.isupper() and len(word) <= 4 for _, _, word in kept)
        and rule.name != "last_first_caps"
    ):
        return False  # an abbreviation: MRI, COPD
    if len(words) == 1 and len(words[0]) < 3:
        return False
    return not _names_a_thing(text, kept, words)


def _names_a_thing(text: str, kept: list[tuple[int, int, str]], words: list[str]) -> bool:
    if (
        words[-1] in ORGANISATION_ENDS
        and words[-1] not in GIVEN_NAMES
        and words[-1] not in COULD_BE_NAMES
    ):
        return True
    after = _TOKEN.match(text, min(len(text), _skip_blank(text, kept[-1][1])))
    return after is not None and after[0].lower() in ORGANISATION_ENDS


def _skip_blank(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t":
        position += 1
    return position


def name_tokens(value: str) -> tuple[str, ...]:
    """Return the words of a name, case-folded, given name first, without suffixes.

    Args:
        value: As written: ``SMITH, JOHN A.`` and ``John A. Smith`` give the same words.
    """
    last, comma, first = value.partition(",")
    ordered = f"{first} {last}" if comma else value
    words = (m[0].casefold().removesuffix("'s") for m in _TOKEN.finditer(ordered))
    return tuple(word for word in words if word not in _SUFFIXES)
