"""Building the indexes of a collection: plan, build, tune for each kind of query, and take into use by a commit."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from time import perf_counter

import numpy as np

from mmsearch.ann.queries import exact_neighbors, tuning_queries
from mmsearch.ann.stored import IDS, MEAN, QUERY_KINDS, IndexInfo, indexes_in_use
from mmsearch.arrays import Embeddings, Ids, StoredEmbeddings
from mmsearch.encoders import DualEncoder
from mmsearch.errors import BuildError, MissingPackage
from mmsearch.store import Modality, Snapshot, Store
from mmsearch_indexes import (
    EXACT_ROWS,
    ApproximateIndex,
    FaissMissing,
    Plan,
    VectorIndexError,
    plan,
    save_index,
    store_rows,
    tune,
)

DEFAULT_RECALL = 0.95
PAYS_SHARE, DUE_SHARE = 0.05, 0.2
"""Of the items: where more of them were added or removed since the index was built, building it anew makes searches
quicker by far; and where still more were, it should be done without asking."""


class BuildStep(StrEnum):
    """What a build is at."""

    READING = "reading"
    ADDING = "learning and adding"
    TUNING = "tuning"


BuildProgress = Callable[[Modality, BuildStep, int, int], None]
"""Told the step, how much of it is done, and of how much; in rows, or in kinds of queries while tuning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What an index is asked to be."""

    recall: float = DEFAULT_RECALL
    """ann_recall@10 that is promised, for each kind of query."""
    memory_bytes: int | None = None
    """What the indexes of all modalities may keep in memory; None for no limit."""
    recipe: str | None = None
    """FAISS's factory string, in place of what would be picked."""

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise BuildError(f"recall is {self.recall}; give a number above 0 and up to 1, such as 0.95")
        if self.recipe is not None and self.recall == 1:
            raise BuildError("only comparing all items finds all of the nearest; give a recall below 1 with a recipe")
        if self.memory_bytes is not None and self.memory_bytes < 1:
            raise BuildError(f"memory is {self.memory_bytes} bytes; give 1 or more, such as 500MB")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """What became of the items of one modality."""

    modality: Modality
    plan: Plan
    rows: int
    index: IndexInfo | None
    """None where comparing all items is the plan."""
    seconds: float


def build(
    store: Store,
    encoder: DualEncoder,
    options: BuildOptions | None,
    *,
    modalities: Container[str],
    announce: Callable[[Modality, Plan], None],
    progress: BuildProgress,
) -> tuple[BuildReport, ...]:
    """Build an index for each modality and take it into use; the one before serves until then.

    Args:
        store: of the collection; it may be written to and searched meanwhile.
        encoder: for sentences to tune with, where the collection has no texts.
        options: what the indexes are asked to be; None for what the ones in use were.
        modalities: whose.
        announce: told what is going to be built, before anything is.
        progress: called as it goes on.

    Raises:
        BuildError: it cannot be built as asked.
        CollectionError: the collection cannot be read or written; the index before it serves on.
        MissingPackage: faiss is not installed.
    """
    with _translated():
        snapshot = store.snapshot()
        reports = []
        for name, n in snapshot.counts().items():
            if name not in modalities:
                continue
            modality = Modality(name)
            asked = options or _as_before(snapshot, modality)
            memory = asked.memory_bytes and max(1, asked.memory_bytes * n // len(snapshot))
            chosen = plan(n, snapshot.dim, memory_bytes=memory, recall=asked.recall, factory=asked.recipe)
            announce(modality, chosen)
            start = perf_counter()
            built = _built(store, snapshot, encoder, modality, chosen, asked, progress)
            reports.append(
                BuildReport(modality=modality, plan=chosen, rows=n, index=built, seconds=perf_counter() - start)
            )
        return tuple(reports)


def _as_before(snapshot: Snapshot, modality: Modality) -> BuildOptions:
    entry = snapshot.manifest.index.get(modality)
    said = entry.options if entry else {}
    return BuildOptions(**{field.name: said[field.name] for field in fields(BuildOptions) if field.name in said})


def _built(
    store: Store,
    snapshot: Snapshot,
    encoder: DualEncoder,
    modality: Modality,
    chosen: Plan,
    options: BuildOptions,
    progress: BuildProgress,
) -> IndexInfo | None:
    """Build as planned and commit; None where no index is wanted."""
    if chosen.recipe.is_exact:
        store.commit(snapshot, index={modality: None})
        return None
    n = snapshot.counts()[modality]

    def fill(folder: Path) -> int:
        parts = _Parts(snapshot, modality, lambda done: progress(modality, BuildStep.READING, done, n))
        rows = store_rows(folder, parts, snapshot.dim)
        done = 0

        def added(count: int) -> None:
            nonlocal done
            done += count
            progress(modality, BuildStep.ADDING, done, n)

        progress(modality, BuildStep.ADDING, 0, n)
        index = ApproximateIndex.build(rows, chosen.recipe, progress=added)
        for place, kind in enumerate(QUERY_KINDS):
            progress(modality, BuildStep.TUNING, place, len(QUERY_KINDS))
            queries = tuning_queries(snapshot, encoder, indexed=modality, asked_in=kind)
            if queries:
                exact = exact_neighbors(index, queries)
                index = index.with_tuned(kind, tune(index, queries.vectors, recall=options.recall, exact=exact))
        save_index(index, folder)
        np.save(folder / IDS, parts.ids)
        np.save(folder / MEAN, parts.mean)
        return len(rows)

    entry = store.write_index(fill, options=asdict(options))
    return indexes_in_use(store.commit(snapshot, index={modality: entry})).get(modality)


class _Parts:
    """The embeddings of one modality part by part, and what is known once all have gone by."""

    def __init__(self, snapshot: Snapshot, modality: Modality, progress: Callable[[int], None]) -> None:
        self._snapshot = snapshot
        self._modality = modality
        self._progress = progress
        self._ids: list[Ids] = [np.empty(0, np.int64)]
        self._total = np.zeros(snapshot.dim)

    def __iter__(self) -> Iterator[StoredEmbeddings]:
        done = 0
        for ids, rows in self._snapshot.embedding_batches(self._modality):
            self._ids.append(ids)
            self._total += rows.sum(axis=0, dtype=np.float64)
            yield rows
            done += len(rows)
            self._progress(done)

    @property
    def ids(self) -> Ids:
        """``(n,)`` ascending."""
        return np.concatenate(self._ids)

    @property
    def mean(self) -> Embeddings:
        """``(dim,)`` float32."""
        mean: Embeddings = (self._total / max(1, len(self.ids))).astype(np.float32)
        return mean


def outdated(snapshot: Snapshot) -> dict[Modality, float]:
    """Modality -> the share of its items that its index does not know, or knows in vain: 0 for a fresh one.

    Without an index that is 1, unless the items are few enough to be compared.
    """
    used, shares = indexes_in_use(snapshot), {}
    for name, n in snapshot.counts().items():
        entry = snapshot.manifest.index.get(name)
        if n > EXACT_ROWS or entry:
            shares[Modality(name)] = (used[name].newer + used[name].gone) / n if name in used else 1.0
    return shares


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the errors of the vector indexes into ours."""
    try:
        yield
    except FaissMissing as err:
        raise MissingPackage("faiss", "cpu") from err
    except VectorIndexError as err:
        raise BuildError(str(err)) from err
