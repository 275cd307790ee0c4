"""Several views of each picture, and what the frozen half of the picture tower makes of them.

The lower half of the tower is never trained, so each view passes it once and its feature maps are kept on disk:
an epoch then costs the upper half alone. ONNX Runtime does that pass, some seven times as fast as torch.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

from mmsearch.arrays import Pixels

logger = logging.getLogger(__name__)

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Features:
    """One view of n pictures behind the frozen parts of the tower, row by row."""

    maps: npt.NDArray[np.float16]
    """``(n, channels, height, width)``: what the trained half starts from."""
    pooled: npt.NDArray[np.float32]
    """``(n, 1280)``: what the whole tower gave before training."""


def view(pixels: Pixels, number: int, rng: np.random.Generator) -> Pixels:
    """View 0 is the picture ``(size, size, 3)`` itself, view 1 its mirror image, any other a random crop."""
    if number == 0:
        return pixels
    if number == 1:
        return np.ascontiguousarray(pixels[:, ::-1])
    return _crop(pixels, rng)


def _crop(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """40 % of the area or more, stretched by up to 1.43, perhaps mirrored, brightness and colour changed a little."""
    picture = Image.fromarray(pixels)
    size = picture.width
    area = rng.uniform(0.4, 1)
    stretch = np.exp(rng.uniform(np.log(0.7), np.log(1 / 0.7)))
    width, height = min(1, np.sqrt(area * stretch)), min(1, np.sqrt(area / stretch))
    left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
    box = (left * size, top * size, (left + width) * size, (top + height) * size)
    picture = picture.resize(picture.size, Image.Resampling.BICUBIC, box=box)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = change(picture).enhance(rng.uniform(0.8, 1.2))
    return np.asarray(picture)


def features_of(pixels: Pixels, session: Any, *, number: int, cache: Path, name: str) -> Features:
    """Pass view ``number`` of all pictures through the frozen tower, or take it from an earlier run.

    Args:
        pixels: ``(n, size, size, 3)``.
        session: of ONNX Runtime; input ``pixels``, outputs ``maps`` and ``pooled``.
        number: which view; also the seed of its crops.
        cache: folder for the arrays; the maps are mapped into memory, not read.
        name: of the set of pictures, for the files' names.
    """
    files = [cache / f"{name}-{number}-{part}.npy" for part in ("maps", "pooled")]
    if not all(file.exists() for file in files):
        rng = np.random.default_rng(number)
        parts = []
        for start in range(0, len(pixels), _BATCH):
            views = np.stack([view(one, number, rng) for one in pixels[start : start + _BATCH]])
            maps, pooled = session.run(["maps", "pooled"], {"pixels": views})
            parts.append((maps.astype(np.float16), pooled))
        for file, arrays in zip(files, zip(*parts, strict=True), strict=True):
            np.save(file, np.concatenate(arrays))
        logger.info("view %d of the %s pictures is ready", number, name)
    return Features(np.load(files[0], mmap_mode="r"), np.load(files[1]))
