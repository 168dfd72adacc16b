"""What gives way when money is short, and where a simple question may start.

    as asked -> fewer tokens an answer -> cheaper models of the same roles -> fewer agents -> refuse

Each rung keeps what the rungs before it gave up, and costs less than they do. No rung goes below
the floor that the domain's policy sets, nor below the quorum of the swarm as it was asked for:
fewer answers could not be passed off as the panel's.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from radiant_dagster.domain.governor import SessionEstimate
from radiant_dagster.domain.sessions import DomainPolicy
from radiant_dagster.domain.swarm import AgentConfig, quorum

What = Literal["max_tokens", "model", "agent"]
Estimator = Callable[[Sequence[AgentConfig]], SessionEstimate]
"""Returns what a session with these agents can cost at most."""

BUDGET = "budget"
"""Why an agent got less, or was not asked at all: code in its row and in a downgrade."""

# Of a question that the rules below call simple. The default panel asks for 1,000 to 1,200, so this
# only bounds panels that were made for long answers.
SIMPLE_MAX_TOKENS = 1_024
SIMPLE_CHARACTERS = 400  # two or three sentences
SIMPLE_QUESTIONS = 1
SIMPLE_CLAUSES = 6
CLAUSE_END = re.compile(r"[,;:.?!]+(?=\s|$)|\n+")


@dataclass(frozen=True, slots=True)
class Downgrade:
    """One thing that an agent got less of than was asked.

    Args:
        what: ``max_tokens``, ``model``, or ``agent`` where it was not asked at all.
        agent_id: Whose.
        asked: What was asked for; the agent's role where it was not asked.
        given: What it got; None where it was not asked.
        why: Codes: ``budget``, or the reasons of `starting_rung`.
    """

    what: What
    agent_id: str
    asked: str | int
    given: str | int | None
    why: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as it is stored and shown."""
        return {
            "what": self.what,
            "agent_id": self.agent_id,
            "from": self.asked,
            "to": self.given,
            "why": list(self.why),
        }


@dataclass(frozen=True, slots=True)
class Rung:
    """One concrete plan of a session.

    Args:
        asked: The swarm as it was asked for.
        agents: Those that are asked, as they are asked.
        dropped: Ids of those that are not.
        downgrades: All differences from what was asked for.
        cost_micro_usd: The most that the session can cost then.
    """

    asked: tuple[AgentConfig, ...]
    agents: tuple[AgentConfig, ...]
    dropped: tuple[str, ...]
    downgrades: tuple[Downgrade, ...]
    cost_micro_usd: int


@dataclass(frozen=True, slots=True)
class Start:
    """Where a session starts on the ladder.

    Args:
        max_tokens: Cap of every answer, None to leave them as asked.
        reasons: Codes of what decided it.
    """

    max_tokens: int | None
    reasons: tuple[str, ...]


def starting_rung(
    prompt: str, *, documents: Mapping[str, Any], policy: DomainPolicy, from_panel: bool
) -> Start:
    """Tell whether a question is simple enough for shorter answers. Every rule is stated here.

    Conservative: one sign of difficulty is enough to leave everything as it was asked for.

    Args:
        prompt: The question.
        documents: What the agents read with it.
        policy: Of the question's domain; risky ones are never routed.
        from_panel: False where the caller spelled the agents out, and so wants them as they are.
    """
    signs = {
        "agents_spelled_out": not from_panel,
        "domain_not_routed": not policy.may_be_routed,
        "documents": bool(documents),
        "long_question": len(prompt) > SIMPLE_CHARACTERS,
        "several_questions": prompt.count("?") > SIMPLE_QUESTIONS,
        "many_clauses": len(CLAUSE_END.findall(prompt)) > SIMPLE_CLAUSES,
    }
    difficult = tuple(code for code, holds in signs.items() if holds)
    if difficult:
        return Start(None, difficult)
    return Start(SIMPLE_MAX_TOKENS, ("short_question", "no_documents", "low_risk"))


def fewest_agents(asked: int, policy: DomainPolicy) -> int:
    """Return how many agents have to be asked at least, of a number that was asked for."""
    return min(asked, max(2, quorum(asked), policy.lowest_agents))


def ladder(
    asked: Sequence[AgentConfig],
    policy: DomainPolicy,
    estimate: Estimator,
    cheaper: Mapping[str, str],
    *,
    start: Start,
    bought: frozenset[str] = frozenset(),
) -> tuple[Rung, ...]:
    """Return the rungs of a session, dearest first; there is always one.

    Args:
        asked: The swarm as it was asked for; its order is taken as that of importance.
        policy: Whose floors hold.
        estimate: What a swarm costs at most.
        cheaper: Model to the next cheaper one; without cycles.
        start: From `starting_rung`.
        bought: Agents whose answers are there already: they stay as they are.
    """
    steps = _Steps(tuple(asked), policy, estimate, cheaper, start, bought)
    first = steps.capped(tuple(asked), start.max_tokens)
    rungs = [steps.rung(first)]
    for agents in steps.downwards(first):
        rung = steps.rung(agents)
        # A rung that saves nothing only takes something away.
        if rung.cost_micro_usd < rungs[-1].cost_micro_usd:
            rungs.append(rung)
    return tuple(rungs)


def next_rung(rungs: Sequence[Rung], position: int, shortfall_micro_usd: int) -> int | None:
    """Return the next rung worth trying after a refusal.

    Args:
        rungs: From `ladder`.
        position: Of the rung that was refused.
        shortfall_micro_usd: How much too dear it was.

    Returns:
        The first rung that saves as much; else the last, so that the refusal names the least that
        is needed; None where that is the one refused.
    """
    affordable = rungs[position].cost_micro_usd - shortfall_micro_usd
    for number in range(position + 1, len(rungs)):
        if rungs[number].cost_micro_usd <= affordable:
            return number
    return len(rungs) - 1 if position < len(rungs) - 1 else None


