"""Hits on stdout."""

from __future__ import annotations

import csv
import json
import os
import sys
from enum import Enum
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mmsearch import Hit, Hits


class Layout(Enum):
    """How hits are printed."""

    TABLE = "table"
    TABS = "tabs"
    JSON = "json"
    CSV = "csv"
    PATHS = "paths"

    @classmethod
    def chosen(cls, *, as_json: bool, as_csv: bool, as_paths: bool) -> Layout:
        """The one asked for; else a table for a terminal and tab-separated lines for a pipe."""
        asked = [layout for layout, wanted in ((cls.JSON, as_json), (cls.CSV, as_csv), (cls.PATHS, as_paths)) if wanted]
        if len(asked) > 1:
            raise typer.BadParameter("choose one of --json, --csv and --paths")
        if asked:
            return asked[0]
        return cls.TABLE if sys.stdout.isatty() else cls.TABS


def print_hits(hits: Hits, layout: Layout) -> None:
    """Print hits, best first."""
    if layout is Layout.TABLE:
        print_table(hits)
    elif layout is Layout.JSON:
        for hit in hits:
            print(json.dumps(hit.to_json(), ensure_ascii=False))
    elif layout is Layout.CSV:
        print_csv(hits)
    elif layout is Layout.PATHS:
        for hit in hits:
            # Bytes as the file system has them: a name need not be valid in the terminal's encoding.
            sys.stdout.flush()
            sys.stdout.buffer.write(os.fsencode(hit.path) + b"\n")
    else:
        for hit in hits:
            print(f"{hit.rank}\t{hit.score:.4f}\t{shown(hit)}")


def print_csv(hits: Hits) -> None:
    """A header and one row a hit."""
    rows = [hit.to_json() for hit in hits]
    writer = csv.DictWriter(sys.stdout, ["rank", "score", "id", "key", "path", "modality", "text"])
    writer.writeheader()
    writer.writerows(rows)


def print_table(hits: Hits) -> None:
    """A table for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("#", justify="right", style="dim")
    table.add_column("score", justify="right")
    table.add_column("found", overflow="fold")
    for hit in hits:
        table.add_row(str(hit.rank), f"{hit.score:.3f}", Text(shown(hit)))
    Console().print(table if hits else "nothing found")


def shown(hit: Hit) -> str:
    """What a person wants to see of a hit, on one line: a text's words, a picture's key."""
    text = hit.text if hit.modality.value == "text" and hit.text else hit.key
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
