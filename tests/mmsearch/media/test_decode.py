"""Bytes to upright RGB pictures, by value."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps, TiffImagePlugin

from mmsearch.errors import MediaError, NotFound
from mmsearch.media import Limits, decode_picture, load_picture
from mmsearch.media.decode import decode

Encode = Callable[..., bytes]
GREYS16 = np.linspace(0, 65_535, 256).astype(np.uint16).reshape(16, 16)
ORIENTATION = 0x0112


def pixels(picture: Image.Image) -> npt.NDArray[np.int16]:
    return np.asarray(picture).astype(np.int16)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Largest difference of any pixel and channel."""
    assert one.size == other.size
    return float(np.abs(pixels(one) - pixels(other)).max())


def turned_by_camera(photo: Image.Image, orientation: int) -> Image.Image:
    """What a camera stores for the upright ``photo`` under an EXIF orientation: the inverse of the viewer's turn."""
    inverse = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    return photo if inverse is None else photo.transpose(inverse)


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_gives_the_upright_picture(
    photo: Image.Image, encode: Encode, format_: str, orientation: int
) -> None:
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(format_, {})
    data = encode(turned_by_camera(photo, orientation), format_, exif=exif_of(orientation), **options)
    decoded = decode(data, limits=Limits(), min_side=None)
    assert (decoded.width, decoded.height) == photo.size
    assert difference(decoded.image, photo) <= (4 if format_ == "JPEG" else 0)


@pytest.mark.parametrize("orientation", [1, 6])
def test_draft_keeps_twice_the_target_and_reports_the_original_upright_size(
    photo: Image.Image, encode: Encode, orientation: int
) -> None:
    large = photo.resize((1200, 800), Image.Resampling.BICUBIC)
    data = encode(turned_by_camera(large, orientation), "JPEG", quality=95, exif=exif_of(orientation))
    decoded = decode(data, limits=Limits(), min_side=100)
    assert (decoded.width, decoded.height) == (1200, 800)
    assert decoded.image.size == (300, 200)
    assert np.abs(pixels(decoded.image) - pixels(large.resize((300, 200), Image.Resampling.BOX))).mean() < 1.5


@pytest.mark.parametrize("min_side", [13, 25, 50, 99, 100, 101, 200, 401])
def test_draft_never_goes_below_twice_the_target(photo: Image.Image, encode: Encode, min_side: int) -> None:
    data = encode(photo.resize((1200, 800)), "JPEG")
    shorter = min(decode_picture(data, min_side=min_side).size)
    assert shorter >= min(2 * min_side, 800)
    assert shorter < 4 * min_side or shorter == 100  # 1/8 is the smallest scale there is


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\xff\xff", b"Exif\0\0II*\0" + b"\xff" * 60_000])
def test_broken_exif_is_ignored(photo: Image.Image, encode: Encode, exif: bytes) -> None:
    data = encode(photo, "JPEG", quality=100, subsampling=0, exif=exif)
    assert difference(decode_picture(data), photo) <= 4


@pytest.mark.parametrize("orientation", [0, 9, 60_000])
def test_unknown_orientation_is_upright(photo: Image.Image, encode: Encode, orientation: int) -> None:
    assert difference(decode_picture(encode(photo, "PNG", exif=exif_of(orientation))), photo) == 0


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF", "PPM", "GIF", "ICO", "WEBP", "JPEG2000", "QOI", "AVIF"])
def test_allowed_formats_are_told_by_content(photo: Image.Image, encode: Encode, format_: str) -> None:
    options = {
        "WEBP": {"lossless": True},
        "ICO": {"sizes": [(120, 80)]},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }.get(format_, {})
    decoded = decode_picture(encode(photo, format_, **options))
    tolerance = {"GIF": 60, "AVIF": 8}.get(format_, 0)
    assert difference(decoded, photo) <= tolerance


def test_multi_picture_jpeg_gives_its_first_picture(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "MPO", save_all=True, append_images=[ImageOps.invert(photo)], quality=95)
    decoded = decode(data, limits=Limits(), min_side=20)
    assert (decoded.width, decoded.height) == (120, 80)
    assert decoded.image.size == (60, 40)
    small = photo.resize((60, 40), Image.Resampling.BOX)
    assert np.abs(pixels(decoded.image) - pixels(small)).mean() < 3


def test_animation_gives_its_first_frame(encode: Encode) -> None:
    red, blue = Image.new("RGB", (9, 9), (255, 0, 0)), Image.new("RGB", (9, 9), (0, 0, 255))
    for format_, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        data = encode(red, format_, save_all=True, append_images=[blue, red], **options)
        assert difference(decode_picture(data), red) == 0


