"""Pictures and a preprocessing that the tests of this room share."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmsearch.media import Interpolation, Preprocessing, ResizeMode


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    """120 x 80, smooth, different in every corner and channel."""
    y, x = np.mgrid[0:80, 0:120].astype(np.float64)
    red = 255 * x / 119
    green = 255 * y / 79
    blue = 127 + 127 * np.sin(x / 17) * np.cos(y / 13)
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8), "RGB")


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """A picture to a file's bytes."""

    def save(picture: Image.Image, format_: str, **options: Any) -> bytes:
        file = io.BytesIO()
        picture.save(file, format_, **options)
        return file.getvalue()

    return save


@pytest.fixture
def preprocessing() -> Preprocessing:
    return Preprocessing(
        size=32,
        resize_mode=ResizeMode.SHORTEST,
        interpolation=Interpolation.BICUBIC,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )


@pytest.fixture
def folder_of_squares(tmp_path: Path) -> Path:
    """``00.png`` to ``39.png``, picture i all of grey level i."""
    for level in range(40):
        Image.new("RGB", (40, 40), (level, level, level)).save(tmp_path / f"{level:02}.png")
    return tmp_path
