"""Exact search by inner product: the oracle of all other indexes, and the default up to some 100,000 rows.

FAISS picks the candidates; their scores are then computed anew in float64 and rounded. FAISS's own scores
depend on the batch size and on a row's place in a block: equal vectors would get unequal scores, and copies
of one picture an order that changes from query to query. Rounded from float64, equal vectors tie exactly,
and the row id decides.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from mmsearch_indexes.errors import FaissMissing, InvalidVectors
from mmsearch_indexes.neighbors import Matrix, Neighbors, RowIds, Scores, check_k

Nearest = Callable[[Matrix, int], tuple[Scores, RowIds]]
"""Of ``(n_queries, dim)`` and k: scores as float32 rounds them, descending, and row ids, both ``(n_queries, k)``."""

_MARGIN = 8
"""Candidates beyond k: enough that a few copies of a picture at the k-th place cost no second pass."""
_DEEPER = 1.2
"""Places looked at beyond those that the share of rows which may be found asks for."""
_CELLS = 1 << 22
"""Numbers in one temporary array: 32 MB in float64."""


class FlatIndex:
    """All vectors, compared with each query one by one."""

    def __init__(self, embeddings: Matrix, max_norm: float, nearest: Nearest | None = None) -> None:
        """Use ``build``, which checks the vectors."""
        self._embeddings = embeddings
        self._max_norm = max_norm
        self._nearest = nearest or partial(knn, embeddings)

    @classmethod
    def build(cls, embeddings: Matrix) -> FlatIndex:
        """Index a matrix; it is kept, not copied, so it must not change afterwards.

        Args:
            embeddings: ``(n, dim)`` float32; n may be 0. Row i gets row id i.

        Raises:
            InvalidVectors: another shape or dtype, or NaN or infinite values.
            FaissMissing: FAISS is not installed.
        """
        load_faiss()
        norms = check_vectors(embeddings, "embeddings")
        return cls(np.ascontiguousarray(embeddings), float(norms.max(initial=0.0)))

    def with_candidates_of(self, nearest: Nearest) -> FlatIndex:
        """The same answers, found otherwise: scores and their order remain this index's own."""
        return FlatIndex(self._embeddings, self._max_norm, nearest)

    def __len__(self) -> int:
        return len(self._embeddings)

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self._embeddings.shape[1])

    @property
    def rows(self) -> Matrix:
        """``(n, dim)`` float32, as they were indexed."""
        return self._embeddings

    def vectors(self, row_ids: RowIds) -> Matrix:
        """``(n, dim)`` float32, the rows asked for in their order."""
        rows: Matrix = self._embeddings[row_ids]
        return rows

    def mean(self) -> Matrix:
        """``(dim,)`` float32 mean of all rows; zeros when there are none."""
        if not len(self):
            return np.zeros(self.dim, np.float32)
        mean: Matrix = self._embeddings.mean(axis=0)
        return mean

    def search(self, queries: Matrix, k: int, *, among: RowIds | None = None) -> Neighbors:
        """The k rows with the largest inner product, for each query.

        Args:
            queries: ``(n_queries, dim)`` float32; n_queries may be 0.
            k: 1 or more; where it exceeds the number of rows, -1 and -inf fill the end.
            among: ``(n,)`` row ids, ascending; only these are compared, all of them.

        Returns:
            Sorted by score descending, then row id ascending, also at the k-th place. A query's answer does
            not depend on the other queries of its batch.

        Raises:
            InvalidVectors: another width, shape or dtype, or NaN or infinite values.
            InvalidK: k is below 1, or beyond the number of rows by more than a million.
        """
        if among is not None:
            return self._search_among(queries, k, among)
        check_vectors(queries, "queries")
        if queries.shape[1] != self.dim:
            raise InvalidVectors(
                f"queries are {queries.shape[1]} wide and the indexed vectors {self.dim}; encode both with one encoder"
            )
        check_k(k, len(self))
        found = Neighbors.missing(len(queries), k)
        wanted = min(k, len(self))
        if wanted == 0:
            return found
        step = max(1, _CELLS // (wanted + _MARGIN))
        for start in range(0, len(queries), step):
            row_ids, scores = self._best(queries[start : start + step], wanted)
            found.row_ids[start : start + step, :wanted] = row_ids
            found.scores[start : start + step, :wanted] = scores
        return found

    def _search_among(self, queries: Matrix, k: int, among: RowIds) -> Neighbors:
        """Search with ``among``. Where most rows may be found, looking deeper costs less than a copy of them."""
        check_k(k, len(among))
        width = len(self) if not len(among) else int(k * len(self) / len(among) * _DEEPER) + _MARGIN
        if 2 * len(among) >= len(self) and width < len(self):
            everything = self.search(queries, width)
            allowed = np.zeros(len(self), np.bool_)
            allowed[among] = True
            fits = allowed[everything.row_ids]
            if (fits.sum(axis=1) >= k).all():
                order = np.argsort(~fits, axis=1, kind="stable")[:, :k]
                return Neighbors(
                    np.take_along_axis(everything.row_ids, order, axis=1),
                    np.take_along_axis(everything.scores, order, axis=1),
                )
        return FlatIndex(self._embeddings[among], self._max_norm).search(queries, k).renamed(among)

    def _best(self, queries: Matrix, k: int) -> tuple[RowIds, Scores]:
        """Search with a k that is no larger than the number of rows."""
        width = min(len(self), k + _MARGIN)
        rough, candidates = self._nearest(queries, width)
        scores = self._scores(queries, candidates)
        order = np.lexsort((candidates, -scores), axis=-1)[:, :k]
        row_ids = np.take_along_axis(candidates, order, axis=1)
        scores = np.take_along_axis(scores, order, axis=1)
        if width < len(self):
            # A row whose score and the k-th are both off by what rounding can do may belong to the answer; if that
            # goes for the last candidate, there may be more.
            floor = rough[:, k - 1] - 2 * rounding(self.dim) * self._max_norm * check_vectors(queries, "queries")
            for i in np.flatnonzero(rough[:, -1] >= floor):
                row_ids[i], scores[i] = self._best_above(queries[i : i + 1], floor[i], k)
        return row_ids, scores

    def _best_above(self, query: Matrix, floor: float, k: int) -> tuple[RowIds, Scores]:
        """Search for one query, ``(1, dim)``, among all rows whose score is about ``floor`` or more."""
        candidates = np.flatnonzero(self._embeddings @ query[0] >= floor)[np.newaxis]
        scores = self._scores(query, candidates)
        order = np.lexsort((candidates[0], -scores[0]))[:k]
        return candidates[0, order], scores[0, order]

    def _scores(self, queries: Matrix, row_ids: RowIds) -> Scores:
        """``(n_queries, width)`` inner products of each query with its rows, rounded once from float64."""
        width = row_ids.shape[1]
        scores = np.empty(row_ids.size, dtype=np.float32)
        flat_ids = row_ids.reshape(-1)
        step = max(1, _CELLS // self.dim)
        for start in range(0, row_ids.size, step):
            stop = min(start + step, row_ids.size)
            rows = self._embeddings[flat_ids[start:stop]].astype(np.float64)
            rows *= queries[np.arange(start, stop) // width]
            scores[start:stop] = rows.sum(axis=1)
        return scores.reshape(row_ids.shape)


def knn(embeddings: Matrix, queries: Matrix, k: int) -> tuple[Scores, RowIds]:
    """``Nearest`` among the rows of a matrix, on the CPU."""
    faiss = load_faiss()
    scores, row_ids = faiss.knn(queries, embeddings, k, faiss.METRIC_INNER_PRODUCT)
    return scores, row_ids


def rounding(dim: int) -> float:
    """How far off a score in float32 may be, for unit vectors: some sqrt(dim) units in the last place, twice."""
    return float(2 * np.sqrt(dim) * np.finfo(np.float32).eps)


def check_vectors(vectors: Matrix, name: str) -> npt.NDArray[np.float64]:
    """``(n,)`` L2 norms of a sound matrix; raises ``InvalidVectors`` for one that is not."""
    if vectors.ndim != 2 or vectors.shape[1] == 0 or vectors.dtype != np.float32:
        raise InvalidVectors(f"{name} are {vectors.dtype} {vectors.shape}; give float32 (n, dim)")
    # The sum of squares is finite only if every value is, and costs one pass without a temporary array.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors)
        norms: npt.NDArray[np.float64] = np.sqrt(squares.astype(np.float64))
    unsound = np.flatnonzero(~np.isfinite(norms))
    if len(unsound):
        raise InvalidVectors(f"{name} hold NaN or infinite values, first in row {unsound[0]}; encode that item again")
    return norms


def load_faiss() -> Any:
    """The module ``faiss``; raises ``FaissMissing`` where it is not installed."""
    try:
        import faiss
    except ImportError as err:
        raise FaissMissing from err
    return faiss
