"""mmsearch index"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch_cli.build import build_shown
from mmsearch_cli.console import errors_to_exit_code, interrupt_on_terminate, progress_bar, say

if TYPE_CHECKING:
    from mmsearch import Collection, IndexReport

_FAILURES_SHOWN = 5


def index(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help="Folders of pictures, pictures, CSV or Parquet tables of texts."),
    ],
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The collection's folder; .mmsearch in the first source by default."),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(envvar="MMSEARCH_ENCODER", help="For a new collection; see `mmsearch encoders`."),
    ] = None,
    captions: Annotated[
        Path | None, typer.Option(help="CSV or Parquet with columns key (or image) and caption.")
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="The column of a table that holds the texts.")] = None,
    shard_rows: Annotated[int | None, typer.Option(min=1, help="Most rows in one shard.")] = None,
    device: Annotated[str, typer.Option(envvar="MMSEARCH_DEVICE", help="cpu, cuda, cuda:1 or auto.")] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="Decoding processes.")] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove items whose file is gone.")] = False,
    allow_mass_delete: Annotated[
        bool, typer.Option("--allow-mass-delete", help="Let --prune remove more than a fifth.")
    ] = False,
) -> None:
    """Index SOURCE...: embed what is new or changed, leave the rest alone.

    Example: mmsearch index ~/Pictures
    """
    if allow_mass_delete and not prune:
        raise typer.BadParameter("--allow-mass-delete says how much --prune may remove; give both")
    interrupt_on_terminate()
    with errors_to_exit_code("stopped; what was committed is safe, and the same command goes on from there"):
        import mmsearch

        defaults = mmsearch.JobOptions()
        options = mmsearch.JobOptions(
            text_column=text_column,
            shard_rows=shard_rows or defaults.shard_rows,
            workers=workers or defaults.workers,
            prune=prune,
            allow_mass_delete=allow_mass_delete,
        )
        with progress_bar("item") as progress:
            collection, report = mmsearch.index(
                *sources,
                to=to,
                encoder=encoder,
                device=device,
                captions=captions,
                options=options,
                progress=progress,
            )
        _summarise(collection, report)
        _build_where_due(collection)


def _build_where_due(collection: Collection) -> None:
    from mmsearch.ann import DUE_SHARE, PAYS_SHARE
    from mmsearch.errors import MmsearchError

    shares = collection.outdated()
    due = [modality for modality, share in shares.items() if share > DUE_SHARE]
    for modality, share in shares.items():
        if PAYS_SHARE < share <= DUE_SHARE:
            say(f"{share:.0%} of the {modality} items came or went since they were indexed; quicker: mmsearch build")
    if due:
        try:
            build_shown(collection, None, due)
        except MmsearchError as err:
            say(f"all items are in and will be found, but no quicker than now, as no new index was built: {err}")


def _summarise(collection: Collection, report: IndexReport) -> None:
    rate = f", {report.embedded / report.seconds:,.0f} items/s" if report.embedded else ""
    say(
        f"{report.embedded:,} embedded, {report.reused:,} reused, {report.unchanged:,} unchanged, "
        f"{report.removed:,} removed, {report.failed:,} failed in {report.seconds:.1f} s{rate}"
    )
    for failure in report.failures[:_FAILURES_SHOWN]:
        say(f"  {failure.path}: {failure.message}")
    if report.failed > _FAILURES_SHOWN:
        say(f"  … and {report.failed - _FAILURES_SHOWN:,} more")
    if report.failures_file:
        say(f"all that could not be read: {report.failures_file}")
    if report.unmatched:
        say(f"{report.unmatched:,} captions name no picture that was found")
    if report.gone:
        say(f"{report.gone:,} items are gone from the source but kept; --prune removes them")
    items = len(collection)
    say(f"collection: {collection.path} ({items:,} items)")
    if collection.space.encoder == "mini" and items == report.embedded:
        say("encoder: mini, small enough for any machine; a larger one finds more, see: mmsearch encoders")
