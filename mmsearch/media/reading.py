"""A file's bytes, read whole, within a limit, and all of one state of the file."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from mmsearch.errors import MediaError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBytes:
    """A file's content with the time stamp that belongs to it."""

    data: bytes
    mtime_ns: int


def kind_of(mode: int) -> str:
    """What a file is that is not regular, from its ``st_mode``."""
    return _KINDS.get(stat.S_IFMT(mode), "something special")


def read_file(path: Path, *, max_bytes: int) -> FileBytes:
    """Read a regular file.

    A file that changes under the reader is read once more: bytes, size and time stamp always belong together.

    Raises:
        OSError: the file cannot be opened or read.
        MediaError: it is not a regular file, larger than ``max_bytes``, or changed during both readings.
    """
    for _ in range(2):
        content = _read_once(path, max_bytes)
        if content is not None:
            return content
    raise MediaError("it changed while it was being read, twice; index again when its writer is done")


def _read_once(path: Path, max_bytes: int) -> FileBytes | None:
    # O_NONBLOCK: a FIFO put here since the walk must not hold us; regular files do not heed it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise MediaError(f"it is {kind_of(before.st_mode)}, not a regular file")
        if before.st_size > max_bytes:
            raise MediaError(f"it has {before.st_size:,} bytes, and the limit is {max_bytes:,}")
        data = _read_up_to(descriptor, before.st_size + 1)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if not same or len(data) != after.st_size:
        return None
    return FileBytes(data=data, mtime_ns=after.st_mtime_ns)


def _read_up_to(descriptor: int, size: int) -> bytes:
    first = os.read(descriptor, size)
    if len(first) == size or not first:
        return first
    parts = [first]
    while part := os.read(descriptor, size):
        parts.append(part)
        size -= len(part)
        if size <= 0:
            break
    return b"".join(parts)
