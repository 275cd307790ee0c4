"""What the next manifest says: shards added, ids removed, indexes in use, and no key live twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmsearch.arrays import Ids
from mmsearch.errors import CollectionError
from mmsearch.store.durable import publish_file
from mmsearch.store.log import Head
from mmsearch.store.manifest import FileEntry, IndexEntry, Manifest, ShardEntry, TombstoneEntry
from mmsearch.store.schema import int_column
from mmsearch.store.shards import encode_parquet
from mmsearch.store.snapshot import Snapshot

_MANY_TOMBSTONES = 8  # files; the next commit that removes something writes all of them as one


class SwapLostError(CollectionError):
    """A shard that was to be swapped has left the collection: another writer was first."""


def plan(
    folder: Path,
    dim: int,
    head: Head,
    *,
    add: Sequence[ShardEntry],
    remove: Sequence[int],
    swap: Mapping[str, ShardEntry],
    failures: FileEntry | None,
    index: Mapping[str, IndexEntry | None],
) -> Manifest | None:
    """The manifest that follows ``head``, or None when it would say the same.

    Shards that ``head`` has already are left out: they are ours from an attempt whose end we did not see.

    Raises:
        SwapLostError: ``head`` has neither a shard of ``swap`` nor the one that is to take its place.
        ValueError: a shard is to be swapped for one of other items.
        CollectionError: an id of ``add`` is another item's, or a tombstone file cannot be written.
    """
    old = head.manifest
    listed = {shard.name for shard in old.shards}
    add = [shard for shard in add if shard.name not in listed]
    swap = {name: shard for name, shard in swap.items() if shard.name not in listed}
    if lost := swap.keys() - listed:
        raise SwapLostError(f"another writer took shard {min(lost)} out of {folder} meanwhile; run the command again")
    kept = [_swapped(shard, swap.get(shard.name, shard)) for shard in old.shards]
    shards = tuple(sorted((*kept, *add), key=lambda shard: (shard.id_min, shard.name)))
    both = Snapshot(folder, replace(old, shards=shards), dim)
    if clashing_ids(both, add).size:
        raise CollectionError(
            f"id {clashing_ids(both, add)[0]} was given twice in {folder}; run: mmsearch repair --adopt"
        )
    doomed = np.union1d(np.asarray(remove, np.int64), doubled_keys(both, add, remove))
    gone = both.find(doomed, ["id", "modality"])
    failures = failures or old.failures
    indexes = {modality: entry for modality, entry in {**old.index, **index}.items() if entry}
    if not add and not swap and not gone.num_rows and (failures, indexes) == (old.failures, old.index):
        return None
    return replace(
        old,
        next_id=max(head.next_id, *(shard.id_max + 1 for shard in add)) if add else head.next_id,
        shards=shards,
        tombstones=_bury(folder, both, gone),
        failures=failures,
        index=indexes,
    )


def _swapped(old: ShardEntry, new: ShardEntry) -> ShardEntry:
    mine, other = (
        (shard.rows, shard.id_min, shard.id_max, shard.key_min, shard.key_max, shard.counts) for shard in (new, old)
    )
    if mine != other:
        raise ValueError(f"shard {new.name} has other items than {old.name}, whose place it is to take")
    return new


def clashing_ids(both: Snapshot, add: Sequence[ShardEntry]) -> Ids:
    """Ids, ascending, that a shard of ``add`` shares with another shard of ``both``."""
    clashes = [np.empty(0, np.int64)]
    for ours in add:
        for other in both.manifest.shards:
            if other.name != ours.name and other.id_min <= ours.id_max and ours.id_min <= other.id_max:
                shared = np.intersect1d(both.ids_of(ours), both.ids_of(other))
                clashes.append(shared)
    return np.unique(np.concatenate(clashes))


def doubled_keys(both: Snapshot, add: Sequence[ShardEntry], remove: Sequence[int]) -> Ids:
    """Ids of ``add`` whose key a live item has already, or an earlier row of ``add``: the first one stays."""
    added = {shard.name for shard in add}
    leaving = set(remove)
    taken: set[str] = set()
    for other in both.manifest.shards:
        rivals = [ours for ours in add if other.key_min <= ours.key_max and ours.key_min <= other.key_max]
        if rivals and other.name not in added:
            taken.update(key for item_id, key in both.keys_of(other) if item_id not in leaving)
    doubled = []
    for ours in add:
        for item_id, key in both.keys_of(ours):
            if key in taken:
                doubled.append(item_id)
            taken.add(key)
    return np.array(doubled, dtype=np.int64)


def _bury(folder: Path, both: Snapshot, gone: pa.Table) -> tuple[TombstoneEntry, ...]:
    old = both.manifest.tombstones
    if not gone.num_rows:
        return old
    counts = Counter(gone["modality"].to_pylist())
    ids = int_column(gone["id"])
    if len(old) >= _MANY_TOMBSTONES:
        for entry in old:
            counts.update(entry.counts)
        ids, old = np.union1d(ids, both.dead), ()
    return (*old, write_tombstones(folder, ids, counts))


def write_tombstones(folder: Path, ids: Iterable[int], counts: Counter[str]) -> TombstoneEntry:
    """A durable tombstone file for the next manifest."""
    rows = pa.table({"id": pa.array(ids, pa.int64())})
    data = encode_parquet(rows)

    def describe(path: Path, sha256: str) -> TombstoneEntry:
        return TombstoneEntry(
            name=path.name,
            rows=rows.num_rows,
            size_bytes=data.size,
            sha256=sha256,
            counts=dict(sorted(counts.items())),
        )

    return publish_file(folder, TombstoneEntry.folder, memoryview(data), describe)
