"""The collection's folder, as the other rooms see it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from mmsearch.encoders import EmbeddingSpace
from mmsearch.store.columns import give_columns
from mmsearch.store.identity import found, read_identity
from mmsearch.store.repair import RepairReport, repair
from mmsearch.store.snapshot import Snapshot
from mmsearch.store.verify import Damage, verify
from mmsearch.store.writer import Clock, Writer


def utc_now() -> datetime:
    """The time that commits are stamped with, unless a caller brings its own clock."""
    return datetime.now(UTC)


class Store(Writer):
    """One collection on disk. Any number of processes may read and write it at the same time."""

    @classmethod
    def create(cls, path: Path, space: EmbeddingSpace, *, clock: Clock = utc_now) -> Store:
        """Make an empty collection; the folder may exist.

        Raises:
            CollectionError: a collection is there already, or the folder cannot be written.
        """
        return cls(path, found(path, space, clock().isoformat()), clock)

    @classmethod
    def open(cls, path: Path, *, clock: Clock = utc_now) -> Store:
        """Open a collection, for reading or writing; writes nothing.

        Raises:
            NotFound: no collection is at ``path``.
            NewerFormat: a later mmsearch wrote it.
            Corrupt: ``collection.json`` is damaged.
            CollectionError: it cannot be read for another reason.
        """
        return cls(path, read_identity(path), clock)

    def give_columns(self, given: pa.Table, *, job: str) -> Snapshot:
        """Give items that are there new or changed columns; see ``columns.give_columns``."""
        return give_columns(self, given, job=job)

    def verify(self, progress: Callable[[int], None] | None = None) -> list[Damage]:
        """Read every byte that the collection consists of; see ``verify.verify``."""
        return verify(self.path, progress)

    def repair(self, *, adopt: bool, now: datetime) -> RepairReport:
        """Make the collection whole again; see ``repair.repair``."""
        return repair(self, adopt=adopt, now=now)
