"""The checks of `make check` that are ours: each rule finds what it is for, and ours is clean."""

import json
import subprocess
from pathlib import Path

import pytest

from checks import secrets, source_rules

ROOT = Path(__file__).parents[1]
FAKE_KEY = "AKIA" + "Q3EGRIZ7XWOLN5TS"

WRONG = {
    "import pickle": "pickle",
    "from marshal import loads": "pickle",
    "cursor.execute(f'select {name} from t')": "sql",
    "cursor.execute('select ' + name)": "sql",
    "cursor.execute('select %s' % name)": "sql",
    "cursor.execute('select {}'.format(name))": "sql",
    "execute_values(cursor, f'insert into {table} values %s', rows)": "sql",
    "STATEMENT = f'select {column} from t'": "sql",
    "logger.info('asked %s', prompt)": "log",
    "logger.warning(f'answered {result.answer}')": "log",
    "context.log.error('broke', extra={'x': row['draft']})": "log",
    "import os\nhome = os.environ.get('HOME')": "environment",
    "import os\nhome = os.getenv('HOME')": "environment",
    "from os import environ": "environment",
    "import os\nstart(os.environ)": "environment",
}
RIGHT = (
    "import json",
    "cursor.execute(STATEMENT, (name,))",
    "cursor.execute('select %s', (name,))",
    "STATEMENT = f'select {COLUMNS} from t'",
    "cursor.execute(sql.SQL('set role {}').format(sql.Identifier(role)))",
    "logger.info('asked %d characters, %s', len(prompt), sha256(prompt.encode()).hexdigest())",
    "logger.error('broke: %s', type(error).__name__)",
    "math.log(text)",
    "import os\nsettings = Settings.load(os.environ)",
    "import os\nos.environ['X'] = 'y'\nos.environ.setdefault('X', 'y')",
    "import os\nx = os.environ  # allowed: environment - handed on",
    "import os\n# allowed: environment - handed on\nx = os.environ",
)


@pytest.mark.parametrize("source", WRONG)
def test_what_is_wrong_here_is_found_on_its_line(source: str) -> None:
    found = source_rules.findings(source)

    assert {(finding.rule, finding.line) for finding in found} == {
        (WRONG[source], len(source.splitlines()))
    }


@pytest.mark.parametrize("source", RIGHT)
def test_what_is_right_here_is_left_alone(source: str) -> None:
    assert source_rules.findings(source) == []


def test_an_explanation_holds_for_its_own_rule_and_needs_a_reason() -> None:
    other = source_rules.findings("import pickle  # allowed: environment - because")
    silent = source_rules.findings("import pickle  # allowed: pickle -")

    assert [finding.rule for finding in (*other, *silent)] == ["pickle", "pickle"]


def test_our_own_source_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert source_rules.main([str(ROOT / "radiant_dagster")]) == 0
    assert capsys.readouterr().out == ""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one key in it."""
    (tmp_path / "app.py").write_text(f'\nkey = "{FAKE_KEY}"\n')
    for words in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    (tmp_path / "known.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_secret_is_found_and_not_printed(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = secrets.main([], repository / "known.json")

    printed = capsys.readouterr().out
    assert code == 1
    assert "app.py:2: AWS Access Key" in printed
    assert FAKE_KEY not in printed


def test_a_finding_needs_a_reason_and_keeps_it_when_lines_move(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = repository / "known.json"
    secrets.main(["--write"], known)
    unexplained = secrets.main([], known)
    rows = [row | {"why": "an example"} for row in json.loads(known.read_text())]
    known.write_text(json.dumps(rows))
    (repository / "app.py").write_text(f'\n\n\n\nkey = "{FAKE_KEY}"\n')

    explained = secrets.main([], known)

    assert (unexplained, explained) == (1, 0)


def test_an_explanation_of_what_is_gone_is_said(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = repository / "known.json"
    known.write_text(json.dumps([{"file": "old.py", "type": "Token", "hash": "x", "why": "y"}]))
    (repository / "app.py").write_text("")

    code = secrets.main([], known)

    assert code == 1
    assert "a Token of old.py is gone" in capsys.readouterr().out


def test_tests_may_invent_passwords_but_hold_no_key(repository: Path) -> None:
    (repository / "tests").mkdir()
    (repository / "tests" / "a.py").write_text(f'password = "hunter2x"\nkey = "{FAKE_KEY}"\n')
    (repository / "b.py").write_text('password = "hunter2x"\n')

    found = {(key[0], key[1]) for key in secrets.scan(["tests/a.py", "b.py"])}

    assert found == {("tests/a.py", "AWS Access Key"), ("b.py", "Secret Keyword")}
