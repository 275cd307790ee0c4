"""mmsearch remove"""

from __future__ import annotations

from typing import Annotated

import typer

from mmsearch_cli.console import HERE, CollectionOption, errors_to_exit_code, say


def remove(
    keys: Annotated[list[str], typer.Argument(metavar="KEY", help="As `mmsearch search --json` shows them.")],
    collection: CollectionOption = HERE,
) -> None:
    """Remove items from a collection, pictures with their captions; the files stay.

    Example: mmsearch remove 2019/IMG_0042.jpg
    """
    with errors_to_exit_code():
        import mmsearch

        removed = mmsearch.open(collection).remove(keys)
    say(f"{removed:,} removed; an index run adds what still lies in its sources again")
