"""Retrieval metrics, each the mean over all queries; a query with nothing relevant scores 0 and still counts.

Three numbers are called "recall@k" in the field, and they are three functions here: ``hit_rate_at_k`` (the
"R@k" of CLIP papers), ``recall_at_k`` and ``ann_recall_at_k``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mmsearch.arrays import Ids
from mmsearch.evaluation.ranks import RelevantRanks


def hit_rate_at_k(ranks: RelevantRanks, k: int) -> float:
    """Share of the queries with at least one relevant candidate in the top k.

    Raises:
        ValueError: no queries, k below 1, or k beyond the depth to which the rankings are known.
    """
    _check(ranks, k)
    return float(np.mean(ranks.first <= k))


def recall_at_k(ranks: RelevantRanks, k: int) -> float:
    """Mean share of a query's relevant candidates that are in the top k; raises as ``hit_rate_at_k``."""
    _check(ranks, k)
    found = _sum_by_query(ranks, (ranks.ranks <= k).astype(np.float64))
    return float(np.mean(found / np.maximum(ranks.qrels.n_relevant, 1)))


def mrr(ranks: RelevantRanks) -> float:
    """Mean of 1 / rank of the best relevant candidate, 0 where none was found; ``ValueError`` without queries."""
    _check(ranks, 1)
    return float(np.mean(1 / ranks.first))


def ndcg_at_k(ranks: RelevantRanks, k: int) -> float:
    """Normalised discounted cumulative gain of the top k, every relevant candidate having gain 1.

    Raises:
        ValueError: as for ``hit_rate_at_k``.

    Source:
        Järvelin and Kekäläinen 2002, with the discount 1 / log2(1 + rank); for gains of 0 and 1 the linear
        and the exponential form are equal.
    """
    _check(ranks, k)
    gains = np.where(ranks.ranks <= k, 1 / np.log2(1 + ranks.ranks), 0.0)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    best = ideal[np.minimum(ranks.qrels.n_relevant, k)]
    return float(np.mean(_sum_by_query(ranks, gains) / np.where(best > 0, best, 1.0)))


def median_rank(ranks: RelevantRanks) -> float:
    """Median over queries of the 1-based rank of the best relevant candidate.

    inf where the median query found none. Raises ``ValueError`` for no queries.
    """
    _check(ranks, 1)
    first = np.sort(ranks.first)
    # The mean of the middle two, written so that two infinite ranks give inf.
    return float((first[(len(first) - 1) // 2] + first[len(first) // 2]) / 2)


def ann_recall_at_k(found: Ids, exact: Ids) -> float:
    """Mean share of the exact neighbours that an approximate search found.

    Args:
        found: ``(n_queries, k)`` int64 row ids from the index; -1 means "no result" and never counts.
        exact: ``(n_queries, k)`` int64 row ids from exhaustive search, same metric; no -1.

    Returns:
        A number in ``[0, 1]``; 1.0 means that every exact neighbour was found, in any order.

    Raises:
        ValueError: the two differ in shape, hold nothing, or ``exact`` has a -1.

    Source:
        k-nearest-neighbour intersection as used for FAISS; equal scores at the k-th place count as misses.
    """
    if found.shape != exact.shape or found.ndim != 2 or found.size == 0:
        raise ValueError(f"found is {found.shape} and exact {exact.shape}; give (n_queries, k) twice")
    if exact.min() < 0:
        raise ValueError("exact holds -1: fewer than k rows exist; compare with a smaller k")
    overlap = sum(len(np.intersect1d(f, e)) for f, e in zip(found, exact, strict=True))
    return overlap / exact.size


def hit_rate_interval(hits: int, n_queries: int, *, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval for a hit rate: it holds the true rate in 95 % of all samples of this size.

    Args:
        hits: queries with a hit, 0 to n_queries.
        n_queries: 1 or more.
        z: standard normal quantile; 1.96 gives 95 %.

    Raises:
        ValueError: numbers outside these ranges.
    """
    if n_queries < 1 or not 0 <= hits <= n_queries:
        raise ValueError(f"{hits} hits of {n_queries} queries is no hit rate")
    rate, shrink = hits / n_queries, z * z / n_queries
    centre = (rate + shrink / 2) / (1 + shrink)
    half = z * math.sqrt(rate * (1 - rate) / n_queries + shrink / (4 * n_queries)) / (1 + shrink)
    return max(0.0, centre - half), min(1.0, centre + half)


def _sum_by_query(ranks: RelevantRanks, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    sums = np.zeros(ranks.qrels.n_queries)
    np.add.at(sums, ranks.qrels.queries, values)
    return sums


def _check(ranks: RelevantRanks, k: int) -> None:
    if ranks.qrels.n_queries == 0:
        raise ValueError("there are no queries, so there is no mean; give at least one")
    if k < 1:
        raise ValueError(f"k is {k}; it counts places of a ranking, so it must be 1 or more")
    if k > ranks.depth and ranks.depth < ranks.qrels.n_candidates:
        raise ValueError(f"k is {k} but the rankings end after {ranks.depth} places; search with k={k}")
