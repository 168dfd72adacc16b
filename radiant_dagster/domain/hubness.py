"""Which triggers lie near everything: a sign that somebody built one to be offered to everybody.

A vector made as the mean of many triggers does not have to be the nearest of any question to be
found by all. On CLINC150 with ten triggers an intent such a row is the nearest of no trigger at all
(an honest one of up to 6) and still among the five nearest in a store of one trigger an intent for
40 % of them. What gives it away in every case is how near it lies to the centre of the store.
"""

from collections.abc import Sequence

LEAST_ROWS = 20  # of fewer the centre says nothing
# Measured on CLINC150 and Banking77 at 1, 3 and 10 triggers an intent: honest rows reach a cosine
# of .74 to the centre and 2.4 deviations; means of 20 triggers and more have .76 and 2.8 at least.
CENTRE = 0.75
DEVIATIONS = 2.6


def hub_positions(vectors: Sequence[Sequence[float]]) -> tuple[int, ...]:
    """Return the positions of the vectors that lie too near the centre of them all.

    Args:
        vectors: Of one model, L2-normalised.
    """
    if len(vectors) < LEAST_ROWS:
        return ()
    import numpy as np

    rows = np.asarray(vectors, dtype=float)
    centre = rows.mean(axis=0)
    length = float(np.linalg.norm(centre))
    if length == 0:
        return ()
    nearness = rows @ (centre / length)
    middle = float(np.median(nearness))
    # 1.4826: what makes the median deviation of a normal distribution its standard deviation.
    spread = 1.4826 * float(np.median(np.abs(nearness - middle)))
    apart = nearness - middle > DEVIATIONS * spread
    return tuple(int(n) for n in np.flatnonzero(apart & (nearness >= CENTRE)))
