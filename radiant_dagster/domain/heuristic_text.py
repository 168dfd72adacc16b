"""Which texts people may give a heuristic: the Librarian's rules, told so that they can be met."""

import unicodedata

from radiant_dagster.domain.extraction import (
    FORBIDDEN_TEXT,
    HIDDEN_CATEGORIES,
    PLACEHOLDER,
    REAL_WORD,
)
from radiant_dagster.domain.swarm import require_storable
from radiant_dagster.errors import InvalidInput

# As ExtractedHeuristic has them: a longer one would crowd others out of an agent's prompt.
TRIGGER_CHARACTERS = (12, 240)
ACTION_CHARACTERS = (20, 600)
TRIGGER_WORDS = 2
ACTION_WORDS = 3


def require_text(trigger_pattern: str, action_template: str) -> tuple[str, str]:
    """Return both texts without surrounding white space, or refuse them.

    Raises:
        InvalidInput: Names the field and the fix, never the text.
    """
    return (
        _required("trigger_pattern", trigger_pattern, TRIGGER_CHARACTERS, TRIGGER_WORDS),
        _required("action_template", action_template, ACTION_CHARACTERS, ACTION_WORDS),
    )


def _required(field: str, given: str, characters: tuple[int, int], words: int) -> str:
    require_storable(field, given)
    text = given.strip()
    least, most = characters
    if not least <= len(text) <= most:
        raise InvalidInput(
            field, f"has {len(text)} characters", f"Use {least} to {most} characters."
        )
    if len(REAL_WORD.findall(text)) < words:
        raise InvalidInput(field, "has too few words", "Write a sentence that people understand.")
    require_plain(field, text)
    return text


def require_plain(field: str, text: str) -> None:
    """Refuse links, addresses, code, roles, commands, placeholders and hidden characters.

    Raises:
        InvalidInput: Names the field and the fix, never the text.
    """
    hidden = any(
        unicodedata.category(character) in HIDDEN_CATEGORIES and character not in "\n\t"
        for character in text
    )
    if hidden:
        raise InvalidInput(field, "has hidden characters", "Type it anew as plain text.")
    if FORBIDDEN_TEXT.search(unicodedata.normalize("NFKC", text)):
        raise InvalidInput(
            field,
            "has a link, an address, code, a role or a command in it",
            "Say it in plain words.",
        )
    if PLACEHOLDER.search(text):
        raise InvalidInput(
            field, "has a placeholder of removed data", "Say it without that detail."
        )
