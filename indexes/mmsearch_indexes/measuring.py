"""What a setting finds and what it costs, for queries whose true neighbours are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

import numpy as np
import numpy.typing as npt

from mmsearch_indexes.approximate import ApproximateIndex
from mmsearch_indexes.flat import load_faiss
from mmsearch_indexes.neighbors import Matrix, RowIds
from mmsearch_indexes.recipe import Setting
from mmsearch_indexes.truth import Truth

Shares = npt.NDArray[np.float64]
"""The share of its 10 nearest rows that each query found."""


def shares_by_rerank(
    index: ApproximateIndex, queries: Matrix, truth: Truth, effort: int, reranks: Sequence[int]
) -> Shares:
    """``(len(reranks), n_queries)`` what would be found with each number of candidates; ``reranks`` ascend.

    Candidates scored by their own rows keep every true neighbour among them, so one FAISS search with the most of
    them tells of all smaller numbers too, without a rerank.
    """
    if index.structure is None:
        return np.ones((len(reranks), len(queries)))
    exact, most = truth.neighbors, reranks[-1]
    candidates = index.candidates(queries, Setting(effort=effort, rerank=most + truth.ignored.shape[1]))
    counts = ~_among(candidates, truth.ignored)
    same = (candidates[:, :, np.newaxis] == exact[:, np.newaxis, :]) & (exact[:, np.newaxis, :] >= 0)
    found_at = np.where(same.any(axis=1), same.argmax(axis=1), -1)
    before = np.concatenate([counts.cumsum(axis=1) - counts, np.full((len(counts), 1), most)], axis=1)
    places = np.take_along_axis(before, found_at, axis=1)  # among the candidates that count; the last for "not found"
    # A graph looks at `effort` rows, and at more where more candidates are asked for: recall it does not have.
    seen = [count if index.has_lists else min(count, effort) for count in reranks]
    return np.stack([(places < count).sum(axis=1) / _at_most(exact) for count in seen])


def _among(row_ids: RowIds, others: RowIds) -> npt.NDArray[np.bool_]:
    """``(n, m)`` which of each query's row ids are among its others."""
    same = np.zeros(row_ids.shape, np.bool_)
    for column in others.T:
        same |= row_ids == column[:, np.newaxis]
    return same


def interval(shares: Shares) -> tuple[float, float]:
    """The 95 % interval of the mean over queries."""
    half = 1.96 * shares.std() / np.sqrt(len(shares))
    return max(0.0, float(shares.mean() - half)), min(1.0, float(shares.mean() + half))


def seconds_each(search: Callable[[Matrix], object], queries: Matrix) -> float:
    """Mean time of a query when they are asked one by one."""
    start = perf_counter()
    for i in range(len(queries)):
        search(queries[i : i + 1])
    return (perf_counter() - start) / len(queries)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let FAISS use one thread, then as many as before."""
    faiss = load_faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _at_most(exact: RowIds) -> npt.NDArray[np.int64]:
    """How many true neighbours each query has: fewer than 10 where the rows are fewer."""
    counts: npt.NDArray[np.int64] = np.maximum(1, (exact >= 0).sum(axis=1))
    return counts
