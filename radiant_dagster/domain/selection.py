"""Which heuristics a prompt gets."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from operator import mul
from uuid import UUID

from radiant_dagster.domain.heuristics import Polarity
from radiant_dagster.domain.posterior import similarity_of_texts
from radiant_dagster.domain.prompts import InjectedHeuristic

MAX_DO = 3
MAX_AVOID = 2
BLOCK_TOKENS = 600  # of all offered heuristics together; a token is at least two characters
CANDIDATES_PER_SLOT = 4
MMR_LAMBDA = 0.7  # measured: hit@5 .961 -> .967 (CLINC150), .930 -> .945 (Banking77)
TOKEN_WEIGHT = 0.2  # of exact tokens beside meaning: no significant change of nDCG on CLINC150
# Codes, doses, drug names with a number, sections of a statute: what meaning alone blurs.
EXACT_TOKEN = re.compile(r"[^\W_]+(?:[-./][^\W_]+)*")
MOST_TOKENS = 16
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
        unchanged: Its text is, to the letter, what was let through.
        tokens: Share of the prompt's exact tokens that it holds, 0 to 1.
    """

    id: UUID
    polarity: Polarity
    trigger_pattern: str
    action_template: str
    similarity: float
    confidence: float
    embedding: Sequence[float]
    unchanged: bool = True
    tokens: float = 0.0

    @property
    def fit(self) -> float:
        """Return the similarity, lifted where exact tokens are shared; never lowered."""
        blend = (1 - TOKEN_WEIGHT) * self.similarity + TOKEN_WEIGHT * self.tokens
        return max(self.similarity, blend) if self.tokens else self.similarity

    @property
    def relevance(self) -> float:
        """Return squared fit x posterior mean.

        Squared, or a proven heuristic for another kind of question beats an untried one for this
        kind: with 10 % bad heuristics on Banking77 plain fit answered fewer held-out questions than
        no learning at all (-.033), the square more (+.020). A lower bound instead of the mean was
        measured worse.
        """
        return max(0.0, self.fit) ** 2 * self.confidence


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


def select(
    candidates: Sequence[Candidate],
    *,
    floor: float,
    rivals: Collection[frozenset[UUID]] = frozenset(),
) -> tuple[Offered, ...]:
    """Choose what a prompt gets: at most 3 do and 2 avoid, within the token budget.

    Relevance is squared similarity x posterior mean; maximal marginal relevance with lambda 0.7
    prefers what is different, and of near copies only the best is taken. A text that is not what
    was let through is never taken.

    Args:
        candidates: Active heuristics of the tenant and domain, in any order.
        floor: Least similarity; belongs to the embedding model.
        rivals: Pairs that wait for a curator's word; of each only the more relevant is taken.

    Returns:
        Numbered from 1 in the order of choice.
    """
    fit = [item for item in candidates if item.unchanged and item.fit >= floor]
    chosen: list[Candidate] = []
    room = {"do": MAX_DO, "avoid": MAX_AVOID}
    tokens = BLOCK_TOKENS

    def take(item: Candidate) -> bool:
        nonlocal tokens
        cost = (len(item.trigger_pattern) + len(item.action_template)) // 2
        if room[item.polarity] == 0 or cost > tokens:
            return False
        if any(near_copies(item, other) for other in chosen):
            return False
        room[item.polarity] -= 1
        tokens -= cost
        chosen.append(item)
        return True

    by_marginal_relevance(_without_lesser_rivals(fit, rivals), most=MAX_DO + MAX_AVOID, take=take)
    return tuple(
        Offered(n, c.id, c.polarity, c.trigger_pattern, c.action_template, c.similarity)
        for n, c in enumerate(chosen, start=1)
    )


def _without_lesser_rivals(
    candidates: Sequence[Candidate], rivals: Collection[frozenset[UUID]]
) -> list[Candidate]:
    kept: list[Candidate] = []
    for item in sorted(candidates, key=lambda c: (-c.relevance, str(c.id))):
        if not any(frozenset((item.id, other.id)) in rivals for other in kept):
            kept.append(item)
    return kept


def by_marginal_relevance(
    candidates: Sequence[Candidate],
    *,
    most: int,
    take: Callable[[Candidate], bool] = lambda _: True,
) -> list[Candidate]:
    """Order candidates by maximal marginal relevance (Carbonell and Goldstein, 1998).

    Args:
        candidates: In any order.
        most: How many are wanted.
        take: Told of each in turn; one that it declines does not repel those after it.

    Returns:
        What was taken, the most relevant first.
    """
    # 0.06 s to import, and only consulting needs it. One product instead of a hundred cosines.
    import numpy as np

    pool = sorted(candidates, key=lambda item: str(item.id))
    if not pool:
        return []
    vectors = np.asarray([item.embedding for item in pool], dtype=float)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    alike = vectors @ vectors.T
    relevance = np.asarray([item.relevance for item in pool])
    nearest = np.zeros(len(pool))  # to what was taken
    open_ = np.ones(len(pool), dtype=bool)
    taken: list[Candidate] = []
    while open_.any() and len(taken) < most:
        scores = MMR_LAMBDA * relevance - (1 - MMR_LAMBDA) * nearest
        # Of equal ones the greatest id: argmax finds the first of the reversed order.
        scores = np.where(open_, scores, -np.inf)
        best = len(pool) - 1 - int(np.argmax(scores[::-1]))
        open_[best] = False
        if take(pool[best]):
            nearest = np.maximum(nearest, alike[best]) if taken else alike[best]
            taken.append(pool[best])
    return taken


def exact_tokens(text: str) -> tuple[str, ...]:
    """Return a text's words of three characters or more that hold a digit or a hyphen.

    Returns:
        At most 16, in lower case, without doubles, in their order.
    """
    words = (word.casefold() for word in EXACT_TOKEN.findall(text))
    found = (w for w in words if len(w) > 2 and ("-" in w or any(c.isdigit() for c in w)))
    return tuple(dict.fromkeys(found))[:MOST_TOKENS]


def near_copies(a: Candidate, b: Candidate) -> bool:
    """Tell whether two candidates give the same advice for the same occasion."""
    return (
        a.polarity == b.polarity
        and cosine(a.embedding, b.embedding) >= NEAR_COPY_TRIGGERS
        and similarity_of_texts(a.action_template, b.action_template) >= NEAR_COPY_ACTIONS
    )


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the cosine similarity of two vectors of one length; 0 for a zero vector."""
    if len(a) != len(b):
        raise ValueError("one vector is shorter than the other")
    norm = (sum(map(mul, a, a)) * sum(map(mul, b, b))) ** 0.5
    return sum(map(mul, a, b)) / norm if norm else 0.0
