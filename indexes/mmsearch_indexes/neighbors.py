"""What a search answers, and the plain ranking that every index is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmsearch_indexes.errors import InvalidK, InvalidVectors

Matrix = npt.NDArray[np.float32]
"""``(n, dim)`` float32, one vector a row."""

RowIds = npt.NDArray[np.int64]
"""``(n_queries, k)`` int64 positions in the indexed matrix; -1 where a result is missing."""

Scores = npt.NDArray[np.float32]
"""``(n_queries, k)`` float32 inner products, larger is better; -inf where a result is missing."""

_MAX_FILL = 1_000_000
"""Places without a neighbour that an answer may have: a larger k is a mistake, and would cost gigabytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbors:
    """The best rows for each query, sorted by score descending, then row id ascending.

    Both arrays have shape ``(n_queries, k)``; where there are fewer than k rows, -1 and -inf fill the end.
    """

    row_ids: RowIds
    scores: Scores

    def __post_init__(self) -> None:
        if self.row_ids.ndim != 2 or self.row_ids.shape != self.scores.shape:
            raise ValueError(
                f"row ids are {self.row_ids.shape} and scores {self.scores.shape}; give (n_queries, k) twice"
            )
        if self.row_ids.dtype != np.int64 or self.scores.dtype != np.float32:
            raise ValueError(f"row ids are {self.row_ids.dtype} and scores {self.scores.dtype}; give int64 and float32")

    @classmethod
    def missing(cls, n_queries: int, k: int) -> Neighbors:
        """No neighbour at all, for any query."""
        return cls(
            np.full((n_queries, k), -1, dtype=np.int64),
            np.full((n_queries, k), -np.inf, dtype=np.float32),
        )

    def renamed(self, names: RowIds) -> Neighbors:
        """The same rows under other numbers: ``names[i]``, an ``(n,)`` int64 array, in place of i."""
        missing = self.row_ids < 0
        return Neighbors(np.where(missing, -1, names[self.row_ids]) if len(names) else self.row_ids, self.scores)


def rank(scores: Scores, k: int) -> Neighbors:
    """Sort all scores and keep the best k of each query.

    Args:
        scores: ``(n_queries, n)`` float32, larger is better, no NaN; column i belongs to row id i.
        k: 1 or more.

    Raises:
        InvalidK: k is below 1, or far beyond n.
        InvalidVectors: scores are not a float32 matrix, or hold NaN.
    """
    if scores.ndim != 2 or scores.dtype != np.float32:
        raise InvalidVectors(f"scores are {scores.dtype} {scores.shape}; give float32 (n_queries, n)")
    if np.isnan(scores).any():
        raise InvalidVectors("scores hold NaN, which has no rank; look for NaN in the vectors")
    n_queries, n = scores.shape
    check_k(k, n)
    found = Neighbors.missing(n_queries, k)
    # A stable sort keeps equal scores in the order of their row ids.
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    found.row_ids[:, : best.shape[1]] = best
    found.scores[:, : best.shape[1]] = np.take_along_axis(scores, best, axis=1)
    return found


def merge(parts: Sequence[Neighbors], k: int) -> Neighbors:
    """The best k of several answers to the same queries, found among different rows.

    Args:
        parts: one or more, each with n_queries rows and row ids that no other part has.
        k: 1 or more; where the parts hold fewer, -1 and -inf fill the end.
    """
    row_ids = np.concatenate([part.row_ids for part in parts], axis=1)
    scores = np.concatenate([part.scores for part in parts], axis=1)
    # A missing place has the lowest score there is, so it sorts behind every neighbour.
    order = np.lexsort((row_ids, -scores), axis=-1)[:, :k]
    found = Neighbors.missing(len(row_ids), k)
    found.row_ids[:, : order.shape[1]] = np.take_along_axis(row_ids, order, axis=1)
    found.scores[:, : order.shape[1]] = np.take_along_axis(scores, order, axis=1)
    return found


def check_k(k: int, n: int) -> None:
    """Refuse a k that n rows cannot answer sensibly; raises ``InvalidK``."""
    if k < 1:
        raise InvalidK(f"k is {k}; it counts neighbours, so it must be 1 or more", k)
    if k > n + _MAX_FILL:
        raise InvalidK(f"k is {k:,} but there are {n:,} rows; ask for {max(n, 1):,} at most", k)
