"""Photographs and captions laid out as users have them."""

from __future__ import annotations

import tarfile
from pathlib import Path

from benchmarks.record import SHARED


def lay_out(folder: Path, pictures: int) -> None:
    """Unpack so many photographs of Flickr8k, dev split first, into ``folder``."""
    folder.mkdir(parents=True)
    left = pictures
    for archive in sorted((SHARED / "flickr8k").glob("*.tar")):
        with tarfile.open(archive) as tar:
            for member in tar:
                if not left:
                    return
                if member.name.endswith(".jpg"):
                    tar.extract(member, folder, filter="data")
                    left -= 1
    if left:
        raise SystemExit(f"{SHARED} holds only {pictures - left} pictures")


def lay_out_dev(folder: Path) -> None:
    """The 1,000 photographs of the dev split, which `mini` never saw."""
    lay_out(folder, 1000)
