import json
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

from radiant_dagster.adapters import agent_runs, tenant_tools, tool_calls
from radiant_dagster.adapters.agents import ask_agent
from radiant_dagster.adapters.available_tools import list_tools
from radiant_dagster.adapters.embeddings import build_embeddings
from radiant_dagster.adapters.llm_http import HttpLlm
from radiant_dagster.adapters.mcp_tools import McpServers
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.adapters.submission import prepare, store_session
from radiant_dagster.adapters.toolbox import Toolbox
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.errors import ConfigurationError, InvalidInput
from tests.services.llm_server import LlmServer, content, wants
from tests.services.mcp_server import mcp_server

HOME = {"RADIANT_HOME": "/nonexistent/radiant-tests"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with mcp_server() as running:
        yield running


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_servers_tools_are_listed_under_its_name(url: str) -> None:
    settings = Settings.load({**HOME, "RADIANT_MCP_SERVERS": f"ward={url}"})

    found = {tool.name: tool for tool in list_tools(settings) if tool.source == "MCP server ward"}

    # Not no.usable.name, which no model accepts.
    assert set(found) == {"ward__free_beds", "ward__broken", "ward__wordy"}
    assert found["ward__free_beds"].description == "Beds that are free in a ward."
    assert len(found["ward__wordy"].description) == 1_000


def test_an_agent_calls_a_servers_tool_and_a_failing_one_is_a_result(
    url: str, database: Database, tenant: uuid.UUID, models: LlmServer
) -> None:
    settings = Settings.load({**HOME, "RADIANT_MCP_SERVERS": f"ward={url}"})
    names = ("ward__free_beds", "ward__broken")
    agent = AgentConfig("a", "analyst", "gpt-4o", tools=names)
    with database.tenant_transaction(tenant) as cursor:
        for name in names:
            tenant_tools.set_allowed(cursor, tenant, name, allowed=True, actor="ann")
    request, estimate = prepare(
        database, settings, tenant, prompt="Beds?", domain="general", user_id="ann",
        agents=(agent,),
    )  # fmt: skip
    session_id = uuid.uuid4()
    store_session(database, settings, tenant, session_id, request, estimate)
    models.script(
        wants(
            ("ward__free_beds", {"ward": "B", "floor": 2}),
            ("ward__broken", {}),
            ("ward__free_beds", {"floor": "two"}),
        ),
        content("Three beds."),
    )

    with database.tenant_transaction(tenant) as cursor:
        call = agent_runs.begin_agent(cursor, tenant, session_id, "a", run_id="r")
    assert call is not None
    result = ask_agent(
        HttpLlm(models.url), call, tenant, session_id, call_seconds=30,
        toolbox=Toolbox(settings, lambda: build_embeddings(settings)), database=database,
        cancelled=lambda: False,
    )  # fmt: skip

    with database.tenant_transaction(tenant) as cursor:
        good, bad, misfit = tool_calls.of_session(cursor, tenant, session_id)
    assert result.response == "Three beds."
    assert (good["status"], good["output"]) == ("ok", "3 beds are free in B.")
    assert bad["status"] == "refused"
    assert misfit["status"] == "bad_arguments"


def test_a_servers_tool_is_refused_until_it_is_allowed(
    url: str, database: Database, tenant: uuid.UUID
) -> None:
    settings = Settings.load({**HOME, "RADIANT_MCP_SERVERS": f"ward={url}"})
    agent = AgentConfig("a", "analyst", "gpt-4o", tools=("ward__free_beds",))

    with pytest.raises(InvalidInput) as caught:
        prepare(
            database, settings, tenant, prompt="Beds?", domain="general", user_id="ann",
            agents=(agent,),
        )  # fmt: skip

    assert caught.value.field == "agents[0].tools"


def test_a_server_that_does_not_answer_is_named_with_the_setting() -> None:
    servers = McpServers({"ward": f"http://127.0.0.1:{closed_port()}/mcp"})

    with pytest.raises(ConfigurationError, match="the server 'ward' does not list") as caught:
        servers.named({"ward__free_beds"})

    assert caught.value.setting == "RADIANT_MCP_SERVERS"


def test_a_server_that_is_gone_at_work_leaves_the_agent_without_its_tools(
    url: str, database: Database, tenant: uuid.UUID, models: LlmServer
) -> None:
    settings = Settings.load({**HOME, "RADIANT_MCP_SERVERS": f"ward={url}"})
    gone = Settings.load(
        {**HOME, "RADIANT_MCP_SERVERS": f"ward=http://127.0.0.1:{closed_port()}/mcp"}
    )
    agent = AgentConfig("a", "analyst", "gpt-4o", tools=("ward__free_beds", "calculator"))
    with database.tenant_transaction(tenant) as cursor:
        tenant_tools.set_allowed(cursor, tenant, "ward__free_beds", allowed=True, actor="ann")
    request, estimate = prepare(
        database, settings, tenant, prompt="Beds?", domain="general", user_id="ann",
        agents=(agent,),
    )  # fmt: skip
    session_id = uuid.uuid4()
    store_session(database, settings, tenant, session_id, request, estimate)
    models.script(wants(("ward__free_beds", {"ward": "B"})), content("Unknown."))

    with database.tenant_transaction(tenant) as cursor:
        call = agent_runs.begin_agent(cursor, tenant, session_id, "a", run_id="r")
    assert call is not None
    result = ask_agent(
        HttpLlm(models.url), call, tenant, session_id, call_seconds=30,
        toolbox=Toolbox(gone, lambda: build_embeddings(gone)), database=database,
        cancelled=lambda: False,
    )  # fmt: skip

    shown = json.loads(models.calls[-1].body["messages"][-1]["content"])
    assert result.response == "Unknown."
    assert [item["function"]["name"] for item in models.calls[0].body["tools"]] == ["calculator"]
    assert shown["status"] == "unavailable"


def test_a_missing_package_is_named_with_the_extra_that_brings_it() -> None:
    # In a process of its own: an import that is hidden stays hidden.
    code = (
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'mcp': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hide())\n"
        "from radiant_dagster.adapters.mcp_tools import McpServers\n"
        "try: McpServers({'ward': 'http://127.0.0.1:9/mcp'}).listed('ward')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("ConfigurationError RADIANT_MCP_SERVERS: is set, but")
    assert "pip install 'radiant-dagster[mcp]'" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ward", "must be name=http"),
        ("ward=ftp://x", "must be name=http"),
        ("a__b=http://127.0.0.1:1", "must be name=http"),
        ("a=http://127.0.0.1:1,a=http://127.0.0.1:2", "names a server twice"),
    ],
)
def test_a_malformed_list_of_servers_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Settings.load({**HOME, "RADIANT_MCP_SERVERS": text})
