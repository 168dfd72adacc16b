"""A model's turn with tools: it asks, they answer, until it says something or has to.

    request -> model -> text                                    the answer
                     -> tool calls -> results -> model ...      at most RADIANT_TOOL_ROUNDS calls

In the last round no tool is offered, so that the model must answer. Every round is a paid call of
the ledger; `Spent` counts calls and tokens, also where a later round breaks.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID

from radiant_dagster.adapters import tenant_tools, tool_calls
from radiant_dagster.adapters.grimoire.lookup import look_up
from radiant_dagster.adapters.llm import Completion, CompletionRequest, LlmClient
from radiant_dagster.adapters.metering import Meter
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.toolbox import Toolbox
from radiant_dagster.adapters.tools import misfit
from radiant_dagster.domain.governor import SEARCH_CALL, counted_characters
from radiant_dagster.domain.safety import instructions_in
from radiant_dagster.domain.tools import (
    MAX_OUTPUT_CHARACTERS,
    MAX_ROUND_COUNTED,
    FoundHeuristic,
    Tool,
    ToolCall,
    ToolResult,
    ToolStatus,
    definition,
    parse_arguments,
    request_message,
    result_message,
)
from radiant_dagster.errors import ConfigurationError, LlmUnavailable

LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Spent:
    """Calls and tokens of a turn so far, all of its model calls together."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, answer: Completion) -> None:
        """Count a call that was paid."""
        self.calls += 1
        self.prompt_tokens += answer.prompt_tokens
        self.completion_tokens += answer.completion_tokens


class ToolRunner(Protocol):
    """What a turn needs of its tools."""

    @property
    def definitions(self) -> tuple[Mapping[str, Any], ...]:
        """What is offered to the model."""
        ...

    def run(
        self,
        call: ToolCall,
        *,
        number: int,
        room: int,
        within_seconds: float,
        cancelled: Callable[[], bool],
    ) -> ToolResult:
        """Have one call done; whatever happens to it is a result."""
        ...


def converse(
    llm: LlmClient,
    request: CompletionRequest,
    tools: ToolRunner,
    spent: Spent,
    *,
    rounds: int,
    within_seconds: float,
    cancelled: Callable[[], bool],
    on_text: Callable[[str], None] | None = None,
) -> Completion:
    """Call a model until it answers.

    Args:
        llm: The gateway.
        request: The first call; its timeout bounds each of them.
        tools: What is offered.
        spent: Counts every call, also where this raises.
        rounds: Most model calls.
        within_seconds: For everything together.
        cancelled: Asked while anything waits.
        on_text: See `LlmClient.complete`; calls that offer tools do not stream.

    Returns:
        The completion that holds the answer, with its own figures; the sums are in `spent`.

    Raises:
        LlmUnavailable: Another try may help; ``deadline`` where the time is up.
        LlmRejected: Refused for good.
        Cancelled: `cancelled` turned true.
    """
    end = time.monotonic() + within_seconds
    messages = list(request.messages)
    for number in range(1, rounds + 1):
        left = end - time.monotonic()
        if left <= 0:
            raise LlmUnavailable("deadline")
        call = replace(
            request,
            messages=tuple(messages),
            tools=tools.definitions if number < rounds else (),
            timeout_seconds=min(request.timeout_seconds, left),
            idempotency_key=_key(request.idempotency_key, number, messages),
        )
        answer = llm.complete(call, cancelled=cancelled, on_text=None if call.tools else on_text)
        spent.add(answer)
        if not answer.tool_calls:
            return answer
        messages.append(request_message(answer.text, answer.tool_calls))
        messages += _results(tools, answer.tool_calls, number, end, cancelled)
    raise AssertionError("the last round offers no tools, so it has no calls")


def _key(key: str, number: int, messages: list[Mapping[str, Any]]) -> str:
    """Return the idempotency key of a round.

    Later rounds depend on what the first ones brought, which differs between attempts; a provider
    would refuse one key with two bodies. So the key names what is sent.
    """
    if number == 1:
        return key
    digest = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()
    return f"{key}:{number}:{digest[:16]}"


def _results(
    tools: ToolRunner,
    calls: tuple[ToolCall, ...],
    number: int,
    end: float,
    cancelled: Callable[[], bool],
) -> list[dict[str, Any]]:
    room = MAX_ROUND_COUNTED
    messages: list[dict[str, Any]] = []
    for call in calls:
        left = end - time.monotonic()
        result = tools.run(call, number=number, room=room, within_seconds=left, cancelled=cancelled)
        room -= _counted(result.text)
        messages.append(result_message(call, result))
    return messages


