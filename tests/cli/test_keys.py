"""`radiant keys`, `radiant principals` and the login that `radiant up` makes."""

import json
import os
import stat
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from radiant_dagster.adapters import principals, tenants
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.cli.keys import ensure_reviewer, expiry
from radiant_dagster.domain.principals import parse_key
from radiant_dagster.errors import InvalidInput
from tests.cli.conftest import Radiant

CREATE = ("keys", "create", "--name", "dr-lee", "--role", "reviewer", "--domain", "medical")


@pytest.fixture(autouse=True)
def _review_login(review_url: str, radiant: Radiant, monkeypatch: pytest.MonkeyPatch) -> None:
    del radiant
    monkeypatch.setenv("RADIANT_REVIEW_DATABASE_URL", review_url)


def test_a_key_is_printed_once_alone_on_its_line_and_works(
    radiant: Radiant, api_database: Database
) -> None:
    result = radiant(*CREATE)

    key = result.stdout.strip()
    holder = principals.by_key(api_database, key)
    assert result.exit_code == 0, result.stderr
    assert holder is not None
    assert holder.principal.name == "dr-lee"
    assert holder.principal.domains == {"medical"}
    assert holder.principal.kind == "person"
    listed = radiant("keys", "list").stdout + radiant("principals", "list").stdout
    parsed = parse_key(key)
    assert parsed is not None
    assert parsed.prefix in listed
    assert parsed.secret not in listed + result.stderr


def test_a_second_key_is_the_same_persons(radiant: Radiant) -> None:
    first, second = radiant.json(*CREATE), radiant.json("keys", "create", "--name", "DR-Lee")

    assert first["key"] != second["key"]
    assert second["roles"] == ["reviewer"]
    (lee,) = radiant.json("principals", "list")["principals"]
    assert (lee["name"], lee["keys"]) == ("dr-lee", 2)


def test_a_key_ends_in_ninety_days_unless_told_otherwise(radiant: Radiant) -> None:
    ends = datetime.fromisoformat(radiant.json(*CREATE)["expires_at"])
    never = radiant.json("keys", "create", "--name", "backend", "--role", "service",
                         "--expires", "never")  # fmt: skip

    assert timedelta(days=89) < ends - datetime.now(UTC) <= timedelta(days=90)
    assert never["expires_at"] is None


@pytest.mark.parametrize("text", ["", "0d", "90", "1w", "-1d", "99999d"])
def test_an_expiry_that_is_no_time_span_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^--expires"):
        expiry(text, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--name", "x"), "role:"),
        (("--name", "x", "--role", "reviewer", "--program"), "role:"),
        (("--name", "x", "--role", "reviewer", "--domain", "medcial"), "domain:"),
        (("--name", "x", "--role", "reviewer", "--email", "x"), "email:"),
    ],
)
def test_a_principal_that_could_not_work_is_refused(
    radiant: Radiant, arguments: tuple[str, ...], told: str
) -> None:
    result = radiant("keys", "create", *arguments)

    assert result.exit_code == 2
    assert told in result.stderr
    assert radiant.rows("select 1 from radiant.principal") == []


def test_roles_are_not_changed_in_passing(radiant: Radiant) -> None:
    radiant.json(*CREATE)

    result = radiant("keys", "create", "--name", "dr-lee", "--role", "admin")

    assert result.exit_code == 2
    assert "--role" in result.stderr
    assert radiant.rows("select count(*) from radiant.api_key") == [(1,)]


def test_a_pasted_key_is_revoked_without_being_repeated(
    radiant: Radiant, api_database: Database
) -> None:
    key = radiant.json(*CREATE)["key"]

    result = radiant("keys", "revoke", key)

    assert result.exit_code == 0
    assert key not in result.output
    assert principals.by_key(api_database, key) is None
    assert radiant("keys", "revoke", "rk_zzzzzzzz").exit_code == 3


def test_somebody_is_shut_out_by_name(radiant: Radiant, api_database: Database) -> None:
    key = radiant.json(*CREATE)["key"]

    result = radiant("principals", "disable", "dr-lee")

    assert result.exit_code == 0
    assert principals.by_key(api_database, key) is None
    assert radiant("principals", "disable", "nobody").exit_code == 3


def test_the_login_of_workers_makes_no_keys(
    radiant: Radiant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RADIANT_REVIEW_DATABASE_URL")

    result = radiant(*CREATE, "--json")

    assert result.exit_code == 4
    assert json.loads(result.stdout)["error"]["field"] == "RADIANT_REVIEW_DATABASE_URL"
    assert radiant.rows("select 1 from radiant.principal") == []


def test_a_machine_gets_one_login_for_its_owner_only(
    radiant: Radiant, api_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADIANT_HOME", str(tmp_path))
    settings = Settings.load(os.environ)

    path = ensure_reviewer(settings)
    key = path.read_text().strip()
    again = ensure_reviewer(settings)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert again.read_text().strip() == key
    holder = principals.by_key(api_database, key)
    assert holder is not None
    assert holder.principal.may("approvals.decide")
    assert holder.principal.may("keys.manage")
    assert radiant.rows("select count(*) from radiant.api_key") == [(1,)]


def test_a_revoked_login_is_replaced(
    radiant: Radiant, api_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADIANT_HOME", str(tmp_path))
    settings = Settings.load(os.environ)
    old = ensure_reviewer(settings).read_text().strip()
    radiant("keys", "revoke", old)

    new = ensure_reviewer(settings).read_text().strip()

    assert new != old
    assert principals.by_key(api_database, new) is not None


def found_by_doctor(radiant: Radiant, name: str) -> tuple[str, str]:
    checks = json.loads(radiant("doctor", "--json").stdout)["checks"]
    return next((check["result"], check["detail"]) for check in checks if check["name"] == name)


def test_the_doctor_tells_of_missing_and_ending_keys(radiant: Radiant) -> None:
    none = found_by_doctor(radiant, "Keys")
    radiant("keys", "create", "--name", "dr-wu", "--role", "reviewer", "--expires", "never")
    well = found_by_doctor(radiant, "Keys")
    radiant(*CREATE, "--expires", "3d")
    ending = found_by_doctor(radiant, "Keys")

    assert none[0] == "warning"
    assert "radiant keys create" in none[1]
    assert well == ("ok", "1 work, none ends within a week")
    assert ending[0] == "warning"
    assert ending[1].startswith("1 of 2 end within a week")


def test_the_machines_key_follows_the_tenant_that_the_stack_is_started_for(
    radiant: Radiant,
    api_database: Database,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RADIANT_HOME", str(tmp_path))
    demo = uuid.uuid4()
    tenants.create_tenant(database, demo, "demo", "Demo")
    holders = []

    for slug in ("acme", "demo"):
        monkeypatch.setenv("RADIANT_TENANT", slug)
        path = ensure_reviewer(Settings.load(os.environ))
        holders.append(principals.by_key(api_database, path.read_text().strip()))

    assert [holder and holder.principal.tenant_id for holder in holders] == [radiant.tenant, demo]
