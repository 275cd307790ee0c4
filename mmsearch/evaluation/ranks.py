"""At which place of its ranking each relevant candidate comes: all that the metrics look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmsearch.arrays import Embeddings, Ids
from mmsearch.evaluation.qrels import Qrels

_CELLS = 1 << 23
"""Numbers in one temporary array: 32 MB in float32."""


@dataclass(frozen=True, slots=True, eq=False)
class RelevantRanks:
    """The 1-based ranks of the relevant candidates, beside the pairs of ``qrels``."""

    qrels: Qrels
    ranks: npt.NDArray[np.float64]
    """``(n_pairs,)`` float64, in the order of ``qrels.candidates``; inf for one that was not found."""
    depth: int
    """How many places of each ranking were looked at; what comes later is not known."""

    @property
    def first(self) -> npt.NDArray[np.float64]:
        """``(n_queries,)`` float64 rank of the best relevant candidate; inf where none was found."""
        best = np.full(self.qrels.n_queries, np.inf)
        np.minimum.at(best, self.qrels.queries, self.ranks)
        return best


def ranks_in_run(run: Ids, qrels: Qrels) -> RelevantRanks:
    """Find the relevant candidates in ranked lists.

    Args:
        run: ``(n_queries, depth)`` int64 candidate rows, best first, distinct in a row; -1 means "no result".
        qrels: of the same queries.

    Raises:
        ValueError: the run has another number of queries or names a candidate that does not exist.
    """
    if run.ndim != 2 or len(run) != qrels.n_queries:
        raise ValueError(f"the run is {run.shape} and the pairs know {qrels.n_queries} queries; give one row each")
    if run.size and run.max() >= qrels.n_candidates:
        raise ValueError(f"the run names candidate {run.max()}, but there are {qrels.n_candidates}, counted from 0")
    depth = run.shape[1]
    # One number for each (query, candidate), so that one binary search finds all pairs.
    found = np.where(run >= 0, run + np.arange(len(run))[:, np.newaxis] * qrels.n_candidates, -1).reshape(-1)
    order = np.argsort(found, kind="stable")
    wanted = qrels.candidates + qrels.queries * qrels.n_candidates
    ranks = np.full(len(wanted), np.inf)
    if len(found):
        places = order[np.minimum(np.searchsorted(found[order], wanted), len(found) - 1)]
        ranks = np.where(found[places] == wanted, places % depth + 1.0, np.inf)
    return RelevantRanks(qrels, ranks, depth)


def ranks_in_embeddings(queries: Embeddings, candidates: Embeddings, qrels: Qrels) -> RelevantRanks:
    """Rank all candidates for each query by inner product, without keeping the rankings.

    A rank is 1 + the number of candidates with a higher score, or with an equal score and a lower row. Scores
    are rounded to float32 from float64, so that equal vectors tie exactly and nothing depends on how the work
    is cut; memory stays bounded whatever the sizes.

    Args:
        queries: ``(n_queries, dim)`` float32.
        candidates: ``(n_candidates, dim)`` float32.

    Raises:
        ValueError: shapes that do not fit each other or ``qrels``, or NaN.
    """
    _check(queries, candidates, qrels)
    ranks = np.empty(len(qrels.candidates), dtype=np.float64)
    for start, scores in _score_blocks(queries, candidates):
        first, last = qrels.offsets[start], qrels.offsets[start + len(scores)]
        step = max(1, _CELLS // max(1, len(candidates)))
        for low in range(first, last, step):
            pairs = slice(low, min(low + step, last))
            ranks[pairs] = _count_before(scores, qrels.queries[pairs] - start, qrels.candidates[pairs])
    return RelevantRanks(qrels, ranks + 1, qrels.n_candidates)


def _count_before(scores: Embeddings, rows: Ids, columns: Ids) -> Ids:
    """For each cell (row, column) of the scores, how many cells of its row come before it."""
    own = scores[rows, columns][:, np.newaxis]
    row_scores = scores[rows]
    before: Ids = np.count_nonzero(row_scores > own, axis=1)
    for i in np.flatnonzero(np.count_nonzero(row_scores == own, axis=1) > 1):
        before[i] += np.count_nonzero(row_scores[i, : columns[i]] == own[i])
    return before


def _score_blocks(queries: Embeddings, candidates: Embeddings) -> Iterator[tuple[int, Embeddings]]:
    """Yield the first query and ``(n_some, n_candidates)`` float32 scores of some queries at a time."""
    height = max(1, _CELLS // max(1, len(candidates)))
    width = max(1, _CELLS // max(1, queries.shape[1]))
    for start in range(0, len(queries), height):
        some = queries[start : start + height].astype(np.float64)
        scores = np.empty((len(some), len(candidates)), dtype=np.float32)
        for left in range(0, len(candidates), width):
            scores[:, left : left + width] = some @ candidates[left : left + width].astype(np.float64).T
        if np.isnan(scores).any():
            raise ValueError("some scores are NaN; look for NaN in the embeddings")
        yield start, scores


def _check(queries: Embeddings, candidates: Embeddings, qrels: Qrels) -> None:
    if queries.ndim != 2 or candidates.ndim != 2 or queries.shape[1] != candidates.shape[1]:
        raise ValueError(f"queries are {queries.shape} and candidates {candidates.shape}; give (n, dim) for both")
    if (len(queries), len(candidates)) != (qrels.n_queries, qrels.n_candidates):
        raise ValueError(
            f"the pairs are of {qrels.n_queries} queries and {qrels.n_candidates} candidates, "
            f"but there are {len(queries)} and {len(candidates)} embeddings"
        )
