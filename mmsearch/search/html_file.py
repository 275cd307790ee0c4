"""A page that is whole on the disk, or not there."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mmsearch.errors import QueryError


def write_html(file: str | Path, html: str) -> None:
    """Write a page or a drawing beside its place and move it there; one that is there is replaced.

    Raises:
        QueryError: it cannot be written; what was there is as it was.
    """
    target = Path(file).expanduser()
    target = target.resolve() if target.is_symlink() else target
    # A device or a pipe is written to, and not replaced.
    in_place = target.exists() and not target.is_file()
    unfinished = target if in_place else target.parent / f".{target.name}.unfinished"
    try:
        # File names need not be UTF-8; what is not is shown escaped.
        unfinished.write_text(html, encoding="utf-8", errors="backslashreplace")
        unfinished.replace(target)
    except OSError as err:
        if not in_place:
            with contextlib.suppress(OSError):
                unfinished.unlink()
        raise QueryError(f"it cannot be written to {file}: {err.strerror}") from err
