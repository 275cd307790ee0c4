"""Pictures for tests."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image


def paint(path: Path, seed: int, size: tuple[int, int] = (32, 24)) -> Path:
    """Write a picture of smooth random colours; the same seed gives the same pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, size=(4, 4, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def photo_exif(
    taken: str | None = "2023:07:14 18:03:59",
    *,
    make: str = "NIKON CORPORATION",
    model: str = "NIKON D850",
    orientation: int = 1,
) -> Image.Exif:
    """The EXIF of a photograph, taken 48° 51' 30" N, 2° 17' 40.2" W with a 24-70 mm lens."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = make, model
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.DateTime] = "2024:01:02 03:04:05"
    photo = exif.get_ifd(ExifTags.IFD.Exif)
    if taken is not None:
        photo[ExifTags.Base.DateTimeOriginal] = taken
    photo[ExifTags.Base.LensModel] = "24.0-70.0 mm f/2.8"
    photo[ExifTags.Base.MakerNote] = b"\x01" * 2000
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef], gps[ExifTags.GPS.GPSLatitude] = "N", (48.0, 51.0, 30.0)
    gps[ExifTags.GPS.GPSLongitudeRef], gps[ExifTags.GPS.GPSLongitude] = "W", (2.0, 17.0, 40.2)
    return exif


def declare_size(png: Path, width: int, height: int) -> None:
    """Let a PNG claim other dimensions than it has: a few bytes that ask for gigabytes."""
    data = bytearray(png.read_bytes())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    png.write_bytes(data)
