"""Pictures made small enough to travel inside a page."""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mmsearch.errors import MediaError, NotFound
from mmsearch.media import Limits, load_picture

PAGE_BYTES = 2_000_000  # what a page of up to about a hundred pictures weighs at most: an attachment any mailbox takes
_SIDES = (320, 1024)  # pixels of the longer side: below, a picture is hard to judge; above, the file is at hand
_BYTES_PER_PIXEL = 0.2  # of WebP at the first quality, for the busier half of Flickr8k's photographs
_LANDSCAPE = 2 / 3  # shorter by longer side of most photographs
_BASE64 = 4 / 3
_QUALITIES = (80, 60, 40)  # the next is taken when a picture outgrows twice its share


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture as WebP in a data URI."""

    width: int
    height: int
    uri: str


def side_for(pictures: int) -> int:
    """Pixels of the longer side with which that many pictures fit in ``PAGE_BYTES``, within sensible bounds."""
    pixels = PAGE_BYTES / _BASE64 / max(1, pictures) / _BYTES_PER_PIXEL
    least, most = _SIDES
    return min(most, max(least, round(math.sqrt(pixels / _LANDSCAPE))))


def thumbnails(paths: Iterable[Path], side: int) -> Mapping[Path, Thumbnail | None]:
    """Shrink each picture to ``side`` pixels at its longer side; None for one that cannot be read.

    Decoding, resizing and compressing leave Python's lock, so threads keep all cores busy.
    """
    wanted = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return dict(zip(wanted, pool.map(lambda path: _thumbnail(path, side), wanted), strict=True))


def _thumbnail(path: Path, side: int) -> Thumbnail | None:
    try:
        picture = load_picture(path, limits=Limits(), min_side=side // 2)
    except (MediaError, NotFound):
        return None
    picture.thumbnail((side, side))
    share = 2 * _BYTES_PER_PIXEL * _LANDSCAPE * side * side
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=quality, method=2)
        if buffer.tell() <= share:
            break
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Thumbnail(picture.width, picture.height, f"data:image/webp;base64,{data}")
