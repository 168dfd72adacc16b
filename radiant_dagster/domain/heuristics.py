"""What a heuristic is, its states, and the hashes that tell whether two texts are the same.

    quarantined --promoted--> active --> retired | expired | revoked
    quarantined --> retired | expired | revoked          any of both --> merged

Only active heuristics are ever offered. Confidence is the mean of a Beta posterior that starts at
Beta(1, 1) and moves by recorded outcomes alone, never by text.
"""

import hashlib
import unicodedata
from typing import Literal

Polarity = Literal["do", "avoid"]


def content_sha256(trigger_pattern: str, action_template: str) -> bytes:
    """Return the hash of the normalised text, equal for trivially equal heuristics."""
    parts = (trigger_pattern, action_template)
    normal = "\x1f".join(
        " ".join(unicodedata.normalize("NFKC", part).casefold().split()) for part in parts
    )
    return hashlib.sha256(normal.encode()).digest()


def exact_sha256(polarity: Polarity, trigger_pattern: str, action_template: str) -> bytes:
    """Return the hash of a text to the letter: what was let through is what may be used."""
    return hashlib.sha256(f"{polarity}\x1f{trigger_pattern}\x1f{action_template}".encode()).digest()