def test_sixteen_bit_greys_look_like_their_eight_bit_version(encode: Encode) -> None:
    expected = np.rint(GREYS16 / 257).astype(np.uint8)
    deep, wide = Image.fromarray(GREYS16), Image.fromarray(GREYS16.astype(np.int32))
    assert (deep.mode, wide.mode) == ("I;16", "I")
    for data in (encode(deep, "PNG"), encode(deep, "TIFF"), encode(wide, "TIFF")):
        assert difference(decode_picture(data), Image.fromarray(expected).convert("RGB")) == 0


def test_big_endian_sixteen_bit_tiff_is_not_byte_swapped(encode: Encode) -> None:
    deep = Image.frombytes("I;16B", (16, 16), GREYS16.astype(">u2").tobytes())
    expected = Image.fromarray(np.rint(GREYS16 / 257).astype(np.uint8)).convert("RGB")
    assert difference(decode_picture(encode(deep, "TIFF")), expected) == 0


@pytest.mark.parametrize("white", [1.0, 255.0, 65_535.0])
def test_float_greys_are_scaled_to_eight_bits(encode: Encode, white: float) -> None:
    greys = np.linspace(0, white, 256).astype(np.float32).reshape(16, 16)
    expected = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB")
    assert difference(decode_picture(encode(Image.fromarray(greys), "TIFF")), expected) <= 1


def test_float_greys_of_any_range_span_black_to_white(encode: Encode) -> None:
    greys = np.linspace(-3.0, 7.0, 256).astype(np.float32).reshape(16, 16)
    greys[0, 1] = np.nan
    decoded = np.asarray(decode_picture(encode(Image.fromarray(greys), "TIFF")))
    assert (decoded[0, 0, 0], decoded[-1, -1, 0]) == (0, 255)
    wild = np.array([[np.inf, -3.3e38], [3.3e38, -np.inf]], dtype=np.float32)
    wild_decoded = np.asarray(decode_picture(encode(Image.fromarray(wild), "TIFF")))
    assert wild_decoded[..., 0].tolist() == [[128, 0], [255, 128]]
    flat = np.full((4, 4), -5.0, dtype=np.float32)
    assert np.asarray(decode_picture(encode(Image.fromarray(flat), "TIFF"))).max() == 0


def test_cmyk_jpeg_has_the_colours_of_its_original(photo: Image.Image, encode: Encode) -> None:
    cmyk = photo.convert("CMYK")
    decoded = decode_picture(encode(cmyk, "JPEG", quality=100, subsampling=0))
    assert np.abs(pixels(decoded) - pixels(photo)).mean() < 2
    assert difference(decode_picture(encode(cmyk, "TIFF")), cmyk.convert("RGB")) == 0


def test_lab_picture_becomes_rgb(encode: Encode) -> None:
    lab = Image.merge("LAB", [Image.new("L", (4, 4), level) for level in (255, 128, 128)])
    assert difference(decode_picture(encode(lab, "TIFF")), Image.new("RGB", (4, 4), "white")) <= 2


def test_transparency_is_laid_on_white(encode: Encode) -> None:
    white, mixed = Image.new("RGB", (5, 5), "white"), Image.new("RGB", (5, 5), (255, 127, 127))
    clear, half = Image.new("RGBA", (5, 5), (255, 0, 0, 0)), Image.new("RGBA", (5, 5), (255, 0, 0, 128))
    assert difference(decode_picture(encode(clear, "PNG")), white) == 0
    assert difference(decode_picture(encode(half, "PNG")), mixed) == 0
    grey = Image.new("LA", (5, 5), (0, 51))
    assert difference(decode_picture(encode(grey, "PNG")), Image.new("RGB", (5, 5), (204, 204, 204))) == 0


def test_transparent_palette_and_colour_key_are_laid_on_white(encode: Encode) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1])
    expected = [(255, 255, 255), (0, 0, 255)]
    for format_ in ("PNG", "GIF"):
        decoded = decode_picture(encode(palette, format_, transparency=0))
        assert [decoded.getpixel((x, 0)) for x in (0, 1)] == expected
    opaque = decode_picture(encode(palette, "PNG"))
    assert [opaque.getpixel((x, 0)) for x in (0, 1)] == [(255, 0, 0), (0, 0, 255)]
    key = decode_picture(encode(palette.convert("RGB"), "PNG", transparency=(255, 0, 0)))
    assert [key.getpixel((x, 0)) for x in (0, 1)] == expected


def test_bilevel_and_grey_become_rgb(encode: Encode) -> None:
    bilevel = Image.new("1", (2, 1))
    bilevel.putpixel((1, 0), 1)
    for format_ in ("PNG", "TIFF", "PPM", "BMP"):
        decoded = decode_picture(encode(bilevel, format_))
        assert [decoded.getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 0), (255, 255, 255)]
    grey = decode_picture(encode(Image.new("L", (3, 3), 77), "PNG"))
    assert grey.getpixel((1, 1)) == (77, 77, 77)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb_png(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 10_000)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        png_chunk(kind, body) for kind, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )


