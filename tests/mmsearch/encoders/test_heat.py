from __future__ import annotations

import numpy as np
import pytest

from mmsearch.arrays import Embeddings, Pixels
from mmsearch.encoders import HeatMethod, heat_maps
from tests.fakes import FakeEncoder

SIZE = 64
RED = (255, 0, 0)


class SpotEncoder(FakeEncoder):
    """How red and how green a picture is, whatever its place: dimensions 0 and 1."""

    def encode_images(self, pixels: Pixels) -> Embeddings:
        self.encoded_images += len(pixels)
        share = pixels.reshape(len(pixels), -1, 3).mean(axis=1) / 255
        return np.stack([share[:, 0], share[:, 1]], axis=1).astype(np.float32)


def spots(*places: tuple[int, int, tuple[int, int, int]]) -> Pixels:
    """A black square with squares of 8 pixels a side on it: row and column of the 8 x 8 grid, colour."""
    pixels = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
    for row, column, colour in places:
        pixels[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = colour
    return pixels


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 5), (4, 3), (7, 1), (7, 7)])
def test_the_warmest_place_is_where_the_score_comes_from(row: int, column: int) -> None:
    pixels = spots((row, column, RED), (7 - row, 7 - column, (0, 255, 0)))
    found = heat_maps(SpotEncoder(), pixels, np.array([[1, 0], [0, 1]], dtype=np.float32))
    assert found.method is HeatMethod.OCCLUSION
    for map_, place in zip(found.maps, [(row, column), (7 - row, 7 - column)], strict=True):
        warmest = np.argwhere(map_ >= map_.max() - 1e-7).mean(axis=0)
        assert np.abs(warmest - (np.array(place) * 4 + 1.5)).max() <= 6  # of 32 cells


def test_heat_is_what_squares_take_along_and_bring_by_hand() -> None:
    pixels = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
    pixels[:, :32, 0] = 200
    (map_,) = heat_maps(SpotEncoder(), pixels, np.array([[1, 0]], dtype=np.float32)).maps
    # The cover has red 100, so a square takes along and brings 100 for each red pixel, less 100 for each black one.
    # Pixel (32, 12) lies in squares of 20 rows, of which 14, 20 and 20 columns are in the picture, all red; and in
    # squares of 28 rows with 18, 26 and 26 red columns, the last of them with 2 black ones.
    small, large = 20 * (14 + 20 + 20) / 3, 28 * (18 + 26 + 26 - 2) / 3
    assert map_[16, 6] == pytest.approx((small + large) / 2 * 100 / 255 / SIZE**2, abs=1e-6)
    np.testing.assert_allclose(map_[:, ::-1], -map_, atol=1e-6)


def test_what_is_not_there_has_no_place() -> None:
    found = heat_maps(SpotEncoder(), spots((3, 3, RED)), np.array([[0, 1]], dtype=np.float32))
    np.testing.assert_allclose(found.maps, 0, atol=1e-7)


def test_maps_of_one_picture_add_up_as_their_directions_do() -> None:
    encoder = FakeEncoder()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    first, second = encoder.encode_texts(["dog", "grass"])
    maps = heat_maps(encoder, pixels, np.stack([first, second, first - 2 * second])).maps
    np.testing.assert_allclose(maps[2], maps[0] - 2 * maps[1], atol=1e-6)


def test_a_mirrored_picture_has_a_mirrored_map() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    direction = np.array([[1, -1]], dtype=np.float32)
    maps = heat_maps(SpotEncoder(), pixels, direction).maps
    mirrored = heat_maps(SpotEncoder(), pixels[:, ::-1], direction).maps
    np.testing.assert_allclose(mirrored, maps[..., ::-1], atol=1e-6)


def test_the_pictures_encoded_are_counted_and_shared_by_all_directions() -> None:
    encoder = SpotEncoder()
    found = heat_maps(encoder, spots((1, 1, RED)), np.ones((5, 2), dtype=np.float32))
    assert found.encoded == encoder.encoded_images
    np.testing.assert_allclose(found.embedding, [1 / 64, 0])
