from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.explain import (
    COLOURS,
    SIDE,
    CutOut,
    collage,
    compare_on_squares,
    pasted,
    points_inside,
    share_inside,
    squares_cases,
    squares_picture,
    train_tiny,
    wilson,
)


def test_the_warmest_cells_middle_decides() -> None:
    heat = np.zeros((4, 4), dtype=np.float32)
    heat[1, 2] = 1  # its middle is at (62.5, 37.5) of 100
    assert points_inside(heat, (60, 30, 65, 40), 100)
    assert not points_inside(heat, (30, 60, 40, 65), 100)
    assert not points_inside(heat, (50, 25, 62, 50), 100)
    assert not points_inside(-heat, (0, 0, 100, 100), 100)


def test_share_counts_cells_by_their_part_in_the_box() -> None:
    heat = np.array([[2, 1], [0, -5]], dtype=np.float32)
    assert share_inside(heat, (0, 0, 50, 50), 100) == pytest.approx(2 / 3)
    assert share_inside(heat, (0, 0, 75, 100), 100) == pytest.approx(2.5 / 3)
    assert share_inside(heat * 0, (0, 0, 75, 100), 100) == 0


def test_a_cut_out_fills_its_box_and_nothing_else_changes() -> None:
    scene = Image.new("RGB", (SIDE, SIDE), (10, 20, 30))
    case = pasted(CutOut("a card", Image.new("RGBA", (40, 20), (200, 0, 0, 255))), scene, random.Random(0))
    changed = np.argwhere((np.asarray(case.picture) != np.asarray(scene)).any(axis=2))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0) + 1
    assert case.box == (left, top, right, bottom)
    assert 64 <= right - left <= 104


def test_a_collage_asks_for_the_quarter_it_names() -> None:
    photographs = [(Image.new("RGB", (SIDE, SIDE), colour), [colour]) for colour in ("red", "lime", "blue", "white")]
    for seed in range(8):
        case = collage(photographs, random.Random(seed))
        assert case.picture.crop(case.box).getcolors() == [
            (112 * 112, Image.new("RGB", (1, 1), case.query).getpixel((0, 0)))
        ]


def test_squares_lie_in_their_boxes_and_apart() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        picture, boxes = squares_picture(rng)
        for colour, (left, top, right, bottom) in boxes.items():
            assert (picture[top:bottom, left:right] == COLOURS[colour]).all()
        assert len(boxes) == 2


def test_interval_by_hand() -> None:
    assert wilson(40, 50) == pytest.approx((0.6696, 0.8876), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("layers", [3, 8])
def test_both_methods_find_the_square_that_is_asked_for(layers: int, tmp_path: Path) -> None:
    encoder = train_tiny(tmp_path, layers=layers)
    found = compare_on_squares(encoder, squares_cases(30, seed=2))
    assert found["largest_difference_of_recomputed_embedding"] < 1e-5
    for method in ("grad_eclip", "occlusion"):
        assert found[method]["hit_rate"] > 0.7
        assert found[method]["chance"] < 0.1
