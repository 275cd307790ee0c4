"""What cameras note, by value; and that no bytes whatever make reading it fail or take long."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin

from mmsearch.media import Limits
from mmsearch.media.decode import decode
from mmsearch.media.exif import Exif, read_exif
from tests.pictures import photo_exif

Encode = Callable[..., bytes]
PARIS = Exif(
    taken=datetime(2023, 7, 14, 18, 3, 59),
    camera="NIKON D850",
    lens="24.0-70.0 mm f/2.8",
    orientation=1,
    latitude=pytest.approx(48 + 51 / 60 + 30 / 3600),
    longitude=pytest.approx(-(2 + 17 / 60 + 40.2 / 3600)),
)


def exif_of(data: bytes) -> Exif:
    return decode(data, limits=Limits(), min_side=None).exif


@pytest.mark.parametrize("format_", ["JPEG", "MPO", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_format_that_holds_exif_gives_the_same(photo: Image.Image, encode: Encode, format_: str) -> None:
    found = exif_of(encode(photo, format_, exif=photo_exif().tobytes()))
    if format_ == "AVIF":  # keeps the orientation outside of EXIF, and decoders apply it
        found = replace(found, orientation=1)
    assert found == PARIS


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "GIF", "BMP", "QOI", "TIFF"])
def test_a_picture_without_exif_says_nothing(photo: Image.Image, encode: Encode, format_: str) -> None:
    assert exif_of(encode(photo, format_)) == Exif()


@pytest.mark.parametrize("format_", ["JPEG", "TIFF", "PNG"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_orientation_is_that_of_the_file(
    photo: Image.Image, encode: Encode, format_: str, orientation: int
) -> None:
    decoded = decode(encode(photo, format_, exif=photo_exif(orientation=orientation)), limits=Limits(), min_side=None)
    assert decoded.exif.orientation == orientation
    assert (decoded.width, decoded.height) == ((120, 80) if orientation == 3 else (80, 120))


@pytest.mark.parametrize("orientation", [0, 9, 60_000])
def test_an_orientation_that_does_not_exist_is_not_said(orientation: int) -> None:
    assert read_exif(photo_exif(orientation=orientation).tobytes()).orientation is None


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("NIKON CORPORATION", "NIKON D850", "NIKON D850"),
        ("Canon", "Canon EOS 5D Mark II", "Canon EOS 5D Mark II"),
        ("Apple", "iPhone 13 Pro", "Apple iPhone 13 Pro"),
        ("SONY", "ILCE-7M3", "SONY ILCE-7M3"),
        ("samsung  ", " SM-G991B", "samsung SM-G991B"),
        ("", "Lomo", "Lomo"),
        ("富士フイルム", "", "富士フイルム"),
        ("", "", None),
    ],
)
def test_a_camera_is_named_once(make: str, model: str, camera: str | None) -> None:
    exif = photo_exif()
    # Pillow writes ASCII; cameras write what they like.
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = make.encode() or b"\0", model.encode() or b"\0"
    assert read_exif(_as_text(exif.tobytes())).camera == camera


def _as_text(block: bytes) -> bytes:
    """Make and model as type 2, ASCII, whatever type Pillow gave their bytes."""
    for order in ("<", ">"):
        for tag in (0x010F, 0x0110):
            for kind in (1, 7):
                block = block.replace(struct.pack(f"{order}HH", tag, kind), struct.pack(f"{order}HH", tag, 2))
    return block


def test_the_time_is_the_most_original_one_that_makes_sense() -> None:
    exif = photo_exif("0000:00:00 00:00:00")
    photo = exif.get_ifd(ExifTags.IFD.Exif)
    photo[ExifTags.Base.DateTimeDigitized] = "2022:02:02 22:22:22"
    assert read_exif(exif.tobytes()).taken == datetime(2022, 2, 2, 22, 22, 22)
    photo[ExifTags.Base.DateTimeDigitized] = "    :  :     :  :  "
    assert read_exif(exif.tobytes()).taken == datetime(2024, 1, 2, 3, 4, 5)  # DateTime
    photo[ExifTags.Base.DateTimeOriginal] = "2021-12-31T23:59:59.123+01:00"
    assert read_exif(exif.tobytes()).taken == datetime(2021, 12, 31, 23, 59, 59)
    exif[ExifTags.Base.DateTime] = "2023:02:29 00:00:00"  # no such day
    photo[ExifTags.Base.DateTimeOriginal] = "yesterday"
    assert read_exif(exif.tobytes()).taken is None


@pytest.mark.parametrize(
    ("sides", "latitude", "longitude", "place"),
    [
        ("NE", (35.0, 41.0, 22.2), (139.0, 41.0, 30.12), (35.6895, 139.6917)),
        ("SW", (33.0, 27.4, 0.0), (70.0, 38.9, 0.0), (-33.456667, -70.648333)),
        ("NE", (90.0, 0.0, 0.0), (180.0, 0.0, 0.0), (90, 180)),
        ("NE", (90.0, 0.0, 0.1), (0.0, 0.0, 0.0), None),
        ("NE", (1.0, 2.0, 3.0), (181.0, 0.0, 0.0), None),
        ("N?", (1.0, 2.0, 3.0), (1.0, 2.0, 3.0), None),
        ("NE", (1.0, 2.0, 3.0), None, None),
    ],
)
def test_a_place_has_both_coordinates_in_signed_degrees(
    sides: str,
    latitude: tuple[float, ...],
    longitude: tuple[float, ...] | None,
    place: tuple[float, float] | None,
) -> None:
    exif = photo_exif()
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef], gps[ExifTags.GPS.GPSLongitudeRef] = sides
    gps[ExifTags.GPS.GPSLatitude] = latitude
    if longitude is None:
        del gps[ExifTags.GPS.GPSLongitude]
    else:
        gps[ExifTags.GPS.GPSLongitude] = longitude
    found = read_exif(exif.tobytes())
    if place is None:
        assert (found.latitude, found.longitude) == (None, None)
    else:
        assert (found.latitude, found.longitude) == pytest.approx(place, abs=1e-5)


def test_a_receiver_without_a_fix_gives_no_place() -> None:
    """Cameras then write 0/0."""
    block = photo_exif().tobytes()
    order = "<" if b"II*\0" in block else ">"
    fraction = struct.pack(f"{order}LL", 48, 1)
    assert fraction in block
    assert read_exif(block.replace(fraction, bytes(8))).latitude is None


def test_a_png_text_named_exif_is_no_exif(photo: Image.Image, encode: Encode) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("exif", "a photograph")
    assert exif_of(encode(photo, "PNG", pnginfo=texts)) == Exif()


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's; workers ignore them
@pytest.mark.parametrize("length", range(0, 2600, 77))
def test_exif_that_is_cut_short_fails_no_picture(photo: Image.Image, encode: Encode, length: int) -> None:
    whole = photo_exif().tobytes()
    cut = exif_of(encode(photo, "JPEG", exif=whole[:length]))
    assert cut.taken in (None, datetime(2024, 1, 2, 3, 4, 5), PARIS.taken)  # the time of change comes first
    for name in ("camera", "lens", "orientation", "latitude", "longitude"):
        assert getattr(cut, name) in (None, getattr(PARIS, name))


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(data: bytes) -> None:
    assert read_exif(data) == read_exif(b"Exif\0\0" + data)
    read_exif(b"II*\0" + data)
    read_exif(b"MM\0*" + data)


@given(st.data())
def test_any_flipped_bytes_give_values_in_range_that_travel(data: st.DataObject) -> None:
    block = bytearray(photo_exif().tobytes())
    for place in data.draw(st.lists(st.integers(0, 400), max_size=8)):
        block[place] = data.draw(st.integers(0, 255))
    found = read_exif(bytes(block))
    assert found.orientation is None or 1 <= found.orientation <= 8
    assert found.latitude is None or abs(found.latitude) <= 90
    assert found.longitude is None or abs(found.longitude) <= 180
    for text in (found.camera, found.lens):
        assert text is None or (text.isprintable() and 0 < len(text) <= 513)
    assert Exif.unpack(found.pack()) == found


def test_a_directory_of_many_large_entries_takes_no_time() -> None:
    """64 kB in which 5,000 entries each claim the 64 kB as fractions."""
    entries = b"".join(struct.pack("<HHLL", 0x9003 + number, 5, 8000, 8) for number in range(5000))
    block = b"II*\0" + struct.pack("<LH", 8, 5000) + entries
    start = time.perf_counter()
    assert read_exif(block) == Exif()
    assert time.perf_counter() - start < 0.5
