"""mmsearch repair"""

from __future__ import annotations

from typing import Annotated

import typer

from mmsearch_cli.console import HERE, CollectionOption, errors_to_exit_code, say


def repair(
    collection: CollectionOption = HERE,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take in whole shards that a crash left without a commit.")
    ] = False,
) -> None:
    """Set damaged files aside, so that the rest can be used and the next `index` fills the gaps.

    Example: mmsearch repair --adopt -c ~/Pictures
    """
    with errors_to_exit_code():
        import mmsearch

        report = mmsearch.open(collection).repair(adopt=adopt)
    for damage in report.damage:
        say(damage.message)
    for path in report.set_aside:
        say(f"set aside: {path}")
    for damage in report.rejected:
        say(f"left alone: {damage.message}")
    if not report.damage and not report.adopted_shards:
        say("nothing to repair")
        return
    adopted = f"{report.adopted_rows:,} rows in {report.adopted_shards:,} shards adopted"
    say(f"{report.dropped_rows:,} rows dropped, {adopted}")
    if report.dropped_rows:
        say("run `mmsearch index` on the same sources to embed the dropped ones again")
