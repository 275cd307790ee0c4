"""Search by vectors over one snapshot of a collection, and what stands behind its ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmsearch.ann import ItemIndex
from mmsearch.arrays import Embeddings, Ids, Scores
from mmsearch.errors import QueryError
from mmsearch.media import path_of
from mmsearch.search.hits import Hit
from mmsearch.search.lexical import LexicalIndex
from mmsearch.store import Modality, Snapshot

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
    """Answers queries over a snapshot; the index of a modality is opened when first asked for."""

    def __init__(self, snapshot: Snapshot, *, home: Path, before: Searcher | None = None) -> None:
        """Search a snapshot; what ``before`` opened for an earlier one is taken over where it still serves."""
        self.snapshot = snapshot
        self._home = home
        self._earlier = dict(before._indexes) if before else {}
        self._ids: dict[Modality, Ids] = {}
        self._samples: dict[Modality, Embeddings] = {}
        self._indexes: dict[Modality, ItemIndex] = {}

    def search_many(
        self, queries: Embeddings, k: int, modality: Modality, *, asked_in: Sequence[Modality], among: Ids | None = None
    ) -> Neighbors:
        """The k nearest items of one modality for each query, or about those where it has an index.

        Args:
            queries: ``(n, dim)`` float32, unit rows.
            k: how many to return; 1 or more.
            modality: which items may be returned.
            asked_in: what each query is.
            among: ``(n,)`` ids; only these may be returned, and never fewer than k if k of them are there.

        Raises:
            QueryError: k is below 1, or a query does not fit the collection.
            MissingPackage: faiss is not installed.
        """
        index = self._index(modality)
        # Of a batch too, each query is searched for as it would be alone.
        rows = {kind: np.flatnonzero([of is kind for of in asked_in]) for kind in dict.fromkeys(asked_in)}
        rows = rows or {Modality.TEXT: np.arange(0)}
        found = [index.search(queries[some], k, asked_in=kind, among=among) for kind, some in rows.items()]
        order = np.argsort(np.concatenate(list(rows.values())))
        ids, scores = (np.concatenate(parts)[order] for parts in zip(*found, strict=True))
        return Neighbors(ids, scores)

    @property
    def default_modality(self) -> Modality:
        """Pictures where there are any, else texts."""
        counts = self.snapshot.counts()
        return Modality.TEXT if counts.get(Modality.TEXT) and not counts.get(Modality.IMAGE) else Modality.IMAGE

    def count(self, modalities: Sequence[Modality], among: Ids | None = None) -> int:
        """How many live items are of these modalities, and among ``among`` where that is given."""
        if among is None:
            return sum(self.snapshot.counts().get(modality, 0) for modality in modalities)
        return sum(int(self.holds(among, modality).sum()) for modality in modalities)

    def holds(self, ids: Ids, modality: Modality) -> npt.NDArray[np.bool_]:
        """``(n,)`` which of these live items are of a modality."""
        return np.isin(ids, self._ids_of(modality))

    def vectors_of(self, ids: Ids) -> Embeddings:
        """``(n, dim)`` float32 vectors of live items, in the order asked for."""
        vectors = np.empty((len(ids), self.snapshot.dim), np.float32)
        left = np.ones(len(ids), np.bool_)
        for modality in dict.fromkeys([*self._indexes, *map(Modality, self.snapshot.counts())]):
            if not left.any():
                break
            here = self.holds(ids, modality)
            vectors[here] = self._index(modality).vectors(ids[here])
            left &= ~here
        return vectors

    def sample(self, modality: Modality) -> Embeddings:
        """``(m, dim)`` float32 vectors of up to 2,048 random items of one modality, the same ones each time."""
        if modality not in self._samples:
            index = self._index(modality)
            few = index.ids
            if len(few) > _SAMPLE:
                few = np.random.default_rng(0).choice(few, _SAMPLE, replace=False)
            self._samples[modality] = index.vectors(few)
        return self._samples[modality]

    def hits(self, ids: Ids, scores: Scores) -> tuple[Hit, ...]:
        """What stands behind the ``(n,)`` ids of one query, best first."""
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

    @cached_property
    def lexical(self) -> LexicalIndex:
        """The words of the snapshot's items; opened, and brought up to date, when first asked for."""
        return LexicalIndex.open(self.snapshot)

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
        row = self.snapshot.rows([table["id"][position].as_py()], ["id", "modality"])
        return Modality(row["modality"][0].as_py()), self.vectors_of(row["id"].to_numpy())[0]

    @cached_property
    def mean_image(self) -> Embeddings:
        """``(dim,)`` float32 mean of all pictures' vectors; zeros when there are none."""
        return self._index(Modality.IMAGE).mean()

    def _ids_of(self, modality: Modality) -> Ids:
        if modality in self._indexes:
            return self._indexes[modality].ids
        if modality not in self._ids:
            self._ids[modality] = self.snapshot.table(["id"], modality=modality)["id"].to_numpy()
        return self._ids[modality]

    def _index(self, modality: Modality) -> ItemIndex:
        if modality not in self._indexes:
            earlier = self._earlier.pop(modality, None)
            self._indexes[modality] = ItemIndex.open(self.snapshot, modality, before=earlier)
        return self._indexes[modality]


def file_key(key: str, modality: str) -> str:
    """The key of the file an item lies in: a text's key is that of its file, ``#``, and its place there."""
    return key.rpartition("#")[0] if modality == Modality.TEXT else key
