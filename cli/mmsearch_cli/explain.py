"""mmsearch explain"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch_cli.console import HERE, CollectionOption, errors_to_exit_code, say
from mmsearch_cli.render import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmsearch.search.explain import Explanation, WordShare


def explain(
    query: Annotated[
        list[str],
        typer.Argument(metavar="QUERY", help="As for search: sentences, pictures and @KEYs, + or - between them."),
    ],
    key: Annotated[str, typer.Argument(metavar="KEY", help="The item, as `mmsearch search` shows it.")],
    collection: CollectionOption = HERE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    png: Annotated[Path | None, typer.Option(help="Draw the heat map over the picture into this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with all maps and shares to this file.")] = None,
) -> None:
    """Show why the item KEY has its score for QUERY: each term's share, each word's, and where in the picture.

    Example: mmsearch explain "a dog on the grass" 2019/IMG_0042.jpg

    Example: mmsearch explain dog - grass 2019/IMG_0042.jpg --png why.png
    """
    for file in filter(None, (png, html)):
        if not file.expanduser().parent.is_dir():
            raise typer.BadParameter(f"there is no folder {file.parent} to write {file.name} into")
    with errors_to_exit_code():
        import mmsearch

        found = mmsearch.open(collection).explain(mmsearch.parse_query(query), key)
        if as_json:
            print(json.dumps(found.to_json(), ensure_ascii=False))
        else:
            _print(found)
        for note in found.notes:
            say(note)
        if png:
            found.overlay().save(png, "PNG")
            say(f"heat map: {png}")
        if html:
            found.write_page(html)
            say(f"page: {html}")


def _print(found: Explanation) -> None:
    print(f"{found.hit.score:+.3f}  {one_line(found.hit.key)}")
    for of in found.terms:
        print(f"  {of.share:+.3f}  {one_line(of.name)}")
        _print_words(of.words)
    if found.words:
        print("the item's own words")
        _print_words(found.words)
    warmest = found.warmest()
    if warmest and found.heat_maps:
        across, down = warmest
        print(f"warmest {across:.0%} from the left, {down:.0%} from the top ({found.heat_maps.method.value})")
    elif found.heat_maps:
        print(f"no place of the picture raises the score ({found.heat_maps.method.value})")


def _print_words(words: Sequence[WordShare]) -> None:
    for said in words:
        print(f"      {said.share:+.3f}  {one_line(said.word)}")
