"""Shortens what an agent is asked where it does not fit the model's context window. No I/O.

The documents go first, then the middle of a long question: people put what they want at the start
or at the end of what they paste. A short question is never touched.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from radiant_dagster.domain.swarm import SwarmTask

KEPT_SHARE = 0.5  # one more try is made, so the cut has to be a large one
LONG_PROMPT_CHARACTERS = 4_000  # a question of this length holds pasted text
CUT_MARK = "\n[... shortened to fit the model's context window ...]\n"
INPUT_SHORTENED = "input_shortened"
"""Code on an answer that was given to a shortened question."""
INPUT_SHORTENED_MESSAGE = "The model was shown a shortened input; the whole did not fit it."


def shortened(task: SwarmTask) -> SwarmTask | None:
    """Return the task with about half of its documents, or of its question without any.

    Args:
        task: What did not fit.

    Returns:
        The shorter task, None where there is nothing that may be left out.
    """
    if task.context:
        kept = {name: _shorter(value) for name, value in task.context.items()}
        return replace(task, context=kept)
    if len(task.prompt) > LONG_PROMPT_CHARACTERS:
        return replace(task, prompt=_without_middle(task.prompt))
    return None


def _shorter(value: object) -> object:
    """Shorten texts at any depth; numbers and the like stay."""
    if isinstance(value, str):
        return _without_middle(value)
    if isinstance(value, Mapping):
        named = cast("Mapping[str, Any]", value)
        return {key: _shorter(item) for key, item in named.items()}
    if isinstance(value, list):
        return [_shorter(item) for item in cast("list[Any]", value)]
    return value


def _without_middle(text: str) -> str:
    if len(text) <= 2 * len(CUT_MARK):
        return text
    half = int(len(text) * KEPT_SHARE) // 2
    return text[:half] + CUT_MARK + text[-half:]
