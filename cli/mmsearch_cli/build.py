"""mmsearch build"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mmsearch_cli.console import HERE, CollectionOption, errors_to_exit_code, interrupt_on_terminate, say
from mmsearch_cli.indexes import lines_about

if TYPE_CHECKING:
    from mmsearch import BuildOptions, BuildReport, BuildStep, Collection, Modality
    from mmsearch_indexes import Plan

_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def build(
    collection: CollectionOption = HERE,
    recall: Annotated[
        float | None,
        typer.Option(help="Share of the true 10 nearest that a search must find, on average; 0.95 by default."),
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="What the indexes may keep in memory, such as 500MB or 2GB.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="FACTORY", help="FAISS's factory string, such as IVF512,PQ192x4fsr, in place of ours."),
    ] = None,
) -> None:
    """Build an index that answers quicker than comparing all items, and measure what it finds.

    Without an option, an index that is there is built as it was the last time. Searching goes on meanwhile.

    Example: mmsearch build -c ~/Pictures --recall 0.99
    """
    interrupt_on_terminate()
    with errors_to_exit_code("stopped; the collection is as it was"):
        import mmsearch

        options = None
        if (recall, memory, recipe) != (None, None, None):
            default = mmsearch.BuildOptions()
            options = mmsearch.BuildOptions(
                recall=default.recall if recall is None else recall,
                memory_bytes=None if memory is None else _bytes(memory),
                recipe=recipe,
            )
        build_shown(mmsearch.open(collection), options, list(mmsearch.Modality))


def build_shown(collection: Collection, options: BuildOptions | None, modalities: Sequence[Modality]) -> None:
    """Build, with talk and a bar on stderr."""
    with _bar() as progress:
        reports = collection.build(options, modalities=modalities, announce=_announce, progress=progress)
    for report in reports:
        _summarise(report)
    if not reports:
        say("there are no items; index some first")


def _announce(modality: Modality, plan: Plan) -> None:
    if plan.recipe.is_exact:
        say(f"{modality}: {plan.why}; no index is needed")
        return
    say(f"{modality}: {plan.recipe.factory}, {plan.why}")
    say(
        f"  about {plan.resident_bytes / 1e6:,.0f} MB in memory, {plan.disk_bytes / 1e6:,.0f} MB on disk, "
        f"{plan.build_seconds:,.0f} s to build on one core, and as long again or longer to measure what it finds"
    )


def _summarise(report: BuildReport) -> None:
    if report.plan.recipe.is_exact and report.had_one:
        say(f"{report.modality}: the index that was there is removed; `mmsearch build --recall 0.95` makes one again")
    if report.index:
        say(f"{report.modality}: {report.rows:,} items indexed in {report.seconds:.1f} s")
        for line in lines_about(report.index):
            say(f"  {line}")


def _bytes(size: str) -> int:
    """``500MB`` is 500 million bytes, ``2GiB`` twice 2 to the 30th."""
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([kmgt]i?)?b?\s*", size.lower())
    if not match:
        raise typer.BadParameter(f"{size!r} is not a size; give one such as 500MB or 2GB", param_hint="--memory")
    return int(float(match[1]) * _UNITS[match[2] or ""])


@contextmanager
def _bar() -> Iterator[Callable[[Modality, BuildStep, int, int], None]]:
    from tqdm import tqdm

    bar: tqdm[None] = tqdm(disable=None, dynamic_ncols=True, leave=False, delay=0.1)
    shown = ""

    def show(modality: Modality, step: BuildStep, done: int, total: int) -> None:
        nonlocal shown
        if shown != (shown := f"{modality}: {step}"):
            bar.reset(total=total)
            bar.set_description(shown)
        bar.update(done - bar.n)

    with bar:
        yield show
