"""Pictures that a collection holds more than once: the same bytes, or the same picture in another size or quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmsearch.arrays import Embeddings, Ids, StoredEmbeddings
from mmsearch.media import Limits, path_of
from mmsearch.search.hits import Hit, Hits
from mmsearch.search.looks import LOOK_SIZE, Looks, read_looks
from mmsearch.search.query import Item
from mmsearch.search.variety import NEAR, first_of_each, fold_copies, near_another
from mmsearch.store import Modality, Snapshot

_COLUMNS = ("id", "key", "source", "width", "height", "bytes", "sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One of several pictures that are the same."""

    id: int
    key: str
    path: Path
    width: int | None
    height: int | None
    bytes: int | None
    """Size of the file."""
    cosine: float
    """With the picture to keep."""
    same_bytes: bool
    """Whether its file equals the one to keep, byte for byte."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True, slots=True)
class CopyGroup:
    """Pictures that are the same; each is a copy of the one to keep, not only a copy of a copy."""

    keep: Copy
    """The one with most pixels; of those the largest file, then the one indexed first."""
    spare: tuple[Copy, ...]
    """The others, in the same order; one or more."""

    @property
    def spare_bytes(self) -> int:
        """What the files take that need not be kept."""
        return sum(copy.bytes or 0 for copy in self.spare)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "keep": self.keep.to_json(),
            "spare": [copy.to_json() for copy in self.spare],
            "spare_bytes": self.spare_bytes,
        }

    def to_hits(self) -> Hits:
        """The group as a contact sheet shows it: what is near to the picture to keep, itself first."""
        hits = tuple(
            Hit(
                rank=rank,
                score=copy.cosine,
                relevance=None,
                id=copy.id,
                key=copy.key,
                path=copy.path,
                modality=Modality.IMAGE,
                text=None,
                columns={"width": copy.width, "height": copy.height, "bytes": copy.bytes},
            )
            for rank, copy in enumerate((self.keep, *self.spare), start=1)
        )
        return Hits(hits, Item(self.keep.key), (f"{len(self.spare)} to spare, {self.spare_bytes:,} bytes",))


def find_duplicates(
    ids: Ids,
    vectors: Embeddings | StoredEmbeddings,
    digests: Sequence[bytes | None],
    *,
    threshold: float = NEAR,
    looks: Looks | None = None,
) -> list[tuple[int, ...]]:
    """Group the items that are copies of each other.

    Each group is led by its most preferred item, and every other item of it is a copy of that one; see
    ``variety.fold_copies``. Every item is compared with every leader, a block at a time: time grows with the square
    of n, memory does not.

    Args:
        ids: ``(n,)`` int64, in order of preference: the one to keep first.
        vectors: ``(n, dim)`` float32 or float16, unit rows, in the same order.
        digests: of the n contents; ``None`` equals nothing.
        threshold: the cosine from which on two items are copies.
        looks: ``(n, 256)``; copies must then look the same as well.

    Returns:
        Ids of each group of two or more in order of preference; the largest group first, then by its first item.
    """
    leader_of = fold_copies(vectors, digests, threshold, looks=looks)
    order = np.argsort(leader_of, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(leader_of[order])) + 1)
    found = [tuple(ids[group].tolist()) for group in groups if len(group) > 1]
    return sorted(found, key=len, reverse=True)


def duplicates_in(
    snapshot: Snapshot, home: Path, *, limits: Limits, progress: Callable[[int], None] = lambda _: None
) -> list[CopyGroup]:
    """The pictures of a collection that are copies of each other.

    Pictures of the same bytes are copies. So are pictures that are near to each other and look the same when they
    are very small: resized, stored again, made brighter, marked, or cropped by a few per cent. Only files that have a
    near neighbour are read. What cannot be read is a copy by its bytes alone.

    Args:
        snapshot: of the collection.
        home: folder that keys are relative to.
        limits: for reading pictures.
        progress: called with the number of pictures looked at since the last call.

    Returns:
        The largest group first.
    """
    _, vectors = snapshot.embeddings(Modality.IMAGE)
    table = snapshot.table(_COLUMNS, modality=Modality.IMAGE)
    order = _largest_first(table)
    vectors, table = vectors[order], table.take(pa.array(order))
    digests: list[bytes | None] = table["sha256"].to_pylist()
    contents = np.flatnonzero(first_of_each(digests, len(digests)) == np.arange(len(digests)))

    near = contents[near_another(vectors[contents])]
    looks = np.zeros((len(vectors), LOOK_SIZE), np.float32)
    looks[near] = read_looks([_path(row, home) for row in _rows(table, near)], limits, progress)

    groups = find_duplicates(np.arange(len(vectors)), vectors, digests, looks=looks)
    return [_group(_rows(table, np.array(group)), vectors[list(group)], home) for group in groups]


def _largest_first(table: pa.Table) -> Ids:
    """``(n,)`` int64 positions: most pixels first, then most bytes, then the lowest id."""
    width, height, size = (
        table[name].fill_null(0).to_numpy().astype(np.int64) for name in ("width", "height", "bytes")
    )
    return np.lexsort((table["id"].to_numpy(), -size, -(width * height)))


def _rows(table: pa.Table, positions: Ids) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.take(pa.array(positions)).to_pylist()
    return rows


def _path(row: dict[str, Any], home: Path) -> Path:
    return path_of(row["source"], row["key"], home)


def _group(rows: list[dict[str, Any]], vectors: StoredEmbeddings, home: Path) -> CopyGroup:
    cosines = vectors.astype(np.float32) @ vectors[0].astype(np.float32)
    cosines /= cosines[0]  # rows of half precision are not quite of unit norm
    keep, *spare = (
        Copy(
            id=row["id"],
            key=row["key"],
            path=_path(row, home),
            width=row["width"],
            height=row["height"],
            bytes=row["bytes"],
            cosine=float(cosine),
            same_bytes=row["sha256"] is not None and row["sha256"] == rows[0]["sha256"],
        )
        for row, cosine in zip(rows, cosines, strict=True)
    )
    return CopyGroup(keep, tuple(spare))
