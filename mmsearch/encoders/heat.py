"""Where in a picture a score comes from, for any encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mmsearch.arrays import Embeddings, Pixels
from mmsearch.encoders.open_clip import OpenClipEncoder
from mmsearch.encoders.protocol import DualEncoder, Heat

_GRID = 8
"""Places a side at which the picture is covered, one after the other."""
_WINDOWS = (5 / 28, 9 / 28, 13 / 28)
"""Sides of the covers, as shares of the picture's side: small ones are exact, large ones hide whole things."""


class HeatMethod(StrEnum):
    """How the places were weighed."""

    GRAD_ECLIP = "grad-eclip"
    """By the gradient of the score through the last block of a transformer; 0 or more."""
    OCCLUSION = "occlusion"
    """By the cosine that is lost while a place is covered; negative where covering it helps."""


@dataclass(frozen=True, slots=True, eq=False)
class HeatMaps:
    """What each place of one picture adds to its cosine with some directions."""

    maps: Heat
    """``(m, rows, columns)`` float32; the rows and columns divide the encoder's input evenly."""
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
    """Weigh the places of a picture by what is lost while they are covered.

    Squares of the picture's mean colour are put on it, of three sizes around each of 8 x 8 places; a place's heat is
    the mean loss over the sizes. All directions share the same 193 pictures.

    Args:
        encoder: any.
        pixels: ``(size, size, 3)`` uint8.
        directions: ``(m, dim)`` float32.

    Source:
        Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section 4.2. Sizes and
        colour were chosen with ``benchmarks.explain``.
    """
    covered = list(_covered(pixels))
    embeddings = encoder.encode_images(np.stack([pixels, *covered]))
    losses = (embeddings[0] - embeddings[1:]) @ directions.T
    maps = losses.T.reshape(len(directions), len(_WINDOWS), _GRID, _GRID).mean(axis=1)
    return HeatMaps(maps, HeatMethod.OCCLUSION, embeddings[0], encoded=len(embeddings))


def _covered(pixels: Pixels) -> Iterator[Pixels]:
    """By size, then row, then column."""
    size = len(pixels)
    colour = pixels.mean(axis=(0, 1)).round().astype(np.uint8)
    centres = (np.arange(_GRID) + 0.5) * size / _GRID
    for window in _WINDOWS:
        starts = np.maximum(0, np.round(centres - window * size / 2)).astype(int)
        ends = np.round(centres + window * size / 2).astype(int)
        for top, bottom in zip(starts, ends, strict=True):
            for left, right in zip(starts, ends, strict=True):
                picture = pixels.copy()
                picture[top:bottom, left:right] = colour
                yield picture
