import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Radiant


def labelled(folder: Path, name: str, labels: list[str], vectors: list[list[float]]) -> str:
    path = folder / f"{name}.jsonl"
    lines = [json.dumps({"text": f"{name} {n}", "label": label}) for n, label in enumerate(labels)]
    path.write_text("\n".join(lines))
    np.save(folder / f"{name}.minilm.f16.npy", np.array(vectors, dtype=np.float16))
    return str(path)


def test_labelled_files_choose_a_floor_that_is_written_only_with_apply(
    radiant: Radiant, tmp_path: Path
) -> None:
    pool = labelled(tmp_path, "pool", ["a", "b"], [[1, 0, 0], [0, 1, 0]])
    questions = labelled(
        tmp_path,
        "questions",
        ["a", "b", "oos"],
        [[0.855, 0, 0.52], [0, 0.855, 0.52], [0.3, 0, 0.95]],
    )
    files = ("grimoire", "calibrate", "--pool", pool, "--questions", questions)
    threshold = "select round(threshold::numeric, 2) from radiant.embedding_model order by id"

    shown = radiant(*files)
    before = radiant.rows(threshold)[0]
    written = radiant.json(*files, "--apply")
    after = radiant.rows(threshold)[0]

    assert "0.50 -> 0.85, from 3 questions: precision 1.00" in shown.stdout
    assert "--apply" in shown.stdout
    assert float(before[0]) == 0.5
    assert float(after[0]) == 0.85
    assert written["models"][0]["chosen"]["leakage"] == 0


def test_without_files_and_outcomes_nothing_changes_and_one_file_alone_is_refused(
    radiant: Radiant,
) -> None:
    nothing = radiant("grimoire", "calibrate", "--apply")
    half = radiant("grimoire", "calibrate", "--pool", "x.jsonl")

    assert nothing.exit_code == 0
    assert "stays at 0.50: 0 judged uses so far, 200 are needed." in nothing.stdout
    assert half.exit_code == 2
    assert "questions: is missing" in half.stderr


@pytest.mark.parametrize("name", ["pool", "questions"])
def test_a_missing_file_is_named(radiant: Radiant, tmp_path: Path, name: str) -> None:
    there = labelled(tmp_path, "there", ["a"], [[1, 0]])
    files = {"pool": there, "questions": there} | {name: str(tmp_path / "none.jsonl")}

    result = radiant(
        "grimoire", "calibrate", "--pool", files["pool"], "--questions", files["questions"]
    )

    assert result.exit_code == 2
    assert "none.jsonl: cannot be read" in result.stderr


def test_where_no_floor_is_right_often_enough_that_is_said(
    radiant: Radiant, tmp_path: Path
) -> None:
    pool = labelled(tmp_path, "pool", ["a", "b"], [[1, 0, 0], [0, 1, 0]])
    questions = labelled(tmp_path, "questions", ["b", "a"], [[1, 0, 0], [0, 1, 0]])

    wrong = radiant(
        "grimoire", "calibrate", "--pool", pool, "--questions", questions
    ).stdout  # fmt: skip

    assert "stays at 0.50: of 2 questions, no floor is right in 75% of the cases." in wrong
