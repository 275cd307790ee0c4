"""Any colour mode of Pillow to RGB, so that a picture looks as it does in a viewer on a white page."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_SIXTEEN_BIT_MAX = 65_535.0


def to_rgb(picture: Image.Image) -> Image.Image:
    """A picture in mode RGB.

    Transparency is laid on white, 16-bit and float greys are scaled to 8 bits; CMYK, Lab and palettes are
    converted. Embedded colour profiles are not applied: no encoder was trained with them.

    Raises:
        ValueError: Pillow knows no way from this mode to RGB.
    """
    if picture.mode in _WITH_ALPHA or "transparency" in picture.info:
        return _on_white(picture)
    if picture.mode == "RGB":
        return picture
    if picture.mode.startswith("I") or picture.mode == "F":
        return _eight_bit(picture).convert("RGB")
    if picture.mode == "LAB":
        return _lab_to_rgb(picture)
    return picture.convert("RGB")


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # a transparent grey level of a 16-bit picture: rare, and lost
        return _eight_bit(picture).convert("RGB")
    layered = picture if picture.mode == "RGBA" else picture.convert("RGBA")
    page = Image.new("RGB", layered.size, "white")
    page.paste(layered, mask=layered.getchannel("A"))
    return page


def _eight_bit(picture: Image.Image) -> Image.Image:
    # float32 holds 16-bit greys exactly, and of 32-bit ones more than 8 bits can show. In place: a picture of the
    # largest size allowed takes 0.7 GB here.
    greys = np.asarray(picture).astype(np.float32)
    np.nan_to_num(greys, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = _range(greys, is_float=picture.mode == "F")
    span = high - low
    greys *= 1 / span  # before the subtraction, which could overflow
    greys -= low / span
    greys *= 255
    return Image.fromarray(np.rint(greys, out=greys).clip(0, 255).astype(np.uint8))


def _range(greys: npt.NDArray[np.float32], *, is_float: bool) -> tuple[float, float]:
    """Black and white: by the pixel type where that says so, else by the extremes of the picture."""
    lowest, highest = float(greys.min()), float(greys.max())
    if lowest >= 0:
        whites = (1.0, 255.0, _SIXTEEN_BIT_MAX) if is_float else (_SIXTEEN_BIT_MAX,)
        for white in whites:
            if highest <= white:
                return 0.0, white
    return lowest, highest if highest > lowest else lowest + 1.0


def _lab_to_rgb(picture: Image.Image) -> Image.Image:
    from PIL import ImageCms  # rare, and it loads a library of its own

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(picture, lab, srgb, outputMode="RGB")
    if converted is None:
        raise ValueError("Lab picture could not be converted")
    return converted
