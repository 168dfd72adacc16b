"""Says how many there are of something."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, whose plural ends in s: ``1 session``, ``2 sessions``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
