"""Folders to picture files: which are there, under which keys, without opening one."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmsearch.errors import NotFound
from mmsearch.media.failures import Failure, Stage, one_line
from mmsearch.media.reading import kind_of

PICTURE_EXTENSIONS = frozenset(
    (
        *(
            ".jpg",
            ".jpeg",
            ".jpe",
            ".jfif",
            ".mpo",
            ".png",
            ".gif",
            ".webp",
            ".avif",
            ".tif",
            ".tiff",
            ".bmp",
        ),
        *(
            ".dib",
            ".jp2",
            ".j2k",
            ".j2c",
            ".jpf",
            ".jpx",
            ".ppm",
            ".pgm",
            ".pbm",
            ".pnm",
            ".pfm",
            ".qoi",
            ".ico",
        ),
    )
)
"""Endings, in lower case, of files worth a try. The decoder goes by content, never by name."""

SAME_FOLDER = "."
"""The source of items that lie in the folder the collection belongs to."""

_ESCAPED_BYTE = re.compile(r"\\x([89a-f][0-9a-f])")
_FileId = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A picture file that was found, not opened."""

    key: str
    """Path relative to the root, with ``/``, always encodable as UTF-8; see ``path_of``."""
    source: str
    path: Path
    size_bytes: int
    mtime_ns: int


def walk(
    root: Path, *, source: str, start: Path | None = None, exclude: Sequence[Path] = ()
) -> Iterator[Candidate | Failure]:
    """Find the picture files under a folder, in an order that does not change from run to run.

    Hidden files and folders are left out. Links to files are followed, links to folders are not; FIFOs,
    sockets and devices are never opened. What looks like a picture but cannot be one, and folders that cannot
    be listed, come as failures, and the walk goes on: whoever removes items of vanished files must spare all
    keys under a failed folder.

    Args:
        root: what keys are relative to.
        source: handed on to each candidate.
        start: folder or file to begin at, ``root`` if None. A file named here is taken whatever its ending.
        exclude: folders and files to leave out, if they exist.

    Yields:
        Depth first, names sorted bytewise within each folder.

    Raises:
        NotFound: ``start`` does not exist.
        ValueError: ``start`` does not lie under ``root``.
    """
    start = root if start is None else start
    if not os.path.lexists(start):
        raise NotFound(f"there is no file or folder {portable(start)}; check the path, or mount the disk", start)
    parts = start.relative_to(root).parts
    return _Walk(source, _file_ids(exclude)).run(start, "/".join(_key_part(part) for part in parts))


def path_of(source: str, key: str, home: Path) -> Path:
    """Where an item's file lies.

    Args:
        source: ``.`` for ``home``, otherwise an absolute folder.
        key: as ``walk`` made it.
        home: the folder that the collection belongs to.
    """
    if source == SAME_FOLDER:
        return _descend(home, key)
    return _descend(_descend(Path("/"), source.lstrip("/")), key)


def _descend(folder: Path, key: str) -> Path:
    if "\\x" not in key:
        return folder / key
    for part in key.split("/"):
        folder /= _name_of(folder, part) if "\\x" in part else part
    return folder


def _name_of(folder: Path, part: str) -> str:
    """The name in ``folder`` that ``part`` was made of; ``part`` itself if there is none."""
    unescaped = _ESCAPED_BYTE.sub(lambda found: os.fsdecode(bytes.fromhex(found[1])), part)
    for name in (part, unescaped):
        if os.path.lexists(folder / name):
            return name
    try:  # escapes and backslashes of its own in one name
        return next((name for name in os.listdir(folder) if _key_part(name) == part), part)  # noqa: PTH208
    except OSError:
        return part


