"""What a model call costs, and the most it can cost before it is made.

A reservation is only as good as its estimate: a budget holds under any concurrency as long as no
call costs more than was reserved for it. So estimates here are upper bounds by rule: text is
counted so that no common tokenizer needs more tokens, the answer is assumed to use all of
``max_tokens``, and a model without a known price is refused, never free. What budgets are made of
is in `limits`.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from radiant_dagster.domain.extraction import LIBRARIAN_RULES
from radiant_dagster.domain.output_schema import MAX_PATH_CHARACTERS, REPAIR_RULES
from radiant_dagster.domain.price_list import CHECKED_IN, PriceTable
from radiant_dagster.domain.prompts import AGENT_RULES, SCHEMA_RULES, SYNTHESIS_RULES
from radiant_dagster.domain.selection import BLOCK_TOKENS
from radiant_dagster.domain.swarm import MAX_ANSWER_TOKENS_IN_SYNTHESIS, AgentConfig
from radiant_dagster.domain.tools import (
    CALL_OVERHEAD_TOKENS,
    DEFAULT_ROUNDS,
    MAX_DEFINITION_COUNTED,
    MAX_ROUND_COUNTED,
    MOST_CALLS_A_ROUND,
    PROMPT_OVERHEAD_TOKENS,
    TOOL_RULES,
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
PLAIN = b"abcdefghijklmnopqrstuvwxyz "
WIDE = bytes(range(0x80, 0x100))  # what characters beyond ASCII are made of in UTF-8
UNBROKEN = re.compile(r"[a-z]{20,}")

# From a session's last deadline to the sweep: for a sensor that was away or a worker that is busy.
EXPIRY_MARGIN_SECONDS = 3_600

Purpose = Literal["agent", "synthesis", "librarian", "embedding"]
SYNTHESIS_CALL = "synthesis"
LIBRARIAN_CALL = "librarian"
CONSULT_CALL = "embedding:consult"
AGREEMENT_CALL = "embedding:agreement"
TRIGGER_CALL = "embedding:librarian"
SEARCH_CALL = "embedding:tool"  # not planned: an agent may search or not
BROKEN_REPLIES = 2  # a reply that breaks its schema is asked for once more: two calls are held

# Most tokens of one text that an embedding model is sent; OpenAI's read 8,191.
EMBEDDING_MAX_TOKENS = 8_000
TRIGGER_CHARACTERS = 300  # longest trigger pattern of a heuristic


def agent_call(agent_id: str) -> str:
    """Return the ledger's name of an agent's calls."""
    return f"agent:{agent_id}"


def known_models() -> frozenset[str]:
    """Return the chat models whose price is known."""
    return CHECKED_IN.chat_models()


def cost_micro_usd(
    model: str, prompt_tokens: int, completion_tokens: int, prices: PriceTable = CHECKED_IN
) -> int:
    """Return what a call costs, in micro-USD, rounded up.

    Args:
        model: Name as the gateway knows it.
        prompt_tokens: Tokens sent, as the provider counted them.
        completion_tokens: Tokens received.
        prices: This deployment's.

    Raises:
        InvalidInput: Unknown model, or a negative count.
    """
    if prompt_tokens < 0 or completion_tokens < 0:
        raise InvalidInput("tokens", "a count is negative", "Pass the provider's usage.")
    price = prices.price_of(model)
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
    encoded = text.encode("utf-8", "surrogatepass")
    # By what is left without them, which is six times as fast as a loop over characters.
    plain = len(encoded) - len(encoded.translate(None, PLAIN))
    ascii_only = len(encoded.translate(None, WIDE))
    unbroken = sum(len(run) for run in UNBROKEN.findall(text))
    wide_bytes = len(encoded) - ascii_only
    return plain + unbroken + 2 * (ascii_only - plain) + 2 * wide_bytes


def estimate_tokens(messages_characters: int) -> int:
    """Return an upper bound of the prompt's tokens."""
    return -(-messages_characters // CHARACTERS_PER_TOKEN) + MESSAGE_OVERHEAD_TOKENS


def estimate(
    messages_characters: int, max_tokens: int, model: str, prices: PriceTable = CHECKED_IN
) -> int:
    """Return the most a call can cost, in micro-USD, whichever model answers it.

    Args:
        messages_characters: `counted_characters` of all messages together.
        max_tokens: What is sent along as the bound of the answer.
        model: The model asked for; the gateway may fall back to those of `prices.fallbacks`.
        prices: This deployment's.

    Raises:
        InvalidInput: Unknown model.
    """
    return most_micro_usd(model, estimate_tokens(messages_characters), max_tokens, prices)


def most_micro_usd(
    model: str, prompt_tokens: int, completion_tokens: int, prices: PriceTable = CHECKED_IN
) -> int:
    """Return what a call costs, in micro-USD, at the dearest model that may answer it."""
    return max(
        cost_micro_usd(name, prompt_tokens, completion_tokens, prices)
        for name in prices.may_answer(model)
    )


def estimate_embedding(texts: Sequence[str], model: str, prices: PriceTable = CHECKED_IN) -> int:
    """Return the most that embedding texts can cost, in micro-USD.

    Raises:
        InvalidInput: Unknown model.
    """
    tokens = sum(_embedding_tokens(counted_characters(text)) for text in texts)
    return cost_micro_usd(model, tokens, 0, prices)


def _embedding_tokens(characters: int) -> int:
    return min(estimate_tokens(characters), EMBEDDING_MAX_TOKENS + MESSAGE_OVERHEAD_TOKENS)


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that a session will make, as the ledger holds money for it.

    Args:
        call: Its name within the session, for instance ``agent:skeptic``.
        agent_id: The agent that calls, None for the others.
        model: That may be called; several with commas.
        estimate: The most one attempt can cost, in micro-USD.
        times: How many attempts are held.
    """

    call: str
    purpose: Purpose
    agent_id: str | None
    model: str
    estimate: int
    times: int = 1


@dataclass(frozen=True, slots=True)
class SessionEstimate:
    """The most a session can cost, by step.

    Args:
        total_micro_usd: Sum of all parts.
        per_agent: Micro-USD by ``agent_id``.
        synthesis: Micro-USD of the synthesis, its repair included.
        librarian: Micro-USD of the Librarian, its repair included.
        embeddings: Micro-USD of all embeddings, 0 where the model runs on this machine.
        calls: The same, call by call.
    """

    total_micro_usd: int
    per_agent: dict[str, int]
    synthesis: int
    librarian: int
    embeddings: int
    calls: tuple[PlannedCall, ...]


def estimate_session(
    agents: Sequence[AgentConfig],
    prompt_characters: int,
    context_characters: int,
    synthesis_model: str,
    librarian_model: str,
    *,
    fallback_synthesis_model: str | None = None,
    embedding_model: str | None = None,
    prices: PriceTable = CHECKED_IN,
    tool_rounds: int = DEFAULT_ROUNDS,
) -> SessionEstimate:
    """Return the most a session can cost when no call has to be made again after a fault.

    Args:
        agents: The swarm.
        prompt_characters: `counted_characters` of the question as JSON, as it is sent.
        context_characters: `counted_characters` of the documents as JSON and of the caller's
            system prompt.
        synthesis_model: Model that writes the single answer.
        librarian_model: Model that distils a heuristic.
        fallback_synthesis_model: Model that writes it instead; the dearer of both is reserved.
        embedding_model: Model whose calls are paid for, None where it runs on this machine.
        prices: This deployment's.
        tool_rounds: Most model calls of an agent that has tools.

    Raises:
        InvalidInput: A model has no known price; nothing has been spent.
    """
    of_agents = tuple(
        call
        for agent in agents
        for call in _calls_of_agent(
            agent, prompt_characters + context_characters, prices, tool_rounds
        )
    )
    merged_characters = (
        prompt_characters
        + SYNTHESIS_EXTRA_CHARACTERS
        + sum(_answer_characters(agent) for agent in agents)
    )
    synthesisers = tuple(
        dict.fromkeys((synthesis_model, fallback_synthesis_model or synthesis_model))
    )
    synthesis = max(
        estimate(merged_characters, SYNTHESIS_MAX_TOKENS, model, prices) for model in synthesisers
    )
    librarian = estimate(
        2 * LIBRARIAN_CHARACTERS + LIBRARIAN_EXTRA_CHARACTERS,
        LIBRARIAN_MAX_TOKENS,
        librarian_model,
        prices,
    )
    calls = (
        *of_agents,
        PlannedCall(
            SYNTHESIS_CALL, "synthesis", None, ",".join(synthesisers), synthesis, BROKEN_REPLIES
        ),
        PlannedCall(LIBRARIAN_CALL, "librarian", None, librarian_model, librarian, BROKEN_REPLIES),
    )
    embeddings = _planned_embeddings(agents, prompt_characters, embedding_model, prices)
    return SessionEstimate(
        total_micro_usd=sum(call.estimate * call.times for call in (*calls, *embeddings)),
        per_agent={
            agent.agent_id: sum(
                call.estimate for call in of_agents if call.agent_id == agent.agent_id
            )
            for agent in agents
        },
        synthesis=BROKEN_REPLIES * synthesis,
        librarian=BROKEN_REPLIES * librarian,
        embeddings=sum(call.estimate for call in embeddings),
        calls=(*calls, *embeddings),
    )


def _planned_embeddings(
    agents: Sequence[AgentConfig], prompt_characters: int, model: str | None, prices: PriceTable
) -> tuple[PlannedCall, ...]:
    if model is None:
        return ()
    tokens = {
        CONSULT_CALL: _embedding_tokens(prompt_characters),
        AGREEMENT_CALL: sum(_embedding_tokens(6 * agent.max_tokens) for agent in agents),
        TRIGGER_CALL: _embedding_tokens(8 * TRIGGER_CHARACTERS),
    }
    return tuple(
        PlannedCall(call, "embedding", None, model, cost_micro_usd(model, count, 0, prices))
        for call, count in tokens.items()
    )


def _calls_of_agent(
    agent: AgentConfig, shared_characters: int, prices: PriceTable, tool_rounds: int
) -> tuple[PlannedCall, ...]:
    """Return the calls that an agent's turn can need: its rounds with tools, and a repair."""
    characters = (
        shared_characters
        + counted_characters(agent.instructions + agent.role)
        + AGENT_EXTRA_CHARACTERS
    )
    if agent.output_schema is not None:
        # Sent twice, in the rules and as the response format.
        characters += 2 * counted_characters(SCHEMA_RULES + json.dumps(agent.output_schema))
    estimates = _rounds(agent, characters, prices, tool_rounds)
    if agent.output_schema is not None:
        # An answer that does not fit is repaired once, and sent along for that.
        repaired = 6 * agent.max_tokens + 2 * (len(REPAIR_RULES) + MAX_PATH_CHARACTERS + 200)
        estimates += _rounds(agent, characters + repaired, prices, tool_rounds)
    return tuple(
        PlannedCall(agent_call(agent.agent_id), "agent", agent.agent_id, agent.model, most)
        for most in estimates
    )


def _rounds(
    agent: AgentConfig, characters: int, prices: PriceTable, tool_rounds: int
) -> tuple[int, ...]:
    if not agent.tools:
        return (estimate(characters, agent.max_tokens, agent.model, prices),)
    defined = len(agent.tools) * MAX_DEFINITION_COUNTED + 2 * len(TOOL_RULES)
    first = estimate_tokens(characters + defined) + PROMPT_OVERHEAD_TOKENS
    # Every round sends again what the rounds before it brought: the model's turn and the results.
    growth = (
        agent.max_tokens
        + estimate_tokens(MAX_ROUND_COUNTED)
        + MOST_CALLS_A_ROUND * CALL_OVERHEAD_TOKENS
    )
    return tuple(
        most_micro_usd(agent.model, first + number * growth, agent.max_tokens, prices)
        for number in range(tool_rounds)
    )


def _answer_characters(agent: AgentConfig) -> int:
    # Written by a model, so no longer than its tokens; English has at most about six characters a
    # token. The synthesis cuts it to its own cap, counted the same way.
    return min(2 * MAX_ANSWER_TOKENS_IN_SYNTHESIS, 6 * agent.max_tokens) + 200
