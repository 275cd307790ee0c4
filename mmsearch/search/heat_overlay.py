"""A heat map on the picture it belongs to."""

from __future__ import annotations

import numpy as np
from PIL import Image

from mmsearch.encoders import Heat
from mmsearch.media import Preprocessing, ResizeMode

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, as shares of an upright picture's width and height."""

_LONGEST_SIDE = 1024
_COLOURLESS = 0.75
"""How much of the picture's own colours is taken away, so that the red stands out."""
_OPAQUE = 0.7
"""Weight of the red where the heat is greatest."""
_UNSEEN = 0.35
"""Brightness that is left to what the encoder does not see."""
_RED = (225.0, 20.0, 40.0)


def seen_box(size: tuple[int, int], preprocessing: Preprocessing) -> Box:
    """What an encoder sees of an upright picture of ``(width, height)``: all, or the central square."""
    if preprocessing.resize_mode is ResizeMode.SQUASH:
        return 0.0, 0.0, 1.0, 1.0
    width, height = size
    side = min(size)
    left, top = (1 - side / width) / 2, (1 - side / height) / 2
    return left, top, 1 - left, 1 - top


def overlay(picture: Image.Image, heat: Heat, seen: Box) -> Image.Image:
    """Draw heat on a picture: grey where there is none, and the redder the more there is.

    Each map is drawn on its own scale, from 0 to its maximum, and squared, for most heat is spread thinly: half as
    warm is a quarter as red. Places without heat, or with less than none, stay grey.

    Args:
        picture: upright, mode RGB.
        heat: ``(rows, columns)`` over ``seen``.
        seen: what the encoder sees; the rest is darkened.

    Returns:
        Mode RGB, in the picture's proportions, at most 1,024 pixels a side.
    """
    scaled = picture.copy()
    scaled.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.BICUBIC)
    colours = np.asarray(scaled, dtype=np.float32)
    grey = np.asarray(scaled.convert("L"), dtype=np.float32)[..., np.newaxis]
    left, right = round(seen[0] * scaled.width), round(seen[2] * scaled.width)
    top, bottom = round(seen[1] * scaled.height), round(seen[3] * scaled.height)
    warmth = _warmth(heat, (right - left, bottom - top))
    base = colours + _COLOURLESS * (grey - colours)
    drawn = base * _UNSEEN
    part = np.s_[top:bottom, left:right]
    drawn[part] = base[part] + _OPAQUE * warmth * (np.array(_RED) - base[part])
    return Image.fromarray(drawn.round().clip(0, 255).astype(np.uint8))


def _warmth(heat: Heat, size: tuple[int, int]) -> Heat:
    """``(height, width, 1)`` from 0 to 1."""
    positive = np.maximum(heat, 0.0)
    scale = float(positive.max()) or 1.0
    smooth = Image.fromarray((positive / scale).astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    warmth: Heat = np.asarray(smooth, dtype=np.float32).clip(0, 1)[..., np.newaxis] ** 2
    return warmth
