"""Exact search over one snapshot of a collection."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mmsearch.arrays import Embeddings, Ids, Scores
from mmsearch.errors import MissingPackage, QueryError
from mmsearch.media import path_of
from mmsearch.search.hits import Hit
from mmsearch.store import Modality, Snapshot
from mmsearch_indexes import FaissMissing, FlatIndex, VectorIndexError

DEFAULT_K = 10
_SAMPLE = 2048
_COLUMNS = ("id", "key", "source", "modality", "text")


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The nearest items of a batch of queries, each row by score descending, then id.

    ``ids`` is ``(n_queries, k)`` int64 and ``scores`` ``(n_queries, k)`` float32; -1 and -inf stand where
    the collection has fewer than k items.
    """

    ids: Ids
    scores: Scores


class Searcher:
    """Answers queries over a snapshot; the index of a modality is built when first asked for."""

    def __init__(self, snapshot: Snapshot, *, home: Path) -> None:
        self.snapshot = snapshot
        self._home = home
        self._indexes: dict[Modality, tuple[Ids, FlatIndex]] = {}

    def search_many(self, queries: Embeddings, k: int, modality: Modality, *, among: Ids | None = None) -> Neighbors:
        """The k nearest items of one modality for each query.

        Args:
            queries: ``(n, dim)`` float32, unit rows.
            k: how many to return; 1 or more.
            modality: which items may be returned.
            among: ``(n,)`` ids; only these may be returned. All of them are compared: none that fits is missed.

        Raises:
            QueryError: k is below 1, or a query does not fit the collection.
            MissingPackage: faiss is not installed.
        """
        try:
            ids, index = self._index(modality)
            rows = None if among is None else np.flatnonzero(np.isin(ids, among))
            found = index.search(queries, k, among=rows).renamed(ids)
        except FaissMissing as err:
            raise MissingPackage("faiss", "cpu") from err
        except VectorIndexError as err:
            raise QueryError(str(err)) from err
        return Neighbors(found.row_ids, found.scores)

    def vectors_of(self, ids: Ids, modality: Modality) -> Embeddings:
        """``(n, dim)`` float32 vectors of live items of one modality, in the order asked for."""
        known, index = self._index(modality)
        return index.vectors(np.searchsorted(known, ids))

    def sample(self, modality: Modality) -> Embeddings:
        """``(m, dim)`` float32 vectors of up to 2,048 random items of one modality, the same ones each time."""
        known, index = self._index(modality)
        if len(known) <= _SAMPLE:
            return index.vectors(np.arange(len(known)))
        return index.vectors(np.sort(np.random.default_rng(0).choice(len(known), _SAMPLE, replace=False)))

    def hits(self, ids: Ids, scores: Scores) -> tuple[Hit, ...]:
        """What stands behind the ids of one query."""
        rows = self.snapshot.rows(ids, _COLUMNS).to_pylist()
        return tuple(
            Hit(
                rank=rank,
                score=float(score),
                relevance=None,
                id=row["id"],
                key=row["key"],
                path=path_of(row["source"], file_key(row["key"], row["modality"]), self._home),
                modality=Modality(row["modality"]),
                text=row["text"],
            )
            for rank, (score, row) in enumerate(zip(scores, rows, strict=True), start=1)
        )

    def vector_of(self, key: str) -> tuple[Modality, Embeddings]:
        """An item's modality and its ``(dim,)`` float32 vector.

        Raises:
            QueryError: no item has this key.
        """
        table = self.snapshot.table(["id", "key"])
        try:
            position = table["key"].to_pylist().index(key)
        except ValueError:
            raise QueryError(f"no item has the key {key!r}; `mmsearch search --json` shows keys") from None
        row = self.snapshot.rows([table["id"][position].as_py()], ["modality", "embedding"])
        vector = np.array(row["embedding"][0].as_py(), dtype=np.float32)
        return Modality(row["modality"][0].as_py()), vector

    @cached_property
    def mean_image(self) -> Embeddings:
        """``(dim,)`` float32 mean of all pictures' vectors; zeros when there are none."""
        _, index = self._index(Modality.IMAGE)
        return index.mean()

    def _index(self, modality: Modality) -> tuple[Ids, FlatIndex]:
        if modality not in self._indexes:
            ids, stored = self.snapshot.embeddings(modality)
            self._indexes[modality] = (ids, FlatIndex.build(stored.astype(np.float32)))
        return self._indexes[modality]


def file_key(key: str, modality: str) -> str:
    """The key of the file an item lies in: a text's key is that of its file, ``#``, and its place there."""
    return key.rpartition("#")[0] if modality == Modality.TEXT else key
