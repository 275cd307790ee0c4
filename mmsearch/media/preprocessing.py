"""From an RGB picture to the square of pixels an encoder was trained on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from PIL import Image

from mmsearch.arrays import Pixels


class ResizeMode(StrEnum):
    """How a picture that is not square becomes square."""

    SHORTEST = "shortest"
    """Scale the shorter side to the size, keep the middle (CLIP)."""
    SQUASH = "squash"
    """Scale both sides to the size, whatever the aspect ratio (SigLIP)."""


class Interpolation(StrEnum):
    """Pillow's antialiased filters that encoders are trained with."""

    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


_FILTERS = {
    Interpolation.BILINEAR: Image.Resampling.BILINEAR,
    Interpolation.BICUBIC: Image.Resampling.BICUBIC,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """All that turns a picture into an encoder's input; part of the embedding space.

    Pixels stay uint8 up to the encoder, which normalises them in float32 with ``mean`` and ``std``
    (both per RGB channel, on the 0..1 scale).
    """

    size: int
    resize_mode: ResizeMode
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size is {self.size}; it counts pixels a side, so it must be 1 or more")

    def prepare(self, picture: Image.Image) -> Pixels:
        """Resize and crop one picture.

        Args:
            picture: upright, mode RGB (see ``decode_picture``).

        Returns:
            ``(size, size, 3)`` uint8.

        Raises:
            ValueError: the picture is not RGB.
        """
        if picture.mode != "RGB":
            raise ValueError(f"picture has mode {picture.mode}; convert it to RGB first")
        resample = _FILTERS[self.interpolation]
        if self.resize_mode is ResizeMode.SQUASH:
            return np.asarray(picture.resize((self.size, self.size), resample), dtype=np.uint8)
        # One resampling straight from the central square: equal to resize-then-crop up to rounding, and it
        # never builds the full width of a panorama.
        side = min(picture.size)
        left, top = (picture.width - side) / 2, (picture.height - side) / 2
        box = (left, top, left + side, top + side)
        return np.asarray(picture.resize((self.size, self.size), resample, box=box), dtype=np.uint8)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Preprocessing:
        """The inverse of ``to_json``; unknown or missing names raise ``TypeError``."""
        return cls(
            **{
                **values,
                "resize_mode": ResizeMode(values["resize_mode"]),
                "interpolation": Interpolation(values["interpolation"]),
                "mean": tuple(values["mean"]),
                "std": tuple(values["std"]),
            }
        )
