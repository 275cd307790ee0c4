"""mmsearch search"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsearch_cli.browser import OpenOption, show_page, temporary_page
from mmsearch_cli.console import HERE, CollectionOption, Exit, errors_to_exit_code, say
from mmsearch_cli.render import Layout, one_line, print_hits
from mmsearch_cli.terminal import Graphics, PicturesOption, graphics_for

if TYPE_CHECKING:
    from mmsearch import Collection, Hits, Query

_NARROW = "What may be found"
_ORDER = "How it is searched for"
_SHOW = "How it is shown"


class Kind(StrEnum):
    """What may be returned."""

    IMAGE = "image"
    TEXT = "text"
    ANY = "any"


def search(
    query: Annotated[
        list[str],
        typer.Argument(
            metavar="QUERY",
            help="A sentence, a picture's path or @KEY; several with + or - between them. A single - reads queries "
            "from stdin, one a line.",
        ),
    ],
    collection: CollectionOption = HERE,
    k: Annotated[int, typer.Option("-k", min=1, help="How many hits.")] = 10,
    kind: Annotated[
        Kind | None,
        typer.Option("--for", help="Pictures (where there are any), texts, or both.", rich_help_panel=_NARROW),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(help="A condition in SQL over the columns, as in: width > 1000.", rich_help_panel=_NARROW),
    ] = None,
    min_relevance: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out what is less likely to be right.", rich_help_panel=_NARROW)
    ] = 0.0,
    distinct: Annotated[
        bool, typer.Option("--distinct", help="Fold near-copies into one hit.", rich_help_panel=_NARROW)
    ] = False,
    hybrid: Annotated[
        bool,
        typer.Option("--hybrid", help="Search captions and names for the words as well.", rich_help_panel=_ORDER),
    ] = False,
    lexical: Annotated[
        bool, typer.Option("--lexical", help="Search captions and names for the words only.", rich_help_panel=_ORDER)
    ] = False,
    diverse: Annotated[
        bool, typer.Option("--diverse", help="Prefer hits that differ from each other.", rich_help_panel=_ORDER)
    ] = False,
    like: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="More like this item; may be repeated.", rich_help_panel=_ORDER),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Less like this item; may be repeated.", rich_help_panel=_ORDER),
    ] = None,
    columns: Annotated[
        str, typer.Option(metavar="A,B", help="Columns to give with each hit.", rich_help_panel=_SHOW)
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.", rich_help_panel=_SHOW)] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.", rich_help_panel=_SHOW)] = False,
    as_paths: Annotated[
        bool, typer.Option("--paths", help="File paths only, one a line.", rich_help_panel=_SHOW)
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write a contact sheet to this file.", rich_help_panel=_SHOW)
    ] = None,
    pictures: PicturesOption = None,
    in_browser: OpenOption = False,
) -> None:
    """Search a collection with QUERY, sentences and pictures.

    Example: mmsearch search "two dogs in the snow"

    Example: mmsearch search ./pool.jpg + "2:golden retriever" - fruit --where "width > 1000"

    A query that begins with a dash goes after -- so that it is not taken for an option.
    """
    layout = Layout.chosen(as_json=as_json, as_csv=as_csv, as_paths=as_paths)
    if hybrid and lexical:
        raise typer.BadParameter("choose one of --hybrid and --lexical")
    options = {
        "k": k,
        "modality": kind,
        "where": where,
        "by": "both" if hybrid else "words" if lexical else "vectors",
        "min_relevance": min_relevance,
        "distinct": distinct,
        "diverse": diverse,
        "columns": [name.strip() for name in columns.split(",") if name.strip()],
    }
    feedback = (like or (), unlike or ())
    graphics = graphics_for(pictures, sys.stdout) if layout is Layout.TABLE else None
    with errors_to_exit_code():
        import mmsearch

        opened = mmsearch.open(collection)
        show = partial(_show, opened, layout, graphics)
        if query == ["-"]:
            results, failed = _search_lines(opened, feedback, options, show)
        else:
            results, failed = [_search(opened, mmsearch.parse_query(query), feedback, options)], 0
            show(results[0])
        html = html or (temporary_page() if in_browser else None)
        if html:
            mmsearch.write_contact_sheet(
                html, results, title=f"mmsearch: {' '.join(query)}" if len(results) == 1 else "mmsearch"
            )
            say(f"contact sheet: {html}")
        if html and in_browser:
            show_page(html)
        if failed:
            say(f"mmsearch: {failed:,} of {failed + len(results):,} queries could not be answered")
            raise SystemExit(Exit.ERROR)


def _search(
    opened: Collection, query: Query, feedback: tuple[Sequence[str], Sequence[str]], options: dict[str, Any]
) -> Hits:
    from mmsearch import with_feedback

    like, unlike = feedback
    return opened.search(with_feedback(query, like=like, unlike=unlike), **options)


def _search_lines(
    opened: Collection,
    feedback: tuple[Sequence[str], Sequence[str]],
    options: dict[str, Any],
    show: Callable[..., None],
) -> tuple[list[Hits], int]:
    """Answer each line of stdin as it comes; one that cannot be answered is said, and the next one is read."""
    from mmsearch import MmsearchError, parse_line

    results: list[Hits] = []
    failed = 0
    for line in _lines():
        try:
            hits = _search(opened, parse_line(line), feedback, options)
        except MmsearchError as err:
            say(f"mmsearch: {line}: {err}")
            failed += 1
            continue
        show(hits, query=line, is_first=not results)
        results.append(hits)
    return results, failed


def _lines() -> Iterator[str]:
    while True:
        if sys.stdin.isatty():
            print("search: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()


def _show(
    opened: Collection,
    layout: Layout,
    graphics: Graphics | None,
    hits: Hits,
    *,
    query: str | None = None,
    is_first: bool = True,
) -> None:
    if graphics and hits:
        from mmsearch_cli.pictures import draw

        if query is not None:
            print(one_line(query))
        draw(hits, sys.stdout, graphics)
    else:
        print_hits(hits, layout, query=query, is_first=is_first)
    sys.stdout.flush()
    for note in hits.notes:
        say(note if query is None else f"{query}: {note}")
    if not hits and not hits.notes:
        held = ", ".join(f"{n:,} of modality {modality}" for modality, n in opened.counts().items())
        say(f"nothing found; {opened.path} holds {held or 'no items yet'}")
