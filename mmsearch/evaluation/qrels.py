"""Which candidates are relevant to which query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmsearch.arrays import Ids


@dataclass(frozen=True, slots=True, eq=False)
class Qrels:
    """Known pairs of queries and candidates, both as rows of their matrices.

    Relevant to query q are ``candidates[offsets[q] : offsets[q + 1]]``, ascending and distinct.
    """

    offsets: Ids
    """``(n_queries + 1,)`` int64."""
    candidates: Ids
    """``(n_pairs,)`` int64, each in ``[0, n_candidates)``."""
    n_candidates: int

    @classmethod
    def from_pairs(
        cls, query_rows: npt.ArrayLike, candidate_rows: npt.ArrayLike, *, n_queries: int, n_candidates: int
    ) -> Qrels:
        """Build from pairs in any order; a pair that is named twice counts once.

        Args:
            query_rows: ``(n_pairs,)`` integers in ``[0, n_queries)``.
            candidate_rows: ``(n_pairs,)`` integers in ``[0, n_candidates)``.

        Raises:
            ValueError: the two differ in length, or a row lies outside its matrix.
        """
        queries = _rows(query_rows, n_queries, "query")
        candidates = _rows(candidate_rows, n_candidates, "candidate")
        if queries.shape != candidates.shape:
            raise ValueError(f"{len(queries)} query rows and {len(candidates)} candidate rows; give one each a pair")
        pairs = np.unique(np.stack([queries, candidates], axis=1), axis=0)
        offsets = np.searchsorted(pairs[:, 0], np.arange(n_queries + 1)).astype(np.int64)
        return cls(offsets, np.ascontiguousarray(pairs[:, 1]), n_candidates)

    @classmethod
    def from_lists(cls, relevant: Sequence[Iterable[int]], *, n_candidates: int) -> Qrels:
        """Build from one collection of candidate rows for each query; see ``from_pairs``."""
        lists = [list(rows) for rows in relevant]
        queries = np.repeat(np.arange(len(lists)), [len(rows) for rows in lists])
        candidates = [row for rows in lists for row in rows]
        return cls.from_pairs(queries, candidates, n_queries=len(lists), n_candidates=n_candidates)

    @property
    def n_queries(self) -> int:
        """Queries with or without anything relevant."""
        return len(self.offsets) - 1

    @property
    def n_relevant(self) -> Ids:
        """``(n_queries,)`` int64 number of relevant candidates."""
        return np.diff(self.offsets)

    @property
    def queries(self) -> Ids:
        """``(n_pairs,)`` int64 query row of each pair, beside ``candidates``."""
        return np.repeat(np.arange(self.n_queries, dtype=np.int64), self.n_relevant)

    def transposed(self) -> Qrels:
        """The same pairs in the other direction: candidates ask, queries are found."""
        return Qrels.from_pairs(self.candidates, self.queries, n_queries=self.n_candidates, n_candidates=self.n_queries)

    def take(self, query_rows: Ids) -> Qrels:
        """Only these queries, in this order; the candidates stay as they are."""
        lists = [self.candidates[self.offsets[q] : self.offsets[q + 1]].tolist() for q in query_rows]
        return Qrels.from_lists(lists, n_candidates=self.n_candidates)


def _rows(values: npt.ArrayLike, n: int, name: str) -> Ids:
    rows = np.asarray(values, dtype=np.int64).reshape(-1)
    outside = rows[(rows < 0) | (rows >= n)]
    if len(outside):
        raise ValueError(f"{name} row {outside[0]} is not one of the {n} rows; count them from 0")
    return rows
