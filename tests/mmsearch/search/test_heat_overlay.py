from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmsearch.media import Interpolation, Preprocessing, ResizeMode
from mmsearch.search.heat_overlay import overlay, seen_box

BLUE = (40, 80, 200)


def preprocessing(mode: ResizeMode) -> Preprocessing:
    return Preprocessing(
        size=8, resize_mode=mode, interpolation=Interpolation.BICUBIC, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((400, 200), (0.25, 0, 0.75, 1)),
        ((200, 400), (0, 0.25, 1, 0.75)),
        ((300, 300), (0, 0, 1, 1)),
    ],
)
def test_a_centre_crop_sees_the_central_square(
    size: tuple[int, int], expected: tuple[float, float, float, float]
) -> None:
    assert seen_box(size, preprocessing(ResizeMode.SHORTEST)) == pytest.approx(expected)
    assert seen_box(size, preprocessing(ResizeMode.SQUASH)) == (0, 0, 1, 1)


def test_heat_lies_where_it_was_found_and_the_unseen_is_dark() -> None:
    heat = np.zeros((4, 4), dtype=np.float32)
    heat[0, 3] = 0.02  # the upper right corner of the central square
    drawn = np.asarray(overlay(Image.new("RGB", (400, 200), BLUE), heat, (0.25, 0, 0.75, 1))).astype(int)
    assert drawn.shape == (200, 400, 3)
    red, green, blue = drawn[10, 290]
    assert red > 150
    assert red > 2 * max(green, blue)
    left, right, cold = drawn[100, 20], drawn[100, 380], drawn[190, 110]
    np.testing.assert_array_equal(left, right)
    assert (left < cold / 2).all()
    assert np.ptp(cold) < np.ptp(BLUE) / 3  # grey rather than blue


def test_places_that_lower_the_score_stay_as_cold_as_those_without_effect() -> None:
    picture = Image.new("RGB", (64, 64), BLUE)
    nothing, below = np.zeros((4, 4), dtype=np.float32), np.full((4, 4), -0.3, dtype=np.float32)
    np.testing.assert_array_equal(overlay(picture, nothing, (0, 0, 1, 1)), overlay(picture, below, (0, 0, 1, 1)))


def test_half_as_warm_is_a_quarter_as_red() -> None:
    heat = np.array([[1.0, 0.5, 0.0]], dtype=np.float32)
    drawn = np.asarray(overlay(Image.new("RGB", (300, 100), (0, 0, 0)), heat, (0, 0, 1, 1))).astype(int)
    assert drawn[50, 150, 0] == pytest.approx(drawn[50, 10, 0] / 4, abs=4)
    assert drawn[50, 290].max() <= 4


def test_a_large_picture_is_drawn_smaller() -> None:
    assert overlay(Image.new("RGB", (4096, 1024)), np.ones((4, 4), np.float32), (0, 0, 1, 1)).size == (1024, 256)
