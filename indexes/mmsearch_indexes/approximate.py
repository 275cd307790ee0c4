"""Approximate search: a FAISS structure picks candidates, the float16 rows themselves decide their order.

Inverted lists hold the rows less their mean. Under inner product that changes every score of a query by the same
number, so the order stays, and the codes spend their bits on what tells rows apart. Rows go to the list whose centroid
is nearest; lists are visited by the inner product of query and centroid, which is the mean score of the list's rows.
(FAISS's own way, ``spherical``, finds much less where rows are spread widely: benchmarks/LOG.md.)

Scores are computed from the rows in float64 and rounded once, as ``FlatIndex`` does: whatever is found has the score
that exact search would give it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np

from mmsearch_indexes.allowed import Allowed
from mmsearch_indexes.errors import InvalidVectors
from mmsearch_indexes.flat import FlatIndex, check_vectors
from mmsearch_indexes.halves import CHUNK, StoredRows, checked_mean, chunks, sample, widened
from mmsearch_indexes.neighbors import Matrix, Neighbors, RowIds, Scores, check_k, merge
from mmsearch_indexes.recipe import IndexRecipe, Setting, Tuned
from mmsearch_indexes.structure import lists_of, search_parameters, trained, visit_by_inner_product

_HARMLESS = 1e15
"""Numbers below this cannot overflow in an inner product."""
_MAX_EF_SEARCH = 2048
"""Beyond this a graph costs more than comparing some 100,000 rows."""
_SCAN_ROWS = 3000
_SCAN_CANDIDATES = 4
"""Rows that are all compared rather than led to: so few, or so few times the candidates."""
_OVERFETCH_SHARE = 0.1
"""Where at least this share of the rows may be found, more candidates than needed cost less than a selector."""
_SPARE = 1.1
"""Candidates beyond those that should fall away, for queries with less luck."""
_FARTHER = 0.5
"""A selector leaves fewer rows, so as many neighbours lie farther out: effort grows with this power of 1 / share.
Half as much would do where the filter has nothing to do with the query, half more where it keeps the rows farthest."""


class ApproximateIndex:
    """Rows of float16, and a structure that leads to those near a query; never changes once built."""

    def __init__(
        self,
        rows: StoredRows,
        structure: Any,
        recipe: IndexRecipe,
        tuned: Mapping[str, Tuned] = MappingProxyType({}),
    ) -> None:
        """Use ``build``, or ``load_index``. ``structure`` is FAISS's; None where all rows are compared."""
        self.recipe = recipe
        self.rows = rows
        self.structure = structure
        self.tuned = tuned
        lists = None if structure is None else lists_of(structure)
        self.has_lists = lists is not None
        self.max_effort = int(lists.nlist) if lists is not None else _MAX_EF_SEARCH
        """The largest effort that a ``Setting`` can use: with lists, visiting all of them."""
        self._parameters = lru_cache(maxsize=64)(partial(search_parameters, structure))

    @classmethod
    def build(
        cls, rows: Matrix | StoredRows, recipe: IndexRecipe, *, progress: Callable[[int], None] | None = None
    ) -> ApproximateIndex:
        """Index a matrix as a recipe says, or as nearly as so few rows can bear.

        Args:
            rows: ``(n, dim)`` float16, kept and not copied (it may be mapped from a file, and must not change), or
                float32, of which a float16 copy is kept. Row i gets row id i.
            recipe: how.
            progress: told how many rows more are indexed.

        Raises:
            InvalidVectors: another shape or dtype, or NaN or infinite values.
            InvalidRecipe: codes that do not divide the width.
            FaissMissing: FAISS is not installed.
        """
        if rows.ndim != 2 or rows.shape[1] == 0 or rows.dtype not in (np.float16, np.float32):
            raise InvalidVectors(f"rows are {rows.dtype} {rows.shape}; give float16 or float32 (n, dim)")
        with np.errstate(over="ignore"):  # beyond float16 is infinite, which is refused below
            stored: StoredRows = rows.astype(np.float16, copy=False)
        centre = checked_mean(stored)
        fitted = recipe.fitted(len(rows))
        if fitted.is_exact:
            return cls(stored, None, recipe)
        if not fitted.nlist:
            centre[:] = 0  # moved to their mean, rows differ in length, and a graph leads to the longest
        structure = trained(fitted, sample(stored, fitted.train_rows, fitted.seed) - centre)
        for chunk in chunks(stored):
            structure.add(chunk - centre)
            if progress:
                progress(len(chunk))
        visit_by_inner_product(structure)
        return cls(stored, structure, recipe)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def dim(self) -> int:
        """Width of a row."""
        return int(self.rows.shape[1])

    def with_tuned(self, kind: str, tuned: Tuned) -> ApproximateIndex:
        """The same index, which also knows how to be searched with one kind of query."""
        return ApproximateIndex(self.rows, self.structure, self.recipe, {**self.tuned, kind: tuned})

    def search(
        self,
        queries: Matrix,
        k: int,
        setting: Setting,
        *,
        among: RowIds | None = None,
        without: RowIds | None = None,
    ) -> Neighbors:
        """About the k rows with the largest inner product, for each query.

        Args:
            queries: ``(n_queries, dim)`` float32; n_queries may be 0.
            k: 1 or more; where fewer rows may be found, -1 and -inf fill the end, and only there.
            setting: how much to spend.
            among: ``(n,)`` row ids, ascending; only these may be found.
            without: ``(n,)`` row ids, ascending; these may not: rows removed since the index was built.

        Returns:
            Sorted by score descending, then row id ascending; scores as exact search gives them.

        Raises:
            InvalidVectors: another width, shape or dtype, or NaN or infinite values.
            InvalidK: k is below 1, or beyond the number of rows by more than a million.
        """
        self._check(queries)
        check_k(k, len(self))
        allowed = Allowed(len(self), among, without)
        wanted = min(k, len(allowed))
        if not wanted or not len(queries):
            return Neighbors.missing(len(queries), k)
        if self._scan_pays(allowed, setting.candidates(k)):
            return merge([self._exact(queries, wanted, allowed)], k)
        row_ids = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        short = [
            i
            for i, candidates in enumerate(self._led_to(queries, setting.candidates(k), setting.effort, allowed))
            if not self._rerank(queries[i], candidates, row_ids[i, :wanted], scores[i, :wanted])
        ]
        if short:
            exact = self._exact(queries[short], wanted, allowed)
            row_ids[short, :wanted] = exact.row_ids
            scores[short, :wanted] = exact.scores
        return Neighbors(row_ids, scores)

    def search_exactly(self, queries: Matrix, k: int) -> Neighbors:
        """The k rows with the largest inner product, found by comparing all of them; raises what ``search`` does."""
        self._check(queries)
        check_k(k, len(self))
        allowed = Allowed(len(self), None, None)
        return (
            merge([self._exact(queries, min(k, len(self)), allowed)], k)
            if len(self)
            else Neighbors.missing(len(queries), k)
        )

    def candidates(self, queries: Matrix, setting: Setting) -> RowIds:
        """``(n_queries, setting.rerank)`` rows that a search would score anew, by falling approximate score."""
        return self._nearest(queries, setting.rerank, setting.effort)

    def _check(self, queries: Matrix) -> None:
        """What ``check_vectors`` does, quicker where nothing is wrong."""
        if queries.ndim != 2 or queries.dtype != np.float32 or not np.abs(queries).max(initial=0) < _HARMLESS:
            check_vectors(queries, "queries")
        if queries.shape[1] != self.dim:
            raise InvalidVectors(
                f"queries are {queries.shape[1]} wide and the indexed vectors {self.dim}; encode both with one encoder"
            )

    def _rerank(self, query: Matrix, candidates: RowIds, row_ids: RowIds, scores: Scores) -> bool:
        """Fill in the best candidates by the scores of their rows; False where there are too few."""
        if len(candidates) < len(row_ids):
            return False
        rows = widened(self.rows.take(candidates, axis=0))
        products = (rows.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
        order = np.lexsort((candidates, -products))[: len(row_ids)]
        row_ids[:] = candidates[order]
        scores[:] = products[order]
        return True

    def _scan_pays(self, allowed: Allowed, candidates: int) -> bool:
        """Whether comparing all rows that may be found costs less than being led to them, or finds more."""
        return self.structure is None or len(allowed) <= max(_SCAN_ROWS, _SCAN_CANDIDATES * candidates)

    def _led_to(self, queries: Matrix, count: int, effort: int, allowed: Allowed) -> list[RowIds]:
        """For each query about ``count`` row ids near it that may be found, or fewer, in no order that counts."""
        few = list(range(len(queries)))
        led_to: list[RowIds] = [np.empty(0, np.int64)] * len(queries)
        if allowed.share >= _OVERFETCH_SHARE:
            fetched = count if allowed.is_all else min(len(self), int(_SPARE * count / allowed.share))
            led_to = [allowed.keep(row_ids) for row_ids in self._nearest(queries, fetched, effort)]
            if allowed.is_all:
                return led_to
            # Where the rows near a query are not those of the filter, most of what was fetched fell away.
            few = [i for i in few if len(led_to[i]) < count // 2]
        if few:
            farther = int(np.ceil(effort / allowed.share**_FARTHER))
            for i, row_ids in zip(few, self._nearest(queries[few], count, farther, allowed.selector()), strict=True):
                led_to[i] = allowed.keep(row_ids)
        return led_to

    def _nearest(self, queries: Matrix, count: int, effort: int, selector: Any = None) -> RowIds:
        """``(n_queries, count)`` row ids by falling approximate score; -1 where a list or graph gave no more."""
        effort = min(effort, self.max_effort)
        parameters = (
            self._parameters(effort) if selector is None else search_parameters(self.structure, effort, selector)
        )
        row_ids: RowIds = self.structure.search(queries, count, params=parameters)[1]
        return row_ids

    def _exact(self, queries: Matrix, k: int, allowed: Allowed) -> Neighbors:
        """Compare each query with all rows that may be found."""
        parts: list[Neighbors] = []
        everything = allowed.row_ids()
        for row_ids in np.split(everything, range(CHUNK, len(everything), CHUNK)):
            rows = FlatIndex.build(widened(self.rows.take(row_ids, axis=0)))
            parts.append(rows.search(queries, min(k, len(row_ids))).renamed(row_ids))
            parts = [merge(parts, k)]
        return parts[0]
