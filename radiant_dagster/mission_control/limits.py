"""How often somebody may ask, and how many answers may stay open: counted in memory.

One process serves Mission Control, so memory is enough; several would each grant the whole rate.
"""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from threading import RLock

MAX_BUCKETS = 10_000
MAX_STREAMS = 100  # each asks the database once a second
MAX_STREAMS_OF_ONE = 6


class Buckets:
    """One bucket a name, which fills steadily up to a minute's worth.

    Args:
        per_minute: Tokens that flow in a minute; a full bucket holds as many.
        clock: Seconds, never running backwards.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = float(per_minute)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = RLock()

    def wait_seconds(self, name: str) -> int:
        """Return how long until a token is there, 0 where one is; takes none."""
        with self._lock:
            missing = 1.0 - self._level(name)
        return max(1, math.ceil(missing * 60 / self._capacity)) if missing > 0 else 0

    def take(self, name: str) -> int:
        """Take a token; returns 0, or the seconds to wait where there was none."""
        with self._lock:
            wait = self.wait_seconds(name)
            if wait == 0:
                self._buckets[name] = (self._level(name) - 1.0, self._clock())
                self._buckets.move_to_end(name)
                if len(self._buckets) > MAX_BUCKETS:  # the longest unused one is the fullest
                    self._buckets.popitem(last=False)
        return wait

    def _level(self, name: str) -> float:
        level, at = self._buckets.get(name, (self._capacity, self._clock()))
        return min(self._capacity, level + (self._clock() - at) * self._capacity / 60)


class Streams:
    """Answers that stay open, counted by who reads them."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._lock = RLock()

    def take(self, name: str) -> bool:
        """Count one more; False where there are too many, of this reader or in all."""
        with self._lock:
            if self._open[name] >= MAX_STREAMS_OF_ONE or self._open.total() >= MAX_STREAMS:
                return False
            self._open[name] += 1
            return True

    def give_back(self, name: str) -> None:
        """Count one less."""
        with self._lock:
            self._open[name] -= 1
            if self._open[name] <= 0:
                del self._open[name]
