"""What one commit says the collection consists of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from mmsearch.store.sealed import seal

_NAME = re.compile(r"[0-9a-f-]+\.parquet")
_FOLDER_NAME = re.compile(r"[0-9a-f-]{36}")
_INDEX_FILE = re.compile(r"[a-z0-9]+\.[a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One immutable Parquet file of the collection; of this very class, the failures of a run."""

    folder: ClassVar[str] = "failures"

    name: str
    """Name inside its folder: ``<uuid>.parquet``."""
    rows: int
    size_bytes: int
    sha256: str
    """Hexadecimal, over the whole file."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not the name of a collection's file")

    def path_in(self, collection: Path) -> Path:
        """Where the file lies."""
        return collection / self.folder / self.name

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``asdict``; names this version does not know are ignored."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class TombstoneEntry(FileEntry):
    """Ids removed. Every id is in one tombstone file at most, and in one of the manifest's shards."""

    folder: ClassVar[str] = "tombstones"

    counts: Mapping[str, int]
    """Modality -> removed rows, so that live rows are counted without opening a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry(FileEntry):
    """Items and their embeddings."""

    folder: ClassVar[str] = "shards"

    footer_sha256: str
    """Over Parquet's footer, which page checksums leave out; checked at each opening."""
    id_min: int
    id_max: int
    key_min: str
    key_max: str
    """Bytewise; two shards whose key ranges are apart cannot hold the same key."""
    counts: Mapping[str, int]
    """Modality -> rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """What the items of one modality are searched by: a folder of files, which may be missing at any time.

    Without files all items are compared, because that was asked for.
    """

    folder: ClassVar[str] = "indexes"

    name: str
    """Of its folder inside ``indexes``: a uuid."""
    rows: int
    """Items that it was built over."""
    size_bytes: int
    """Of all its files."""
    files: Mapping[str, str]
    """Name -> hexadecimal sha256."""
    options: Mapping[str, Any]
    """What was asked for when it was built; what builds it anew asks for the same."""

    def __post_init__(self) -> None:
        if not _FOLDER_NAME.fullmatch(self.name) or not all(map(_INDEX_FILE.fullmatch, self.files)):
            raise ValueError(f"{self.name!r} with {sorted(self.files)} is not an index of a collection")

    def path_in(self, collection: Path) -> Path:
        """Where its folder lies."""
        return collection / self.folder / self.name

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``asdict``; names this version does not know are ignored."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One commit. The newest valid one is the collection."""

    number: int
    collection: str
    """uuid of the collection."""
    nonce: str
    """Drawn for this commit: no two manifests have equal bytes."""
    created: str
    """ISO 8601, UTC."""
    parent: int | None
    parent_sha256: str | None
    next_id: int
    """The first id that nobody has been given."""
    shards: tuple[ShardEntry, ...]
    """By ascending ``id_min``."""
    tombstones: tuple[TombstoneEntry, ...]
    failures: FileEntry | None
    """What the latest run could not read."""
    index: Mapping[str, IndexEntry] = field(default_factory=dict)
    """Modality -> the index in use; those without one are compared item by item."""
    sha256: str = ""
    """Its own checksum; empty for what is not published."""

    @classmethod
    def genesis(cls, collection: str, created: str) -> Manifest:
        """What a collection is before its first commit; never written."""
        return cls(
            number=0,
            collection=collection,
            nonce="",
            created=created,
            parent=None,
            parent_sha256=None,
            next_id=0,
            shards=(),
            tombstones=(),
            failures=None,
        )

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file it names."""
        return (*self.shards, *self.tombstones, *([self.failures] if self.failures else []))

    def counts(self) -> dict[str, int]:
        """Modality -> live rows, without the modalities that have none."""
        total: Counter[str] = Counter()
        for shard in self.shards:
            total.update(shard.counts)
        for tombstone in self.tombstones:
            total.subtract(tombstone.counts)
        return {modality: rows for modality, rows in sorted(total.items()) if rows}

    def sealed(self) -> tuple[bytes, Manifest]:
        """The bytes to publish, and this manifest with its checksum."""
        values = asdict(self)
        del values["sha256"]
        data, digest = seal(values)
        return data, replace(self, sha256=digest)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], sha256: str) -> Manifest:
        """Names this version does not know are ignored."""
        plain = {
            field.name: values[field.name]
            for field in fields(cls)
            if field.name not in ("shards", "tombstones", "failures", "index", "sha256")
        }
        failures = values["failures"]
        return cls(
            **plain,
            shards=tuple(map(ShardEntry.from_json, values["shards"])),
            tombstones=tuple(map(TombstoneEntry.from_json, values["tombstones"])),
            failures=None if failures is None else FileEntry.from_json(failures),
            index={modality: IndexEntry.from_json(entry) for modality, entry in (values["index"] or {}).items()},
            sha256=sha256,
        )
