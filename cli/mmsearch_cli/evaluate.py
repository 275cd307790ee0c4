"""mmsearch eval"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch_cli.console import HERE, CollectionOption, errors_to_exit_code

if TYPE_CHECKING:
    from mmsearch import DirectionReport, Report


def evaluate(
    pairs: Annotated[Path, typer.Option(help="CSV or Parquet with columns key (or image) and caption.")],
    collection: CollectionOption = HERE,
    k: Annotated[list[int] | None, typer.Option("-k", min=1, help="Cut-offs of the hit rate; 1, 5 and 10.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Measure how well captions find their pictures, and pictures their captions.

    Example: mmsearch eval --pairs captions.csv
    """
    with errors_to_exit_code():
        import mmsearch

        report = mmsearch.open(collection).evaluate(pairs, ks=tuple(k or (1, 5, 10)))
        if as_json:
            print(json.dumps(report.to_json()))
        else:
            _print_report(report)


def _print_report(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("text -> image", justify="right")
    table.add_column("image -> text", justify="right")
    left, right = report.t2i, report.i2t
    for k in left.hit_rate:
        table.add_row(f"hit_rate@{k}", _rate(left, k), _rate(right, k))
    table.add_row("mrr", f"{left.mrr:.3f}", f"{right.mrr:.3f}")
    table.add_row("ndcg@10", f"{left.ndcg_at_10:.3f}", f"{right.ndcg_at_10:.3f}")
    table.add_row("median_rank", f"{left.median_rank:g}", f"{right.median_rank:g}")
    table.add_row("queries", f"{left.n_queries:,}", f"{right.n_queries:,}")
    Console().print(table)
    print(f"encoder {report.encoder}, search {report.search}; in brackets the 95 % interval")


def _rate(direction: DirectionReport, k: int) -> str:
    low, high = direction.interval(k)
    return f"{direction.hit_rate[k]:.3f} ({low:.3f}-{high:.3f})"
