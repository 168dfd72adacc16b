"""Asks one agent's model and turns what comes back into a result."""

import time
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from radiant_dagster.adapters import agent_runs, sessions
from radiant_dagster.adapters.agent_runs import AgentCall
from radiant_dagster.adapters.llm import Completion, CompletionRequest, LlmClient
from radiant_dagster.adapters.postgres import Database
from radiant_dagster.adapters.structured import ask_for_json
from radiant_dagster.adapters.tool_rounds import AgentTools, Spent, converse
from radiant_dagster.adapters.toolbox import Toolbox
from radiant_dagster.domain.prompts import agent_messages, cited_numbers
from radiant_dagster.domain.shortening import INPUT_SHORTENED, INPUT_SHORTENED_MESSAGE, shortened
from radiant_dagster.domain.swarm import AgentResult, SwarmTask
from radiant_dagster.errors import LlmRejected, LlmUnavailable

CONTEXT_WINDOW = "context_window"


def ask_agent(
    llm: LlmClient,
    call: AgentCall,
    tenant_id: UUID,
    session_id: UUID,
    *,
    call_seconds: float,
    toolbox: Toolbox,
    database: Database,
    cancelled: Callable[[], bool],
    on_text: Callable[[str], None] | None = None,
) -> AgentResult:
    """Have one agent answer: one model call, or several where it uses tools.

    Args:
        llm: The gateway.
        call: From `agent_runs.begin_agent`.
        tenant_id: Whose session it is.
        session_id: The session.
        call_seconds: Longest single call; the swarm's deadline may cut it shorter.
        toolbox: The tools of this process.
        database: Records the tools' calls.
        cancelled: Asked while the call waits.
        on_text: Given the text while it is written, see `LlmClient.complete`.

    Returns:
        The answer, or what was refused for good.

    Raises:
        LlmUnavailable: Another try may help; ``deadline`` where the swarm is out of time.
        Cancelled: The run was asked to stop.
    """
    agent, offered = agent_runs.config_from(call.agent), sessions.offered_from(call.session)
    if call.remaining_seconds <= 0:
        raise LlmUnavailable("deadline")
    task, was_shortened = _task(call)
    request = CompletionRequest(
        model=agent.model,
        messages=agent_messages(task, agent, [item.injected() for item in offered]),
        temperature=agent.temperature,
        max_tokens=agent.max_tokens,
        timeout_seconds=min(call_seconds, call.remaining_seconds),
        tenant_id=tenant_id,
        # The same over retries and re-executions: a provider that knows it charges once.
        idempotency_key=f"{session_id}:{agent.agent_id}",
        metadata={"session_id": str(session_id), "agent_id": agent.agent_id},
    )
    started = time.monotonic()
    tools = AgentTools.of_agent(
        toolbox,
        database,
        tenant_id,
        session_id,
        agent.agent_id,
        domain=call.session["domain"],
        wanted=agent.tools or (),
    )
    spent = Spent()

    def turn(asked: CompletionRequest) -> Completion:
        return converse(
            llm,
            asked,
            tools,
            spent,
            rounds=toolbox.rounds if tools.definitions else 1,
            within_seconds=call.remaining_seconds - (time.monotonic() - started),
            cancelled=cancelled,
            on_text=on_text,
        )

    try:
        if agent.output_schema is None:
            answer, fits = turn(request), True
        else:
            answer, fits = ask_for_json(turn, request, agent.output_schema)
    except LlmRejected as error:
        status = "rejected" if error.code == "content_policy" else "failed"
        return AgentResult(
            agent.agent_id,
            status,
            error=str(error),
            error_code=error.code,
            latency_ms=_since(started) if spent.calls else 0,
            tokens_used=spent.prompt_tokens + spent.completion_tokens,
            prompt_tokens=spent.prompt_tokens,
            completion_tokens=spent.completion_tokens,
            calls=spent.calls + 1,
        )
    result = AgentResult(
        agent.agent_id,
        "success",
        response=answer.text,
        latency_ms=answer.latency_ms if spent.calls == 1 else _since(started),
        tokens_used=spent.prompt_tokens + spent.completion_tokens,
        model_used=answer.model_used,
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        finish_reason=answer.finish_reason,
        cited=cited_numbers(answer.text, len(offered)),
        error_code=INPUT_SHORTENED if was_shortened else None,
        error=INPUT_SHORTENED_MESSAGE if was_shortened else None,
        calls=spent.calls,
    )
    if fits:
        return result
    error = "The answer did not fit output_schema and could not be repaired."
    return replace(
        result, status="failed", response=None, error=error, error_code="schema", cited=()
    )


def may_fit_shortened(call: AgentCall, result: AgentResult) -> bool:
    """Tell whether a question that did not fit is worth one more try, shortened.

    Args:
        call: The call that brought the result.
    """
    return (
        result.error_code == CONTEXT_WINDOW
        and call.agent["error_code"] != CONTEXT_WINDOW
        and shortened(_whole_task(call)) is not None
    )


def _task(call: AgentCall) -> tuple[SwarmTask, bool]:
    """Return what to ask, and whether it is less than the caller gave.

    The agent's row still carries the code of the attempt before: so the one shorter try is made
    once, also where a crash or a re-execution lies between the two.
    """
    whole = _whole_task(call)
    shorter = shortened(whole) if call.agent["error_code"] == CONTEXT_WINDOW else None
    return (whole, False) if shorter is None else (shorter, True)


def _whole_task(call: AgentCall) -> SwarmTask:
    row = call.session
    return SwarmTask("reasoning", row["prompt"], row["context"], row["system_prompt"])


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
