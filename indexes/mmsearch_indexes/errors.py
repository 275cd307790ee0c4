"""Every error that this package raises on purpose.

    VectorIndexError
    ├── FaissMissing        the package faiss is not installed
    ├── InvalidVectors      a matrix of the wrong shape, width or dtype, or with NaN or infinite values
    └── InvalidK            a number of neighbours that cannot be answered

The engine translates each of them at its border.
"""

from __future__ import annotations


class VectorIndexError(Exception):
    """Base of all errors of the vector indexes."""


class FaissMissing(VectorIndexError):
    """FAISS cannot be imported."""

    def __init__(self) -> None:
        super().__init__("faiss is not installed; install it with: python -m pip install faiss-cpu")


class InvalidVectors(VectorIndexError):
    """A matrix that cannot be indexed or searched with."""


class InvalidK(VectorIndexError):
    """``k`` neighbours cannot be answered."""

    def __init__(self, message: str, k: int) -> None:
        super().__init__(message)
        self.k = k
