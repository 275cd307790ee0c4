"""What a collection's indexes can do: recall against speed, for each kind of query."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmsearch.ann import QUERY_KINDS, open_index, raised_as, truth_of, tuning_queries
from mmsearch.encoders import DualEncoder
from mmsearch.errors import BuildError
from mmsearch.evaluation.plot import PlotLine, PlotPoint, recall_plot
from mmsearch.search.html_file import write_html
from mmsearch.store import Modality, Snapshot
from mmsearch_indexes import ApproximateIndex, CurvePoint, IndexUnusable, measure_curve, plan

logger = logging.getLogger(__name__)

_SEED = 1
"""Other queries than the index was tuned with, where they are drawn."""
_SAMPLE = 4096
_LEAST_ROWS = 5000
"""Fewer are compared in a millisecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What one index can do for one kind of query.

    Args:
        modality: of the indexed items.
        queries: ``text`` or ``image``.
        n, dim: rows of the index and their width.
        recipe: FAISS's factory string.
        exact_qps: single queries a second when all rows are compared, one thread.
        points: settings that no other beats in both recall and speed, by rising recall.
        tuned: the setting in use, measured along with them; None where the index has none for such queries.
    """

    modality: str
    queries: str
    n: int
    dim: int
    recipe: str
    exact_qps: float
    points: tuple[CurvePoint, ...]
    tuned: CurvePoint | None

    @property
    def name(self) -> str:
        """What is searched with, and what for."""
        return f"{self.queries} -> {self.modality}"

    @property
    def effort_name(self) -> str:
        """What FAISS calls the effort of such an index."""
        return "nprobe" if "IVF" in self.recipe else "ef_search" if "HNSW" in self.recipe else "effort"

    def with_tuned(self) -> tuple[CurvePoint, ...]:
        """The points and the setting in use, which need not be among them, by rising recall."""
        points = {*self.points, *((self.tuned,) if self.tuned else ())}
        return tuple(sorted(points, key=lambda point: (point.recall, -point.qps)))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """The curves of a collection; none where nothing is indexed."""

    curves: tuple[Curve, ...]

    def to_svg(self) -> str:
        """A drawing of all curves, light or dark as the reader's system is."""
        indexes = dict.fromkeys(
            f"{curve.n:,} {curve.modality} vectors, {curve.dim}-d, {curve.recipe}" for curve in self.curves
        )
        return recall_plot(
            [_line(curve) for curve in self.curves],
            title="Recall against speed, single queries on one thread",
            subtitle="; ".join(indexes),
        )

    def write_svg(self, file: str | Path) -> None:
        """Write the drawing; a file that is there is replaced. Raises ``QueryError`` where it cannot be written."""
        write_html(file, self.to_svg())


def bench(
    snapshot: Snapshot, encoder: DualEncoder, *, seconds: float = 20.0, progress: Callable[[int], None]
) -> BenchReport:
    """Measure the indexes in use; where all items are compared, one that is built for this in memory.

    Args:
        snapshot: of the collection.
        encoder: for sentences, where the collection has too few texts.
        seconds: about what a kind of query may take, beside finding its true neighbours.
        progress: told how many measurements more are done.

    Raises:
        BuildError: nothing can be built to be measured.
        CollectionError: the collection cannot be read.
        MissingPackage: faiss is not installed.
    """
    with raised_as(BuildError):
        curves: list[Curve] = []
        for modality in map(Modality, snapshot.counts()):
            found = _index_of(snapshot, modality)
            if found:
                curves += _curves(modality, *found, snapshot, encoder, seconds, progress)
        return BenchReport(curves=tuple(curves))


def _curves(
    modality: Modality,
    index: ApproximateIndex,
    recipe: str,
    snapshot: Snapshot,
    encoder: DualEncoder,
    seconds: float,
    progress: Callable[[int], None],
) -> Iterator[Curve]:
    """One for each kind of query that there are queries of."""
    for kind in QUERY_KINDS:
        queries = tuning_queries(snapshot, encoder, indexed=modality, asked_in=kind, seed=_SEED)
        if queries:
            tuned = index.tuned.get(kind)
            measured = measure_curve(
                index,
                queries.vectors,
                truth_of(index, queries),
                in_use=tuned.setting if tuned else None,
                seconds=seconds,
                progress=progress,
            )
            yield Curve(
                modality=modality,
                queries=kind,
                n=len(index),
                dim=index.dim,
                recipe=recipe,
                exact_qps=measured.exact_qps,
                points=measured.points,
                tuned=measured.in_use,
            )


def _index_of(snapshot: Snapshot, modality: Modality) -> tuple[ApproximateIndex, str] | None:
    """What is measured, and what to call it; None where the items are too few."""
    entry = snapshot.manifest.index.get(modality)
    if entry and entry.files:
        try:
            index = open_index(entry, snapshot.folder)[0]
        except IndexUnusable as err:
            logger.warning("%s; one that is built for this is measured", err)
        else:
            return index, index.recipe.factory
    _, rows = snapshot.embeddings(modality)
    if len(rows) < _LEAST_ROWS:
        return None
    # With less memory than the rows take as float32, comparing them all is not what is planned.
    sample = rows[np.random.default_rng(0).choice(len(rows), min(_SAMPLE, len(rows)), replace=False)]
    recipe = plan(len(rows), snapshot.dim, memory_bytes=2 * rows.size, sample=sample.astype(np.float32)).recipe
    return ApproximateIndex.build(rows, recipe), f"{recipe.factory}, which is not in use"


def _line(curve: Curve) -> PlotLine:
    def placed(point: CurvePoint) -> PlotPoint:
        return PlotPoint(
            recall=point.recall,
            qps=point.qps,
            recall_range=(point.recall_low, point.recall_high),
            qps_range=(point.qps_low, point.qps_high),
            note=f"{curve.effort_name} {point.effort}, {point.rerank} candidates",
        )

    return PlotLine(
        name=curve.name,
        points=tuple(map(placed, curve.points)),
        in_use=placed(curve.tuned) if curve.tuned else None,
        exact_qps=curve.exact_qps,
    )
