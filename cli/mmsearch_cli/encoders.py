"""mmsearch encoders"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch_cli.console import errors_to_exit_code

if TYPE_CHECKING:
    from rich.table import Table

    from mmsearch import KnownEncoder


def encoders(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List known encoders with licence and published recall; any other open_clip model works as well.

    Example: mmsearch encoders
    """
    with errors_to_exit_code():
        import mmsearch

        known = mmsearch.known_encoders()
        if as_json:
            for encoder in known:
                print(json.dumps(asdict(encoder)))
        else:
            _print(known)


def _print(known: Sequence[KnownEncoder]) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 120).print(_table(known))
    print("R@5: published hit rate at 5 of text to image on COCO, in percent. More of each: mmsearch encoders --json")


def _table(known: Sequence[KnownEncoder]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("--encoder", no_wrap=True)
    for header in ("dim", "params", "GFLOPs", "R@5"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("licence")
    for encoder in known:
        table.add_row(
            encoder.name,
            str(encoder.dim),
            _number(encoder.parameters_m, " M"),
            _number(encoder.gflops_per_image),
            _number(encoder.coco_t2i.at_5),
            encoder.licence or "-",
        )
    return table


def _number(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:g}{unit}"
