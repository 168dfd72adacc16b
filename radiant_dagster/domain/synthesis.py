"""What a synthesis is judged by besides the model that wrote it, and what stands in for one.

The synthesiser grades its own work, so agreement is measured a second time from the answers'
embeddings. Either side may say ``low``; neither can take the other's ``low`` back. The measure
sees what answers are about, not what they recommend ("do" and "do not" embed alike), which is why
it only ever adds a review. No I/O.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Literal

from radiant_dagster.domain.governor import counted_characters
from radiant_dagster.domain.swarm import MAX_ANSWER_TOKENS_IN_SYNTHESIS, AgentResult

Agreement = Literal["high", "low", "unknown"]

# Mean pairwise cosine below which answers are not about the same thing. Measured with
# all-MiniLM-L6-v2 on sets of three short answers: agreeing .51, rival recommendations .37, one of
# three off the question .23, three unrelated .02; the demo panel .69 to .82. Other embedding models
# are not calibrated.
LOW_COSINE = 0.30
# Of an answer, what it opens with: about as long as the answers that were measured. Embedding whole
# answers took more CPU than all the rest of a session with 32 agents.
COMPARED_CHARACTERS = 300

NOT_SYNTHESISED = (
    "Not synthesised: no model could merge the answers. They follow as each agent gave them."
)


@dataclass(frozen=True, slots=True)
class ShownAnswers:
    """Answers as a synthesiser sees them.

    Args:
        results: The successes, each at most `MAX_ANSWER_TOKENS_IN_SYNTHESIS` long.
        cut: Ids of the agents whose answers were shortened for it.
    """

    results: tuple[AgentResult, ...]
    cut: tuple[str, ...]


def shown_answers(results: Sequence[AgentResult]) -> ShownAnswers:
    """Return the successful answers, shortened to what is paid for."""
    answered = [result for result in results if result.status == "success"]
    shown = tuple(replace(item, response=_shortened(item.response or "")) for item in answered)
    cut = tuple(
        before.agent_id
        for before, after in zip(answered, shown, strict=True)
        if len(after.response or "") < len(before.response or "")
    )
    return ShownAnswers(shown, cut)


def _shortened(text: str) -> str:
    """Cut a text to the token cap by the governor's upper bound, counted as JSON, as it is sent."""
    most = 2 * MAX_ANSWER_TOKENS_IN_SYNTHESIS
    while (counted := counted_characters(json.dumps(text, ensure_ascii=False))) > most:
        text = text[: len(text) * most // counted]
    return text


def mean_cosine(vectors: Sequence[Sequence[float]]) -> float | None:
    """Return the mean cosine over all pairs, None for fewer than two vectors.

    Args:
        vectors: L2-normalised, all of one length.
    """
    count = len(vectors)
    if count < 2:
        return None
    # The square of a sum of unit vectors is their number and twice the cosine of each pair.
    total = fsum(fsum(column) ** 2 for column in zip(*vectors, strict=True))
    return (total - count) / (count * (count - 1))


def agreement_of(reported: Agreement, cosine: float | None) -> Agreement:
    """Join what the synthesiser said of the agreement with what was measured.

    Args:
        reported: ``unknown`` where no model wrote the draft.
        cosine: From `mean_cosine`; None, not measured, adds nothing.
    """
    return "low" if cosine is not None and cosine < LOW_COSINE else reported


def unsynthesised(results: Sequence[AgentResult]) -> str:
    """Return the individual answers as a draft that says what it is."""
    parts = [
        f"{result.role} ({result.agent_id}):\n{result.response}"
        for result in results
        if result.status == "success"
    ]
    return "\n\n".join([NOT_SYNTHESISED, *parts])
