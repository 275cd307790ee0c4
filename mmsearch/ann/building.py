"""Building the indexes of a collection: plan, build, tune for each kind of query, and take into use by a commit."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Container, Iterator
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np

from mmsearch.ann.border import raised_as
from mmsearch.ann.queries import truth_of, tuning_queries
from mmsearch.ann.stored import IDS, MEAN, QUERY_KINDS, IndexInfo, describe, indexes_in_use
from mmsearch.arrays import Embeddings, Ids, StoredEmbeddings
from mmsearch.encoders import DualEncoder
from mmsearch.errors import BuildError
from mmsearch.store import Modality, Snapshot, Store, no_index
from mmsearch_indexes import (
    EXACT_ROWS,
    ApproximateIndex,
    IndexRecipe,
    IndexUnusable,
    OverBudget,
    Plan,
    plan,
    save_index,
    store_rows,
    tune,
)

DEFAULT_RECALL = 0.95
PAYS_SHARE, DUE_SHARE = 0.05, 0.2
"""Of the items: where more of them were added or removed since the index was built, building it anew makes searches
quicker by far; and where still more were, it should be done without asking."""
_SAMPLE = 4096


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
            meant = f"{self.recall / 100:g}" if 1 < self.recall <= 100 else "0.95"
            raise BuildError(f"recall is {self.recall:g}; give a number above 0 and up to 1, such as {meant}")
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
    """None where comparing all items is the plan, or where somebody else built another meanwhile."""
    had_one: bool
    """Whether there was an index before."""
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
    with raised_as(BuildError):
        snapshot = store.snapshot()
        for lost in snapshot.manifest.index.keys() - snapshot.counts().keys():
            store.commit(snapshot, index={lost: None})
        reports = []
        for modality, (chosen, asked) in _planned(snapshot, options).items():
            if modality in modalities:
                announce(modality, chosen)
                start, before = perf_counter(), snapshot.manifest.index.get(modality)
                index = _Build(store, snapshot, encoder, modality, asked, progress).run(chosen)
                rows, seconds = snapshot.counts()[modality], perf_counter() - start
                reports.append(
                    BuildReport(
                        modality=modality,
                        plan=chosen,
                        rows=rows,
                        index=index,
                        had_one=bool(before and before.files),
                        seconds=seconds,
                    )
                )
        return tuple(reports)


def _planned(snapshot: Snapshot, options: BuildOptions | None) -> dict[Modality, tuple[Plan, BuildOptions]]:
    """What to build for each modality, and what was asked for; memory goes to each as it needs, then by its items."""
    counts = {Modality(name): n for name, n in snapshot.counts().items()}
    asked = {modality: options or _as_before(snapshot, modality) for modality in counts}
    wanted = {modality: _wanted(snapshot, modality, asked[modality]) for modality in counts}
    smallest = {modality: _smallest(wanted[modality]) for modality in counts}
    needed = sum(smallest.values())
    plans = {}
    for modality, n in counts.items():
        memory = asked[modality].memory_bytes
        if memory is not None:
            if memory < needed:
                raise BuildError(
                    f"indexes of {len(snapshot):,} items need {_size(needed)} of memory at least, and {_size(memory)} "
                    f"were given; give {_size(needed)}"
                )
            memory = smallest[modality] + (memory - needed) * n // len(snapshot)
        plans[modality] = wanted[modality](memory_bytes=memory), asked[modality]
    return plans


def _wanted(snapshot: Snapshot, modality: Modality, asked: BuildOptions) -> Callable[..., Plan]:
    """``plan`` for one modality, but for its memory."""
    n = snapshot.counts()[modality]
    chosen = partial(plan, n, snapshot.dim, recall=asked.recall, factory=asked.recipe)
    if asked.memory_bytes is None and chosen().recipe.is_exact:
        return chosen
    return partial(chosen, sample=_sample(snapshot, modality))


def _smallest(wanted: Callable[..., Plan]) -> int:
    try:
        return wanted(memory_bytes=0).resident_bytes
    except OverBudget as err:
        return err.smallest_bytes


def _sample(snapshot: Snapshot, modality: Modality) -> Embeddings:
    """``(4096 at most, dim)`` float32 vectors of random items."""
    ids = snapshot.table(["id"], modality=modality)["id"].to_numpy()
    drawn = np.random.default_rng(0).choice(ids, min(_SAMPLE, len(ids)), replace=False)
    return snapshot.vectors(drawn).astype(np.float32)


def _size(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} bytes"
    return f"{math.ceil(size_bytes / 1e3):,} kB" if size_bytes < 1e6 else f"{math.ceil(size_bytes / 1e6):,} MB"


def _as_before(snapshot: Snapshot, modality: Modality) -> BuildOptions:
    entry = snapshot.manifest.index.get(modality)
    said = entry.options if entry else {}
    return BuildOptions(**{field.name: said[field.name] for field in fields(BuildOptions) if field.name in said})


@dataclass(frozen=True, slots=True, eq=False)
class _Build:
    """The items of one modality, on their way into an index."""

    store: Store
    snapshot: Snapshot
    encoder: DualEncoder
    modality: Modality
    options: BuildOptions
    progress: BuildProgress

    def run(self, chosen: Plan) -> IndexInfo | None:
        """Build as planned and commit; None where no index is wanted, or somebody else built one meanwhile."""
        n = self.snapshot.counts()[self.modality]
        if chosen.recipe.is_exact:
            # Where an index would be built without asking, it is noted that none is wanted.
            entry = no_index(n, asdict(self.options)) if n > EXACT_ROWS else None
            self.store.commit(self.snapshot, index={self.modality: entry})
            return None
        entry = self.store.write_index(partial(self._fill, chosen.recipe), options=asdict(self.options))
        committed = self.store.commit(self.snapshot, index={self.modality: entry})
        with contextlib.suppress(IndexUnusable):
            return describe(entry, committed, self.modality)
        return None

    def _fill(self, recipe: IndexRecipe, folder: Path) -> int:
        """Put the files of an index into a folder; returns how many items it holds."""
        parts = _Parts(self.snapshot, self.modality, self._counter(BuildStep.READING))
        rows = store_rows(folder, parts, self.snapshot.dim)
        added = self._counter(BuildStep.ADDING)
        added(0)
        index = self._tuned(ApproximateIndex.build(rows, recipe, progress=added))
        save_index(index, folder)
        _save(parts.ids, folder / IDS)
        _save(parts.mean, folder / MEAN)
        return len(rows)

    def _counter(self, step: BuildStep) -> Callable[[int], None]:
        """To be told how many more items a step is done with."""
        done, total = 0, self.snapshot.counts()[self.modality]

        def count(more: int) -> None:
            nonlocal done
            done += more
            self.progress(self.modality, step, done, total)

        return count

    def _tuned(self, index: ApproximateIndex) -> ApproximateIndex:
        """The index, tuned for each kind of query that there are queries of."""
        for place, kind in enumerate(QUERY_KINDS):
            self.progress(self.modality, BuildStep.TUNING, place, len(QUERY_KINDS))
            queries = tuning_queries(self.snapshot, self.encoder, indexed=self.modality, asked_in=kind)
            if queries:
                truth = truth_of(index, queries)
                index = index.with_tuned(kind, tune(index, queries.vectors, recall=self.options.recall, truth=truth))
        return index


def _save(array: Ids | Embeddings, path: Path) -> None:
    """As NumPy does, but on a full disk with the error of the system."""
    data = io.BytesIO()
    np.save(data, array)
    path.write_bytes(data.getbuffer())


class _Parts:
    """The embeddings of one modality part by part, and what is known once all have gone by."""

    def __init__(self, snapshot: Snapshot, modality: Modality, progress: Callable[[int], None]) -> None:
        self._snapshot = snapshot
        self._modality = modality
        self._progress = progress
        self._ids: list[Ids] = [np.empty(0, np.int64)]
        self._total = np.zeros(snapshot.dim)

    def __iter__(self) -> Iterator[StoredEmbeddings]:
        for ids, rows in self._snapshot.embedding_batches(self._modality):
            self._ids.append(ids)
            self._total += rows.sum(axis=0, dtype=np.float64)
            yield rows
            self._progress(len(rows))

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

    Without an index that is 1. Where comparing all items was asked for, or they are few and have no index, nothing is
    said.
    """
    used, shares = indexes_in_use(snapshot), {}
    for name, n in snapshot.counts().items():
        entry = snapshot.manifest.index.get(name)
        if entry.files if entry else n > EXACT_ROWS:
            shares[Modality(name)] = (used[name].newer + used[name].gone) / n if name in used else 1.0
    return shares
