"""Making a damaged collection whole again, and taking in what crashed writers had finished."""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmsearch.arrays import Ids
from mmsearch.errors import CollectionError, Corrupt
from mmsearch.store.commit import clashing_ids, doubled_keys, write_tombstones
from mmsearch.store.durable import ensure_folder, move
from mmsearch.store.indexes import clear_indexes
from mmsearch.store.lock import clear_temporary
from mmsearch.store.manifest import IndexEntry, Manifest, ShardEntry
from mmsearch.store.schema import int_column
from mmsearch.store.shards import describe_shard, open_parquet, replaced_shard
from mmsearch.store.snapshot import Snapshot
from mmsearch.store.verify import Damage, check_files, verify
from mmsearch.store.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairReport:
    """What ``repair`` found and did."""

    damage: tuple[Damage, ...]
    """As ``verify`` found it."""
    dropped_rows: int
    """Rows of the damaged shards, removed ones included: an ``index`` run embeds those items again."""
    set_aside: tuple[Path, ...]
    """Where damaged files are kept now."""
    adopted_shards: int
    adopted_rows: int
    """Live rows gained."""
    rejected: tuple[Damage, ...]
    """Shards that nothing names and that were not adopted, and why."""
    removed_temporary: int


def repair(store: Writer, *, adopt: bool, now: datetime) -> RepairReport:
    """Leave a collection that ``verify`` finds nothing wrong with.

    Damaged and missing files leave the collection in one commit and are moved to ``damaged/``, never deleted; but
    indexes are, as they can be built anew.
    With ``adopt``, whole shards of this collection and space that no manifest names are committed, but for
    rows whose key is live already; rows whose id was given to another item get a new one.

    Raises:
        Locked: a writer is at work.
        CollectionError: the folder cannot be written.
    """
    with store.lock():
        removed = clear_temporary(store.path, now)
        damage = verify(store.path)
        dropped: list[ShardEntry] = []
        set_aside: list[Path] = []
        if damage:
            bad, dropped = _commit_what_is_whole(store)
            set_aside = [_set_aside(store.path, path) for path in (*_damaged_manifests(store), *bad) if path.exists()]
        adopted, rejected = _adopt_orphans(store) if adopt else ([], [])
    return RepairReport(
        damage=tuple(damage),
        dropped_rows=sum(shard.rows for shard in dropped),
        set_aside=tuple(set_aside),
        adopted_shards=len(adopted),
        adopted_rows=sum(adopted),
        rejected=tuple(rejected),
        removed_temporary=len(removed),
    )


def _commit_what_is_whole(store: Writer) -> tuple[list[Path], list[ShardEntry]]:
    """Publish a manifest without damaged files; returns their paths, and the shards among them.

    It follows no other manifest: the history before it may have holes, and this one needs none of it. It also
    secures the ids that a damaged manifest gave away, before that manifest is set aside.
    """
    while True:
        head = store.log.head(or_genesis=True)
        bad = check_files(store.path, head.manifest)
        manifest = replace(_without(store, head.manifest, bad), next_id=head.next_id, created=store.clock().isoformat())
        if published := store.log.publish(head, manifest, follows=False):
            clear_indexes(store.path, before=head.manifest, now=published, today=store.clock())
            dropped = [shard for shard in head.manifest.shards if shard.name in bad]
            return [damage.path for damage in bad.values()], dropped


def _without(store: Writer, manifest: Manifest, bad: Container[str]) -> Manifest:
    """``manifest`` without the files named ``bad``, and with no key twice.

    When tombstones are lost, items come back; of those with the same key the youngest stays.
    """
    failures = manifest.failures
    rest = replace(
        manifest,
        shards=tuple(shard for shard in manifest.shards if shard.name not in bad),
        tombstones=tuple(entry for entry in manifest.tombstones if entry.name not in bad),
        failures=None if failures is None or failures.name in bad else failures,
        index={modality: entry for modality, entry in manifest.index.items() if not _is_bad(entry, bad)},
    )
    view = Snapshot(store.path, rest, store.space.dim)
    dead = np.union1d(view.dead, _older_twins(view))
    undead = replace(rest, tombstones=())
    gone = Snapshot(store.path, undead, store.space.dim).find(dead, ["id", "modality"])
    if not gone.num_rows:
        return undead
    counts = Counter(gone["modality"].to_pylist())
    return replace(undead, tombstones=(write_tombstones(store.path, int_column(gone["id"]), counts),))