def _counted(text: str) -> int:
    return counted_characters(json.dumps(text, ensure_ascii=False)) - 4  # its own quotes


def fitted(text: str, room: int) -> tuple[str, bool]:
    """Cut a tool's text to 8,000 characters and to what is left of the round's bound.

    Args:
        text: What the tool said.
        room: In `counted_characters` of its JSON.

    Returns:
        The text and whether it was cut.
    """
    shown = text[:MAX_OUTPUT_CHARACTERS]
    low, high = 0, len(shown)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _counted(shown[:middle]) <= room else (low, middle - 1)
    return shown[:low], low < len(text)


@dataclass(frozen=True, slots=True)
class AgentTools:
    """The tools of one agent of one session; every call is recorded as it happens."""

    toolbox: Toolbox
    database: Database
    tenant_id: UUID
    session_id: UUID
    agent_id: str
    domain: str
    wanted: tuple[str, ...]
    usable: Mapping[str, Tool]
    unavailable: frozenset[str]
    definitions: tuple[Mapping[str, Any], ...] = field(default=())

    @classmethod
    def of_agent(
        cls,
        toolbox: Toolbox,
        database: Database,
        tenant_id: UUID,
        session_id: UUID,
        agent_id: str,
        *,
        domain: str,
        wanted: tuple[str, ...],
    ) -> "AgentTools":
        """Find what the agent may use now; what is gone since it was asked for is left out."""
        allowed: frozenset[str] = frozenset()
        if wanted:
            with database.tenant_transaction(tenant_id) as cursor:
                allowed = tenant_tools.allowed_names(cursor, tenant_id)
        usable: dict[str, Tool] = {}
        unavailable: set[str] = set()
        for name in dict.fromkeys(wanted):
            try:
                usable |= toolbox.find({name}) if name in allowed else {}
            except ConfigurationError as error:
                LOG.warning("Agents go without the tool %s: %s", name, error)
                unavailable.add(name)
        definitions = tuple(definition(tool) for tool in usable.values())
        return cls(
            toolbox,
            database,
            tenant_id,
            session_id,
            agent_id,
            domain,
            wanted,
            usable,
            frozenset(unavailable),
            definitions,
        )

    def run(
        self,
        call: ToolCall,
        *,
        number: int,
        room: int,
        within_seconds: float,
        cancelled: Callable[[], bool],
    ) -> ToolResult:
        """See `ToolRunner.run`."""
        keys = (self.tenant_id, self.session_id, self.agent_id)
        with self.database.tenant_transaction(self.tenant_id) as cursor:
            position = tool_calls.start(
                cursor, *keys, number=number, name=call.name, arguments=call.arguments
            )
        started = time.perf_counter()
        status, said = self._outcome(call, within_seconds, cancelled)
        latency_ms = round((time.perf_counter() - started) * 1000)
        text, cut = fitted(said, max(room, 0))
        result = ToolResult(status, text, cut, instructions_in(text))
        with self.database.tenant_transaction(self.tenant_id) as cursor:
            tool_calls.finish(cursor, *keys, position, result, latency_ms=latency_ms)
        return result

    def _outcome(
        self, call: ToolCall, within_seconds: float, cancelled: Callable[[], bool]
    ) -> tuple[ToolStatus, str]:
        tool = self.usable.get(call.name)
        if tool is None:
            return self._missing(call.name), ""
        arguments = parse_arguments(call.arguments)
        if arguments is None:
            return "bad_arguments", "The arguments are no JSON object."
        problem = misfit(tool, arguments)
        if problem is not None:
            return "bad_arguments", problem
        return self.toolbox.run(
            tool, arguments, self._search, within_seconds=within_seconds, cancelled=cancelled
        )

    def _missing(self, name: str) -> ToolStatus:
        if name in self.unavailable:
            return "unavailable"
        return "not_allowed" if name in self.wanted else "unknown_tool"

    def _embed(self, text: str) -> tuple[str, list[float]]:
        model = self.toolbox.embeddings()
        # Its own, since tools run beside the agent's calls.
        meter = Meter(self.database, self.tenant_id, self.session_id)
        try:
            return model.model_id, meter.embed(model, SEARCH_CALL, [text])[0]
        finally:  # a call that failed may be billed
            meter.settle_now()

    def _search(self, query: str) -> tuple[FoundHeuristic, ...]:
        how = self.toolbox.search_options
        found = look_up(self.database, self._embed, self.tenant_id, self.domain, query, how)
        return tuple(
            FoundHeuristic(
                item.polarity, item.trigger_pattern, item.action_template, item.similarity
            )
            for item in found.offered
        )
