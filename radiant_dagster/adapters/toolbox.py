"""Runs tools: finds them, bounds their time and their number, turns every fault into a code.

A tool runs on a thread of its own, since nothing else lets the caller stop waiting. Python cannot
end a thread: what runs away goes on until it returns, holds what it has taken (memory, a
connection of the pool while it searches) and, where it computes instead of waiting, slows the
process down. `MOST_AT_ONCE` such threads are the most a process carries; then tools answer `busy`.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from radiant_dagster.adapters import tools
from radiant_dagster.adapters.embeddings import EmbeddingModel
from radiant_dagster.adapters.grimoire.search import search_options
from radiant_dagster.adapters.mcp_tools import McpServers
from radiant_dagster.adapters.settings import Settings
from radiant_dagster.domain.swarm import storable
from radiant_dagster.domain.tools import (
    FoundHeuristic,
    Tool,
    ToolContext,
    ToolError,
    ToolStatus,
)
from radiant_dagster.errors import Cancelled

MOST_AT_ONCE = 64  # a full swarm, each with one call
POLL_SECONDS = 0.1
LOG = logging.getLogger(__name__)


class Toolbox:
    """The tools of this process.

    Args:
        settings: Rounds, seconds and MCP servers.
        embeddings: The model that the Grimoire is searched with, made when it is needed.
        most_at_once: Threads, those that ran away included.
    """

    def __init__(
        self,
        settings: Settings,
        embeddings: Callable[[], EmbeddingModel],
        *,
        most_at_once: int = MOST_AT_ONCE,
    ) -> None:
        self.rounds = settings.tool_rounds
        self.seconds = settings.tool_seconds
        self.search_options = search_options(settings)
        self.embeddings = embeddings
        self._servers = McpServers(settings.mcp_server_urls)
        self._slots = threading.BoundedSemaphore(most_at_once)

    def find(self, names: Collection[str]) -> dict[str, Tool]:
        """Return those of the named tools that are there; asks MCP servers for theirs.

        Raises:
            ConfigurationError: One of them is broken, or an MCP server cannot be used.
        """
        return tools.load_named(names) | self._servers.named(names)

    def run(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        search: Callable[[str], tuple[FoundHeuristic, ...]],
        *,
        within_seconds: float,
        cancelled: Callable[[], bool],
    ) -> tuple[ToolStatus, str]:
        """Run a tool once.

        Args:
            arguments: They fit its schema.
            search: What the tool's context offers.
            within_seconds: What the agent has left; the tool's own limit may be shorter.
            cancelled: Asked every 100 ms.

        Returns:
            A code and what the tool said; nothing is raised for what a tool does.

        Raises:
            Cancelled: `cancelled` turned true; the tool is left behind.
        """
        seconds = max(min(self.seconds, within_seconds), 0.0)
        if not self._slots.acquire(blocking=False):
            return "busy", ""
        context = ToolContext(search, datetime.now(UTC) + timedelta(seconds=seconds))
        work = _Work(tool, arguments, context, self._slots.release)
        threading.Thread(target=work.run, name=f"radiant-tool-{tool.name}", daemon=True).start()
        end = time.monotonic() + seconds
        while not work.done.wait(min(POLL_SECONDS, max(end - time.monotonic(), 0.0))):
            if cancelled():
                raise Cancelled("The tool call")
            if time.monotonic() >= end:
                LOG.warning(
                    "Tool %s runs longer than %.1f s and is left behind", tool.name, seconds
                )
                return "timeout", ""
        return work.outcome


class _Work:
    """One run of a tool and what became of it."""

    def __init__(
        self,
        tool: Tool,
        arguments: Mapping[str, Any],
        context: ToolContext,
        release: Callable[[], None],
    ) -> None:
        self.done = threading.Event()
        self.outcome: tuple[ToolStatus, str] = ("failed", "")
        self._tool = tool
        self._arguments = arguments
        self._context = context
        self._release = release

    def run(self) -> None:
        try:
            text = cast("object", self._tool.run(self._arguments, self._context))
            if isinstance(text, str):
                self.outcome = ("ok", storable(text))
            else:
                LOG.warning("Tool %s returned no text", self._tool.name)
        except TimeoutError:  # it watched the deadline itself, as tools are asked to
            self.outcome = ("timeout", "")
        except ToolError as error:
            self.outcome = ("refused", storable(str(error)))
        except BaseException as error:  # noqa: BLE001 - whatever a stranger's code raises, SystemExit too
            # The class alone: a message may quote what the tool was given.
            LOG.warning("Tool %s raised %s", self._tool.name, type(error).__name__)
        finally:
            self._release()
            self.done.set()
