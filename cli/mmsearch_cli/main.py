"""The `mmsearch` command."""

from __future__ import annotations

import io
import logging
import sys
from typing import Annotated

import typer

from mmsearch_cli.bench import bench
from mmsearch_cli.build import build
from mmsearch_cli.demo import demo
from mmsearch_cli.duplicates import duplicates
from mmsearch_cli.encoders import encoders
from mmsearch_cli.evaluate import evaluate
from mmsearch_cli.explain import explain
from mmsearch_cli.index import index
from mmsearch_cli.info import info
from mmsearch_cli.remove import remove
from mmsearch_cli.repair import repair
from mmsearch_cli.search import search
from mmsearch_cli.tag import tag
from mmsearch_cli.verify import verify

app = typer.Typer(
    name="mmsearch",
    help="Search pictures by sentence, by picture or both, and sentences by picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for command in (index, search, build, explain, tag, duplicates, info, bench, verify, repair, remove, encoders, demo):
    app.command()(command)
app.command("eval")(evaluate)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"mmsearch {version('mmsearch')}")
        raise typer.Exit


@app.callback()
def configure(
    debug: Annotated[bool, typer.Option("--debug", help="Log more, and show tracebacks of errors.")] = False,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Search pictures by sentence, by picture or both, and sentences by picture."""
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s: %(message)s", level=logging.WARNING)
    if debug:
        logging.getLogger("mmsearch").setLevel(logging.DEBUG)


def main() -> None:
    """Entry point of the console script."""
    # File names need not be valid in the terminal's encoding; show them escaped instead of failing.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app()
