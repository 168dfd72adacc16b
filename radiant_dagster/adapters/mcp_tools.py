"""Tools of MCP servers (Model Context Protocol, streamable HTTP), as `<server>__<tool>`.

The `mcp` package is an extra and imported at the first use: it costs a second of CPU. Each call
opens a connection of its own, so that nothing of one tenant's stays with the next one's call. Only
texts come back; images and links of a result are left out.
"""

import asyncio
import importlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from radiant_dagster.adapters.http_client import HttpClient, process_client
from radiant_dagster.adapters.tools import problem_of
from radiant_dagster.domain.tools import MAX_DESCRIPTION_CHARACTERS, Tool, ToolContext, ToolError
from radiant_dagster.errors import ConfigurationError

SEPARATOR = "__"
LIST_SECONDS = 10.0
KEEP_SECONDS = 60.0  # a server's list of tools: asked once a minute, not once an agent
MOST_LISTED = 200


def _sdk() -> Any:
    # On the caller's thread: on the loop's, a second of importing would hold up all model calls.
    try:
        return importlib.import_module("mcp")
    except ImportError:
        raise ConfigurationError(
            "RADIANT_MCP_SERVERS",
            "is set, but the package mcp is not installed",
            "Install the extra: pip install 'radiant-dagster[mcp]'.",
        ) from None


@dataclass(frozen=True, slots=True)
class McpTool:
    """One tool of a server; fields as in `domain.tools.Tool`."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    remote_name: str
    url: str
    client: HttpClient

    def run(self, arguments: Mapping[str, Any], context: ToolContext) -> str:
        """Have the server run it.

        Raises:
            ToolError: The server says that it failed.
        """
        left = (context.deadline - datetime.now(UTC)).total_seconds()
        call = self._call(_sdk(), dict(arguments), left)
        reply = self.client.run(call, what="The MCP call")
        text = "\n".join(part.text for part in reply.content if part.type == "text")
        if reply.is_error:
            raise ToolError(text or "The server failed.")
        return text

    async def _call(self, mcp: Any, arguments: dict[str, Any], seconds: float) -> Any:
        async with asyncio.timeout(seconds), mcp.Client(self.url) as session:
            return await session.call_tool(self.remote_name, arguments)


class McpServers:
    """The configured servers.

    Args:
        urls: By server name.
        client: Whose loop runs the calls.
    """

    def __init__(self, urls: Mapping[str, str], client: HttpClient | None = None) -> None:
        self._urls = urls
        self._client = client or process_client()
        self._kept: dict[str, tuple[float, dict[str, Tool]]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the servers."""
        return tuple(self._urls)

    def named(self, names: Collection[str]) -> dict[str, Tool]:
        """Return those of the named tools that a server has; asks only the servers they name.

        Raises:
            ConfigurationError: See `listed`.
        """
        servers = {name.split(SEPARATOR)[0] for name in names if SEPARATOR in name}
        found: dict[str, Tool] = {}
        for server in servers.intersection(self._urls):
            found |= {name: tool for name, tool in self.listed(server).items() if name in names}
        return found

    def listed(self, server: str) -> dict[str, Tool]:
        """Return all usable tools of a server by their name here.

        One whose name does not fit a model's, or whose schema is broken, is left out.

        Raises:
            ConfigurationError: The package is missing, or the server does not answer.
        """
        at, kept = self._kept.get(server, (0.0, {}))
        if kept and time.monotonic() - at < KEEP_SECONDS:
            return kept
        listing = self._list(_sdk(), self._urls[server])
        try:
            listed = self._client.run(listing, what="The MCP server")
        except Exception as error:  # noqa: BLE001 - the SDK raises groups of several libraries' classes
            raise ConfigurationError(
                "RADIANT_MCP_SERVERS",
                f"the server {server!r} does not list its tools ({type(error).__name__})",
                "Start it, or correct its URL; it has to speak streamable HTTP.",
            ) from None
        tools = (self._tool(server, item) for item in listed)
        found = {tool.name: tool for tool in tools if problem_of(tool) is None}
        self._kept[server] = (time.monotonic(), found)
        return found

    async def _list(self, mcp: Any, url: str) -> list[Any]:
        found: list[Any] = []
        async with asyncio.timeout(LIST_SECONDS), mcp.Client(url) as session:
            cursor: str | None = None
            while len(found) < MOST_LISTED:
                page = await session.list_tools(cursor=cursor)
                found += page.tools
                cursor = page.next_cursor
                if cursor is None:
                    break
        return found

    def _tool(self, server: str, item: Any) -> Tool:
        description = (item.description or item.title or item.name)[:MAX_DESCRIPTION_CHARACTERS]
        return McpTool(
            f"{server}{SEPARATOR}{item.name}",
            description,
            item.input_schema,
            item.name,
            self._urls[server],
            self._client,
        )
