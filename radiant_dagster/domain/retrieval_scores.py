"""How good a ranking of heuristics is, and the lexical rankings it is compared with."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

CUT = 10  # of MRR and nDCG
RRF_K = 60  # Cormack, Clarke and Büttcher, 2009
BM25_K1, BM25_B = 1.5, 0.75
WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over questions, each 0 to 1."""

    hit_at_1: float
    hit_at_5: float
    mrr_at_10: float
    ndcg_at_10: float


def score(rankings: Sequence[tuple[Sequence[Hashable], Hashable, int]]) -> Scores:
    """Score rankings.

    Args:
        rankings: A question each: the labels of what was ranked, best first; the right label; how
            many of the stored have it.
    """
    hits1 = hits5 = mrr = ndcg = 0.0
    for labels, wanted, existing in rankings:
        right = [label == wanted for label in labels[:CUT]]
        hits1 += any(right[:1])
        hits5 += any(right[:5])
        mrr += next((1 / rank for rank, good in enumerate(right, start=1) if good), 0.0)
        ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(CUT, existing) + 1))
        gain = sum(good / math.log2(rank + 1) for rank, good in enumerate(right, start=1))
        ndcg += gain / ideal if ideal else 0.0
    n = max(1, len(rankings))
    return Scores(hits1 / n, hits5 / n, mrr / n, ndcg / n)


def fused(rankings: Sequence[Sequence[int]], most: int) -> list[int]:
    """Join rankings by reciprocal rank fusion with k = 60."""
    points: dict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            points[item] += 1 / (RRF_K + rank)
    return sorted(points, key=lambda item: (-points[item], item))[:most]


class Bm25:
    """Okapi BM25 over a few thousand short texts, to compare with.

    Args:
        texts: What is ranked; results are positions in it.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        words = [WORD.findall(text.casefold()) for text in texts]
        mean = sum(map(len, words)) / max(1, len(words))
        self._postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for position, found in enumerate(words):
            length = BM25_K1 * (1 - BM25_B + BM25_B * len(found) / mean)
            for word, count in Counter(found).items():
                weight = count * (BM25_K1 + 1) / (count + length)
                self._postings[word].append((position, weight))
        self._count = len(texts)

    def scores(self, text: str) -> Mapping[int, float]:
        """Return the score of every text that shares a word."""
        found: dict[int, float] = defaultdict(float)
        for word in set(WORD.findall(text.casefold())):
            postings = self._postings.get(word, [])
            rarity = math.log(1 + (self._count - len(postings) + 0.5) / (len(postings) + 0.5))
            for position, weight in postings:
                found[position] += rarity * weight
        return found

    def ranking(self, text: str, most: int) -> list[int]:
        """Return the positions of the best texts, best first."""
        scores = self.scores(text)
        return sorted(scores, key=lambda item: (-scores[item], item))[:most]
