"""Writing files so that they are either whole and on the disk, or not there."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from mmsearch.errors import CollectionError

T = TypeVar("T")

_CHUNK = 4 << 20  # bytes per write: a shard is hashed and written piece by piece, never copied whole
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
# FAT answers EPERM, network shares ENOTSUP, EOPNOTSUPP or ENOSYS, some give up with EMLINK
_NO_LINK = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class NoLinksError(Exception):
    """This file system has no hard links; the caller publishes in another way."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the body into a ``CollectionError`` that says what to do."""
    try:
        yield
    except OSError as err:
        raise CollectionError(f"cannot write {path}: {err.strerror or err}; {_way_out(err)}") from err


def _way_out(err: OSError) -> str:
    if err.errno in _FULL:
        return "free some space and run the command again, it goes on where it stopped"
    if err.errno in _FORBIDDEN:
        return "make the folder writable, or keep the collection elsewhere with --to"
    return "check the disk and run the command again, it goes on where it stopped"


def write_new(path: Path, data: bytes | memoryview) -> str:
    """Create a file with ``data``, flushed to the disk.

    Returns:
        The hexadecimal sha256 of what was written.

    Raises:
        CollectionError: the file cannot be written; nothing is left of it.
    """
    with writing(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            return fill(handle, data)
        except BaseException:
            # A failed fsync is never repeated on the same file: the kernel may have dropped the pages.
            discard(path)
            raise


def fill(handle: int, data: bytes | memoryview) -> str:
    """Write all of ``data`` to an open file, flush it to the disk and close it; returns the sha256."""
    digest = hashlib.sha256()
    rest = memoryview(data)
    try:
        while rest:
            written = os.write(handle, rest[:_CHUNK])  # may be short: a nearly full disk, RLIMIT_FSIZE
            digest.update(rest[:written])
            rest = rest[written:]
        os.fsync(handle)
    finally:
        os.close(handle)
    return digest.hexdigest()


def discard(path: Path) -> None:
    """Remove a file of our own that nobody needs; failing to do so harms nobody."""
    with contextlib.suppress(OSError):
        path.unlink()


def sync_folder(folder: Path) -> None:
    """Flush the names in ``folder`` to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as err:
        if err.errno not in (errno.EINVAL, errno.ENOTSUP):  # network shares that cannot sync folders
            raise
    finally:
        os.close(handle)


def ensure_folder(folder: Path) -> Path:
    """Make ``folder`` and those above it, durably, unless they are there."""
    if not folder.is_dir():
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)
    return folder


def move(source: Path, target: Path) -> None:
    """Rename within one file system, durably; ``target`` must be a name that nobody else takes."""
    with writing(target):
        source.rename(target)
        sync_folder(target.parent)


def link(source: Path, target: Path) -> bool:
    """Give a finished file its final name, unless that name is taken.

    Returns:
        Whether ``target`` holds what ``source`` holds. Contents carry a nonce, so an equal file under the
        name is ours: some network file systems make the link and then report that it exists.

    Raises:
        NoLinksError: the file system has no hard links.
        CollectionError: anything else went wrong.
    """
    with writing(target):
        try:
            os.link(source, target)
        except FileExistsError:
            if target.read_bytes() != source.read_bytes():
                return False
        except OSError as err:
            if err.errno in _NO_LINK:
                raise NoLinksError from err
            raise
        sync_folder(target.parent)
    return True


def publish_file(collection: Path, folder: str, data: bytes | memoryview, describe: Callable[[Path, str], T]) -> T:
    """Write an immutable file under a name of its own, which nothing names yet.

    Args:
        collection: the collection; ``data`` goes to ``tmp`` first.
        folder: the subfolder it belongs in.
        data: the whole file.
        describe: given the finished file, still in ``tmp`` under its final name, and the sha256 of ``data``:
            checks it and says what a manifest will say of it. When it raises, nothing is published.

    Raises:
        CollectionError: the file cannot be written; nothing is left of it.
    """
    name = f"{uuid.uuid4()}.parquet"
    temporary = ensure_folder(collection / "tmp") / name
    sha256 = write_new(temporary, data)
    try:
        entry = describe(temporary, sha256)
        move(temporary, ensure_folder(collection / folder) / name)
    except BaseException:
        discard(temporary)
        raise
    return entry


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
