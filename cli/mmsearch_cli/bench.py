"""mmsearch bench"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch_cli.console import HERE, CollectionOption, errors_to_exit_code, say

if TYPE_CHECKING:
    from mmsearch.evaluation import Curve


def bench(
    collection: CollectionOption = HERE,
    svg: Annotated[Path | None, typer.Option(help="Also draw the curves into this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, one for each curve.")] = False,
) -> None:
    """Measure recall against speed of this collection's indexes, for each kind of query.

    Shown are the settings that no other beats in both, and the one in use; it takes about 20 seconds a kind of query.

    Example: mmsearch bench -c ~/Pictures --svg curves.svg
    """
    if svg and not svg.expanduser().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {svg.parent} to write {svg.name} into")
    with errors_to_exit_code():
        from tqdm import tqdm

        import mmsearch

        opened = mmsearch.open(collection)
        with tqdm(unit="measurement", desc="measuring", disable=None, leave=False) as bar:
            report = opened.bench(progress=bar.update)
        for curve in report.curves:
            if as_json:
                print(json.dumps(curve.to_json()))
            else:
                _print(curve)
        if not report.curves:
            say("nothing to measure: with so few items, comparing all of them takes no time")
            return
        if not as_json:
            print("Single queries, one after the other, on one thread; ± half of the 95 % interval of recall")
        if svg:
            report.write_svg(svg)
            say(f"drawing: {svg}")


def _print(curve: Curve) -> None:
    from rich.console import Console
    from rich.table import Table

    print(f"{curve.name}: {curve.n:,} vectors, {curve.dim}-d, {curve.recipe}")
    table = Table(box=None, pad_edge=False)
    for head in ("ann_recall@10", "queries/s", "x exact", curve.effort_name, "candidates", ""):
        table.add_column(head, justify="right", no_wrap=True)
    for point in curve.with_tuned():
        table.add_row(
            f"{point.recall:.4f} ± {(point.recall_high - point.recall_low) / 2:.4f}",
            f"{point.qps:,.0f}",
            f"{point.qps / curve.exact_qps:,.1f}",
            f"{point.effort:,}",
            f"{point.rerank:,}",
            "in use" if point == curve.tuned else "",
        )
    table.add_row("1 (exact search)", f"{curve.exact_qps:,.1f}", "1")
    Console().print(table)
    print()
