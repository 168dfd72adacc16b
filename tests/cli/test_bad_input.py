"""Whatever is wrong is found before anything is stored, launched or paid for."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import PROMPT, Radiant
from tests.conftest import run_sql, with_database
from tests.services.llm_server import Reply, error

AGENT = {"agent_id": "one", "role": "analyst", "model": "gpt-4o-mini"}
NOWHERE = "127.0.0.1:1"


def agents(count: int = 1, **change: Any) -> str:
    return yaml.safe_dump(
        {"agents": [AGENT | {"agent_id": f"a{n}"} | change for n in range(count)]}
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["", "--domain", "general"], "prompt: is empty"),
        (["x" * 32_001], "prompt: has 32,001 characters"),
        ([PROMPT, "--domain", "medcial"], "domain: this tenant has no domain 'medcial'"),
        ([PROMPT, "--panel", "nobody"], "panel: this tenant has no panel 'nobody'"),
        ([PROMPT, "--panel", "missing.yaml"], "panel: no file missing.yaml"),
        ([PROMPT, "--context", "missing.txt"], "context: there is no file missing.txt"),
        ([PROMPT, "--user", " "], "is empty"),
        (["caf\udce9"], "prompt: contains a NUL character or half"),
    ],
)
def test_a_bad_argument_is_refused(radiant: Radiant, arguments: list[str], words: str) -> None:
    result = radiant("think", *arguments)

    assert result.exit_code == 2
    assert words in result.stderr
    assert radiant.nothing_happened()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("agents: []", "agents: is empty"),
        (agents(65), "agents: has 65 entries"),
        (agents(2, agent_id="same"), "agents[1].agent_id"),
        (agents(temperature=2.5), "agents[0].temperature"),
        (agents(temperature="hot"), "agents[0].temperature"),
        (agents(model="gpt-unheard-of"), "no price is known for 'gpt-unheard-of'"),
        (agents(tools=["web_search"]), "agents[0].tools: 'web_search' is not installed"),
        (agents(output_schema={"type": "list"}), "agents[0].output_schema"),
        (agents(tempreature=0.5), "agents[0].tempreature"),
        ("agents:\n  - agent_id: [", "is not valid YAML at line"),
        ("just text", "agents: is not a list of agents"),
    ],
)
def test_a_bad_panel_file_is_refused(
    radiant: Radiant, tmp_path: Path, text: str, words: str
) -> None:
    panel = tmp_path / "panel.yaml"
    panel.write_text(text)

    result = radiant("think", PROMPT, "--panel", str(panel))

    assert result.exit_code == 2
    assert words in result.stderr
    assert radiant.nothing_happened()


@pytest.mark.parametrize("stdin", [b"", b"\xff\xfe\x00", b"What\x00 now?", b"y" * 2_000_001])
def test_a_bad_question_on_standard_input_is_refused(radiant: Radiant, stdin: bytes) -> None:
    result = radiant("think", "-", stdin=stdin)

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: prompt: ")
    assert radiant.nothing_happened()


def test_a_document_that_is_no_text_is_refused(radiant: Radiant, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n")

    result = radiant("think", PROMPT, "--context", str(picture))

    assert result.exit_code == 2
    assert "is not UTF-8 text" in result.stderr
    assert radiant.nothing_happened()


def test_an_unknown_tenant_is_refused(radiant: Radiant) -> None:
    result = radiant("think", PROMPT, "--tenant", "acmee")

    assert result.exit_code == 3
    assert "radiant tenants create acmee" in result.stderr
    assert radiant.nothing_happened()


def test_a_model_that_the_gateway_does_not_serve_is_refused(radiant: Radiant) -> None:
    radiant.models.models = ["gpt-4o-mini"]

    result = radiant("think", PROMPT)

    assert result.exit_code == 2
    assert "agents[0].model: the gateway serves no model 'gpt-4o'" in result.stderr
    assert radiant.nothing_happened()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (error(401), "LITELLM_API_KEY"),
        (error(400, "No connected db."), "give the proxy a DATABASE_URL"),
    ],
)
def test_a_proxy_that_does_not_take_our_key_is_refused(
    radiant: Radiant, reply: Reply, words: str
) -> None:
    radiant.models.models_reply = reply

    result = radiant("think", PROMPT)

    assert result.exit_code == 4
    assert words in result.stderr
    assert radiant.nothing_happened()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LITELLM_PROXY_URL", f"http://{NOWHERE}", "LITELLM_PROXY_URL"),
        ("RADIANT_DAGSTER_URL", f"http://{NOWHERE}", "RADIANT_DAGSTER_URL"),
        ("RADIANT_BROKER_URL", f"redis://:secret@{NOWHERE}/0", "RADIANT_BROKER_URL"),
        ("RADIANT_DATABASE_URL", f"postgresql://x:secret@{NOWHERE}/x", "RADIANT_DATABASE_URL"),
        ("RADIANT_DATABASE_URL", "mysql://x:secret@h/x", "must start with postgresql://"),
        ("RADIANT_DAGSTER_URL", "localhost:3000", "must start with http://"),
        ("RADIANT_BROKER_URL", "amqp://x:secret@h", "must start with redis://"),
        ("RADIANT_WORKERS", "none", "RADIANT_WORKERS"),
    ],
)
def test_a_service_that_is_away_or_wrong_is_refused(
    radiant: Radiant, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)

    result = radiant("think", PROMPT)

    assert result.exit_code == 4
    assert words in result.stderr
    assert "secret" not in result.stderr
    assert radiant.nothing_happened()


def test_without_any_database_the_next_step_is_named(
    radiant: Radiant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RADIANT_DATABASE_URL")

    result = radiant("think", PROMPT)

    assert result.exit_code == 4
    assert "Start one with `radiant up`" in result.stderr


def test_a_webserver_without_our_code_is_refused(radiant: Radiant) -> None:
    radiant.dagster.loaded = False

    result = radiant("think", PROMPT)

    assert result.exit_code == 4
    assert "has not loaded the code location" in result.stderr
    assert radiant.nothing_happened()


def test_a_database_without_schema_or_pgvector_is_refused(
    radiant: Radiant, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"empty_{uuid.uuid4().hex[:12]}"
    run_sql(radiant.owner_url, f"create database {name}")
    empty = with_database(radiant.owner_url, name, "radiant:radiant")
    monkeypatch.setenv("RADIANT_DATABASE_URL", empty)
    try:
        thought = radiant("think", PROMPT, "--json")
        checked = radiant("doctor", "--json")
        status = radiant("db", "status", "--json")
    finally:
        run_sql(radiant.owner_url, f"drop database {name} with (force)")

    assert thought.exit_code == 4
    assert "Run `radiant db migrate`" in json.loads(thought.stdout)["error"]["message"]
    assert radiant.nothing_happened()
    found = {check["name"]: check for check in json.loads(checked.stdout)["checks"]}
    assert checked.exit_code == 1
    assert "lacks the extension pgvector" in found["Database"]["detail"]
    assert status.exit_code == 1
    assert json.loads(status.stdout)["pgvector"] is None


def test_a_launch_that_is_refused_leaves_a_failed_session(radiant: Radiant) -> None:
    radiant.dagster.refuse = "PythonError"

    result = radiant("think", PROMPT)

    assert result.exit_code == 4
    assert "radiant sessions rerun" in result.stderr
    ((status, code),) = radiant.rows("select status, failure_code from radiant.session")
    assert (status, code) == ("failed", "launch_failed")
    assert radiant.models.paid == []


def test_an_estimate_stores_and_launches_nothing(radiant: Radiant) -> None:
    report = radiant.json("think", PROMPT, "--estimate", "--panel", "quick")
    shown = radiant("think", PROMPT, "--estimate", "--panel", "quick")

    parts = report["estimate"]
    assert set(parts["per_agent"]) == {"analyst", "skeptic", "pragmatist"}
    together = sum(parts["per_agent"].values()) + parts["synthesis"] + parts["librarian"]
    assert parts["total_micro_usd"] == together > 0
    assert f"${together / 1e6:.4f}" in shown.stdout
    assert radiant.nothing_happened()
