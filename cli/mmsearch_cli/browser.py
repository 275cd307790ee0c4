"""A page of hits in the desktop's browser."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from mmsearch_cli.console import say

OpenOption = Annotated[
    bool, typer.Option("--open", help="Show the contact sheet in the browser.", rich_help_panel="How it is shown")
]


def temporary_page() -> Path:
    """Where to write a page that nobody asked to keep, in a folder that only this user can read.

    It stays, for the browser reads it when we have ended; the system clears its temporary files away.
    """
    return Path(tempfile.mkdtemp(prefix="mmsearch-")) / "hits.html"


def show_page(page: Path) -> None:
    """Open a page in the browser of ``$BROWSER`` or the desktop; where there is none, say where the page lies."""
    if not webbrowser.open(page.absolute().as_uri()):
        say(f"there is no browser to open here; the page is {page}")
