"""Says which tools there are, for those who choose: submission, panels, the command line."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from radiant_dagster.adapters import tools
from radiant_dagster.adapters.mcp_tools import SEPARATOR, McpServers
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.swarm import AgentConfig
from radiant_dagster.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class AvailableTool:
    """One installed tool.

    Args:
        source: The distribution or MCP server it comes from.
        description: What models are told; empty where it is broken.
        problem: Why it cannot be used, None where it can.
    """

    name: str
    source: str
    description: str
    problem: str | None = None


def usable_names(
    settings: Settings, allowed: Collection[str], agents: Sequence[AgentConfig]
) -> frozenset[str]:
    """Return which tools these agents may name: installed and allowed; empty where none names any.

    A tool that is named is also loaded, and an MCP server asked, so that a session does not find
    out about a broken one after it has spent money.

    Raises:
        ConfigurationError: A named tool is broken, or its server does not answer.
    """
    wanted = {name for agent in agents for name in agent.tools or ()}
    if not wanted:  # the common case: looking through all installed packages takes 10 ms
        return frozenset()
    named = wanted.intersection(allowed)
    if not named:
        return frozenset(tools.installed()).intersection(allowed)
    tools.load_named(named)
    served = McpServers(settings.mcp_server_urls).named(named)
    return frozenset(tools.installed()).intersection(allowed).union(served)


def list_tools(settings: Settings) -> list[AvailableTool]:
    """Return all tools there are, broken ones with what is wrong."""
    found: list[AvailableTool] = []
    for name, point in sorted(tools.installed().items()):
        source = tools.distribution(point)
        try:
            found.append(AvailableTool(name, source, tools.load(point).description))
        except ConfigurationError as error:
            found.append(AvailableTool(name, source, "", str(error)))
    servers = McpServers(settings.mcp_server_urls)
    for server in servers.names:
        source = f"MCP server {server}"
        try:
            listed = sorted(servers.listed(server).items())
            found += [AvailableTool(name, source, tool.description) for name, tool in listed]
        except ConfigurationError as error:
            found.append(AvailableTool(f"{server}{SEPARATOR}*", source, "", str(error)))
    return found
