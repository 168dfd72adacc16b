"""What the demo model reads out of a text: key phrases, sentences, the kind of question."""

import hashlib
import re
from typing import Literal

QuestionKind = Literal["choice", "yes_no", "open"]

TOKEN = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[.,;:!?()\[\]\n\"]")
SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?!\s|$)[^.!?\n]*)*[.!?]?")
PLACEHOLDER = re.compile(r"\[[^\]\n]{1,40}\]")
CHOICE = re.compile(r"\s(?:or|vs\.?|versus)\s", re.IGNORECASE)
YES_NO = re.compile(
    r"\b(should|can|could|may|is|are|do|does|will|would|shall|must) "
    r"(i|we|you|it|they|he|she|there|the|a|an|my|our|this|that|these|one)\b",
    re.IGNORECASE,
)
STOPWORDS = frozenset(
    re.findall(
        r"\w+",
        "a about above across after again against all also always am among an and another any "
        "anybody anyone anything are around as ask at away back be became because been before "
        "being below best better between both but by came can cannot come could did do does "
        "doing done down during each either else enough ever every everyone few find first for "
        "from further gave get gets getting give given gives go goes going good got had has "
        "have having he help her here hers him his how however i if in instead into is it its "
        "just keep kind know last least less let like look made make makes making many may me "
        "might more most much must my near need needs never new next no none nor not nothing "
        "now of off often on once one only onto or other others our out over own per perhaps "
        "please possible put quite rather really right said same say see seem seems several "
        "shall she should since so some someone something soon still such sure take takes "
        "taking tell than that the their them then there these they thing things think this "
        "those though through to together too toward two under until up upon us use used uses "
        "using very via want wants was way ways we well were what when where whether which "
        "while who whom whose why will with within without would yes yet you your yours explain "
        "describe advise consider recommend suggest ",
    )
)
# Verbs that a phrase reads better without; they still count as content.
VERBS = frozenset(
    re.findall(
        r"\w+",
        "roll stop start mention name answer asks asked choose decide buy add set try run change "
        "changing move moving safest wants needed",
    )
)


def phrases(text: str, limit: int, *, general: bool = False) -> list[str]:
    """Return the phrases a text is about, in its order.

    Runs of words between stopwords and punctuation (the idea of RAKE, Rose et al. 2010), the
    longest ones first when there are too many.

    Args:
        text: Any text.
        limit: At most so many.
        general: Leave out what may name a person or a case: capitals inside a sentence, digits,
            placeholders.
    """
    runs: list[list[str]] = [[]]
    sentence_start = True
    for piece in TOKEN.findall(PLACEHOLDER.sub(". ", text) if general else text):
        word = piece.lower()
        named = general and (
            any(c.isdigit() for c in piece) or (piece != word and not sentence_start)
        )
        content = piece[0].isalnum() and word not in STOPWORDS | VERBS and not named
        if not content or len(runs[-1]) == 4:
            runs.append([])
        if content:
            runs[-1].append(word if sentence_start and piece.istitle() else piece)
        sentence_start = piece in ".!?\n"
    found = list(dict.fromkeys(" ".join(run) for run in runs if len("".join(run)) > 3))
    longest = sorted(found, key=lambda phrase: -min(3, phrase.count(" ") + 1))[:limit]
    return [phrase for phrase in found if phrase in longest]


def stems(text: str) -> frozenset[str]:
    """Return the first five letters of every content word, to tell whether texts share a topic."""
    words = (token.lower() for token in TOKEN.findall(text))
    return frozenset(word[:5] for word in words if len(word) > 3 and word not in STOPWORDS)


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, without what surrounds them."""
    return [found for part in SENTENCE.findall(text) if len(found := part.strip(" -*\t")) > 3]


def listed(items: list[str]) -> str:
    """Join items as a person would."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def options(question: str) -> tuple[str, str] | None:
    """Return the two things a question lets one choose between, if it does."""
    asked = next((s for s in sentences(question) if s.endswith("?") and CHOICE.search(s)), None)
    if asked is None:
        return None
    before, after = CHOICE.split(asked, maxsplit=1)
    left, right = phrases(before, 99), phrases(f", {after}", 99)
    if not left or not right or not before.endswith(left[-1].split()[-1]):
        return None
    return left[-1], right[0]


def kind_of(question: str) -> QuestionKind:
    """Tell a choice from a yes-or-no question from an open one."""
    if options(question):
        return "choice"
    lead = question.strip().split("?")[0].rsplit(".", 1)[-1].strip()[:60]
    return "yes_no" if YES_NO.match(lead) else "open"


def pick(seed: str, size: int) -> int:
    """Choose one of `size` things, always the same for the same seed."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4]) % size
