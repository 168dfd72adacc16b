"""What a model call costs, and the most it can cost before it is made.

A reservation is only as good as its estimate: a budget holds under any concurrency as long as no
call costs more than was reserved for it. So estimates here are upper bounds by rule: text is
counted so that no common tokenizer needs more tokens, the answer is assumed to use all of
``max_tokens``, and a model without a known price is refused, never free.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from radiant_dagster.domain.heuristics import BLOCK_TOKENS, LIBRARIAN_RULES
from radiant_dagster.domain.prices import PRICES, ModelPrice
from radiant_dagster.domain.swarm import (
    AGENT_RULES,
    MAX_ANSWER_TOKENS_IN_SYNTHESIS,
    SYNTHESIS_RULES,
    AgentConfig,
)
from radiant_dagster.errors import InvalidInput

MILLION = 1_000_000
CHARACTERS_PER_TOKEN = 2  # English needs 4 to 5; TensorZero's rate limiter uses the same bound
MESSAGE_OVERHEAD_TOKENS = 16  # role markers and priming of a system and a user message

SYNTHESIS_MAX_TOKENS = 4_096
LIBRARIAN_MAX_TOKENS = 400
# The Librarian reads 4,000 characters of the prompt and 6,000 of the response.
LIBRARIAN_CHARACTERS = 10_000
# Rules, JSON keys and a JSON schema around the texts themselves, and the heuristics an agent is
# offered. Doubled: our own English with its punctuation never counts more than that.
AGENT_EXTRA_CHARACTERS = 2 * (len(AGENT_RULES) + 2 * BLOCK_TOKENS + 500)
SYNTHESIS_EXTRA_CHARACTERS = 2 * (len(SYNTHESIS_RULES) + 1_500)
LIBRARIAN_EXTRA_CHARACTERS = 2 * (len(LIBRARIAN_RULES) + 1_500)

# The demo model answers in place of the model that was asked for, at that model's price, so that
# budgets look as they will in production.
OFFLINE_PREFIX = "offline-demo/"

# cl100k needs a token for 1.5 to 2 characters of random letters, capitals, digits and
# punctuation, and up to one for every UTF-8 byte elsewhere (measured; plain 2 characters a token
# would be too low by half for Chinese or emoji).
PLAIN = re.compile(r"[a-z ]")
UNBROKEN = re.compile(r"[a-z]{20,}")


def price_of(model: str) -> ModelPrice:
    """Return the price of a model.

    Args:
        model: Name as the gateway knows it; provider prefixes such as ``openai/`` are ignored.

    Raises:
        InvalidInput: The model is not in the table; unknown is never free.
    """
    price = PRICES.get(model) or PRICES.get(model.rsplit("/", 1)[-1])
    if price is None:
        raise InvalidInput(
            "model",
            f"no price is known for {model!r}",
            "Use a model of `radiant_dagster/domain/prices.py`, for instance 'gpt-4o' or "
            "'gpt-4o-mini', or alias yours to one of them in the LiteLLM proxy.",
        )
    return price


def known_models() -> frozenset[str]:
    """Return the chat models whose price is known."""
    return frozenset(name for name, price in PRICES.items() if price.dimensions is None)


def cost_micro_usd(model: str, prompt_tokens: int, completion_tokens: int) -> int:
    """Return what a call costs, in micro-USD, rounded up.

    Args:
        model: Name as the gateway knows it.
        prompt_tokens: Tokens sent, as the provider counted them.
        completion_tokens: Tokens received.

    Raises:
        InvalidInput: Unknown model, or a negative count.
    """
    if prompt_tokens < 0 or completion_tokens < 0:
        raise InvalidInput("tokens", "a count is negative", "Pass the provider's usage.")
    price = price_of(model)
    long = price.long_from is not None and prompt_tokens > price.long_from
    input_rate = price.long_input_rate if long else price.input_rate
    output_rate = max(price.output_rate, price.long_output_rate) if long else price.output_rate
    return -(-(prompt_tokens * input_rate + completion_tokens * output_rate) // MILLION)


def counted_characters(text: str) -> int:
    """Return the length of a text for `estimate`: characters that tokenize badly count more.

    Lower-case letters and spaces count once, other ASCII and unbroken runs of letters twice
    (a token each), everything else twice for each UTF-8 byte, which no byte-level tokenizer
    exceeds.
    """
    plain = len(PLAIN.findall(text))
    ascii_only = sum(character < "\x80" for character in text)
    unbroken = sum(len(run) for run in UNBROKEN.findall(text))
    wide_bytes = len(text.encode("utf-8", "surrogatepass")) - ascii_only
    return plain + unbroken + 2 * (ascii_only - plain) + 2 * wide_bytes


def estimate_tokens(messages_characters: int) -> int:
    """Return an upper bound of the prompt's tokens."""
    return -(-messages_characters // CHARACTERS_PER_TOKEN) + MESSAGE_OVERHEAD_TOKENS


def estimate(messages_characters: int, max_tokens: int, model: str) -> int:
    """Return the most a call can cost, in micro-USD.

    Args:
        messages_characters: `counted_characters` of all messages together.
        max_tokens: What is sent along as the bound of the answer.
        model: The dearest model that may answer.

    Raises:
        InvalidInput: Unknown model.
    """
    return cost_micro_usd(model, estimate_tokens(messages_characters), max_tokens)


@dataclass(frozen=True, slots=True)
class SessionEstimate:
    """The most a session can cost, by step.

    Args:
        total_micro_usd: Sum of all parts.
        per_agent: Micro-USD by ``agent_id``.
        synthesis: Micro-USD of one synthesis call.
        librarian: Micro-USD of one Librarian call.
    """

    total_micro_usd: int
    per_agent: dict[str, int]
    synthesis: int
    librarian: int


def estimate_session(
    agents: Sequence[AgentConfig],
    prompt_characters: int,
    context_characters: int,
    synthesis_model: str,
    librarian_model: str,
    *,
    fallback_synthesis_model: str | None = None,
) -> SessionEstimate:
    """Return the most a session can cost when every call is made once.

    Args:
        agents: The swarm.
        prompt_characters: `counted_characters` of the question as JSON, as it is sent.
        context_characters: `counted_characters` of the documents as JSON and of the caller's
            system prompt.
        synthesis_model: Model that writes the single answer.
        librarian_model: Model that distils a heuristic.
        fallback_synthesis_model: Model that writes it instead; the dearer of both is reserved.

    Raises:
        InvalidInput: A model has no known price; nothing has been spent.
    """
    per_agent = {
        agent.agent_id: estimate(
            prompt_characters
            + context_characters
            + counted_characters(agent.instructions + agent.role)
            + AGENT_EXTRA_CHARACTERS,
            agent.max_tokens,
            agent.model,
        )
        for agent in agents
    }
    merged_characters = (
        prompt_characters
        + SYNTHESIS_EXTRA_CHARACTERS
        + sum(_answer_characters(agent) for agent in agents)
    )
    synthesis = max(
        estimate(merged_characters, SYNTHESIS_MAX_TOKENS, model)
        for model in (synthesis_model, fallback_synthesis_model or synthesis_model)
    )
    librarian = estimate(
        2 * LIBRARIAN_CHARACTERS + LIBRARIAN_EXTRA_CHARACTERS, LIBRARIAN_MAX_TOKENS, librarian_model
    )
    return SessionEstimate(
        total_micro_usd=sum(per_agent.values()) + synthesis + librarian,
        per_agent=per_agent,
        synthesis=synthesis,
        librarian=librarian,
    )


def _answer_characters(agent: AgentConfig) -> int:
    # Written by a model, so no longer than its tokens; English has at most about six characters a
    # token. The synthesis cuts it to its own cap, counted the same way.
    return min(2 * MAX_ANSWER_TOKENS_IN_SYNTHESIS, 6 * agent.max_tokens) + 200
