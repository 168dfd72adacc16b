"""Where the servers of tests keep their data: in memory, where there is room.

A database of a test lives for less than a second. On a disk's file system its 300 files cost the
kernel 90 to 140 ms of work, in memory 20 ms.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108
ENOUGH_BYTES = 1024**3  # a server of tests takes 120 MB
PREFIX = "radiant-servers-"
YOUNG_SECONDS = 60.0  # a folder that is made but not locked yet


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """Make a folder directly below one that every account may enter, as servers need it."""
    within = MEMORY if _is_usable() else Path(tempfile.gettempdir())
    _remove_orphans(within)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=within))
    lock = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _is_usable() -> bool:
    """Tell whether servers may run there: containers often have 64 MB and nothing executable."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return False
    executable = not os.statvfs(MEMORY).f_flag & getattr(os, "ST_NOEXEC", 0)
    return executable and shutil.disk_usage(MEMORY).free >= ENOUGH_BYTES


def _lock(folder: Path) -> int:
    """Hold a folder for as long as this process lives, or raise BlockingIOError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_orphans(within: Path) -> None:
    """Remove what killed test runs left: in memory it would stay until the next boot."""
    for folder in within.glob(f"{PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime < YOUNG_SECONDS:
                continue
            lock = _lock(folder)
        except OSError:  # in use, gone meanwhile, or somebody else's
            continue
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