@dataclass(frozen=True, slots=True)
class _Steps:
    asked: tuple[AgentConfig, ...]
    policy: DomainPolicy
    estimate: Estimator
    cheaper: Mapping[str, str]
    start: Start
    bought: frozenset[str]

    def downwards(self, agents: tuple[AgentConfig, ...]) -> Sequence[tuple[AgentConfig, ...]]:
        found: list[tuple[AgentConfig, ...]] = []
        cap = max(agent.max_tokens for agent in agents)
        while cap > self.policy.lowest_max_tokens:
            cap = max(cap // 2, self.policy.lowest_max_tokens)
            agents = self.capped(agents, cap)
            found.append(agents)
        while self.policy.cheaper_models and (cheaper := self.replaced(agents)) != agents:
            agents = cheaper
            found.append(agents)
        while len(agents) > fewest_agents(len(self.asked), self.policy):
            fewer = self.without_one(agents)
            if fewer == agents:
                break
            agents = fewer
            found.append(agents)
        return found

    def capped(self, agents: tuple[AgentConfig, ...], cap: int | None) -> tuple[AgentConfig, ...]:
        if cap is None:
            return agents
        most = max(cap, self.policy.lowest_max_tokens)
        return tuple(
            agent
            if agent.agent_id in self.bought
            else replace(agent, max_tokens=min(agent.max_tokens, most))
            for agent in agents
        )

    def replaced(self, agents: tuple[AgentConfig, ...]) -> tuple[AgentConfig, ...]:
        candidates = tuple(
            agent
            if agent.agent_id in self.bought
            else replace(agent, model=self.cheaper.get(agent.model, agent.model))
            for agent in agents
        )
        now, then = self.estimate(agents).per_agent, self.estimate(candidates).per_agent
        # By what this session would pay: a cheap model's fallback may be dear.
        return tuple(
            candidate if then[agent.agent_id] < now[agent.agent_id] else agent
            for agent, candidate in zip(agents, candidates, strict=True)
        )

    def without_one(self, agents: tuple[AgentConfig, ...]) -> tuple[AgentConfig, ...]:
        """Drop an agent whose role others have too, else the last: the roles stay diverse."""
        free = [agent for agent in agents if agent.agent_id not in self.bought]
        if not free:
            return agents
        roles = Counter(agent.role.strip().lower() for agent in agents)
        most = max(roles[agent.role.strip().lower()] for agent in free)
        gone = [agent for agent in free if roles[agent.role.strip().lower()] == most][-1]
        return tuple(agent for agent in agents if agent != gone)

    def rung(self, agents: tuple[AgentConfig, ...]) -> Rung:
        given = {agent.agent_id: agent for agent in agents}
        downgrades: list[Downgrade] = []
        for agent in self.asked:
            got = given.get(agent.agent_id)
            if got is None:
                downgrades.append(Downgrade("agent", agent.agent_id, agent.role, None, (BUDGET,)))
                continue
            if got.model != agent.model:
                downgrades.append(
                    Downgrade("model", agent.agent_id, agent.model, got.model, (BUDGET,))
                )
            if got.max_tokens != agent.max_tokens:
                downgrades.append(self._fewer_tokens(agent, got.max_tokens))
        return Rung(
            self.asked,
            agents,
            tuple(agent.agent_id for agent in self.asked if agent.agent_id not in given),
            tuple(downgrades),
            self.estimate(agents).total_micro_usd,
        )

    def _fewer_tokens(self, agent: AgentConfig, given: int) -> Downgrade:
        (capped,) = self.capped((agent,), self.start.max_tokens)
        why = self.start.reasons if capped.max_tokens == given else (BUDGET,)
        return Downgrade("max_tokens", agent.agent_id, agent.max_tokens, given, why)


def describe(downgrades: Sequence[Mapping[str, Any]], agents: int) -> tuple[str, ...]:
    """Return what was reduced, for people: who was not asked first, then who got less and why.

    Args:
        downgrades: As stored, see `Downgrade.to_dict`.
        agents: How many were asked for.
    """
    lines: list[str] = []
    dropped = [item["agent_id"] for item in downgrades if item["what"] == "agent"]
    if dropped:
        lines.append(
            f"{len(dropped)} of {agents} agents were not asked: budget ({', '.join(dropped)})."
        )
    groups: dict[str, list[str]] = {}
    for item in downgrades:
        if item["what"] == "agent":
            continue
        why = ", ".join(item["why"])
        unit = " tokens an answer" if item["what"] == "max_tokens" else ""
        change = f"{item['to']}{unit} instead of {item['from']} ({why})"
        groups.setdefault(change, []).append(item["agent_id"])
    lines += [f"Reduced: {', '.join(who)}: {change}." for change, who in groups.items()]
    return tuple(lines)


def plan_table(agents: Sequence[Mapping[str, Any]]) -> str:
    """Return what each agent was asked for and what it gets, as a Markdown table.

    Args:
        agents: Rows with ``agent_id``, ``model``, ``max_tokens``, ``downgraded_from`` and
            ``error_code``.
    """
    lines = ["agent | asked model | asked tokens | model | tokens", "--- | --- | --- | --- | ---"]
    for row in agents:
        asked = row["downgraded_from"] or row
        given = (row["model"], row["max_tokens"])
        if row["error_code"] == BUDGET:
            given = ("not asked (budget)", 0)
        cells = (row["agent_id"], asked["model"], asked["max_tokens"], *given)
        # A model's name is free text; it must not make cells of its own.
        lines.append(" | ".join(" ".join(str(cell).split()).replace("|", "/") for cell in cells))
    return "\n".join(lines)
