"""What a collection's indexes can do: recall against speed, for each kind of query."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmsearch.evaluation.plot import PlotLine, PlotPoint, recall_plot
from mmsearch.search.html_file import write_html
from mmsearch_indexes import CurvePoint


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
