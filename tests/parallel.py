"""Decides which tests run beside each other where `make test` starts several workers.

Every worker has a Postgres, ports and folders of its own. Tests of a file stay together, as they
share servers. What waits for clocks comes first, and whatever uses the stack one after the other:
two stacks on two cores would keep each other from their deadlines.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

MOST_WORKERS = 4
"""Each holds a Postgres and up to 700 MB of models."""
FOLDERS = ("e2e", "orchestration", "local", "mission_control", "cli", "adapters", "domain")
"""The longest first: what starts last should be short."""
ONE_STACK = "tests/e2e/"
"""Its tests share a stack of a dozen processes, but for those that start less themselves."""
WITHOUT_STACK = ("tests/e2e/test_litellm_proxy.py", "tests/e2e/test_pages.py")


def workers_for(arguments: Iterable[str]) -> int:
    """Return how many processes share the tests; 0 for files alone, which start faster so."""
    if all("::" in argument or Path(argument).is_file() for argument in arguments):
        return 0
    return min(max(os.cpu_count() or 1, 2), MOST_WORKERS)


def rank(test: str) -> int:
    """Return the place of a test's folder in the order of work."""
    folder = test.split("/")[1]
    return FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)


def scope_of(test: str) -> str:
    """Return what a test shares its worker with: its file, or the stack."""
    file = test.partition("::")[0]
    return ONE_STACK if file.startswith(ONE_STACK) and file not in WITHOUT_STACK else file


class Scheduling(LoadFileScheduling):
    """Scopes go to workers whole, and in the order of the collection."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
