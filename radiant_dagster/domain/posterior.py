"""How far a heuristic is trusted: a Beta posterior that outcomes move, and what follows from it."""

MIN_CONFIDENCE = 0.3  # the source design's MIN_CONFIDENCE_THRESHOLD


def probability_above_half(alpha: float, beta: float) -> float:
    """Return how sure it is that a heuristic helps more often than not: P(p > 0.5)."""
    # Here: importing it takes 0.15 s.
    from scipy.special import betainc  # pyright: ignore[reportMissingTypeStubs]

    return 1.0 - float(betainc(alpha, beta, 0.5))


def upper_bound(alpha: float, beta: float, share: float) -> float:
    """Return the value that a Beta(alpha, beta) lies below with a probability of ``share``."""
    from scipy.special import betaincinv  # pyright: ignore[reportMissingTypeStubs]

    return float(betaincinv(alpha, beta, share))


def is_untrusted(alpha: float, beta: float) -> bool:
    """Tell whether a heuristic very likely helps too seldom to be kept.

    Memory research 4.1: a bound is for gates only, so its upper 90 % bound lies below 0.3.
    """
    return upper_bound(alpha, beta, 0.9) < MIN_CONFIDENCE


def reward(verdict: str | None, draft: str, final: str | None) -> float | None:
    """Return what a session's outcome is worth to the heuristics its agents cited.

    Args:
        verdict: The standing decision; None where nobody reviewed the answer.
        draft: The text under review.
        final: The text that was released.

    Returns:
        1 approved, 0 rejected, 0.2 to 0.8 modified by how much stayed, None where no human
        outcome exists (not reviewed, expired).
    """
    if verdict == "approved":
        return 1.0
    if verdict == "rejected":
        return 0.0
    if verdict == "modified":
        return min(0.8, max(0.2, similarity_of_texts(draft, final or "")))
    return None


def similarity_of_texts(a: str, b: str) -> float:
    """Return 1 minus the normalised edit distance over words, 0 to 1."""
    # Words, not characters: linear-ish time on long answers and closer to what a reader changed.
    import difflib

    return difflib.SequenceMatcher(None, a.split(), b.split(), autojunk=False).ratio()
