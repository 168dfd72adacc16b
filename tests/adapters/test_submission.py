import uuid
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from radiant_dagster.adapters import agent_runs, sessions
from radiant_dagster.adapters.llm_transports import build_llm
from radiant_dagster.adapters.panels import agents_from, default_panels, load_panel_file
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.submission import prepare, require_models, store_session
from radiant_dagster.adapters.tenants import create_tenant, find_tenant, list_tenants
from radiant_dagster.domain.sessions import MAX_PROMPT_CHARACTERS
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.errors import ConfigurationError, InvalidInput, LlmUnavailable, TenantNotFound
from tests.services.llm_server import LlmServer

AGENT = AgentConfig("analyst", "analyst", "gpt-4o")
SETTINGS = Settings.load({"RADIANT_HOME": "/nonexistent/radiant-tests"})


def wanted(**changes: Any) -> dict[str, Any]:
    return {"prompt": "Why?", "domain": "general", "user_id": "ann", **changes}


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown domain": ({"domain": "medcial"}, "domain", "financial, general, legal, medical"),
    "unknown panel": ({"panel": "nobody"}, "panel", "Available: "),
    "empty prompt": ({"prompt": ""}, "prompt", "Pass the question"),
    "oversized prompt": ({"prompt": "x" * (MAX_PROMPT_CHARACTERS + 1)}, "prompt", "Shorten it"),
    "no agents": ({"agents": ()}, "agents", "Name a panel"),
    "duplicate ids": ({"agents": (AGENT, AGENT)}, "agents[1].agent_id", "its own id"),
    "65 agents": (
        {"agents": tuple(AgentConfig(f"a{n}", "r", "m") for n in range(65))},
        "agents",
        "at most 64",
    ),
    "bad temperature": (
        {"agents": (AgentConfig("a", "r", "m", temperature=9),)},
        "agents[0].temperature",
        "0 to 2",
    ),
    "unknown tool": (
        {"agents": (AgentConfig("a", "r", "m", tools=("web",)),)},
        "agents[0].tools",
        "Available: calculator, grimoire_search.",
    ),
    "unknown model": (
        {"agents": (AGENT, AgentConfig("b", "r", "gpt-99"))},
        "agents[1].model",
        "gpt-4o",
    ),
    "context that no database can hold": ({"context": {"d": "\x00"}}, "context", "Remove it"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_field_and_fix_and_stores_nothing(
    database: Database, tenant: uuid.UUID, owner_url: str, case: str
) -> None:
    changes, field, fix = BAD[case]

    with pytest.raises(InvalidInput) as caught:
        prepare(database, SETTINGS, tenant, **wanted(**changes))

    assert caught.value.field == field
    assert fix in caught.value.fix
    connection = psycopg2.connect(owner_url)
    with connection.cursor() as cursor:
        cursor.execute("select (select count(*) from radiant.session), count(*) from radiant.audit")
        assert cursor.fetchone() == (0, 0)
    connection.close()


def test_an_unknown_tenant_is_refused(database: Database, tenant: uuid.UUID) -> None:
    with pytest.raises(InvalidInput, match="tenant_id: is unknown"):
        prepare(database, SETTINGS, uuid.uuid4(), **wanted())
    with pytest.raises(TenantNotFound, match="radiant tenants create nobody"):
        find_tenant(database, "nobody")

    assert find_tenant(database, "acme") == tenant


def test_a_sound_request_is_stored_with_its_agents_and_estimate(
    database: Database, tenant: uuid.UUID
) -> None:
    request, estimate = prepare(
        database,
        SETTINGS,
        tenant,
        **wanted(context={"documents": ["\u201cquoted\u201d \\u0000"]}, system_prompt="Be brief."),
    )
    session_id = uuid.uuid4()

    store_session(database, SETTINGS, tenant, session_id, request, estimate)

    with database.tenant_transaction(tenant) as cursor:
        row = sessions.get_session(cursor, tenant, session_id)
        agents = agent_runs.agent_rows(cursor, tenant, session_id)
    assert row["status"] == "created"
    assert row["context"] == {"documents": ["\u201cquoted\u201d \\u0000"]}
    assert row["estimated_micro_usd"] == estimate.total_micro_usd > 0
    assert tuple(agent_runs.config_from(agent) for agent in agents) == tuple(
        AgentConfig(**{**_fields(agent), "temperature": pytest.approx(agent.temperature)})
        for agent in request.agents
    )


def _fields(agent: AgentConfig) -> dict[str, Any]:
    return {name: getattr(agent, name) for name in AgentConfig.__slots__}


def test_a_model_the_gateway_does_not_serve_is_refused_before_anything_is_paid(
    database: Database, tenant: uuid.UUID, models: LlmServer
) -> None:
    settings = Settings.load({"LITELLM_PROXY_URL": models.url, "RADIANT_HOME": "/nonexistent"})
    agents = (AGENT, AgentConfig("b", "r", "gpt-4.1"))
    models.models.remove("gpt-4.1")
    request, _ = prepare(database, settings, tenant, **wanted(agents=agents))

    with pytest.raises(InvalidInput, match=r"agents\[1\]\.model.*'gpt-4.1'.*It serves"):
        require_models(build_llm(settings), request, settings)

    assert models.calls == []


def test_a_fallback_without_a_price_is_refused_by_its_settings_name(
    database: Database, tenant: uuid.UUID
) -> None:
    settings = Settings.load(
        {"RADIANT_FALLBACK_SYNTHESIS_MODEL": "gpt-imaginary", "RADIANT_HOME": "/nonexistent"}
    )

    with pytest.raises(InvalidInput) as caught:
        prepare(database, settings, tenant, **wanted())

    assert caught.value.field == "RADIANT_FALLBACK_SYNTHESIS_MODEL"


def test_an_unreachable_gateway_is_refused_before_anything_is_stored(
    database: Database, tenant: uuid.UUID
) -> None:
    settings = Settings.load(
        {"LITELLM_PROXY_URL": "http://127.0.0.1:9", "RADIANT_HOME": "/nonexistent"}
    )
    request, _ = prepare(database, settings, tenant, **wanted(agents=(AGENT,)))

    with pytest.raises((LlmUnavailable, ConfigurationError)):
        require_models(build_llm(settings), request, settings)


YAML: dict[str, tuple[str, str, str]] = {
    "malformed": ("agents:\n  - agent_id: [a", "panel", "is not valid YAML at line"),
    "no list": ("agents: nobody", "agents", "is not a list"),
    "empty": ("", "agents", "is not a list"),
    "impossible date": ("when: 2020-99-99", "panel", "cannot be understood"),
    "bottomless": ("[" * 2_000, "panel", "cannot be understood"),
    "too large": ("#" * 256_001, "panel", "larger than 256 KB"),
    "unknown field": (
        "- {agent_id: a, role: r, model: m, temprature: 1}",
        "agents[0].temprature",
        "not permitted",
    ),
    "missing field": ("- {agent_id: a, role: r}", "agents[0].model", "required"),
    "wrong type": (
        "- {agent_id: a, role: r, model: m, max_tokens: many}",
        "agents[0].max_tokens",
        "integer",
    ),
    "code": ("!!python/object/apply:os.system ['true']", "panel", "is not valid YAML"),
    "binary": ("\x00\x01", "panel", "is not valid YAML"),
}


@pytest.mark.parametrize("case", YAML)
def test_a_bad_panel_file_is_refused_with_the_place_of_the_fault(tmp_path: Path, case: str) -> None:
    text, field, problem = YAML[case]
    path = tmp_path / "panel.yaml"
    path.write_text(text)

    with pytest.raises(InvalidInput) as caught:
        load_panel_file(path)

    assert caught.value.field == field
    assert problem in caught.value.problem
    assert caught.value.fix


def test_an_unreadable_panel_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"- role: caf\xe9")

    for path in (tmp_path / "missing.yaml", tmp_path, tmp_path / "latin.yaml"):
        with pytest.raises(InvalidInput, match="panel: "):
            load_panel_file(path)


