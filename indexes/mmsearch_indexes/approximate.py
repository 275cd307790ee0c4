"""Approximate search: a FAISS structure picks candidates, the float16 rows themselves decide their order.

Inverted lists hold the rows less their mean. Under inner product that changes every score of a query by the same
number, so the order stays, and the codes spend their bits on what tells rows apart. Rows go to the list whose centroid
is nearest; lists are visited by the inner product of query and centroid, which is the mean score of the list's rows.
(FAISS's own way, ``spherical``, finds much less where rows are spread widely: benchmarks/LOG.md.)

Scores are computed from the rows in float64 and rounded once, as ``FlatIndex`` does: whatever is found has the score
that exact search would give it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from mmsearch_indexes.allowed import Allowed
from mmsearch_indexes.errors import InvalidRecipe, InvalidVectors
from mmsearch_indexes.flat import FlatIndex, check_vectors, load_faiss
from mmsearch_indexes.neighbors import Matrix, Neighbors, RowIds, check_k, merge
from mmsearch_indexes.recipe import IndexRecipe, Setting, Tuned

StoredRows = npt.NDArray[np.float16]
"""``(n, dim)`` float16, in memory or mapped from a file."""

_CHUNK = 1 << 16
"""Rows widened to float32 at a time: 134 MB where they are 512 wide."""
_SCAN_ROWS = 1000
_SCAN_CANDIDATES = 4
"""Rows that are all compared rather than led to: so few, or so few times the candidates."""
_OVERFETCH_SHARE = 0.5
"""Where at least this share of the rows may be found, some candidates more than needed cost less than a selector."""


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
        self._parameters = lru_cache(maxsize=64)(self._new_parameters)

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
        centre = _mean(stored)
        fitted = recipe.fitted(len(rows))
        if fitted.is_exact:
            return cls(stored, None, recipe)
        if not fitted.nlist:
            centre[:] = 0  # moved to their mean, rows differ in length, and a graph leads to the longest
        structure = _trained(fitted, _sample(stored, fitted) - centre)
        for chunk in _chunks(stored):
            structure.add(chunk - centre)
            if progress:
                progress(len(chunk))
        _visit_by_inner_product(structure)
        return cls(stored, structure, recipe)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def dim(self) -> int:
        """Width of a row."""
        return int(self.rows.shape[1])

    @property
    def max_effort(self) -> int:
        """The largest effort that a ``Setting`` can use; with lists, visiting all of them."""
        if self.structure is None:
            return 1
        lists = _lists(self.structure)
        return int(lists.nlist) if lists else len(self)

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
        check_vectors(queries, "queries")
        if queries.shape[1] != self.dim:
            raise InvalidVectors(
                f"queries are {queries.shape[1]} wide and the indexed vectors {self.dim}; encode both with one encoder"
            )
        check_k(k, len(self))
        allowed = Allowed(len(self), among, without)
        wanted = min(k, len(allowed))
        found = Neighbors.missing(len(queries), k)
        if not wanted or not len(queries):
            return found
        if self._scan_pays(allowed, setting.candidates(k)):
            return merge([self._exact(queries, wanted, allowed)], k)
        candidates = self._candidates(queries, setting, setting.candidates(k), allowed)
        short = []
        for i, (query, row_ids) in enumerate(zip(queries, candidates, strict=True)):
            row_ids = allowed.keep(row_ids)
            if len(row_ids) < wanted:
                short.append(i)
                continue
            # float16 to float64 is quicker than to float32 in NumPy, and exact enough to break ties by row id.
            scores = (self.rows.take(row_ids, axis=0).astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
            order = np.lexsort((row_ids, -scores))[:k]
            found.row_ids[i, :wanted] = row_ids[order]
            found.scores[i, :wanted] = scores[order]
        if short:  # the lists visited held too few rows that may be found
            exact = self._exact(queries[short], wanted, allowed)
            found.row_ids[short, :wanted] = exact.row_ids
            found.scores[short, :wanted] = exact.scores
        return found

    def _scan_pays(self, allowed: Allowed, candidates: int) -> bool:
        """Whether comparing all rows that may be found costs less than being led to them, or finds more."""
        return self.structure is None or len(allowed) <= max(_SCAN_ROWS, _SCAN_CANDIDATES * candidates)

    def _candidates(self, queries: Matrix, setting: Setting, count: int, allowed: Allowed) -> RowIds:
        """``(n_queries, at least count)`` row ids near each query in no order that counts; some may not be allowed."""
        effort = min(setting.effort, self.max_effort)
        if allowed.is_all:
            parameters = self._parameters(effort)
        elif allowed.share >= _OVERFETCH_SHARE:
            # Some of the candidates fall away; fetch as many more as should, and a tenth for those unlucky.
            count = min(len(self), int(count / allowed.share * 1.1))
            parameters = self._parameters(effort)
        else:
            # The same number of neighbours lies farther out among fewer rows.
            effort = min(self.max_effort, int(np.ceil(effort / allowed.share**0.5)))
            parameters = self._new_parameters(effort, allowed.selector())
        _, row_ids = self.structure.search(queries, count, params=parameters)
        found: RowIds = row_ids
        return found

    def _exact(self, queries: Matrix, k: int, allowed: Allowed) -> Neighbors:
        """Compare each query with all rows that may be found."""
        parts = []
        for row_ids in _pieces(allowed.row_ids()):
            widened = FlatIndex.build(self.rows[row_ids].astype(np.float32))
            parts.append(widened.search(queries, min(k, len(row_ids))).renamed(row_ids))
            parts = [merge(parts, k)]
        return parts[0]

    def _new_parameters(self, effort: int, selector: Any = None) -> Any:
        """What FAISS wants to be told with each search."""
        faiss = load_faiss()
        if _lists(self.structure) is None:
            return faiss.SearchParametersHNSW(efSearch=effort, sel=selector)
        parameters = faiss.SearchParametersIVF(nprobe=effort, sel=selector)
        if isinstance(self.structure, faiss.IndexPreTransform):
            return faiss.SearchParametersPreTransform(index_params=parameters)
        return parameters


def _trained(recipe: IndexRecipe, sample: Matrix) -> Any:
    """An empty FAISS index that has learned its centroids and codes from centred rows."""
    faiss = load_faiss()
    try:
        structure = faiss.index_factory(sample.shape[1], recipe.factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as err:
        raise InvalidRecipe(f"FAISS cannot build {recipe.factory!r} over rows of {sample.shape[1]}: {err}") from err
    lists = _lists(structure)
    if lists is not None:
        lists.cp.seed = recipe.seed
        lists.cp.max_points_per_centroid = len(sample)
        if not recipe.spherical and isinstance(faiss.downcast_index(lists.quantizer), faiss.IndexFlat):
            lists.cp.spherical = False
            _replace_quantizer(lists, faiss.IndexFlatL2(lists.d))
    structure.train(sample)
    return structure


def _visit_by_inner_product(structure: Any) -> None:
    """Rows were assigned by distance; from now on lists are chosen by inner product with the same centroids."""
    faiss = load_faiss()
    lists = _lists(structure)
    if lists is not None and isinstance(quantizer := faiss.downcast_index(lists.quantizer), faiss.IndexFlatL2):
        by_inner_product = faiss.IndexFlatIP(lists.d)
        by_inner_product.add(quantizer.reconstruct_n(0, quantizer.ntotal))
        _replace_quantizer(lists, by_inner_product)


def _replace_quantizer(lists: Any, quantizer: Any) -> None:
    """Hand a quantizer over to FAISS, which frees it with the lists, and free the one it had."""
    former = lists.quantizer
    lists.quantizer = quantizer
    quantizer.this.disown()
    former.this.acquire()


def _lists(structure: Any) -> Any:
    """The inverted lists behind a transformation, if any; None for a graph."""
    faiss = load_faiss()
    return faiss.try_extract_index_ivf(structure)


def _mean(rows: StoredRows) -> Matrix:
    """``(dim,)`` float32; raises ``InvalidVectors`` where a row is not finite."""
    total = np.zeros(rows.shape[1])
    first = 0
    for chunk in _chunks(rows):
        if not np.isfinite(sums := chunk.sum(axis=1, dtype=np.float64)).all():
            row = first + int(np.flatnonzero(~np.isfinite(sums))[0])
            raise InvalidVectors(f"rows hold NaN or infinite values, first in row {row}; encode that item again")
        total += chunk.sum(axis=0, dtype=np.float64)
        first += len(chunk)
    mean: Matrix = (total / max(1, len(rows))).astype(np.float32)
    return mean


def _sample(rows: StoredRows, recipe: IndexRecipe) -> Matrix:
    """``(train_rows at most, dim)`` float32, drawn at random: the first rows are of one folder, hence alike."""
    if recipe.train_rows >= len(rows):
        return rows.astype(np.float32)
    drawn = np.random.default_rng(recipe.seed).choice(len(rows), recipe.train_rows, replace=False)
    return rows[np.sort(drawn)].astype(np.float32)


def _chunks(rows: StoredRows) -> Iterator[Matrix]:
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK].astype(np.float32)


def _pieces(row_ids: RowIds) -> Iterator[RowIds]:
    for start in range(0, len(row_ids), _CHUNK):
        yield row_ids[start : start + _CHUNK]
