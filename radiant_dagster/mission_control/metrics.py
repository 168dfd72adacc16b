"""What Mission Control counts, in Prometheus' text format. Counts only: no tenant, no name."""

from collections import Counter
from threading import Lock

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
HELP = {
    "radiant_http_requests_total": "Requests by method, route and status.",
    "radiant_logins_total": "Logins of browsers by result.",
}


class Metrics:
    """Counters by name and labels."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
        self._lock = Lock()

    def count(self, name: str, **labels: str) -> None:
        """Add one. Labels come from closed sets, never from what a client sent."""
        with self._lock:
            self._counts[name, tuple(sorted(labels.items()))] += 1

    def text(self) -> str:
        """Return all counters."""
        with self._lock:
            counts = sorted(self._counts.items())
        lines: list[str] = []
        for name, help_text in HELP.items():
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} counter"]
            for (counted, labels), value in counts:
                if counted == name:
                    shown = ",".join(f'{key}="{text}"' for key, text in labels)
                    lines.append(f"{name}{{{shown}}} {value}")
        return "\n".join(lines) + "\n"
