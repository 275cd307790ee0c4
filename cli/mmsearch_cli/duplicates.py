"""mmsearch duplicates"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch_cli.console import HERE, CollectionOption, errors_to_exit_code, say
from mmsearch_cli.render import one_line

if TYPE_CHECKING:
    from mmsearch.search.duplicates import CopyGroup


def duplicates(
    collection: CollectionOption = HERE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, one for each group.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write a contact sheet of the groups to this file.")] = None,
) -> None:
    """List pictures that are there more than once, and which to keep; nothing is deleted.

    Copies have the same bytes, or look the same when small: resized, stored again, brighter, cropped a little.

    Example: mmsearch duplicates -c ~/Pictures --html copies.html
    """
    with errors_to_exit_code():
        from tqdm import tqdm

        import mmsearch

        opened = mmsearch.open(collection)
        with tqdm(unit="picture", desc="looking", disable=None, leave=False) as bar:
            groups = opened.duplicates(progress=bar.update)
        for group in groups:
            print(json.dumps(group.to_json(), ensure_ascii=False) if as_json else _shown(group))
        if html:
            sheets = [group.to_hits() for group in groups]
            mmsearch.write_contact_sheet(html, sheets, title=f"{len(groups):,} pictures that are there more than once")
            say(f"contact sheet: {html}")
    spare = sum(len(group.spare) for group in groups)
    size = sum(group.spare_bytes for group in groups)
    say(f"{len(groups):,} groups; {spare:,} pictures to spare, {_megabytes(size)}; nothing was deleted")


def _shown(group: CopyGroup) -> str:
    lines = [f"{1 + len(group.spare)} copies, {_megabytes(group.spare_bytes)} to spare"]
    for copy in (group.keep, *group.spare):
        if copy is group.keep:
            why = "keep"
        else:
            why = "same bytes" if copy.same_bytes else f"looks the same, cosine {copy.cosine:.3f}"
        lines.append(f"  {copy.width} x {copy.height}  {_megabytes(copy.bytes or 0)}  {one_line(copy.key)}  ({why})")
    return "\n".join(lines)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.2f} MB"
