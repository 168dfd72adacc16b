"""What a model call costs, and the most it can cost before it is made.

A reservation is only as good as its estimate: a budget holds under any concurrency as long as no
call costs more than was reserved for it. So estimates here are upper bounds by rule: text is
counted so that no common tokenizer needs more tokens, the answer is assumed to use all of
``max_tokens``, and a model without a known price is refused, never free.

The second half is the ledger's arithmetic: what fits, and what closing a reservation moves.

    held -> settled | released | expired     a late settle or release corrects the last two
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Literal

from radiant_dagster.domain.heuristics import BLOCK_TOKENS, LIBRARIAN_RULES
from radiant_dagster.domain.output_schema import MAX_PATH_CHARACTERS, REPAIR_RULES
from radiant_dagster.domain.price_list import CHECKED_IN, PriceTable
from radiant_dagster.domain.prices import ModelPrice
from radiant_dagster.domain.swarm import (
    AGENT_RULES,
    MAX_ANSWER_TOKENS_IN_SYNTHESIS,
    SCHEMA_RULES,
    SYNTHESIS_RULES,
    AgentConfig,
)
from radiant_dagster.domain.tools import (
    CALL_OVERHEAD_TOKENS,
    DEFAULT_ROUNDS,
    MAX_DEFINITION_COUNTED,
    MAX_ROUND_COUNTED,
    MOST_CALLS_A_ROUND,
    PROMPT_OVERHEAD_TOKENS,
    TOOL_RULES,
)
from radiant_dagster.errors import BudgetExceeded, InvalidInput

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

Scope = Literal["day", "month"]
SCOPES: tuple[Scope, ...] = ("day", "month")
# Of a new tenant: far more than a clinic asks in a day, far less than a runaway script could spend.
DEFAULT_LIMITS_MICRO_USD: dict[Scope, int] = {"day": 500 * MILLION, "month": 5_000 * MILLION}
MOST_LIMIT_USD = 10_000_000

ReservationState = Literal["held", "settled", "released", "expired"]
# From a session's last deadline to the sweep: for a sensor that was away or a worker that is busy.
EXPIRY_MARGIN_SECONDS = 3_600


def price_of(model: str, prices: PriceTable = CHECKED_IN) -> ModelPrice:
    """Return the price of a model, see `PriceTable.price_of`.

    Raises:
        InvalidInput: The model is not in the table; unknown is never free.
    """
    return prices.price_of(model)


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
    plain = len(PLAIN.findall(text))
    ascii_only = sum(character < "\x80" for character in text)
    unbroken = sum(len(run) for run in UNBROKEN.findall(text))
    wide_bytes = len(text.encode("utf-8", "surrogatepass")) - ascii_only
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
    tokens = estimate_tokens(messages_characters)
    return max(
        cost_micro_usd(name, tokens, max_tokens, prices) for name in prices.may_answer(model)
    )


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
    prices: PriceTable = CHECKED_IN,
    tool_rounds: int = DEFAULT_ROUNDS,
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
        prices: This deployment's.
        tool_rounds: Most model calls of an agent that has tools.

    Raises:
        InvalidInput: A model has no known price; nothing has been spent.
    """
    per_agent = {
        agent.agent_id: _estimate_agent(
            agent, prompt_characters + context_characters, prices, tool_rounds
        )
        for agent in agents
    }
    merged_characters = (
        prompt_characters
        + SYNTHESIS_EXTRA_CHARACTERS
        + sum(_answer_characters(agent) for agent in agents)
    )
    synthesis = max(
        estimate(merged_characters, SYNTHESIS_MAX_TOKENS, model, prices)
        for model in (synthesis_model, fallback_synthesis_model or synthesis_model)
    )
    librarian = estimate(
        2 * LIBRARIAN_CHARACTERS + LIBRARIAN_EXTRA_CHARACTERS,
        LIBRARIAN_MAX_TOKENS,
        librarian_model,
        prices,
    )
    return SessionEstimate(
        total_micro_usd=sum(per_agent.values()) + synthesis + librarian,
        per_agent=per_agent,
        synthesis=synthesis,
        librarian=librarian,
    )


def _estimate_agent(
    agent: AgentConfig, shared_characters: int, prices: PriceTable, tool_rounds: int
) -> int:
    """Return the most an agent's turn can cost: all its rounds with tools, and a repair."""
    characters = (
        shared_characters
        + counted_characters(agent.instructions + agent.role)
        + AGENT_EXTRA_CHARACTERS
    )
    if agent.output_schema is not None:
        # Sent twice, in the rules and as the response format.
        characters += 2 * counted_characters(SCHEMA_RULES + json.dumps(agent.output_schema))
    turn = _turn_estimate(agent, characters, prices, tool_rounds)
    if agent.output_schema is None:
        return turn
    # An answer that does not fit is repaired once, and sent along for that.
    repaired = 6 * agent.max_tokens + 2 * (len(REPAIR_RULES) + MAX_PATH_CHARACTERS + 200)
    return turn + _turn_estimate(agent, characters + repaired, prices, tool_rounds)


