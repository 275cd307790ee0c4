"""What queries should find, to measure an index by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mmsearch_indexes.approximate import ApproximateIndex
from mmsearch_indexes.errors import InvalidVectors
from mmsearch_indexes.neighbors import Matrix, RowIds
from mmsearch_indexes.recipe import TUNED_K

_NONE = np.empty((0, 0), np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The true neighbours of some queries, found by comparing all rows."""

    neighbors: RowIds
    """``(n_queries, 10)`` row ids, best first; -1 where the rows are fewer."""
    ignored: RowIds = field(default_factory=lambda: _NONE)
    """``(n_queries, m)`` row ids that count as not there."""

    def __post_init__(self) -> None:
        if self.neighbors.ndim != 2 or self.neighbors.shape[1] != TUNED_K:
            raise InvalidVectors(f"neighbours are {self.neighbors.shape}; give (n_queries, {TUNED_K})")
        if not self.ignored.size:
            object.__setattr__(self, "ignored", np.empty((len(self.neighbors), 0), np.int64))

    def __len__(self) -> int:
        return len(self.neighbors)

    def take(self, chosen: slice) -> Truth:
        """That of some of the queries."""
        return Truth(self.neighbors[chosen], self.ignored[chosen])


def find_truth(index: ApproximateIndex, queries: Matrix, *, ignoring: int = 0) -> Truth:
    """Compare all rows with each query.

    Args:
        index: whose rows.
        queries: ``(n_queries, dim)`` float32.
        ignoring: how many of the nearest count as not there. A query that is an indexed row finds itself and what is
            nearly the same, as another view of one scene, which tells nothing of queries that come from elsewhere.

    Raises:
        InvalidVectors: unsound queries.
    """
    found = index.search_exactly(queries, TUNED_K + ignoring).row_ids
    return Truth(found[:, ignoring:], found[:, :ignoring])
