"""Asks a model for an answer that fits a JSON schema, and once more where it does not fit.

Both calls are paid for and counted together. A repair that fails for whatever reason ends the
attempt: trying the step again would buy the first answer a second time.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from radiant_dagster.adapters.llm import Completion, CompletionRequest, LlmClient
from radiant_dagster.domain.output_schema import (
    AGENT_ANSWER_SCHEMA_NAME,
    REPAIR_RULES,
    check_answer,
)
from radiant_dagster.errors import LlmRejected, LlmUnavailable


def ask_for_json(
    llm: LlmClient,
    request: CompletionRequest,
    schema: Mapping[str, Any],
    *,
    remaining_seconds: float,
    cancelled: Callable[[], bool],
    on_text: Callable[[str], None] | None = None,
) -> tuple[Completion, bool]:
    """Make the call, and a second one where the answer does not fit.

    Args:
        llm: The gateway.
        request: The call without its schema.
        schema: What the answer has to fit.
        remaining_seconds: For both calls together.
        cancelled: Asked while a call waits.
        on_text: See `LlmClient.complete`.

    Returns:
        The answer, as canonical JSON, with the tokens, cost and time of all its calls; and whether
        it fits.

    Raises:
        LlmUnavailable, LlmRejected, Cancelled: Of the first call.
    """
    wanted = replace(
        request,
        json_schema_name=AGENT_ANSWER_SCHEMA_NAME,
        json_schema=schema,
        # OpenAI's strict mode takes a part of JSON Schema only and refuses the call otherwise.
        json_schema_strict=False,
    )
    first = llm.complete(wanted, cancelled=cancelled, on_text=on_text)
    checked = check_answer(first.text, schema)
    if checked.text is not None:
        return replace(first, text=checked.text), True
    left = remaining_seconds - first.latency_ms / 1000
    if left <= 0:
        return first, False
    repair = replace(
        wanted,
        messages=(
            *request.messages,
            {"role": "assistant", "content": first.text},
            {"role": "user", "content": REPAIR_RULES.format(problem=checked.problem)},
        ),
        timeout_seconds=min(request.timeout_seconds, left),
        idempotency_key=f"{request.idempotency_key}:repair",
    )
    try:
        second = llm.complete(repair, cancelled=cancelled, on_text=on_text)
    except (LlmUnavailable, LlmRejected):
        return first, False
    both = replace(
        second,
        prompt_tokens=first.prompt_tokens + second.prompt_tokens,
        completion_tokens=first.completion_tokens + second.completion_tokens,
        cost_micro_usd=first.cost_micro_usd + second.cost_micro_usd,
        cost_is_estimated=first.cost_is_estimated or second.cost_is_estimated,
        latency_ms=first.latency_ms + second.latency_ms,
    )
    mended = check_answer(second.text, schema)
    return replace(both, text=mended.text or second.text), mended.text is not None
