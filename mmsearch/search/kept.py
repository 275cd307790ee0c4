"""Derived indexes kept in the collection's folder: whole and unchanging, or not there.

    indexes/<kind>/<name>/
      holds.json          what the index holds, and the sha256 of the other files; the folder's name is its own
      dead.npy            ids of the removed items that the index leaves out
      ...                 the index's files

Anybody may delete these folders at any time. They are written beside their place and renamed into it, and never
changed afterwards; so readers and writers need no lock, and two that build the same index at once do no harm. There is
no fsync: after a power cut the checksums tell.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmsearch.arrays import Ids

_HOLDS = "holds.json"
_DEAD = "dead.npy"
_UNFINISHED = "unfinished-"
_ABANDONED = 24 * 3600.0  # seconds from which an unfinished folder belongs to nobody


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Holds:
    """What an index holds, to be compared with a snapshot."""

    commit: int
    """Number of the manifest that it was made for."""
    shards: frozenset[str]
    dead: Ids
    """``(n,)`` ids, ascending; items of these shards that were removed by then and are left out."""
    rows: int
    """Items that were ever put in, those taken out again included."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptIndex:
    """One whole index on the disk."""

    folder: Path
    holds: Holds
    files: tuple[str, ...]

    def link_into(self, folder: Path) -> None:
        """Make the index's files appear in another folder, where an index may write and take locks."""
        for name in self.files:
            (folder / name).symlink_to((self.folder / name).resolve())


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where a collection keeps its indexes of one kind."""

    folder: Path
    made_by: str
    """Formats and versions; what something else made is not read."""

    def newest(self) -> KeptIndex | None:
        """The whole index of the latest commit; every byte of it has been read and checked."""
        # Of two that were made at once everybody takes the same.
        return max(self._whole(), key=lambda index: (index.holds.commit, index.folder.name), default=None)

    def put(self, files: Path, holds: Holds) -> None:
        """Keep the index whose files lie in a folder instead of older ones.

        Nothing is kept when there is one of a later commit.

        Raises:
            OSError: it cannot be written; what was there is as it was.
        """
        newest = self.newest()
        if newest and newest.holds.commit >= holds.commit:
            return
        unfinished = self.folder / f"{_UNFINISHED}{uuid.uuid4()}"
        unfinished.mkdir(parents=True)
        try:
            np.save(unfinished / _DEAD, holds.dead)
            for file in files.iterdir():
                if not file.name.endswith(".lock"):
                    shutil.copyfile(file, unfinished / file.name)
            label = self._label(unfinished, holds)
            (unfinished / _HOLDS).write_bytes(label)
            unfinished.rename(self.folder / _name(label))
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        self._clear()

    def _label(self, folder: Path, holds: Holds) -> bytes:
        values = {
            "made_by": self.made_by,
            "commit": holds.commit,
            "rows": holds.rows,
            "shards": sorted(holds.shards),
            "files": {file.name: _sha256(file) for file in sorted(folder.iterdir())},
        }
        return json.dumps(values, indent=1).encode()

    def _whole(self) -> Iterator[KeptIndex]:
        with contextlib.suppress(OSError):
            for folder in self.folder.iterdir():
                # Whatever is in there that is not what was written: another process may be removing it just now.
                with contextlib.suppress(OSError, ValueError, KeyError):
                    yield self._read(folder)

    def _read(self, folder: Path) -> KeptIndex:
        """Raises ``OSError``, ``ValueError`` or ``KeyError`` for what is not whole, or not ours."""
        label = (folder / _HOLDS).read_bytes()
        if _name(label) != folder.name:
            raise ValueError("not the label that was written")
        values: dict[str, Any] = json.loads(label)
        if values["made_by"] != self.made_by:
            raise ValueError("made by another version")
        files: Mapping[str, str] = values["files"]
        if any(Path(name).name != name for name in files):
            raise ValueError("a file that lies elsewhere")
        if any(_sha256(folder / name) != digest for name, digest in files.items()):
            raise ValueError("not the files that were written")
        return KeptIndex(
            folder=folder,
            holds=Holds(
                commit=values["commit"],
                shards=frozenset(values["shards"]),
                dead=np.load(folder / _DEAD),
                rows=values["rows"],
            ),
            files=tuple(name for name in files if name != _DEAD),
        )

    def _clear(self) -> None:
        """Remove what has been superseded, and what killed processes left behind."""
        newest = self.newest()
        for folder in self.folder.iterdir():
            with contextlib.suppress(OSError):
                alive = folder.name.startswith(_UNFINISHED) and time.time() - folder.stat().st_mtime < _ABANDONED
                if not alive and not (newest and folder == newest.folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _name(label: bytes) -> str:
    return hashlib.sha256(label).hexdigest()[:32]


def _sha256(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
