"""Data folders that the servers' account can reach, and one server for tests that only read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from radiant_dagster.adapters.settings import Settings
from radiant_dagster.local.postgres import embedded_postgres
from tests.services.folders import fresh_folder


@pytest.fixture
def home() -> Iterator[Path]:
    # pytest's tmp_path lies below a folder that only its owner can enter.
    with fresh_folder() as folder:
        yield folder


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings.load({"RADIANT_HOME": str(home)}, stack=False)


@pytest.fixture(scope="module")
def running_server() -> Iterator[tuple[Path, str]]:
    """A data folder and the superuser URL of the server that runs in it."""
    with fresh_folder() as folder, embedded_postgres(folder, durable=False) as url:
        yield folder, url
