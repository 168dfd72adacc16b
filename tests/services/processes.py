"""Looks at the processes of a stack, as Linux shows them."""

from pathlib import Path


def children_of(pid: int) -> list[int]:
    """Return the children of all of a process's threads.

    Celery replaces a child that died from another thread than its first.
    """
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(child) for thread in threads for child in thread.read_text().split())
