"""Exact search over one snapshot of a collection."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mmsearch.arrays import Embeddings, Ids, Scores
from mmsearch.errors import MissingPackage, QueryError
from mmsearch.media import path_of
from mmsearch.search.hits import Hit, Hits
from mmsearch.store import Modality, Snapshot
from mmsearch_indexes import FaissMissing, FlatIndex, VectorIndexError

DEFAULT_K = 10
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
            ids, index = self._index(modality) if among is None else self._part(modality, among)
            found = index.search(queries, k)
        except FaissMissing as err:
            raise MissingPackage("faiss", "cpu") from err
        except VectorIndexError as err:
            raise QueryError(str(err)) from err
        missing = found.row_ids < 0
        return Neighbors(np.where(missing, -1, ids[found.row_ids]) if len(ids) else found.row_ids, found.scores)

    def hits(self, neighbors: Neighbors, query: int = 0) -> Hits:
        """What stands behind the ids of one query, as ``Hit`` objects."""
        found = neighbors.ids[query] >= 0
        ids, scores = neighbors.ids[query][found], neighbors.scores[query][found]
        rows = self.snapshot.rows(ids, _COLUMNS).to_pylist()
        return Hits(
            tuple(
                Hit(
                    rank=rank,
                    score=float(score),
                    id=row["id"],
                    key=row["key"],
                    path=path_of(row["source"], file_key(row["key"], row["modality"]), self._home),
                    modality=Modality(row["modality"]),
                    text=row["text"],
                )
                for rank, (score, row) in enumerate(zip(scores, rows, strict=True), start=1)
            )
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
        _, stored = self.snapshot.embeddings(Modality.IMAGE)
        mean: Embeddings = (
            stored.mean(axis=0, dtype=np.float32) if len(stored) else np.zeros(self.snapshot.dim, np.float32)
        )
        return mean

    def _index(self, modality: Modality) -> tuple[Ids, FlatIndex]:
        if modality not in self._indexes:
            ids, stored = self.snapshot.embeddings(modality)
            self._indexes[modality] = (ids, FlatIndex.build(stored.astype(np.float32)))
        return self._indexes[modality]

    def _part(self, modality: Modality, among: Ids) -> tuple[Ids, FlatIndex]:
        ids, stored = self.snapshot.embeddings(modality)
        wanted = np.isin(ids, among)
        return ids[wanted], FlatIndex.build(stored[wanted].astype(np.float32))


def file_key(key: str, modality: str) -> str:
    """The key of the file an item lies in: a text's key is that of its file, ``#``, and its place there."""
    return key.rpartition("#")[0] if modality == Modality.TEXT else key
