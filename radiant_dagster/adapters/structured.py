"""Asks a model for an answer that fits a JSON schema, and once more where it does not fit.

Both calls are paid for and counted together. A repair that fails for whatever reason ends the
attempt: trying the step again would buy the first answer a second time.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from radiant_dagster.adapters.llm import Completion, CompletionRequest
from radiant_dagster.domain.output_schema import (
    AGENT_ANSWER_SCHEMA_NAME,
    REPAIR_RULES,
    check_answer,
)
from radiant_dagster.errors import LlmRejected, LlmUnavailable


def ask_for_json(
    turn: Callable[[CompletionRequest], Completion],
    request: CompletionRequest,
    schema: Mapping[str, Any],
) -> tuple[Completion, bool]:
    """Make the call, and a second one where the answer does not fit.

    Args:
        turn: Makes one call, tools included, and counts what it costs.
        request: The call without its schema; its timeout holds for both calls together.
        schema: What the answer has to fit.

    Returns:
        The last answer, as canonical JSON where it fits, and whether it does.

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
    end = time.monotonic() + request.timeout_seconds
    first = turn(wanted)
    checked = check_answer(first.text, schema)
    if checked.text is not None:
        return replace(first, text=checked.text), True
    left = end - time.monotonic()
    if left <= 0:
        return first, False
    repair = replace(
        wanted,
        messages=(
            *request.messages,
            {"role": "assistant", "content": first.text},
            {"role": "user", "content": REPAIR_RULES.format(problem=checked.problem)},
        ),
        timeout_seconds=left,
        idempotency_key=f"{request.idempotency_key}:repair",
    )
    try:
        second = turn(repair)
    except (LlmUnavailable, LlmRejected):
        return first, False
    mended = check_answer(second.text, schema)
    return replace(second, text=mended.text or second.text), mended.text is not None