def test_a_panel_file_may_be_a_list_or_a_mapping(tmp_path: Path) -> None:
    entry = "{agent_id: a, role: skeptic, model: gpt-4o, temperature: 1}"
    (tmp_path / "list.yaml").write_text(f"- {entry}")
    (tmp_path / "mapping.yaml").write_text(f"agents:\n  - {entry}")

    assert load_panel_file(tmp_path / "list.yaml") == load_panel_file(tmp_path / "mapping.yaml")


def test_the_default_panel_is_sound(database: Database, tenant: uuid.UUID) -> None:
    request, _ = prepare(database, SETTINGS, tenant, **wanted())

    roles = {agent.role for agent in request.agents}
    assert len(request.agents) == len(default_panels()["default"].agents)
    assert len(roles) == len(request.agents) >= 3
    assert agents_from([]) == ()


@pytest.mark.parametrize("slug", ["Acme", "", "-x", "a b", "x" * 64, "acme"])
def test_a_malformed_or_taken_tenant_name_is_refused(
    database: Database, tenant: uuid.UUID, slug: str
) -> None:
    with pytest.raises(InvalidInput, match="name: "):
        create_tenant(database, uuid.uuid4(), slug, "Name")

    assert [row["slug"] for row in list_tenants(database)] == ["acme"]
