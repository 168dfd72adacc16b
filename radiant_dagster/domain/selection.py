"""Which heuristics a prompt gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from radiant_dagster.domain.heuristics import Polarity
from radiant_dagster.domain.posterior import similarity_of_texts
from radiant_dagster.domain.swarm import InjectedHeuristic

MAX_DO = 3
MAX_AVOID = 2
BLOCK_TOKENS = 600  # of all offered heuristics together; a token is at least two characters
CANDIDATES_PER_SLOT = 4
MMR_LAMBDA = 0.7  # measured on CLINC150: hit@5 .961 -> .969
# Two heuristics that say one thing: their triggers this close and their actions this much alike.
# Triggers alone do not tell: equal triggers with different advice are two lessons. 0.95 is where no
# pair of CLINC150 or Banking77 joined different intents.
NEAR_COPY_TRIGGERS = 0.95
NEAR_COPY_ACTIONS = 0.6


@dataclass(frozen=True, slots=True)
class Candidate:
    """A heuristic found near a prompt.

    Args:
        similarity: Cosine of prompt and trigger, -1 to 1.
        confidence: Posterior mean, 0 to 1.
        embedding: The trigger's vector, L2-normalised.
    """

    id: UUID
    polarity: Polarity
    trigger_pattern: str
    action_template: str
    similarity: float
    confidence: float
    embedding: Sequence[float]


@dataclass(frozen=True, slots=True)
class Offered:
    """A heuristic as it is offered to every agent of a session."""

    number: int
    id: UUID
    polarity: Polarity
    trigger_pattern: str
    action_template: str
    similarity: float

    def injected(self) -> InjectedHeuristic:
        """Return the part an agent sees."""
        return InjectedHeuristic(
            self.number, self.polarity, self.trigger_pattern, self.action_template
        )


def select(candidates: Sequence[Candidate], *, floor: float) -> tuple[Offered, ...]:
    """Choose what a prompt gets: at most 3 do and 2 avoid, within the token budget.

    Relevance is similarity x posterior mean; maximal marginal relevance (Carbonell and Goldstein,
    1998) with lambda 0.7 prefers what is different, and of near copies only the best is taken.

    Args:
        candidates: Active heuristics of the tenant and domain, in any order.
        floor: Least similarity; belongs to the embedding model.

    Returns:
        Numbered from 1 in the order of choice.
    """
    pool = [item for item in candidates if item.similarity >= floor]
    chosen: list[Candidate] = []
    room = {"do": MAX_DO, "avoid": MAX_AVOID}
    tokens = BLOCK_TOKENS
    while pool:
        best = max(pool, key=lambda item: (_marginal_relevance(item, chosen), str(item.id)))
        pool.remove(best)
        cost = (len(best.trigger_pattern) + len(best.action_template)) // 2
        if room[best.polarity] == 0 or cost > tokens:
            continue
        if any(near_copies(best, other) for other in chosen):
            continue
        room[best.polarity] -= 1
        tokens -= cost
        chosen.append(best)
    return tuple(
        Offered(n, c.id, c.polarity, c.trigger_pattern, c.action_template, c.similarity)
        for n, c in enumerate(chosen, start=1)
    )


def _marginal_relevance(item: Candidate, chosen: Sequence[Candidate]) -> float:
    relevance = item.similarity * item.confidence
    nearest = max((cosine(item.embedding, other.embedding) for other in chosen), default=0.0)
    return MMR_LAMBDA * relevance - (1 - MMR_LAMBDA) * nearest


def near_copies(a: Candidate, b: Candidate) -> bool:
    """Tell whether two candidates give the same advice for the same occasion."""
    return (
        a.polarity == b.polarity
        and cosine(a.embedding, b.embedding) >= NEAR_COPY_TRIGGERS
        and similarity_of_texts(a.action_template, b.action_template) >= NEAR_COPY_ACTIONS
    )


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the cosine similarity of two vectors of one length; 0 for a zero vector."""
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    norm = (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5
    return dot / norm if norm else 0.0
