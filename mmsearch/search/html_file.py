"""A page that is whole on the disk, or not there."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mmsearch.errors import QueryError


def write_html(file: str | Path, html: str) -> None:
    """Write a page beside its place and move it there; one that is there is replaced.

    Raises:
        QueryError: it cannot be written; what was there is as it was.
    """
    target = Path(file).expanduser()
    unfinished = target.parent / f".{target.name}.unfinished"
    try:
        # File names need not be UTF-8; what is not is shown escaped.
        unfinished.write_text(html, encoding="utf-8", errors="backslashreplace")
        unfinished.replace(target)
    except OSError as err:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise QueryError(f"the page cannot be written to {file}: {err.strerror}") from err
