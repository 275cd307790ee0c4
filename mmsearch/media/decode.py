"""A picture file's bytes to an upright RGB picture, whatever the bytes are."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from mmsearch.errors import MediaError, NotFound
from mmsearch.media.colour import to_rgb
from mmsearch.media.exif import Exif, read_exif
from mmsearch.media.failures import one_line
from mmsearch.media.limits import DEFAULT_LIMITS, Limits
from mmsearch.media.reading import read_file

# Formats that a signature tells apart and whose decoder runs no other program and follows no reference. So
# no EPS, PDF, FITS or WMF (each has had its hole), no SVG, and no TGA, which any bytes may look like. JPEG
# stands for MPO as well. The first six are those that Pillow knows without loading its forty plugins.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "PPM", "WEBP", "TIFF", "AVIF", "JPEG2000", "QOI", "ICO")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDES_SWAPPED = frozenset({5, 6, 7, 8})
_DRAFT_FACTOR = 2  # resizing from twice the target is antialiased as well as from the whole picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A decoded picture, perhaps scaled down, the size of the upright original, and what its camera noted."""

    image: Image.Image
    """Mode RGB."""
    width: int
    height: int
    exif: Exif


def decode_picture(data: bytes, *, limits: Limits = DEFAULT_LIMITS, min_side: int | None = None) -> Image.Image:
    """Decode one picture: first frame, upright, RGB, transparency on white.

    Args:
        data: a whole file.
        limits: ``max_pixels`` is heeded before anything is decoded.
        min_side: if given, a JPEG may come at the smallest DCT scale that keeps both sides at twice this.

    Returns:
        A picture in mode RGB.

    Raises:
        MediaError: ``data`` is no picture of an allowed format, is damaged, or is too large.
    """
    return decode(data, limits=limits, min_side=min_side).image


def load_picture(path: Path, *, limits: Limits = DEFAULT_LIMITS, min_side: int | None = None) -> Image.Image:
    """Read and decode one picture file in this process, as a query does.

    Raises:
        NotFound: there is no such file.
        MediaError: it cannot be read or decoded.
    """
    shown = one_line(str(path))
    try:
        return decode_picture(read_file(path, max_bytes=limits.max_bytes).data, limits=limits, min_side=min_side)
    except FileNotFoundError as err:
        raise NotFound(f"there is no picture {shown}; check the path", path) from err
    except OSError as err:
        raise MediaError(f"picture {shown} cannot be read: {err.strerror}") from err
    except MediaError as err:
        raise MediaError(f"picture {shown} cannot be used: {err}") from err


def decode(data: bytes, *, limits: Limits, min_side: int | None) -> Picture:
    """``decode_picture`` with the size of the original and its EXIF."""
    try:
        return _decode(data, limits, min_side)
    except MediaError:
        raise
    except UnidentifiedImageError as err:
        head = f"it begins with {data[:12]!r}" if data else "it is empty"
        known = ", ".join(_FORMATS)
        raise MediaError(f"not a picture of a known format, {head}; known are {known}") from err
    except MemoryError as err:
        raise MediaError(f"decoding it takes more memory than the limit, {limits.memory_bytes:,} bytes") from err
    except Exception as err:  # decoders raise anything: ValueError, SyntaxError, EOFError ...
        raise MediaError(one_line(f"damaged or unsupported: {err}")) from err


def _decode(data: bytes, limits: Limits, min_side: int | None) -> Picture:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        if image.width * image.height > limits.max_pixels:
            size = f"{image.width:,} x {image.height:,}"
            raise MediaError(f"it is {size} pixels large, and the limit is {limits.max_pixels:,} pixels in all")
        original = image.size
        is_draft = min_side is not None and image.draft(None, (_DRAFT_FACTOR * min_side,) * 2) is not None
        image.load()
        if not is_draft:
            original = image.size  # an ICO, or a TIFF that Pillow turns itself, knows its size only now
        turn = _orientation(image)
        width, height = reversed(original) if turn in _SIDES_SWAPPED else original
        rgb = to_rgb(image)
        upright = rgb.transpose(_UPRIGHT[turn]) if turn in _UPRIGHT else rgb
        block = data if image.format == "TIFF" else image.info.get("exif")
        exif = read_exif(block) if isinstance(block, bytes) else Exif()  # a PNG may have a text of that name
        return Picture(image=upright, width=width, height=height, exif=exif)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1, upright, if there is none or EXIF is broken."""
    try:
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - broken EXIF raises anything, and the pixels are good without it
        return 1
    return turn if isinstance(turn, int) else 1
