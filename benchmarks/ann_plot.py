"""From measured points to queries a second at a recall: interpolation, tables and drawings.

python -m benchmarks.ann_plot            tables in Markdown
python -m benchmarks.ann_plot FOLDER     drawings, an SVG file for each data set, kind of query and size of batch
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.record import ROOT
from mmsearch.evaluation import PlotLine, PlotPoint, recall_plot
from mmsearch.evaluation.plot import short

RECALLS = (0.90, 0.95, 0.99)
BATCHES = {"single": "one by one", "batch": "100 at a time"}
CLOCKS = {"qps": "wall time", "cpu_qps": "CPU time"}
_OURS = "mmsearch"

Point = tuple[float, float]
"""Recall and queries a second."""


def points(curve: Sequence[Mapping[str, Any]], batch: str, clock: str = "qps") -> list[Point]:
    """The settings that were timed; each with the median of its rounds, by one of ``CLOCKS``."""
    timed = f"{clock}_{batch}"
    return [(point["recall"], median(point[timed])) for point in curve if timed in point]


def front(measured: Sequence[Point]) -> list[Point]:
    """Those that no other beats in both recall and speed, by ascending recall."""
    best: list[Point] = []
    for recall, qps in sorted(measured, key=lambda point: (-point[0], -point[1])):
        if not best or qps > best[-1][1]:
            best.append((recall, qps))
    return best[::-1]


def qps_at(measured: Sequence[Point], recall: float) -> float | None:
    """Queries a second at a recall, None where no setting reaches it.

    Between two neighbours of the front the logarithm of the speed is taken as straight over recall. Where the cheapest
    setting has more recall already, its speed is the answer: nothing is extrapolated.
    """
    best = front(measured)
    if not best or best[-1][0] < recall:
        return None
    if best[0][0] >= recall:
        return best[0][1]
    for (low, fast), (high, slow) in pairwise(best):
        if high >= recall:
            share = (recall - low) / (high - low)
            return float(fast ** (1 - share) * slow**share)
    raise AssertionError("the last point has enough recall")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One opponent on one data set with one kind of query."""

    name: str
    bytes_anonymous: float
    bytes_mapped: float
    build_cpu_s: float
    qps: dict[tuple[str, float], float | None]

    @property
    def is_ours(self) -> bool:
        """Whether it is this repository's."""
        return self.name.startswith(_OURS)

    @property
    def size(self) -> float:
        """Resident bytes a vector, mapped ones included."""
        return self.bytes_anonymous + self.bytes_mapped


def rows(records: Sequence[Mapping[str, Any]], kind: str, clock: str = "qps") -> list[Row]:
    """One for each record that asked this kind, ours first, then by speed at .95."""
    found = [
        Row(
            name=record["opponent"],
            bytes_anonymous=record["bytes_per_vector"]["anonymous"],
            bytes_mapped=record["bytes_per_vector"]["mapped"],
            build_cpu_s=record["build_cpu_s"],
            qps={
                (batch, recall): qps_at(points(record["curves"][kind]["points"], batch, clock), recall)
                for batch in BATCHES
                for recall in RECALLS
            },
        )
        for record in records
        if kind in record["curves"]
    ]
    return sorted(found, key=lambda row: (not row.is_ours, -(row.qps["single", 0.95] or 0)))


def margins(found: Sequence[Row], batch: str, recall: float) -> tuple[float | None, float | None]:
    """How many times faster than the best opponent that is no larger, and than the best of any size, our best is."""
    ours = [row for row in found if row.is_ours and row.qps[batch, recall]]
    if not ours:
        return None, None
    best = max(ours, key=lambda row: row.qps[batch, recall] or 0)
    theirs = [row for row in found if not row.is_ours]
    speeds = [
        max((row.qps[batch, recall] or 0 for row in theirs if row.size <= limit), default=0)
        for limit in (best.size, np.inf)
    ]
    own = best.qps[batch, recall] or 0
    no_larger, any_size = (round(own / speed, 2) if speed else None for speed in speeds)
    return no_larger, any_size


def table(found: Sequence[Row]) -> str:
    """Markdown."""
    heads = [f"{how}, {short(recall)}" for how in BATCHES.values() for recall in RECALLS]
    lines = [
        f"| queries a second at ann_recall@10 | {' | '.join(heads)} | bytes a vector, own + mapped | build, CPU s |",
        "|---|" + "---:|" * (len(heads) + 2),
    ]
    for row in found:
        speeds = [f"{qps:,.0f}" if (qps := row.qps[batch, recall]) else "–" for batch in BATCHES for recall in RECALLS]
        size = f"{row.bytes_anonymous:,.0f} + {row.bytes_mapped:,.0f}"
        lines.append(f"| {row.name} | {' | '.join(speeds)} | {size} | {row.build_cpu_s:,.0f} |")
    for title, which in (("no larger", 0), ("of any size", 1)):
        ratios = [margins(found, batch, recall)[which] for batch in BATCHES for recall in RECALLS]
        shown = " | ".join("–" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
        lines.append(f"| our fastest / fastest opponent {title} | {shown} | | |")
    return "\n".join(lines)


# --- drawing -----------------------------------------------------------------------------------------------------

_LEAST = 0.7  # less recall is not drawn


def svg(curves: Mapping[str, Sequence[Point]], title: str, subtitle: str = "") -> str:
    """The front of each curve."""
    fronts = {name: [point for point in front(curve) if point[0] >= _LEAST] for name, curve in curves.items()}
    lines = [
        PlotLine(
            name=name,
            points=tuple(PlotPoint(recall=recall, qps=qps) for recall, qps in found),
            own=name.startswith(_OURS),
        )
        for name, found in fronts.items()
        if found
    ]
    return recall_plot(lines, title=title, subtitle=subtitle)


# --- from the records --------------------------------------------------------------------------------------------


def newest(file: Path) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """The last record of each opponent, by name and number of rows of the data set."""
    last: dict[tuple[str, int, str], dict[str, Any]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        last[record["data"], record["n"], record["opponent"]] = record
    sets: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for (data, n, _), record in last.items():
        sets.setdefault((data, n), []).append(record)
    return sets


def main(argv: Sequence[str] | None = None) -> None:
    """Tables, or drawings where a folder is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", type=Path, metavar="FOLDER")
    parser.add_argument("--cpu", action="store_const", dest="clock", const="cpu_qps", default="qps")
    parser.add_argument("--records", type=Path, default=ROOT / "benchmarks/results/ann.jsonl")
    args = parser.parse_args(argv)
    for (data, n), records in newest(args.records).items():
        for kind in records[0]["curves"]:
            title = f"{kind} among {n:,} vectors ({data})"
            if not args.draw:
                print(f"### {title}, one thread, {CLOCKS[args.clock]}\n\n{table(rows(records, kind, args.clock))}\n")
                continue
            for batch, how in BATCHES.items():
                curves = {
                    record["opponent"]: points(record["curves"][kind]["points"], batch, args.clock)
                    for record in records
                    if kind in record["curves"]
                }
                target = args.draw / f"ann-{data}-{n}-{kind}-{batch}.svg".replace(" ", "-")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(
                    svg(curves, title, f"queries {how}, one thread, {CLOCKS[args.clock]}"), encoding="utf-8"
                )
                print(target)


if __name__ == "__main__":
    main()