def _key_part(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def portable(path: Path) -> str:
    """A path as keys and sources have it: with ``/``, bytes that are not UTF-8 written as ``\\xff``."""
    return _key_part(path.as_posix())


def _file_ids(paths: Sequence[Path]) -> frozenset[_FileId]:
    found = set()
    for path in paths:
        with suppress(OSError):  # what cannot be reached will not be walked into either
            stats = path.stat()
            found.add((stats.st_dev, stats.st_ino))
    return frozenset(found)


class _Walk:
    """One walk; holds what does not change from folder to folder."""

    def __init__(self, source: str, excluded: frozenset[_FileId]) -> None:
        self._source = source
        self._excluded = excluded

    def run(self, start: Path, key: str) -> Iterator[Candidate | Failure]:
        if os.path.isdir(start):  # noqa: PTH112 - Path.is_dir raises where a folder above may not be entered
            yield from self._folders(start, key)
        else:
            found = self._file(start, key)
            if found is not None:
                yield found

    def _folders(self, start: Path, start_key: str) -> Iterator[Candidate | Failure]:
        # An explicit stack: folders may nest deeper than Python's recursion limit.
        stack = [self._entries(os.fspath(start), start_key)]
        while stack:
            found = next(stack[-1], None)
            if found is None:
                stack.pop()
            elif isinstance(found, tuple):
                stack.append(self._entries(*found))
            else:
                yield found

    def _entries(self, folder: str, folder_key: str) -> Iterator[Candidate | Failure | tuple[str, str]]:
        """Files and failures of one folder, and ``(path, key)`` of the folders in it, in order."""
        try:
            with os.scandir(folder) as scan:
                entries = sorted((e for e in scan if not e.name.startswith(".")), key=_raw_name)
        except OSError as err:
            yield _failure(folder, folder_key, type(err).__name__, f"cannot list the folder: {err.strerror}")
            return
        taken = {entry.name for entry in entries}
        for entry in entries:
            part = _key_part(entry.name)
            key = f"{folder_key}/{part}" if folder_key else part
            if part != entry.name and part in taken:
                message = "its name, which is not UTF-8, reads like that of its neighbour; rename one of them"
                yield _failure(entry.path, key, "NameClash", message)
                continue
            taken.add(part)
            found = self._entry(entry, key)
            if found is not None:
                yield found

    def _entry(self, entry: os.DirEntry[str], key: str) -> Candidate | Failure | tuple[str, str] | None:
        try:
            if entry.is_dir(follow_symlinks=False):
                return None if self._is_excluded(entry) else (entry.path, key)
        except OSError as err:
            return _failure(entry.path, key, type(err).__name__, f"cannot be looked at: {err.strerror}")
        if os.path.splitext(entry.name)[1].lower() not in PICTURE_EXTENSIONS:  # noqa: PTH122 - a Path costs time
            return None
        return self._file(Path(entry.path), key)

    def _is_excluded(self, entry: os.DirEntry[str]) -> bool:
        if not self._excluded:
            return False
        found = entry.stat(follow_symlinks=False)
        return (found.st_dev, found.st_ino) in self._excluded

    def _file(self, path: Path, key: str) -> Candidate | Failure | None:
        try:
            found = path.stat()
        except OSError as err:
            # Path.is_symlink would raise again where the folder may not be entered.
            what = "the link leads nowhere" if os.path.islink(path) else "cannot be looked at"  # noqa: PTH114
            return _failure(path, key, type(err).__name__, f"{what}: {err.strerror}")
        if stat.S_ISDIR(found.st_mode) or (found.st_dev, found.st_ino) in self._excluded:
            return None
        if not stat.S_ISREG(found.st_mode):
            return _failure(path, key, "NotRegular", f"it is {kind_of(found.st_mode)}, not a regular file")
        return Candidate(key=key, source=self._source, path=path, size_bytes=found.st_size, mtime_ns=found.st_mtime_ns)


def _raw_name(entry: os.DirEntry[str]) -> bytes:
    return os.fsencode(entry.name)


def _failure(path: Path | str, key: str, error: str, message: str) -> Failure:
    shown = _key_part(os.fspath(path))
    return Failure(key=key, path=shown, stage=Stage.WALK, error=error, message=one_line(message))
