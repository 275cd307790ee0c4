"""Pictures to the encoder's square, against resize-then-crop."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmsearch.media import Interpolation, Preprocessing, ResizeMode

FILTERS = {
    Interpolation.BICUBIC: Image.Resampling.BICUBIC,
    Interpolation.BILINEAR: Image.Resampling.BILINEAR,
}


def make(size: int, mode: ResizeMode = ResizeMode.SHORTEST, by: Interpolation = Interpolation.BICUBIC) -> Preprocessing:
    return Preprocessing(size=size, resize_mode=mode, interpolation=by, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


@pytest.mark.parametrize("by", list(Interpolation))
@pytest.mark.parametrize("mode", list(ResizeMode))
@pytest.mark.parametrize("size", [7, 64, 150])
def test_square_picture_is_simply_resized(photo: Image.Image, size: int, mode: ResizeMode, by: Interpolation) -> None:
    square = photo.crop((0, 0, 80, 80))
    expected = np.asarray(square.resize((size, size), FILTERS[by]))
    np.testing.assert_array_equal(make(size, mode, by).prepare(square), expected)


@pytest.mark.parametrize("box", [(0, 0, 120, 80), (0, 0, 61, 80), (0, 0, 120, 33)])
def test_shortest_agrees_with_resize_then_crop(photo: Image.Image, box: tuple[int, int, int, int]) -> None:
    picture = photo.crop(box)
    scale = 32 / min(picture.size)
    resized = picture.resize(
        (round(picture.width * scale), round(picture.height * scale)), FILTERS[Interpolation.BICUBIC]
    )
    left, top = (resized.width - 32) // 2, (resized.height - 32) // 2
    expected = np.asarray(resized.crop((left, top, left + 32, top + 32))).astype(int)
    found = make(32).prepare(picture).astype(int)
    assert np.abs(found - expected).mean() < 2.5  # the crop of whole pixels lies up to half a pixel off the middle


def test_shortest_keeps_the_middle() -> None:
    picture = Image.new("RGB", (90, 30), "black")
    picture.paste("white", (30, 0, 60, 30))
    assert make(30).prepare(picture).min() == 255
    assert make(30, ResizeMode.SQUASH).prepare(picture)[:, [0, 14, -1], 0].tolist() == [[0, 255, 0]] * 30


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 40), st.sampled_from(ResizeMode))
def test_flat_picture_of_any_shape_stays_flat(width: int, height: int, size: int, mode: ResizeMode) -> None:
    pixels = make(size, mode).prepare(Image.new("RGB", (width, height), (1, 130, 255)))
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == [1, 130, 255]).all()


def test_long_thin_pictures_are_prepared_in_little_memory() -> None:
    for shape in ((1, 30_000), (30_000, 1)):
        assert (make(224).prepare(Image.new("RGB", shape, (9, 8, 7))) == [9, 8, 7]).all()


def test_picture_that_is_not_rgb_is_refused() -> None:
    with pytest.raises(ValueError, match="mode RGBA; convert it to RGB first"):
        make(8).prepare(Image.new("RGBA", (8, 8)))


def test_json_round_trip_and_refusals() -> None:
    preprocessing = make(224, ResizeMode.SQUASH, Interpolation.BILINEAR)
    values = preprocessing.to_json()
    assert values["resize_mode"] == "squash"
    assert Preprocessing.from_json(values) == preprocessing
    assert Preprocessing.from_json({**values, "mean": [0.1, 0.2, 0.3]}) == preprocessing
    with pytest.raises(TypeError, match="unexpected keyword argument 'crop'"):
        Preprocessing.from_json({**values, "crop": 1})
    with pytest.raises(ValueError, match="size is 0"):
        dataclasses.replace(preprocessing, size=0)
