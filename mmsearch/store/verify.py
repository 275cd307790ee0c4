"""Finding damage: every byte that a collection consists of, compared with what was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mmsearch.errors import CollectionError, Corrupt
from mmsearch.store.durable import file_sha256
from mmsearch.store.identity import read_identity
from mmsearch.store.log import ManifestLog
from mmsearch.store.manifest import FileEntry, Manifest
from mmsearch.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Damage:
    """One file that is not what was written, and how that shows."""

    path: Path
    message: str


def verify(path: Path, progress: Callable[[int], None] | None = None) -> list[Damage]:
    """Check ``collection.json``, every manifest, all files that the newest valid one names, and its keys.

    Args:
        path: the collection; it need not be whole enough to be opened.
        progress: called after each shard, tombstone and failures file, and each index, with its number of bytes.

    Returns:
        One entry for each damaged or missing file; none for a collection that is as it was written.

    Raises:
        NotFound: no collection is at ``path``.
        NewerFormat: a later mmsearch wrote it.
    """
    try:
        identity = read_identity(path)
    except Corrupt as err:
        # Without the uuid nothing else can be told apart from files of another collection.
        return [Damage(err.path, str(err))]
    log = ManifestLog(path, Manifest.genesis(identity.uuid, identity.created))
    damage = [*_damaged_manifests(log), *_lost_manifests(path, log)]
    manifest = log.head(or_genesis=True).manifest
    bad = check_files(path, manifest, progress)
    damage += bad.values()
    whole = replace(manifest, shards=tuple(shard for shard in manifest.shards if shard.name not in bad))
    if not any(entry.name in bad for entry in manifest.tombstones):
        damage += _doubled_keys(Snapshot(path, whole, identity.space.dim))
    return damage


def _damaged_manifests(log: ManifestLog) -> Iterator[Damage]:
    """Manifests whose bytes are wrong, and ancestors of the newest that are gone or are others."""
    numbers = log.numbers()
    whole: dict[int, Manifest] = {}
    for number in numbers:
        try:
            # Only its place in the chain is kept: shards of a long history would fill the memory.
            whole[number] = replace(log.read(number), shards=(), tombstones=())
        except Corrupt as err:
            yield Damage(err.path, str(err))
    child = whole[max(whole)] if whole else None
    # A parent below the lowest number was cleared away for age.
    while child and child.parent is not None and child.parent >= numbers[0]:
        path = log.path(child.parent)
        parent = whole.get(child.parent)
        if parent and parent.sha256 != child.parent_sha256:
            yield Damage(path, f"{path} is not the manifest that {child.number} follows")
        elif child.parent not in numbers:
            yield Damage(path, f"{path} is missing; manifest {child.number} follows it")
        child = parent


def _lost_manifests(path: Path, log: ManifestLog) -> Iterator[Damage]:
    """No commit is left, though there was one: ids are reserved by a commit before the first shard is written."""
    shards = len(list((path / "shards").glob("*.parquet")))
    if shards and not log.numbers():
        folder = path / "manifests"
        yield Damage(folder, f"{folder} is empty though {shards} shards are there; take them in with repair --adopt")


def check_files(
    collection: Path, manifest: Manifest, progress: Callable[[int], None] | None = None
) -> dict[str, Damage]:
    """Name -> damage, for each file of ``manifest`` that is not what was written; of an index, ``<folder>/<name>``."""
    bad = {}
    for entry in manifest.files:
        message = _difference(entry.path_in(collection), entry)
        if message:
            bad[entry.name] = Damage(entry.path_in(collection), message)
        if progress:
            progress(entry.size_bytes)
    for index in manifest.index.values():
        folder = index.path_in(collection)
        for name, sha256 in index.files.items() if folder.exists() else ():  # anybody may delete one as a whole
            if message := _index_difference(folder / name, sha256):
                bad[f"{index.name}/{name}"] = Damage(folder / name, message)
        if progress:
            progress(index.size_bytes)
    return bad


def _index_difference(path: Path, sha256: str) -> str | None:
    way_out = "the index is not used; build it anew with: mmsearch build"
    try:
        return None if file_sha256(path) == sha256 else f"{path} is damaged: its checksum does not match; {way_out}"
    except OSError as err:
        return f"{path} cannot be read ({err.strerror}); {way_out}"


def _difference(path: Path, entry: FileEntry) -> str | None:
    try:
        found = path.stat().st_size
        if found != entry.size_bytes:
            return f"{path} has {found} bytes, {entry.size_bytes} were written"
        return None if file_sha256(path) == entry.sha256 else f"{path} is damaged: its checksum does not match"
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as err:
        return f"{path} cannot be read: {err.strerror}"


def _doubled_keys(snapshot: Snapshot) -> Iterator[Damage]:
    first: dict[str, int] = {}
    for shard in snapshot.manifest.shards:
        path = shard.path_in(snapshot.folder)
        try:
            pairs = snapshot.keys_of(shard)
        except CollectionError as err:
            yield Damage(path, str(err))
            continue
        for item_id, key in pairs:
            if first.setdefault(key, item_id) != item_id:
                yield Damage(path, f"{path}: items {first[key]} and {item_id} have the same key {key!r}")
