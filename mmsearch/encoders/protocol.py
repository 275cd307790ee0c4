"""What the engine asks of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmsearch.arrays import Embeddings, Pixels
from mmsearch.encoders.space import EmbeddingSpace

Heat = npt.NDArray[np.float32]
"""``(rows, columns)``, or ``(m, rows, columns)`` for several: how much each place of a picture adds to a score."""


class DualEncoder(Protocol):
    """Turns pictures and texts into embeddings of one shared space."""

    space: EmbeddingSpace

    def prepare(self, picture: Image.Image) -> Pixels:
        """One upright RGB picture -> ``(size, size, 3)`` uint8."""
        ...

    def encode_images(self, pixels: Pixels) -> Embeddings:
        """``(n, size, size, 3)`` uint8 -> ``(n, dim)`` float32, unit rows; n may be 0."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """n texts -> ``(n, dim)`` float32, unit rows; n may be 0."""
        ...
