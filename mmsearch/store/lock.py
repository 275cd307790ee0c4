"""Courtesy between writers: who is at work, and what crashed ones left behind."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from mmsearch.errors import Locked
from mmsearch.store.durable import writing

STALE = timedelta(days=1)
"""Age from which a file in ``tmp`` belongs to a writer that is gone."""


@contextlib.contextmanager
def locked(collection: Path, *, on_entry: Callable[[], object]) -> Iterator[None]:
    """Hold ``LOCK`` of a collection; ``on_entry`` runs once it is held.

    Raises:
        Locked: another process holds it.
        CollectionError: the folder cannot be written.
    """
    path = collection / "LOCK"
    with writing(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _take(handle, collection)
        with writing(path):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        on_entry()
        yield
    finally:
        os.close(handle)  # gives the lock back


def _take(handle: int, collection: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        holder = os.pread(handle, 1000, 0).decode(errors="replace").strip()
        raise Locked(collection, holder or "another process") from err
    except OSError as err:
        # File systems without locks: go on, commits are safe without.
        if err.errno not in (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK):
            raise


def clear_temporary(collection: Path, now: datetime) -> list[Path]:
    """Remove what lies in ``tmp`` and is older than a day; returns the paths."""
    removed = []
    with contextlib.suppress(FileNotFoundError):
        for path in sorted((collection / "tmp").iterdir()):
            with contextlib.suppress(OSError):  # another writer cleared it first
                if now.timestamp() - path.stat().st_mtime > STALE.total_seconds():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                    removed.append(path)
    return removed
