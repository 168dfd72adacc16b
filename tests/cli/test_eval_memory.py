import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from radiant_dagster.cli.main import main

# Read before the tests clear the environment.
DATA = Path(
    os.environ.get("RADIANT_TEST_MEMORY_DATA")
    or Path(__file__).resolve().parents[2].parent / "shared" / "data" / "memory"
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["eval", "memory", *arguments], prog_name="radiant")


def write(folder: Path, name: str, lines: list[dict[str, Any]], vectors: list[list[float]]) -> None:
    (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    np.save(folder / f"{name}.minilm.f16.npy", np.array(vectors, dtype=np.float16))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two labels with two stored texts each, of which one pair joins both; three questions."""
    labels = ["a", "a", "b", "b"]
    write(
        tmp_path,
        "tiny_pool",
        [{"text": f"text {n} 12-{n}", "label": label} for n, label in enumerate(labels)],
        [[1, 0, 0], [0.96, 0.28, 0], [0.95, 0.3, 0], [0, 1, 0]],
    )
    write(
        tmp_path,
        "tiny_q",
        [{"text": "one", "label": "a"}, {"text": "two", "label": "b"}, {"text": "3", "label": "b"}],
        [[1, 0, 0], [0, 1, 0], [0.99, 0.14, 0]],
    )
    write(tmp_path, "tiny_oos", [{"text": "what", "label": "oos"}], [[0, 0, 1]])
    return tmp_path


def test_rankings_floor_and_bands_are_measured(small: Path) -> None:
    result = run(str(small), "--merge-at", "0.99", "--json")

    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)["sets"]["tiny"]
    assert found["rankings"]["dense"]["hit_at_1"] == pytest.approx(2 / 3)
    assert found["rankings"]["dense"]["hit_at_5"] == 1
    assert set(found["rankings"]) == {"dense", "mmr", "rescue", "bm25_blend", "rrf"}
    assert found["bands"]["merge"] == {"at": 0.99, "pairs": 1, "different": 1, "precision": 0}
    assert found["out_of_scope"] == 1
    assert "hit@5" in run(str(small)).stdout


BROKEN = {
    "no JSON": ("{", "line 2 is not JSON"),
    "no label": ('{"text": "x"}', "line 2 has no label"),
    "no object": ('["x"]', "line 2 has no text"),
    "number": ('{"text": 7, "label": "a"}', "line 2 has no text"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_line_is_named_by_its_number(small: Path, case: str) -> None:
    line, message = BROKEN[case]
    (small / "tiny_q.jsonl").write_text(f'{{"text": "x", "label": "a"}}\n{line}\n')

    result = run(str(small))

    assert result.exit_code == 2
    assert message in result.stderr
    assert "tiny_q.jsonl" in result.stderr


def test_missing_files_and_vectors_that_do_not_fit_are_refused(small: Path, tmp_path: Path) -> None:
    np.save(small / "tiny_oos.minilm.f16.npy", np.ones((2, 3)))
    vectors = run(str(small))
    (small / "tiny_q.jsonl").unlink()
    (small / "tiny_oos.jsonl").unlink()
    questions = run(str(small))
    (small / "tiny_pool.jsonl").unlink()
    nothing = run(str(small))

    assert (vectors.exit_code, questions.exit_code, nothing.exit_code) == (2, 2, 2)
    assert "does not hold 1 rows" in vectors.stderr
    assert "tiny_q.jsonl: cannot be read" in questions.stderr
    assert "holds no NAME_pool.jsonl" in nothing.stderr


@pytest.mark.skipif(
    not DATA.is_dir(), reason="no labelled data; name its folder in RADIANT_TEST_MEMORY_DATA"
)
def test_on_public_data_variety_costs_no_hits_and_merging_joins_nothing_that_differs() -> None:
    result = run(str(DATA), "--json")

    assert result.exit_code == 0, result.stderr
    sets = json.loads(result.stdout)["sets"]
    for name, least in (("clinc", 0.95), ("b77", 0.92)):
        found = sets[name]
        dense, mmr = found["rankings"]["dense"], found["rankings"]["mmr"]
        assert dense["hit_at_5"] >= least
        assert mmr["hit_at_5"] >= dense["hit_at_5"]
        assert found["rankings"]["rescue"]["hit_at_5"] >= dense["hit_at_5"]
        assert found["floor"]["held_out"]["precision"] >= 0.75
        assert found["bands"]["merge"]["precision"] >= 0.97