def test_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(MediaError, match=r"3600000000 pixels"):
        decode_picture(bomb_png(60_000))


def test_pixel_limit_names_size_and_limit(photo: Image.Image, encode: Encode) -> None:
    with pytest.raises(MediaError, match=r"120 x 80 pixels large, and the limit is 9,599"):
        decode_picture(encode(photo, "PNG"), limits=Limits(max_pixels=9_599))
    assert decode_picture(encode(photo, "PNG"), limits=Limits(max_pixels=9_600)).size == (120, 80)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"\xff", r"it begins with b'\\xff'"),
        (b"<!DOCTYPE html><html></html>", "begins with b'<!DOCTYPE ht'"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (b"%PDF-1.7\n", "not a picture"),
        (b"SIMPLE  =                    T", "not a picture"),
        (b"\xd7\xcd\xc6\x9a\0\0", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (b"\0" * 5_000, "not a picture"),
    ],
)
def test_what_is_no_allowed_picture_is_refused_with_its_first_bytes(data: bytes, reason: str) -> None:
    with pytest.raises(MediaError, match=reason):
        decode_picture(data)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000"])
def test_truncated_file_is_a_failure(photo: Image.Image, encode: Encode, format_: str, share: float) -> None:
    data = encode(photo, format_)
    with pytest.raises(MediaError, match=r"not a picture|damaged or unsupported"), _pillow_warnings_off():
        decode_picture(data[: int(len(data) * share)])


def test_png_with_cut_pixel_data_is_a_failure(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "PNG")
    start = data.index(b"IDAT")
    with pytest.raises(MediaError, match="damaged or unsupported"):
        decode_picture(data[: start + 200] + data[-12:])


def _pillow_warnings_off() -> warnings.catch_warnings[None]:
    return warnings.catch_warnings(action="ignore")


def _flipped(files: list[bytes], n: int) -> Iterator[bytes]:
    random = np.random.default_rng(7)
    for trial in range(n):
        damaged = bytearray(files[trial % len(files)])
        for _ in range(int(random.integers(1, 9))):
            damaged[int(random.integers(len(damaged)))] ^= 1 << int(random.integers(8))
        yield bytes(damaged)


def test_flipped_bits_end_as_media_error_or_as_a_picture(photo: Image.Image, encode: Encode) -> None:
    small = photo.resize((24, 16))
    formats = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF", "JPEG2000", "ICO", "QOI")
    files = [encode(small, name) for name in formats]
    files += [encode(small, "TIFF", compression="tiff_lzw"), encode(small.convert("CMYK"), "JPEG")]
    n_refused = 0
    with _pillow_warnings_off():
        for data in _flipped(files, 1_300):
            try:
                decoded = decode_picture(data, limits=Limits(max_pixels=1_000_000), min_side=4)
            except MediaError as err:
                n_refused += 1
                assert 0 < len(str(err)) <= 500  # noqa: PT017 - the law is "either a picture or this"
            else:
                assert decoded.mode == "RGB"
    assert 200 < n_refused < 1_300


def test_an_error_of_any_class_becomes_a_media_error(
    photo: Image.Image, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise EOFError("no more data")

    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load", fail)
    with pytest.raises(MediaError, match="damaged or unsupported: no more data") as caught:
        decode_picture(encode(photo, "TIFF"))
    assert isinstance(caught.value.__cause__, EOFError)


def test_load_picture_goes_by_content_not_by_name(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "really.jpg", "PNG")
    assert difference(load_picture(tmp_path / "really.jpg"), photo) == 0


def test_load_picture_names_the_file_that_is_missing_or_bad(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no picture .*gone\.jpg"):
        load_picture(tmp_path / "gone.jpg")
    (tmp_path / "page.jpg").write_text("<html>")
    with pytest.raises(MediaError, match=r"page\.jpg cannot be used: not a picture"):
        load_picture(tmp_path / "page.jpg")
    with pytest.raises(MediaError, match="it is a folder, not a regular file"):
        load_picture(tmp_path)
    with pytest.raises(MediaError, match="it has 6 bytes, and the limit is 5"):
        load_picture(tmp_path / "page.jpg", limits=Limits(max_bytes=5))


def test_decoding_leaves_the_given_bytes_alone(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "JPEG")
    again = bytes(data)
    first, second = decode_picture(data), decode_picture(io.BytesIO(data).getvalue())
    assert data == again
    assert difference(first, second) == 0


@pytest.mark.parametrize("name", ["max_bytes", "max_pixels", "timeout_s", "memory_bytes"])
def test_limits_refuse_nonsense(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0"):
        Limits(**{name: 0})


def test_limits_refuse_an_endless_timeout() -> None:
    with pytest.raises(ValueError, match="timeout_s is inf; more than a day"):
        Limits(timeout_s=float("inf"))
