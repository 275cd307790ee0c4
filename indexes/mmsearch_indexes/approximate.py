"""Approximate search: a FAISS structure picks candidates, the float16 rows themselves decide their order.

FAISS scores the candidates anew from the rows where they lie, in memory or in a mapped file, and a few more than k of
them are then scored once more in float64 and rounded, as ``FlatIndex`` does: whatever is found has the score that exact
search would give it.

Inverted lists hold the rows less their mean. Under inner product that changes every score of a query by the same
number, so the order stays, and the codes spend their bits on what tells rows apart. Rows go to the list whose centroid
is nearest; lists are visited by the inner product of query and centroid, which is the mean score of the list's rows.
(FAISS's own way, ``spherical``, finds much less where rows are spread widely: benchmarks/LOG.md.)
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
from mmsearch_indexes.gpu import assigning_on_gpu
from mmsearch_indexes.halves import CHUNK, StoredRows, checked_mean, chunks, sample, widened
from mmsearch_indexes.neighbors import Matrix, Neighbors, RowIds, Scores, check_k, merge
from mmsearch_indexes.recipe import IndexRecipe, Setting, Tuned
from mmsearch_indexes.structure import (
    lists_of,
    reranking,
    reranking_parameters,
    search_parameters,
    trained,
    visit_by_inner_product,
)

_HARMLESS = 1e30
"""Vectors whose squares sum to less cannot overflow in an inner product."""
_CELLS = 1 << 22
"""Numbers in one temporary array: 32 MB in float64."""
_MARGIN = 8
"""Rows beyond k that are scored in float64: float32 may take copies of one picture for worse than one another."""
_MAX_EF_SEARCH = 2048
"""Beyond this a graph costs more than comparing some 100,000 rows."""
_SCAN_ROWS = 3000
_SCAN_CANDIDATES = 4
"""Rows that are all compared rather than led to: so few, or so few times the candidates."""
_OVERFETCH_SHARE = 0.1
"""Where at least this share of the rows may be found, more candidates than needed cost less than a selector."""
_SPARE = 1.1
"""Candidates beyond those that should fall away, for queries with less luck."""
_MORE = 4
"""How much more effort is spent on a query that was led to fewer rows than it asked for."""
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
        self._reranking: Any = None if structure is None else reranking(structure, rows)
        self._parameters = lru_cache(maxsize=64)(partial(reranking_parameters, structure))

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
            stored: StoredRows = np.ascontiguousarray(rows, np.float16)
        centre = checked_mean(stored)
        fitted = recipe.fitted(len(rows))
        if fitted.is_exact:
            return cls(stored, None, fitted)
        if not fitted.nlist:
            centre[:] = 0  # moved to their mean, rows differ in length, and a graph leads to the longest
        structure = trained(fitted, sample(stored, fitted.train_rows, fitted.seed) - centre)
        with assigning_on_gpu(lists_of(structure)):
            for chunk in chunks(stored):
                structure.add(chunk - centre)
                if progress:
                    progress(len(chunk))
        visit_by_inner_product(structure)
        return cls(stored, structure, fitted)

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
        # From here on wanted is k: where k were all that may be found, they have been compared.
        effort, candidates = setting.effort, setting.candidates(k)
        found = self._ranked(queries, self._led_to(queries, k, candidates, effort, allowed), k)
        while found.row_ids[:, -1].min() < 0:
            short = np.flatnonzero(found.row_ids[:, -1] < 0)
            if effort < self.max_effort:
                effort = min(_MORE * effort, self.max_effort)
                more = self._ranked(queries[short], self._led_to(queries[short], k, candidates, effort, allowed), k)
            else:
                more = self._exact(queries[short], k, allowed)
            found.row_ids[short] = more.row_ids
            found.scores[short] = more.scores
        return found

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
        parameters = search_parameters(self.structure, min(setting.effort, self.max_effort))
        row_ids: RowIds = self.structure.search(queries, setting.rerank, params=parameters)[1]
        return row_ids

    def _check(self, queries: Matrix) -> None:
        """What ``check_vectors`` does, quicker where nothing is wrong."""
        if queries.ndim != 2 or queries.dtype != np.float32 or not np.vdot(queries, queries) < _HARMLESS:
            check_vectors(queries, "queries")
        if queries.shape[1] != self.dim:
            raise InvalidVectors(
                f"queries are {queries.shape[1]} wide and the indexed vectors {self.dim}; encode both with one encoder"
            )

    def _ranked(self, queries: Matrix, row_ids: RowIds, k: int) -> Neighbors:
        """The k best of each query's ``(n_queries, k or more)`` rows, -1 for none, by scores rounded from float64."""
        step = max(1, _CELLS // (row_ids.shape[1] * self.dim))
        if len(queries) > step:
            parts = [slice(start, start + step) for start in range(0, len(queries), step)]
            ranked = [self._ranked(queries[part], row_ids[part], k) for part in parts]
            return Neighbors(
                np.concatenate([part.row_ids for part in ranked]), np.concatenate([part.scores for part in ranked])
            )
        scores = self._scored(queries, row_ids)
        best = np.lexsort((row_ids, -scores))[:, :k]
        best += np.arange(0, row_ids.size, row_ids.shape[1])[:, np.newaxis]
        return Neighbors(row_ids.take(best), scores.take(best))

    def _scored(self, queries: Matrix, row_ids: RowIds) -> Scores:
        """``(n_queries, m)`` inner products of each query with its own rows; -inf for none."""
        rows = widened(self.rows.take(row_ids.reshape(-1), axis=0)).astype(np.float64)
        products = rows.reshape(*row_ids.shape, self.dim) @ queries.astype(np.float64)[:, :, np.newaxis]
        scores: Scores = products[:, :, 0].astype(np.float32)
        scores[row_ids < 0] = -np.inf
        return scores

    def _scan_pays(self, allowed: Allowed, candidates: int) -> bool:
        """Whether comparing all rows that may be found costs less than being led to them, or finds more."""
        return self.structure is None or len(allowed) <= max(_SCAN_ROWS, _SCAN_CANDIDATES * candidates)

    def _led_to(self, queries: Matrix, k: int, candidates: int, effort: int, allowed: Allowed) -> RowIds:
        """``(n_queries, a few more than k)`` of the best row ids that may be found; -1 where there were no more."""
        width = min(k + _MARGIN, candidates)
        if allowed.is_all:
            return self._best(queries, width, candidates, effort)
        best = np.full((len(queries), width), -1, np.int64)
        few = np.arange(len(queries))
        if allowed.share >= _OVERFETCH_SHARE:
            wider, fetched = (min(len(self), int(_SPARE * count / allowed.share)) for count in (width, candidates))
            row_ids = self._best(queries, wider, fetched, effort)
            row_ids[~allowed.holds(row_ids)] = -1
            best = row_ids[np.arange(len(queries))[:, np.newaxis], np.argsort(row_ids < 0, kind="stable")[:, :width]]
            # Where the rows near a query are not those of the filter, most of what was fetched fell away.
            few = np.flatnonzero(best[:, k - 1] < 0)
        if len(few):
            farther = int(np.ceil(effort / allowed.share**_FARTHER))
            best[few] = self._best(queries[few], width, candidates, farther, allowed.selector())
        return best

    def _best(self, queries: Matrix, width: int, candidates: int, effort: int, selector: Any = None) -> RowIds:
        """``(n_queries, width)`` row ids by falling score as float32 has it; -1 where there were fewer."""
        effort = min(effort, self.max_effort)
        parameters = (
            self._parameters(effort, candidates, width)
            if selector is None
            else reranking_parameters(self.structure, effort, candidates, width, selector)
        )
        row_ids: RowIds = self._reranking.search(queries, width, params=parameters)[1]
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