def _turn_estimate(
    agent: AgentConfig, characters: int, prices: PriceTable, tool_rounds: int
) -> int:
    if not agent.tools:
        return estimate(characters, agent.max_tokens, agent.model, prices)
    defined = len(agent.tools) * MAX_DEFINITION_COUNTED + 2 * len(TOOL_RULES)
    first = estimate_tokens(characters + defined) + PROMPT_OVERHEAD_TOKENS
    # Every round sends again what the rounds before it brought: the model's turn and the results.
    growth = (
        agent.max_tokens
        + estimate_tokens(MAX_ROUND_COUNTED)
        + MOST_CALLS_A_ROUND * CALL_OVERHEAD_TOKENS
    )
    return sum(
        cost_micro_usd(agent.model, first + number * growth, agent.max_tokens, prices)
        for number in range(tool_rounds)
    )


def _answer_characters(agent: AgentConfig) -> int:
    # Written by a model, so no longer than its tokens; English has at most about six characters a
    # token. The synthesis cuts it to its own cap, counted the same way.
    return min(2 * MAX_ANSWER_TOKENS_IN_SYNTHESIS, 6 * agent.max_tokens) + 200


@dataclass(frozen=True, slots=True)
class Account:
    """What may be spent in one period, what is, and what is held for calls to come."""

    scope: Scope
    period_key: str
    limit_micro_usd: int
    reserved_micro_usd: int = 0
    spent_micro_usd: int = 0

    @property
    def free_micro_usd(self) -> int:
        """What may still be held; negative where a limit was lowered below what is spent."""
        return self.limit_micro_usd - self.spent_micro_usd - self.reserved_micro_usd

    def moved(self, reserved: int, spent: int) -> "Account":
        """Return the account after a movement."""
        return Account(
            self.scope,
            self.period_key,
            self.limit_micro_usd,
            self.reserved_micro_usd + reserved,
            self.spent_micro_usd + spent,
        )


def period_key(scope: Scope, now: datetime) -> str:
    """Return the name of the period that a moment falls into, in UTC: 2026-11-22 or 2026-11."""
    return now.astimezone(UTC).strftime("%Y-%m-%d" if scope == "day" else "%Y-%m")


def resets_at(scope: Scope, now: datetime) -> datetime:
    """Return when the next period begins."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if scope == "day":
        return midnight + timedelta(days=1)
    return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)


def require_fits(accounts: Sequence[Account], needed_micro_usd: int, now: datetime) -> None:
    """Refuse an amount that does not fit every account.

    Raises:
        BudgetExceeded: Names the first scope that is too small; nothing has been spent.
    """
    for account in accounts:
        if needed_micro_usd > account.free_micro_usd:
            raise BudgetExceeded(
                account.scope,
                needed_micro_usd=needed_micro_usd,
                limit_micro_usd=account.limit_micro_usd,
                spent_micro_usd=account.spent_micro_usd,
                reserved_micro_usd=account.reserved_micro_usd,
                resets_at=resets_at(account.scope, now),
            )


@dataclass(frozen=True, slots=True)
class Standing:
    """How a reservation stands: its estimate is held, or its actual amount is charged."""

    state: ReservationState
    estimate_micro_usd: int
    actual_micro_usd: int = 0

    @property
    def reserved_micro_usd(self) -> int:
        """What it holds in its accounts."""
        return self.estimate_micro_usd if self.state == "held" else 0


def settled(standing: Standing, actual_micro_usd: int) -> Standing:
    """Return a reservation charged with what was really spent; nothing spent releases it."""
    state: ReservationState = "settled" if actual_micro_usd else "released"
    return Standing(state, standing.estimate_micro_usd, actual_micro_usd)


def expired(standing: Standing) -> Standing:
    """Return an abandoned reservation charged with its estimate, which may have been billed."""
    if standing.state != "held":
        return standing
    return Standing("expired", standing.estimate_micro_usd, standing.estimate_micro_usd)


def movement(before: Standing, after: Standing) -> tuple[int, int]:
    """Return what a change adds to the reserved and to the spent amount of its accounts."""
    return (
        after.reserved_micro_usd - before.reserved_micro_usd,
        after.actual_micro_usd - before.actual_micro_usd,
    )


def share_cost(cost_micro_usd: int, standings: Sequence[Standing]) -> tuple[int, ...]:
    """Divide what a session cost among its reservations, oldest first.

    Those that are settled keep what they were charged, a swept one pays up to its estimate, and the
    newest pays the rest, which may be more than it held where a call cost more than its estimate.

    Args:
        cost_micro_usd: All paid calls of the session.
        standings: One for the first execution, one for each re-execution.
    """
    left = cost_micro_usd
    shares: list[int] = []
    for standing in standings[:-1]:
        closed = standing.state in ("settled", "released")
        share = min(left, standing.actual_micro_usd if closed else standing.estimate_micro_usd)
        shares.append(share)
        left -= share
    return (*shares, left)[: len(standings)]


def parse_limit(text: str) -> int:
    """Return an amount that a person typed in US dollars, in micro-USD.

    Raises:
        InvalidInput: Not an amount, negative, finer than a micro-dollar or absurdly large.
    """
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("nan")
    fix = "Pass US dollars, for instance 25 or 0.50; 0 stops all spending."
    if not amount.is_finite():
        raise InvalidInput("limit", "is not an amount", fix)
    if amount < 0:
        raise InvalidInput("limit", "is negative", fix)
    if amount > MOST_LIMIT_USD:
        raise InvalidInput("limit", f"is more than ${MOST_LIMIT_USD:,}", fix)
    micro = amount * MILLION
    if micro != micro.to_integral_value():
        raise InvalidInput("limit", "has more than six decimals", fix)
    return int(micro)
