"""Rows as they are stored: float16, in memory or mapped from a file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mmsearch_indexes.errors import InvalidVectors
from mmsearch_indexes.neighbors import Matrix

StoredRows = npt.NDArray[np.float16]
"""``(n, dim)`` float16, in memory or mapped from a file."""

CHUNK = 1 << 16
"""Rows widened at a time: 134 MB where they are 512 wide."""

_SIGN_AND_SHIFTED = np.int32(-0x70000001)  # all bits but 28 to 30, where copies of the sign lie
_REBIASED = np.float32(2.0**112)


def widened(rows: StoredRows) -> Matrix:
    """``rows.astype(float32)`` for finite numbers, at a third of its cost: NumPy converts halves one by one.

    A half's bits, shifted, are those of a float32 whose exponent is 112 too small, subnormal ones included.
    """
    bits = rows.view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= _SIGN_AND_SHIFTED
    wide: Matrix = bits.view(np.float32)
    wide *= _REBIASED
    return wide


def chunks(rows: StoredRows) -> Iterator[Matrix]:
    """All rows as float32, some at a time."""
    for start in range(0, len(rows), CHUNK):
        yield widened(rows[start : start + CHUNK])


def checked_mean(rows: StoredRows) -> Matrix:
    """``(dim,)`` float32; raises ``InvalidVectors`` where a row is not finite."""
    total = np.zeros(rows.shape[1])
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        finite = np.isfinite(chunk).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise InvalidVectors(f"rows hold NaN or infinite values, first in row {row}; encode that item again")
        total += widened(chunk).sum(axis=0, dtype=np.float64)
    mean: Matrix = (total / max(1, len(rows))).astype(np.float32)
    return mean


def sample(rows: StoredRows, size: int, seed: int) -> Matrix:
    """``(size at most, dim)`` float32, drawn at random: the first rows are of one folder, hence alike."""
    if size >= len(rows):
        return widened(rows)
    drawn = np.random.default_rng(seed).choice(len(rows), size, replace=False)
    return widened(rows[np.sort(drawn)])
