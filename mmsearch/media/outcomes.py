"""What a decode pool takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmsearch.arrays import Pixels
from mmsearch.media.exif import Exif
from mmsearch.media.failures import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeTask:
    """One file to decode."""

    path: Path
    key: str
    """For the ``Failure``, should it come to that."""
    known: frozenset[bytes] = frozenset()
    """sha256 digests whose embedding is had already; only those of files of equal size, as they travel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """One prepared picture and the state of the file it came from."""

    pixels: Pixels
    """``(size, size, 3)`` uint8, as ``Preprocessing.prepare`` gives it."""
    width: int
    height: int
    """Of the upright original."""
    size_bytes: int
    mtime_ns: int
    sha256: bytes
    exif: Exif


@dataclass(frozen=True, slots=True, kw_only=True)
class SameContent:
    """The file's bytes are those of one of the task's ``known`` digests; nothing was decoded."""

    sha256: bytes
    size_bytes: int
    mtime_ns: int


Outcome = Decoded | SameContent | Failure
"""What becomes of one task."""
