import os
import tempfile
import time
from pathlib import Path

import pytest

from tests.parallel import FOLDERS, MOST_WORKERS, WITHOUT_STACK, rank, scope_of, workers_for
from tests.services.folders import PREFIX, fresh_folder

HERE = Path(__file__).parent


@pytest.mark.parametrize("words", [[__file__], [f"{__file__}::test_x"], [__file__, __file__]])
def test_files_alone_are_run_without_workers(words: list[str]) -> None:
    assert workers_for(words) == 0


@pytest.mark.parametrize("words", [["tests"], [str(HERE / "domain")], [__file__, str(HERE)]])
def test_a_folder_is_shared_by_at_least_two_workers(words: list[str]) -> None:
    assert 2 <= workers_for(words) <= MOST_WORKERS


def test_tests_of_a_file_and_those_of_the_one_stack_stay_together() -> None:
    scopes = {
        scope_of(f"tests/{place}")
        for place in (
            "domain/test_a.py::test_x[a::b]", "domain/test_a.py::Group::test_y",
            "e2e/test_a.py::test_x", "e2e/test_b.py::test_x", "e2e/test_pages.py::test_x",
        )
    }  # fmt: skip

    assert scopes == {"tests/domain/test_a.py", "tests/e2e/", "tests/e2e/test_pages.py"}
    assert all((HERE.parent / file).is_file() for file in WITHOUT_STACK)


def test_every_folder_of_tests_has_its_place_and_files_beside_them_come_last() -> None:
    folders = {path.parent.name for path in HERE.glob("*/test_*.py")}

    assert folders == set(FOLDERS)
    assert rank("tests/e2e/test_a.py::test_x") < rank("tests/domain/test_a.py::test_x")
    assert rank("tests/test_a.py::test_x") == len(FOLDERS)


def test_a_killed_runs_folder_is_removed_and_one_in_use_is_not() -> None:
    long_ago = time.time() - 3600
    with fresh_folder() as used:
        left = Path(tempfile.mkdtemp(prefix=PREFIX, dir=used.parent))
        for folder in (used, left):
            os.utime(folder, (long_ago, long_ago))

        with fresh_folder() as other:
            there = [folder.exists() for folder in (left, used, other)]

    assert there == [False, True, True]
    assert not used.exists()
