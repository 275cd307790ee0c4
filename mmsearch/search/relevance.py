"""How well a hit matches, as a number from 0 to 1 that means the same for every query.

A cosine orders the hits of one query and says little else: a word scores low with everything, a sentence high, and each
encoder keeps its cosines elsewhere. So it is held against the collection itself: what everyday queries of its kind
score with random items, and what this query scores with them.

    relevance = logistic(0.96 * spreads - 4.46)         a text that finds pictures, a picture that finds texts, sums
    spreads   = (score - usual) / spread
    usual     = mean score with random items, half way between this query's and everyday queries'
    spread    = standard deviation of everyday queries' scores with them

The usual z-score, which divides by the query's own standard deviation, does far worse than the cosine: nonsense scores
about alike everywhere, and that makes its best hit stand out. Between items of one modality the scale ends at 1, and a
copy has to come near it, whatever the spread:

    odds of relevance = ((1 - usual) / (1 - score)) ** 3.17 / 97      a picture that finds pictures, a text texts

``benchmarks/relevance.py`` fits the constants and judges them on other pictures. They belong to `mini`; what a better
encoder finds is right more often than its relevance says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from mmsearch.arrays import Embeddings, Scores
from mmsearch.store import Modality

Cosines = npt.NDArray[np.floating]
Relevances = npt.NDArray[np.float64]
"""``(n,)`` float64 in [0, 1]; NaN where there is nothing to hold a score against."""

ACROSS_SLOPE, ACROSS_OFFSET = 0.96, -4.46
WITHIN_SLOPE, WITHIN_OFFSET = 3.17, -4.57

_PRIOR = 10
"""A query's usual score starts from that of everyday queries, as if it had been seen on so many items."""
_OWN_SHARE = 0.5
"""How far the usual score goes from that of everyday queries to the query's own. All the way, numbers are calibrated
better and queries without an answer told worse; benchmarks/LOG.md."""
_MOST_SPREADS_ABOVE = 0.5
"""The usual score goes no further up: in a folder of dogs, dogs are relevant."""
_MOST_ALIKE = 0.7
"""The same within a modality: a folder of near-copies does not make them less alike."""
_ITSELF = 0.999
"""A cosine above this compares an item with itself."""
_CLOSEST = 1e-3
"""How near to 1 a cosine can be told from it, in float16."""
_EVERYDAY_ITEMS = 256


def relevance_across(scores: Cosines, background: Cosines, everyday: Cosines) -> Relevances:
    """Relevance where query and items are of two modalities, or the query is a sum.

    Args:
        scores: ``(n,)`` cosines of the hits.
        background: ``(m,)`` cosines of the same query with random items, of those that may be found.
        everyday: cosines of everyday queries of this kind with the same items, of any shape.

    Returns:
        ``(n,)``, monotone in the score; all NaN without everyday cosines, or when they are all the same.
    """
    everyday = _of_others(everyday)
    spread = float(everyday.std()) if everyday.size else 0.0
    if not spread > 0:
        return np.full(len(scores), np.nan)
    mean = float(everyday.mean())
    usual = mean + min(_OWN_SHARE * (_usual(background, mean) - mean), _MOST_SPREADS_ABOVE * spread)
    return _logistic(ACROSS_SLOPE * (np.asarray(scores, np.float64) - usual) / spread + ACROSS_OFFSET)


def relevance_within(scores: Cosines, background: Cosines, everyday: Cosines) -> Relevances:
    """Relevance where query and items are of one modality; 1 for an item that is the query itself.

    Args:
        scores: ``(n,)`` cosines of the hits.
        background: ``(m,)`` cosines of the same query with random items, of those that may be found.
        everyday: cosines of random items with each other, of any shape; those of an item with itself don't count.

    Returns:
        ``(n,)``, monotone in the score.
    """
    everyday = _of_others(everyday)
    usual = min(_usual(background, float(everyday.mean()) if everyday.size else 0.0), _MOST_ALIKE)
    left = np.maximum(1 - np.asarray(scores, np.float64), _CLOSEST)
    return _logistic(WITHIN_SLOPE * np.log((1 - usual) / left) + WITHIN_OFFSET)


def nothing_below(candidates: int) -> float:
    """The relevance that the best hit must reach, or nothing here matches well.

    The best of many items that have nothing to do with a query scores more than the best of few. So the level grows:
    it is as many spreads above the usual as one of n normal numbers exceeds on average, and no constant is fitted.
    Between items of one modality relevance is not told in spreads, and there is no such level.

    Args:
        candidates: how many items were compared; 1 or more.
    """
    spreads = NormalDist().inv_cdf(candidates / (candidates + 1))
    return float(_logistic(np.array(ACROSS_SLOPE * spreads + ACROSS_OFFSET)))


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What the scores of one kind of query are held against."""

    sample: Embeddings
    """``(m, dim)`` random items, of those that may be found."""
    everyday: Scores
    """``(p, m)`` cosines of queries of this kind about nothing in particular with them; 0 rows if there are none."""
    within: bool
    """Whether query and items are of one modality."""

    def relevance(self, query: Embeddings, scores: Cosines) -> Relevances:
        """Relevance of the hits of one query.

        Args:
            query: ``(dim,)`` its vector.
            scores: ``(n,)`` its cosines with the hits.

        Returns:
            ``(n,)``, monotone in the score; NaN where the collection is too small to say.
        """
        measure = relevance_within if self.within else relevance_across
        return measure(scores, self.sample @ query, self.everyday)


def yardstick(
    terms: Sequence[Modality], candidates: Modality, *, sample: Embeddings, texts: Embeddings, pictures: Embeddings
) -> Yardstick:
    """The yardstick for queries with terms of these modalities.

    Args:
        terms: of the query, one or more.
        candidates: the modality that is searched.
        sample: ``(m, dim)`` random items of that modality.
        texts: ``(p, dim)`` vectors of everyday texts; read only when a term is a text.
        pictures: ``(q, dim)`` random pictures of the collection; read only when a term is a picture.
    """
    everyday = {Modality.TEXT: texts, Modality.IMAGE: pictures[:_EVERYDAY_ITEMS]}
    if len(terms) > 1:
        queries = np.concatenate([_centred(everyday[modality]) for modality in sorted(set(terms))])
        return Yardstick(sample, queries @ sample.T, within=False)
    within = terms[0] is candidates
    queries = sample[:_EVERYDAY_ITEMS] if within else everyday[terms[0]]
    return Yardstick(sample, queries @ sample.T, within)


def _centred(rows: Embeddings) -> Embeddings:
    """Directions that single terms of a sum have, see ``embed_queries``; rows that are the mean have none."""
    offsets = rows - rows.mean(axis=0) if len(rows) else rows
    norms = np.linalg.norm(offsets, axis=1, keepdims=True)
    told = norms[:, 0] > _CLOSEST
    unit: Embeddings = offsets[told] / norms[told]
    return unit


def _usual(background: Cosines, everyday_mean: float) -> float:
    return (float(np.sum(background, dtype=np.float64)) + _PRIOR * everyday_mean) / (len(background) + _PRIOR)


def _of_others(cosines: Cosines) -> Cosines:
    others = np.asarray(cosines, np.float64)
    return others[others < _ITSELF]


def _logistic(logits: npt.NDArray[np.float64]) -> Relevances:
    return 0.5 * (1 + np.tanh(0.5 * logits))
