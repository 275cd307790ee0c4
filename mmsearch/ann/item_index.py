"""The vectors of one modality's items: by an index where there is one, and all others one by one.

An index holds the items of the commit it was built for. Those added since are compared one by one and merged in, those
removed since are left out, so an answer never lags behind the snapshot.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from mmsearch.ann.border import raised_as
from mmsearch.ann.stored import open_index
from mmsearch.arrays import Embeddings, Ids, Scores
from mmsearch.errors import QueryError
from mmsearch.store import IndexEntry, Modality, Snapshot
from mmsearch_indexes import ApproximateIndex, FlatIndex, IndexUnusable, check_k, merge
from mmsearch_indexes import Neighbors as RowNeighbors

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Opened:
    """An index, with every byte checked."""

    entry: IndexEntry
    index: ApproximateIndex
    ids: Ids
    """``(n,)`` ascending, of its rows."""
    mean: Embeddings
    """``(dim,)`` of its rows."""


@dataclass(frozen=True, slots=True, eq=False)
class _Built:
    """An index, and which of its items the snapshot has no more."""

    opened: _Opened
    gone: Ids
    """``(m,)`` ascending, rows whose items were removed since."""


class ItemIndex:
    """The live items of one modality in one snapshot."""

    def __init__(self, ids: Ids, newer_ids: Ids, newer: FlatIndex, built: _Built | None) -> None:
        """Use ``open``."""
        self.ids = ids
        """``(n,)`` int64, ascending."""
        self._newer_ids = newer_ids
        self._newer = newer
        self._built = built

    @classmethod
    def open(cls, snapshot: Snapshot, modality: Modality, *, before: ItemIndex | None = None) -> ItemIndex:
        """Make the items of a snapshot searchable.

        An index that is damaged or gone costs a warning and time, and nothing else.

        Args:
            snapshot: of a collection.
            modality: of the items.
            before: what an earlier snapshot was searched with: an index that is still in use is not read again.

        Raises:
            MissingPackage: faiss is not installed.
            CollectionError: a shard cannot be read.
        """
        with raised_as(QueryError):
            entry = snapshot.manifest.index.get(modality)
            if entry and entry.files:
                try:
                    return cls._around(_opened(entry, snapshot, before), snapshot, modality)
                except IndexUnusable as err:
                    logger.warning("%s; until then every item is compared", err)
            ids, stored = snapshot.embeddings(modality)
            return cls(ids, ids, FlatIndex.build(stored.astype(np.float32)), None)

    @classmethod
    def _around(cls, opened: _Opened, snapshot: Snapshot, modality: Modality) -> ItemIndex:
        ids = snapshot.table(["id"], modality=modality)["id"].to_numpy()
        newer = ids[~np.isin(ids, opened.ids)]
        gone = np.flatnonzero(~np.isin(opened.ids, ids))
        vectors = snapshot.vectors(newer).astype(np.float32)
        return cls(ids, newer, FlatIndex.build(vectors), _Built(opened, gone))

    def search(
        self, queries: Embeddings, k: int, *, asked_in: Modality, among: Ids | None = None
    ) -> tuple[Ids, Scores]:
        """The k items with the largest inner product, or about those where there is an index.

        Args:
            queries: ``(n_queries, dim)`` float32.
            k: 1 or more; where there are fewer items, -1 and -inf fill the end.
            asked_in: what the queries are; an index is tuned for each kind.
            among: ``(m,)`` ids, in any order; only these items may be found, and never fewer than k if k are live.

        Returns:
            ``(n_queries, k)`` ids and scores, by score descending, then id.

        Raises:
            QueryError: k is below 1, or queries that do not fit.
        """
        with raised_as(QueryError):
            check_k(k, len(self.ids))
            rows = None if among is None else _rows_of(among, self._newer_ids)
            found = self._newer.search(queries, min(k, max(1, len(self._newer))), among=rows)
            parts = [found.renamed(self._newer_ids)]
            if self._built:
                parts.append(self._search_built(self._built, queries, k, asked_in, among))
            best = merge(parts, k)
        return best.row_ids, best.scores

    @staticmethod
    def _search_built(
        built: _Built, queries: Embeddings, k: int, asked_in: Modality, among: Ids | None
    ) -> RowNeighbors:
        index, ids = built.opened.index, built.opened.ids
        # Nobody may have had queries of this kind to tune with: what is known of the other must do.
        tuned = index.tuned.get(asked_in) or next(iter(index.tuned.values()))
        rows = None if among is None else _rows_of(among, ids)
        return index.search(queries, min(k, len(ids)), tuned.setting, among=rows, without=built.gone).renamed(ids)

    def vectors(self, ids: Ids) -> Embeddings:
        """``(n, dim)`` float32 vectors of live items of this modality, in the order asked for."""
        if not self._built:
            return self._newer.vectors(np.searchsorted(self.ids, ids))
        vectors = np.empty((len(ids), self._newer.dim), np.float32)
        opened = self._built.opened
        rows = _places(ids, opened.ids)
        held = rows >= 0
        vectors[held] = opened.index.rows.take(rows[held], axis=0)
        vectors[~held] = self._newer.vectors(np.searchsorted(self._newer_ids, ids[~held]))
        return vectors

    def mean(self) -> Embeddings:
        """``(dim,)`` float32 mean of all vectors; zeros when there are none."""
        if not self._built or not len(self.ids):
            return self._newer.mean()
        opened, gone = self._built.opened, self._built.gone
        total = opened.mean.astype(np.float64) * len(opened.ids)
        total -= opened.index.rows.take(gone, axis=0).sum(axis=0, dtype=np.float64)
        total += self._newer.mean().astype(np.float64) * len(self._newer)
        mean: Embeddings = (total / len(self.ids)).astype(np.float32)
        return mean

    @property
    def opened(self) -> _Opened | None:
        """The index in use."""
        return self._built.opened if self._built else None


def _opened(entry: IndexEntry, snapshot: Snapshot, before: ItemIndex | None) -> _Opened:
    if before and before.opened and before.opened.entry == entry:
        return before.opened
    return _Opened(entry, *open_index(entry, snapshot.folder))


def _rows_of(ids: Ids, known: Ids) -> Ids:
    """``(m,)`` ascending: the rows of those ids that are known."""
    return np.flatnonzero(np.isin(known, ids))


def _places(ids: Ids, known: Ids) -> Ids:
    """``(n,)`` the row of each id, -1 where it is not known; ``known`` ascends."""
    if not len(known):
        return np.full(len(ids), -1, np.int64)
    place = np.searchsorted(known, ids).clip(max=len(known) - 1)
    return np.where(known[place] == ids, place, -1)
