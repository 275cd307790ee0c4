"""mmsearch search"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mmsearch_cli.console import HERE, CollectionOption, errors_to_exit_code, say
from mmsearch_cli.render import Layout, print_hits


class Kind(StrEnum):
    """What may be returned."""

    IMAGE = "image"
    TEXT = "text"


def search(
    query: Annotated[
        list[str],
        typer.Argument(metavar="QUERY", help="A sentence, a picture's path or @KEY; several with + or - between them."),
    ],
    collection: CollectionOption = HERE,
    k: Annotated[int, typer.Option("-k", min=1, help="How many hits.")] = 10,
    kind: Annotated[
        Kind | None,
        typer.Option("--for", help="What to find; pictures where there are any.", show_default=False),
    ] = None,
    where: Annotated[str | None, typer.Option(help="A condition in SQL over the columns, as in: width > 1000.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
    as_paths: Annotated[bool, typer.Option("--paths", help="File paths only, one a line.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write a contact sheet to this file.")] = None,
) -> None:
    """Search a collection with QUERY, sentences and pictures.

    Example: mmsearch search "two dogs in the snow"

    Example: mmsearch search ./pool.jpg + "2:golden retriever" - fruit

    A query that begins with a dash goes after -- so that it is not taken for an option.
    """
    layout = Layout.chosen(as_json=as_json, as_csv=as_csv, as_paths=as_paths)
    with errors_to_exit_code():
        import mmsearch

        parsed = mmsearch.parse_query(query)
        opened = mmsearch.open(collection)
        hits = opened.search(parsed, k, modality=kind, where=where)
        print_hits(hits, layout)
        if where and len(hits) < k:
            say(f"only {len(hits):,} match: {where}")
        elif not hits:
            held = ", ".join(f"{n:,} of modality {modality}" for modality, n in opened.counts().items())
            say(f"nothing found; {opened.path} holds {held or 'no items yet'}")
        if html:
            mmsearch.write_contact_sheet(html, [hits], title=f"mmsearch: {' '.join(query)}")
            say(f"contact sheet: {html}")