def _is_bad(entry: IndexEntry, bad: Container[str]) -> bool:
    return any(f"{entry.name}/{name}" in bad for name in entry.files)


def _older_twins(view: Snapshot) -> Ids:
    youngest: dict[str, int] = {}
    older = []
    for shard in view.manifest.shards:
        for item_id, key in view.keys_of(shard):
            twin = youngest.setdefault(key, item_id)
            if twin != item_id:
                older.append(min(twin, item_id))
                youngest[key] = max(twin, item_id)
    return np.array(older, dtype=np.int64)


def _damaged_manifests(store: Writer) -> list[Path]:
    return [store.log.path(number) for number in store.log.numbers() if not store.log.is_whole(number)]


def _set_aside(collection: Path, path: Path) -> Path:
    target = ensure_folder(collection / "damaged") / f"{uuid.uuid4().hex[:8]}-{path.name}"
    move(path, target)
    return target


def _adopt_orphans(store: Writer) -> tuple[list[int], list[Damage]]:
    """Live rows gained by each shard adopted, and the shards left alone."""
    adopted, rejected = [], []
    for path in _orphans(store):
        try:
            adopted.append(_adopt(store, path))
        except (CollectionError, ValueError) as err:
            rejected.append(Damage(path, str(err)))
    return adopted, rejected


def _orphans(store: Writer) -> list[Path]:
    """Shards that no manifest names, older ones included: those had their time and were replaced.

    One that was to take the place of another comes after it.
    """
    named: set[str] = set()
    for number in store.log.numbers():
        with contextlib.suppress(Corrupt):
            named.update(shard.name for shard in store.log.read(number).shards)
    orphans = [path for path in sorted((store.path / "shards").glob("*.parquet")) if path.name not in named]
    replaces = {path.name: _replaced(path) for path in orphans}

    def depth(name: str | None) -> int:
        """How many orphans it comes after; files that claim to follow each other in a ring end somewhere as well."""
        steps = 0
        while steps < len(replaces) and (name := replaces.get(name or "")):
            steps += 1
        return steps

    return sorted(orphans, key=lambda path: depth(path.name))


def _replaced(path: Path) -> str | None:
    try:
        return replaced_shard(path)
    except CollectionError:  # damaged: told when it comes to adopting it
        return None


def _adopt(store: Writer, path: Path) -> int:
    """Take one shard in; returns how many live rows that gains."""
    entry = describe_shard(path, collection=store.uuid, space=store.space.fingerprint, dim=store.space.dim)
    base = store.snapshot()
    if old := replaced_shard(path):
        if old not in {shard.name for shard in base.manifest.shards}:
            raise CollectionError(f"{path} was to take the place of shard {old}, which has left the collection since")
        return len(store.commit(base, swap={old: entry})) - len(base)
    both = Snapshot(store.path, replace(base.manifest, shards=(*base.manifest.shards, entry)), store.space.dim)
    if len(doubled_keys(both, [entry], ())) == entry.rows:
        raise CollectionError(f"every key of {path} is in the collection already")
    if clashing_ids(both, [entry]).size:
        entry = _with_new_ids(store, path, entry.rows)
    return len(store.commit(base, add=[entry])) - len(base)


def _with_new_ids(store: Writer, path: Path, n: int) -> ShardEntry:
    with open_parquet(path) as file:
        rows = file.read()
    first = store.reserve_ids(n)
    ids = pa.array(np.arange(first, first + n))
    return store.write_shard(rows.set_column(0, "id", ids), job="repair")
