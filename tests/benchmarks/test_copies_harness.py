from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchmarks.copies import CHANGES, found, mistaken
from tests.fakes import FakeEncoder


def test_a_picture_and_itself_under_another_name_is_one_mistake_of_each_rule() -> None:
    vectors = np.eye(8, dtype=np.float32)[[0, 1, 0, 2]]
    looks = np.eye(256, dtype=np.float32)[[5, 6, 5, 7]]
    measured = mistaken(vectors, looks, ["a", "b", "c", "d"])
    assert measured["pairs"] == 6
    assert set(measured["different_called_copies_by_cosine"].values()) == {1}
    assert measured["different_called_copies_by_cosine_and_look"]["0.9"]["0.95"] == 1
    assert measured["share_with_near_neighbour"]["0.9"] == 0.5
    assert measured["most_alike"] == [["a", "c", 1.0, 1.0]]


def test_neighbours_that_look_different_are_a_mistake_of_the_first_rule_only() -> None:
    measured = mistaken(np.ones((3, 1), np.float32), np.eye(3, 256, dtype=np.float32), ["a", "b", "c"])
    assert measured["different_called_copies_by_cosine"]["0.98"] == 3
    assert measured["different_called_copies_by_cosine_and_look"]["0.8"]["0.8"] == 0
    assert measured["most_alike"] == []


def test_every_change_is_measured_and_a_quarter_turn_looks_like_another_picture() -> None:
    rng = np.random.default_rng(0)
    coarse = [Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in range(3)]
    measured = found([picture.resize((96, 64), Image.Resampling.BICUBIC) for picture in coarse], FakeEncoder())
    assert list(measured["changes"]) == list(CHANGES)
    assert measured["changes"]["half the size"]["found_by_cosine_and_look"]["0.8"] == 1.0
    assert measured["changes"]["half the size"]["look_1_5_50_percent"][0] == pytest.approx(1, abs=0.02)
    assert measured["changes"]["turned by 90 degrees"]["found_by_cosine_and_look"]["0.8"] == 0.0
