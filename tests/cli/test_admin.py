"""Tenants, panels, the database, settings, the Grimoire and the doctor."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from radiant_dagster.adapters import migrations
from tests.adapters.rows import insert_heuristic
from tests.cli.conftest import PROMPT, Radiant, Stack
from tests.conftest import run_sql, with_database


def test_a_tenant_is_created_once(radiant: Radiant) -> None:
    created = radiant.json("tenants", "create", "beta", "--name", "Beta Labs")
    again = radiant("tenants", "create", "beta")
    odd = radiant("tenants", "create", "No Spaces")

    listed = radiant.json("tenants", "list")["tenants"]
    assert {row["slug"]: row["name"] for row in listed}["beta"] == "Beta Labs"
    assert created["slug"] == "beta"
    assert again.exit_code == odd.exit_code == 2
    assert "exists already" in again.stderr
    assert "is not usable" in odd.stderr


def test_a_panel_that_is_shown_can_be_imported_again(radiant: Radiant, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(radiant("panels", "show", "default").stdout)

    result = radiant("panels", "import", "mine", str(file), "--description", "My own.")

    assert result.exit_code == 0, result.stderr
    mine, default = (radiant.json("panels", "show", name) for name in ("mine", "default"))
    assert mine["agents"] == default["agents"]
    assert {"name": "mine", "description": "My own.", "agents": 5} in radiant.json(
        "panels", "list"
    )["panels"]
    assert radiant("think", PROMPT, "--panel", "mine", "--detach").exit_code == 0


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("Bad Name", "agents: []", "name: 'Bad Name' is not usable"),
        ("mine", "agents: []", "agents: is empty"),
        ("mine", "- {agent_id: a, role: r, model: nonesuch}", "no price is known"),
    ],
)
def test_a_bad_panel_is_not_imported(
    radiant: Radiant, tmp_path: Path, name: str, text: str, words: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)

    result = radiant("panels", "import", name, str(file))

    assert result.exit_code == 2
    assert words in result.stderr
    assert len(radiant.json("panels", "list")["panels"]) == 2


def test_an_empty_database_is_migrated_and_its_login_works(
    radiant: Radiant, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"fresh_{uuid.uuid4().hex[:12]}"
    run_sql(radiant.owner_url, f"create database {name}")
    owner = with_database(radiant.owner_url, name)
    monkeypatch.setenv("RADIANT_DATABASE_URL", with_database(owner, name, "radiant:radiant"))
    try:
        done = radiant.json("db", "migrate", "--url", owner)
        again = radiant.json("db", "migrate", "--url", owner)
        status = radiant.json("db", "status")
        created = radiant("tenants", "create", "acme")
    finally:
        run_sql(radiant.owner_url, f"drop database {name} with (force)")

    assert done["applied"] == list(migrations.migration_names())
    assert again["applied"] == []
    assert status["up_to_date"]
    assert created.exit_code == 0, created.stderr


def test_a_large_domain_gets_its_index_by_one_command(
    radiant: Radiant, owner: Any, tenant: uuid.UUID
) -> None:
    for _ in range(3):
        insert_heuristic(owner, tenant)
    noted = radiant("doctor")

    first, second = (
        radiant("db", "index", "--rows", "2", "--url", radiant.owner_url) for _ in range(2)
    )
    none = radiant("db", "index", "--rows", "3", "--url", radiant.owner_url)
    gone = radiant.json("db", "index", "--url", radiant.owner_url)

    assert "up to 2000 heuristics a domain needs none" in noted.stdout
    assert f"Indexing 3 heuristics, general of tenant {tenant}" in first.stderr
    assert "more than 2 active heuristics: 1. Each has its index; made now: 1." in first.stdout
    assert "Each has its index already." in second.stdout
    assert f"the largest domain, general of tenant {tenant}, holds 3 active" in none.stdout
    assert gone == {"rows": 2_000, "created": [], "dropped": 1, "large": 0, "most_rows": 3}


def test_an_empty_grimoire_needs_no_index_and_says_so(radiant: Radiant) -> None:
    done = radiant("db", "index", "--url", radiant.owner_url)

    assert done.stdout == "The Grimoire holds no active heuristic, so nothing needs an index.\n"


def test_a_login_that_owns_nothing_cannot_index(radiant: Radiant) -> None:
    own = with_database(radiant.owner_url, radiant.owner_url.rsplit("/", 1)[-1], "radiant:radiant")

    refused = radiant("db", "index", "--url", own)

    assert refused.exit_code == 4
    assert "does not own RADIANT's tables" in refused.stderr


def test_settings_tell_their_origin_and_hide_secrets(
    radiant: Radiant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "stack.json").write_text(
        json.dumps({"environment": {"RADIANT_BROKER_URL": "redis://:tops3cret@127.0.0.1:7/0"}})
    )
    monkeypatch.setenv("RADIANT_HOME", str(tmp_path))
    monkeypatch.delenv("RADIANT_DATABASE_URL")
    monkeypatch.setenv("LITELLM_API_KEY", "sk-tops3cret")
    monkeypatch.setenv(
        "RADIANT_OWNER_DATABASE_URL", "postgresql://u:tops3cret@h/d?sslpassword=tops3cret"
    )

    shown = radiant("config", "show")
    rows = {row["variable"]: row for row in radiant.json("config", "show")["settings"]}

    assert "tops3cret" not in shown.stdout + json.dumps(rows)
    assert rows["RADIANT_BROKER_URL"]["origin"] == "stack.json"
    assert rows["RADIANT_BROKER_URL"]["value"] == "redis://:***@127.0.0.1:7/0"
    assert rows["RADIANT_OWNER_DATABASE_URL"]["value"] == "postgresql://u:***@h/d?***"
    assert rows["LITELLM_API_KEY"] | {"description": ""} == {
        "variable": "LITELLM_API_KEY", "value": "**********", "origin": "env", "description": "",
    }  # fmt: skip
    assert rows["RADIANT_WORKERS"]["origin"] == "default"
    assert all(row["description"] for row in rows.values())


def test_what_was_learned_is_found_promoted_and_retired(stack: Stack) -> None:
    radiant = stack.radiant
    radiant("think", PROMPT)
    (learned,) = radiant.json("grimoire", "list", "--state", "quarantined")["heuristics"]
    found = radiant.json("grimoire", "search", "clinic vaccines in a power outage")["heuristics"]

    promoted = radiant("grimoire", "promote", learned["id"][:8], "--as", "curator")
    twice = radiant("grimoire", "promote", learned["id"], "--as", "curator")
    active = radiant.json("grimoire", "show", learned["id"])
    used = radiant.json("think", PROMPT)
    retired = radiant("grimoire", "retire", learned["id"], "--as", "curator")

    assert [item["id"] for item in found] == [learned["id"]]
    assert found[0]["similarity"] > 0.3
    assert promoted.exit_code == retired.exit_code == 0
    assert active["state"] == "active"
    assert active["approved_by"] == "curator"
    assert twice.exit_code == 2
    assert [item["id"] for item in used["session"]["heuristics"]] == [learned["id"]]
    assert "When: " in radiant("grimoire", "list").stdout
    assert "Confidence" in radiant("grimoire", "show", learned["id"]).stdout


def test_an_unknown_domain_of_the_grimoire_is_refused(radiant: Radiant) -> None:
    for arguments in (["list"], ["search", "x"]):
        result = radiant("grimoire", *arguments, "--domain", "medcial")
        assert result.exit_code == 2
        assert "Use one of: financial, general, legal, medical." in result.stderr


def test_the_doctor_names_what_is_broken_and_goes_on(
    radiant: Radiant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADIANT_BROKER_URL", "redis://:tops3cret@127.0.0.1:1/0")
    monkeypatch.setenv("CATO_SERVICE_URL", "http://127.0.0.1:1")
    radiant.dagster.unhealthy = ["SENSOR"]

    result = radiant("doctor", "--json")

    document = json.loads(result.stdout)
    found = {check["name"]: check for check in document["checks"]}
    assert result.exit_code == 1
    assert not document["ok"]
    assert {name for name, check in found.items() if check["result"] == "failed"} == {
        "Broker", "Dagster daemons", "Workers", "Cato",
    }  # fmt: skip
    assert "SENSOR" in found["Dagster daemons"]["detail"]
    assert "384 dimensions" in found["Embedding model"]["detail"]
    assert "tops3cret" not in result.stdout


def test_the_doctor_tells_of_a_wrong_setting(
    radiant: Radiant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADIANT_LLM_TRANSPORT", "telepathy")

    result = radiant("doctor")

    assert result.exit_code == 1
    assert "Settings: RADIANT_LLM_TRANSPORT" in result.stdout


def test_nothing_runs_and_nothing_is_deleted_where_nothing_is(
    radiant: Radiant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RADIANT_HOME", str(tmp_path))
    (tmp_path / "thesis.doc").write_text("years of work")

    down = radiant("down")
    asked = radiant("reset")
    forced = radiant("reset", "--yes")

    assert down.exit_code == 0
    assert "Nothing runs at" in down.stdout
    assert asked.exit_code == 2
    assert "--yes: is missing" in asked.stderr
    assert forced.exit_code == 4
    assert "thesis.doc" in forced.stderr
    assert (tmp_path / "thesis.doc").exists()
