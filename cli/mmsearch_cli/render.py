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


_FIELDS = ["rank", "score", "relevance", "id", "key", "path", "modality", "text", "copies"]


def print_hits(hits: Hits, layout: Layout, *, query: str | None = None, is_first: bool = True) -> None:
    """Print hits, best first.

    Args:
        hits: of one query.
        layout: how.
        query: as it was typed, to be told with the hits where several queries are answered.
        is_first: whether a header is still to be printed.
    """
    asked = {} if query is None else {"query": query}
    if layout is Layout.TABLE:
        if query is not None:
            print(query)
        print_table(hits)
    elif layout is Layout.JSON:
        for hit in hits:
            print(json.dumps({**asked, **hit.to_json()}, ensure_ascii=False, default=str))
    elif layout is Layout.CSV:
        columns = list(dict.fromkeys([*asked, *_FIELDS, *hits.types]))
        writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore")
        if is_first:
            writer.writeheader()
        writer.writerows({**asked, **hit.to_json(), "copies": len(hit.copies)} for hit in hits)
    elif layout is Layout.PATHS:
        for hit in hits:
            # Bytes as the file system has them: a name need not be valid in the terminal's encoding.
            sys.stdout.flush()
            sys.stdout.buffer.write(os.fsencode(hit.path) + b"\n")
    else:
        for hit in hits:
            values = [_value(value) for value in hit.columns.values()]
            print(*asked.values(), hit.rank, f"{hit.score:.4f}", _percent(hit), _with_copies(hit), *values, sep="\t")


def print_table(hits: Hits) -> None:
    """A table for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("#", justify="right", style="dim")
    table.add_column("score", justify="right")
    table.add_column("relevance", justify="right")
    table.add_column("found", overflow="fold")
    for name in hits.types:
        table.add_column(name, overflow="fold")
    for hit in hits:
        columns = [Text(_value(value)) for value in hit.columns.values()]
        table.add_row(str(hit.rank), f"{hit.score:.3f}", _percent(hit), Text(_with_copies(hit)), *columns)
    Console().print(table if hits else "nothing found")


def shown(hit: Hit) -> str:
    """What a person wants to see of a hit, on one line: a text's words, a picture's key."""
    return one_line(hit.text if hit.modality.value == "text" and hit.text else hit.key)


def one_line(text: str) -> str:
    """With control characters escaped, so that no name moves the cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _value(value: object) -> str:
    """A column's value on one line; nothing for null."""
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return "" if value is None else one_line(str(value))


def _with_copies(hit: Hit) -> str:
    count = len(hit.copies)
    return shown(hit) + (f" (+{count} {'copy' if count == 1 else 'copies'})" if count else "")


def _percent(hit: Hit) -> str:
    return "" if hit.relevance is None else f"{hit.relevance:.0%}"
