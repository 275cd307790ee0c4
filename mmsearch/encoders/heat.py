"""Where in a picture a score comes from, for any encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

import numpy as np

from mmsearch.arrays import Embeddings, Pixels
from mmsearch.encoders.open_clip import OpenClipEncoder
from mmsearch.encoders.protocol import DualEncoder, Heat

_PLACES = 8
"""Places a side at which the picture is covered, one after the other."""
_CELLS = 32
"""Cells a side of the map: four for each place."""
_WINDOWS = (10, 14)
"""Sides of the squares that cover, in cells: about a third and not quite half of the picture's side."""


class HeatMethod(StrEnum):
    """How the places were weighed."""

    GRAD_ECLIP = "grad-eclip"
    """By the gradient of the score through the blocks of a transformer; 0 or more."""
    OCCLUSION = "occlusion"
    """By the cosine that a place brings when shown alone, and takes along when covered; negative where it harms."""


@dataclass(frozen=True, slots=True, eq=False)
class HeatMaps:
    """What each place of one picture adds to its cosine with some directions."""

    maps: Heat
    """``(m, rows, columns)`` float32; rows and columns divide the encoder's input evenly."""
    method: HeatMethod
    embedding: Embeddings
    """``(dim,)`` float32, the picture's own unit vector."""
    encoded: int
    """Pictures that the encoder was given."""


def heat_maps(encoder: DualEncoder, pixels: Pixels, directions: Embeddings) -> HeatMaps:
    """Weigh the places of a picture: Grad-ECLIP where the encoder can, occlusion elsewhere.

    Args:
        encoder: whose space the directions are of.
        pixels: ``(size, size, 3)`` uint8, as ``encoder.prepare`` gives them.
        directions: ``(m, dim)`` float32; a map is made for each.
    """
    if isinstance(encoder, OpenClipEncoder) and encoder.tells_its_patches:
        maps, embedding = encoder.patch_heat(pixels, directions)
        return HeatMaps(maps, HeatMethod.GRAD_ECLIP, embedding, encoded=1)
    return occlusion(encoder, pixels, directions)


def occlusion(encoder: DualEncoder, pixels: Pixels, directions: Embeddings) -> HeatMaps:
    """Weigh the places of a picture by covering them, and by covering all but them.

    The cover has the picture's mean colour. A square's heat is the mean of the cosine that it takes along when it
    alone is covered, and of the cosine that it brings when it alone is shown: what it adds as the last and as the
    first of all places. A cell's heat is the mean over the squares that it lies in. All directions share the same
    258 pictures.

    Args:
        encoder: any.
        pixels: ``(size, size, 3)`` uint8.
        directions: ``(m, dim)`` float32.

    Source:
        Covering: Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section 4.2. The
        mean of first and last contribution stands for the Shapley value, which is the mean over all orders. Squares
        and colour were chosen as benchmarks/LOG.md tells.
    """
    empty = np.empty_like(pixels)
    empty[:] = pixels.mean(axis=(0, 1)).round()
    squares = list(_squares(len(pixels)))
    views = [pixels, empty]
    for rows, columns in squares:
        covered, shown = pixels.copy(), empty.copy()
        covered[rows, columns], shown[rows, columns] = empty[rows, columns], pixels[rows, columns]
        views += [covered, shown]
    embeddings = encoder.encode_images(np.stack(views))
    scores = embeddings @ directions.T
    heat = ((scores[0] - scores[2::2]) + (scores[3::2] - scores[1])) / 2
    return HeatMaps(_spread(heat.T), HeatMethod.OCCLUSION, embeddings[0], encoded=len(views))


def _squares(size: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of each square in a picture of so many pixels or cells a side, those of one side together."""
    middles = (np.arange(_PLACES) + 0.5) * size / _PLACES
    for window in _WINDOWS:
        half = window * size / _CELLS / 2
        spans = [slice(round(max(0.0, middle - half)), round(middle + half)) for middle in middles]
        yield from product(spans, spans)


def _spread(heat: Heat) -> Heat:
    """``(m, squares)`` -> ``(m, cells, cells)``; squares of each side count alike."""
    maps = np.zeros((len(heat), _CELLS, _CELLS), dtype=np.float32)
    squares, each = list(_squares(_CELLS)), _PLACES**2
    for start in range(0, len(squares), each):
        total, count = np.zeros_like(maps), np.zeros((_CELLS, _CELLS), dtype=np.float32)
        for position in range(start, start + each):
            total[:, *squares[position]] += heat[:, position, np.newaxis, np.newaxis]
            count[squares[position]] += 1
        maps += total / count / len(_WINDOWS)
    return maps
