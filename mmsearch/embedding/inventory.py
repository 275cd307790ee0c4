"""What a collection already holds, so that nothing is embedded twice."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmsearch.store import Modality, Snapshot

CAPTION_MARK = "#text="
_MOST_DIGESTS = 64
"""Digests sent along with one file: where thousands of files have one size, the parent compares them."""
_COLUMNS = ("id", "key", "source", "text", "bytes", "mtime_ns", "sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One item of the collection, as far as planning needs it."""

    id: int
    key: str
    source: str
    text: str | None
    size_bytes: int
    mtime_ns: int
    sha256: bytes


def picture_of(key: str) -> str:
    """The picture that a caption's key names; a key that is no caption's comes back as it is."""
    return key.rpartition(CAPTION_MARK)[0] or key


class Inventory:
    """The live items of one modality, found by key, by content or by size.

    Rows stay in Arrow and NumPy columns; a million items cost their keys and two dictionaries, no objects.
    """

    def __init__(self, snapshot: Snapshot, modality: Modality) -> None:
        self._table = snapshot.table(_COLUMNS, modality=modality)
        keys = self._table["key"].to_pylist()
        digests = self._table["sha256"].to_pylist()
        self._row_of_key: dict[str, int] = {key: row for row, key in enumerate(keys)}
        self._row_of_digest: dict[bytes, int] = {digest: row for row, digest in enumerate(digests)}
        sizes = self._table["bytes"].to_numpy()
        self._by_size = np.argsort(sizes, kind="stable")
        self._sorted_sizes = sizes[self._by_size]

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[Held]:
        return (self._held(row) for row in range(len(self)))

    def of_key(self, key: str) -> Held | None:
        """The item with this key."""
        row = self._row_of_key.get(key)
        return None if row is None else self._held(row)

    def of_content(self, sha256: bytes) -> Held | None:
        """An item whose file, or text, has this digest; the newest if several have."""
        row = self._row_of_digest.get(sha256)
        return None if row is None else self._held(row)

    def absent(self, keys: Container[str]) -> Iterator[Held]:
        """The items whose key is not among ``keys``."""
        return (self._held(row) for key, row in self._row_of_key.items() if key not in keys)

    def captions_of(self, picture: str) -> list[Held]:
        """The captions of one picture, in their order."""
        return [self._held(row) for row in self._rows_of_picture.get(picture, ())]

    @cached_property
    def _rows_of_picture(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for key, row in self._row_of_key.items():
            if CAPTION_MARK in key:
                rows.setdefault(picture_of(key), []).append(row)
        return rows

    def digests_of_size(self, size_bytes: int) -> frozenset[bytes]:
        """Digests of files with so many bytes, the only ones a new file can be equal to; none if they are many."""
        start, end = np.searchsorted(self._sorted_sizes, [size_bytes, size_bytes + 1])
        if end - start > _MOST_DIGESTS:
            return frozenset()
        return frozenset(self._table["sha256"][int(row)].as_py() for row in self._by_size[start:end])

    def _held(self, row: int) -> Held:
        id_, key, source, text, size_bytes, mtime_ns, sha256 = (self._table[c][row].as_py() for c in _COLUMNS)
        return Held(id=id_, key=key, source=source, text=text, size_bytes=size_bytes, mtime_ns=mtime_ns, sha256=sha256)
