import os
import stat
from pathlib import Path

import pytest

from radiant_dagster.errors import ConfigurationError
from radiant_dagster.local.home import password, prepare_home, read_json, write_json
from radiant_dagster.local.postgres import embedded_postgres

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone changes accounts")


def test_a_folder_with_other_files_is_not_taken_over(home: Path) -> None:
    home.chmod(0o750)
    (home / "thesis.txt").write_text("mine")

    with pytest.raises(ConfigurationError, match=r"RADIANT_HOME.*thesis\.txt"):
        prepare_home(home)

    assert stat.S_IMODE(home.stat().st_mode) == 0o750


def test_a_file_in_place_of_the_folder_is_refused(home: Path) -> None:
    home.chmod(0o711)
    path = home / "file"
    path.write_text("")

    with pytest.raises(ConfigurationError, match=r"RADIANT_HOME.*not a folder"):
        prepare_home(path)


@as_root
def test_a_home_that_the_server_account_cannot_reach_is_refused(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(ConfigurationError, match=r"RADIANT_HOME.*closed.*cannot enter") as caught:
        prepare_home(closed / "radiant")

    assert "/var/lib/radiant" in str(caught.value)
    assert not (closed / "radiant").exists()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@as_root
def test_a_folder_of_another_user_is_refused(home: Path) -> None:
    prepare_home(home)
    os.chown(home, 65534, 65534)

    with pytest.raises(ConfigurationError, match="belongs to another user"):
        prepare_home(home)


def test_no_folder_outside_the_home_changes(home: Path) -> None:
    inner = home / "a" / "radiant"
    (home / "a").mkdir(mode=0o700)
    for parent in (home, home / "a"):
        parent.chmod(0o711)  # may be passed through; a server start that opens more would show
    binaries = Path(embedded_postgres.__code__.co_filename)
    watched = [*inner.parents, *binaries.parents]
    before = [(path, path.stat().st_mode, path.stat().st_uid) for path in watched]

    with embedded_postgres(inner, durable=False):
        pass

    assert [(path, path.stat().st_mode, path.stat().st_uid) for path in watched] == before


def test_passwords_are_kept_and_for_the_owner_alone(home: Path) -> None:
    first = password(home, "valkey")

    again = password(home, "valkey")

    assert again == first
    assert len(first) >= 32
    assert password(home, "radiant") != first
    assert stat.S_IMODE((home / "secrets.json").stat().st_mode) == 0o600


def test_a_written_file_replaces_the_old_one_and_leaves_no_draft(home: Path) -> None:
    path = home / "ports.json"
    path.write_text("{}")
    path.chmod(0o644)

    write_json(path, {"postgres": 1})

    assert read_json(path) == {"postgres": 1}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in home.iterdir()] == ["ports.json"]
