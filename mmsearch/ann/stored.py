"""An index in the collection's folder: what it is of, and what the manifest says of it.

rows.f16, index.faiss, meta.json    see mmsearch_indexes
ids.npy                             (n,) int64, ascending: the item of each row
mean.npy                            (dim,) float32, of all rows
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmsearch.arrays import Embeddings, Ids
from mmsearch.store import IndexEntry, Modality, Snapshot
from mmsearch_indexes import ApproximateIndex, IndexUnusable, Tuned, describe_index, load_index

IDS, MEAN, META = "ids.npy", "mean.npy", "meta.json"
QUERY_KINDS = (Modality.TEXT, Modality.IMAGE)
"""Of queries; an index is tuned for each that there are queries of."""


def open_index(entry: IndexEntry, collection: Path) -> tuple[ApproximateIndex, Ids, Embeddings]:
    """The index, the ids of its rows, and their mean; every byte is checked first.

    Raises:
        IndexUnusable: it is gone, damaged, or another one.
        FaissMissing: faiss is not installed.
    """
    folder = entry.path_in(collection)
    for name in (META, IDS, MEAN):
        _check(folder / name, entry)
    index = load_index(folder)  # which checks the files that meta.json names
    ids = _read_ids(folder)
    mean = _read_array(folder / MEAN)
    if not len(ids) == len(index) == entry.rows or mean.shape != (index.dim,) or not index.tuned:
        raise IndexUnusable(f"{folder} holds another index than was built", folder)
    return index, ids, mean


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexInfo:
    """What an index is and promises."""

    folder: Path
    rows: int
    recipe: str
    """In FAISS's language."""
    tuned: Mapping[str, Tuned]
    """Kind of query -> how it is searched, and what was measured."""
    memory_bytes: int
    """Of its lists and codes, which searching keeps in memory."""
    size_bytes: int
    """On the disk."""
    newer: int
    """Live items that it does not know, which are compared one by one."""
    gone: int
    """Items that it knows and that were removed."""


def indexes_in_use(snapshot: Snapshot) -> dict[str, IndexInfo]:
    """Modality -> the index in use; those that are gone or do not say what they are are left out."""
    described = {}
    for modality, entry in snapshot.manifest.index.items():
        if entry.files:
            with contextlib.suppress(IndexUnusable):
                described[modality] = describe(entry, snapshot, modality)
    return described


def describe(entry: IndexEntry, snapshot: Snapshot, modality: str) -> IndexInfo:
    """What an index is; reads its ids and none of its vectors.

    Raises:
        IndexUnusable: it is gone, or does not say.
    """
    folder = entry.path_in(snapshot.folder)
    said = describe_index(folder)
    held = _read_ids(folder)
    ids = snapshot.table(["id"], modality=modality)["id"].to_numpy()
    gone = int((~np.isin(held, ids)).sum())
    return IndexInfo(
        folder=folder,
        rows=entry.rows,
        recipe=said.recipe.factory,
        tuned=said.tuned,
        memory_bytes=said.structure_bytes,
        size_bytes=entry.size_bytes,
        newer=len(ids) - (len(held) - gone),
        gone=gone,
    )


def _read_ids(folder: Path) -> Ids:
    ids: Ids = _read_array(folder / IDS)
    if ids.dtype != np.int64 or ids.ndim != 1:
        raise IndexUnusable(f"{folder / IDS} holds no ids", folder)
    return ids


def _read_array(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as err:
        raise IndexUnusable(f"{path} cannot be read", path.parent) from err


def _check(path: Path, entry: IndexEntry) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise IndexUnusable(f"{path} cannot be read ({err.strerror})", path.parent) from err
    if found != entry.files.get(path.name):
        raise IndexUnusable(f"{path} is not what was written", path.parent)
