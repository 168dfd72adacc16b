"""Data folders that the servers' account can reach, and one server for tests that only read."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from radiant_dagster.adapters.settings import Settings
from radiant_dagster.local.postgres import embedded_postgres


def fresh_home() -> Path:
    # pytest's tmp_path lies below a folder that only its owner can enter.
    return Path(tempfile.mkdtemp(prefix="radiant-test-"))


@pytest.fixture
def home() -> Iterator[Path]:
    path = fresh_home()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings.load({"RADIANT_HOME": str(home)}, stack=False)


@pytest.fixture(scope="module")
def running_server() -> Iterator[tuple[Path, str]]:
    """A data folder and the superuser URL of the server that runs in it."""
    path = fresh_home()
    with embedded_postgres(path, durable=False) as url:
        yield path, url
    shutil.rmtree(path, ignore_errors=True)
