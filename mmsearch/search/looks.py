"""What a picture looks like when it is very small: enough to tell a copy from another picture of the same kind.

An encoder sees kinds of things. Two football matches can lie nearer to each other than a photograph and its crop, and
how near is near differs from encoder to encoder. What light and dark lie where does neither. So vectors say which
pictures are worth comparing, and looks say which are copies.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmsearch.errors import MediaError, NotFound
from mmsearch.media import Limits, load_picture

Looks = npt.NDArray[np.float32]
"""``(n, LOOK_SIZE)`` float32; rows of mean 0 and unit norm, or all zeros where there is nothing to compare."""

SAME_LOOK = 0.9
"""The correlation from which on two pictures look the same; see benchmarks/copies.py."""

LOOK_SIZE = 256
"""Numbers in a look."""

_SIDE = 16  # pixels; with 32 a crop of 5 % is another picture, with 8 more strangers look alike
_FLAT = 1.0  # grey levels: a deviation below it is noise on one colour


def look_of(picture: Image.Image) -> Looks:
    """``(256,)`` grey values of the picture squashed to 16 x 16, brightness and contrast taken out.

    The product of two is their correlation. A picture of one colour gives zeros: it looks like no other.
    """
    small = picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.float32).reshape(-1)
    if grey.std() < _FLAT:
        return np.zeros_like(grey)
    centred = grey - grey.mean()
    look: Looks = centred / np.linalg.norm(centred)
    return look


def read_looks(paths: Sequence[Path], limits: Limits, progress: Callable[[int], None] = lambda _: None) -> Looks:
    """The look of each picture file, ``(n, 256)``; zeros for one that cannot be read.

    Args:
        paths: of n pictures.
        limits: for decoding.
        progress: called with the number of files read since the last call.
    """

    def read(path: Path) -> Looks:
        try:
            return look_of(load_picture(path, limits=limits, min_side=2 * _SIDE))
        except (MediaError, NotFound):
            return np.zeros(LOOK_SIZE, np.float32)

    looks = np.zeros((len(paths), LOOK_SIZE), np.float32)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for row, look in enumerate(pool.map(read, paths)):
            looks[row] = look
            progress(1)
    return looks
