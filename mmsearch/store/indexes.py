"""Derived indexes on the disk: whole folders that a commit takes into use, and that may be lost without harm.

    indexes/<uuid>/     the files of one index; what they hold is for those who write and read them to know

A folder is filled in ``tmp``, flushed, summed and renamed into its place, as every other file of the collection; a
manifest names it with the sha256 of each file. (What lies in ``indexes`` under other names is not named by manifests.)
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mmsearch.errors import CollectionError
from mmsearch.store.durable import ensure_folder, file_sha256, move, sync_folder
from mmsearch.store.lock import STALE, clear_temporary
from mmsearch.store.manifest import IndexEntry, Manifest

_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def write_index(
    collection: Path, fill: Callable[[Path], int], options: Mapping[str, Any], today: datetime
) -> IndexEntry:
    """Put an index on the disk, to be named by a commit.

    Args:
        collection: the collection.
        fill: puts the index's files into an empty folder, and returns how many items they are of. When it raises,
            nothing is left of them.
        options: what was asked for, as plain values; kept with the index.
        today: what killed builds left behind more than a day before is removed.

    Raises:
        CollectionError: the files cannot be written; nothing is left of them.
    """
    clear_temporary(collection, today)
    name = str(uuid.uuid4())
    temporary = ensure_folder(collection / "tmp") / name
    try:
        temporary.mkdir()
        try:
            rows = fill(temporary)
            files = sorted(temporary.iterdir())
            for file in files:
                _sync(file)
            sync_folder(temporary)
            entry = IndexEntry(
                name=name,
                rows=rows,
                size_bytes=sum(file.stat().st_size for file in files),
                files={file.name: file_sha256(file) for file in files},
                options=dict(options),
            )
            move(temporary, ensure_folder(collection / IndexEntry.folder) / name)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as err:
        free = shutil.disk_usage(collection).free
        raise CollectionError(
            f"the index cannot be written to {collection}: {err.strerror or err} ({free / 1e6:,.0f} MB are free); what "
            "was there is as it was. Free some space, or make the folder writable, and build again"
        ) from err
    return entry


def no_index(rows: int, options: Mapping[str, Any]) -> IndexEntry:
    """What a manifest says where all items are to be compared."""
    return IndexEntry(name=str(uuid.uuid4()), rows=rows, size_bytes=0, files={}, options=dict(options))


def clear_indexes(collection: Path, *, before: Manifest, now: Manifest, today: datetime) -> None:
    """Remove the indexes that a commit took out of use, and those that were never taken into use and are a day old.

    Who searches with one of them goes on: its files stay mapped.
    """
    named = {entry.name for entry in now.index.values()}
    superseded = {entry.name for entry in before.index.values()} - named
    for folder in (collection / IndexEntry.folder).glob("*-*-*-*-*"):
        if not _NAME.fullmatch(folder.name) or folder.name in named:
            continue
        if folder.name in superseded or today.timestamp() - folder.stat().st_mtime > STALE.total_seconds():
            shutil.rmtree(folder, ignore_errors=True)


def _sync(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
