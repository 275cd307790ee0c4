"""Writing to a collection: rows to the disk, then one commit that names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from mmsearch.errors import Corrupt
from mmsearch.store.commit import plan
from mmsearch.store.durable import publish_file
from mmsearch.store.identity import Identity
from mmsearch.store.indexes import clear_indexes, write_index
from mmsearch.store.lock import clear_temporary, locked
from mmsearch.store.log import MAX_RESERVATION, ManifestLog
from mmsearch.store.manifest import FileEntry, IndexEntry, Manifest, ShardEntry
from mmsearch.store.schema import check_rows, in_shape
from mmsearch.store.shards import describe_shard, encode_parquet, encode_shard
from mmsearch.store.snapshot import Snapshot

Clock = Callable[[], datetime]


class Writer:
    """What changes a collection. Any number of processes may write at the same time."""

    def __init__(self, path: Path, identity: Identity, clock: Clock) -> None:
        self.path = path
        self.uuid = identity.uuid
        self.space = identity.space
        self.clock = clock
        self.log = ManifestLog(path, Manifest.genesis(identity.uuid, identity.created))

    def snapshot(self) -> Snapshot:
        """The collection as its newest valid manifest has it.

        Raises:
            Corrupt: all manifests are damaged. One damaged newer one is logged, and the one before it serves.
            NewerFormat: a later mmsearch wrote the newest.
        """
        return Snapshot(self.path, self.log.head().manifest, self.space.dim)

    def newest_number(self) -> int:
        """The number of the newest manifest, valid or not, 0 when there is none: has anything changed?"""
        return max(self.log.numbers(), default=0)

    def lock(self) -> AbstractContextManager[None]:
        """Keep other writers from doing the same work; correctness does not depend on it.

        Removes what crashed writers left in ``tmp`` more than a day ago.

        Raises:
            Locked: another process has it.
            CollectionError: the folder cannot be written.
        """
        return locked(self.path, on_entry=lambda: clear_temporary(self.path, self.clock()))

    def reserve_ids(self, n: int) -> int:
        """Take ``n`` ids that nobody has had or will have; returns the first of them.

        Raises:
            ValueError: ``n`` is not within 1 and 134,217,728.
            CollectionError: the commit that takes them cannot be written.
        """
        if not 1 <= n <= MAX_RESERVATION:
            raise ValueError(f"n is {n}; ids are reserved 1 to {MAX_RESERVATION:,} at a time")
        while True:
            head = self.log.head()
            manifest = replace(head.manifest, created=self.clock().isoformat(), next_id=head.next_id + n)
            if self.log.publish(head, manifest):
                return head.next_id

    def write_shard(self, rows: pa.Table, *, job: str, replaces: ShardEntry | None = None) -> ShardEntry:
        """Put rows on the disk, to be named by a commit.

        Args:
            rows: the columns of ``item_schema(space.dim)``, then the user's own; ids, from ``reserve_ids``,
                ascend.
            job: any label of the run, kept in the file.
            replaces: the shard of the same items whose place it is to take.

        Raises:
            ValueError: rows that may not be stored (see ``check_rows``), naming the id.
            CollectionError: the file cannot be written; nothing is left of it.
        """
        check_rows(rows, self.space.dim)
        rows = in_shape(rows, self.space.dim)
        space = self.space.fingerprint
        old = replaces.name if replaces else None
        data = encode_shard(rows, collection=self.uuid, space=space, job=job, replaces=old)

        def check(path: Path, sha256: str) -> ShardEntry:
            entry = describe_shard(path, collection=self.uuid, space=space, dim=self.space.dim)
            if entry.sha256 != sha256:
                raise Corrupt(f"{path} does not hold what was just written to it; check the disk", path)
            return entry

        return publish_file(self.path, ShardEntry.folder, memoryview(data), check)

    def write_failures(self, rows: pa.Table) -> FileEntry:
        """Put what a run could not read on the disk, to be named by its commit.

        Raises:
            CollectionError: the file cannot be written; nothing is left of it.
        """
        data = encode_parquet(rows)

        def describe(path: Path, sha256: str) -> FileEntry:
            return FileEntry(name=path.name, rows=rows.num_rows, size_bytes=data.size, sha256=sha256)

        return publish_file(self.path, FileEntry.folder, memoryview(data), describe)

    def write_index(self, fill: Callable[[Path], int], *, options: Mapping[str, Any]) -> IndexEntry:
        """Put an index on the disk, to be named by a commit; see ``indexes.write_index``."""
        return write_index(self.path, fill, options, self.clock())

    def commit(
        self,
        base: Snapshot,
        *,
        add: Sequence[ShardEntry] = (),
        remove: Sequence[int] = (),
        swap: Mapping[str, ShardEntry] = MappingProxyType({}),
        failures: FileEntry | None = None,
        index: Mapping[str, IndexEntry | None] = MappingProxyType({}),
    ) -> Snapshot:
        """Acknowledge work: publish the manifest that names it. A lost race is run again on top.

        A row of ``add`` whose key is live already, and not in ``remove``, is stored but removed in the same
        commit: the first acknowledged wins, and no key is ever live twice.

        Args:
            base: what the work was planned on; not read again when it is still the newest.
            add: from ``write_shard``.
            remove: ids; those that are not live any more are left out.
            swap: name of a shard -> the one, from ``write_shard``, that takes its place with the same items.
            failures: from ``write_failures``; takes the place of those of the run before.
            index: modality -> from ``write_index``, the index to use from now on; None for none.

        Raises:
            SwapLostError: another writer swapped one of the shards first; the collection is as that one left it.
            CollectionError: it cannot be written; the collection is as it was.
        """
        while True:
            head = self.log.head(known=base.manifest)
            manifest = plan(
                self.path, self.space.dim, head, add=add, remove=remove, swap=swap, failures=failures, index=index
            )
            if manifest is None:
                return Snapshot(self.path, head.manifest, self.space.dim)
            manifest = replace(manifest, created=self.clock().isoformat())
            if published := self.log.publish(head, manifest):
                if index:
                    clear_indexes(self.path, before=head.manifest, now=published, today=self.clock())
                return Snapshot(self.path, published, self.space.dim)
