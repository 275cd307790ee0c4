"""Every error that this package raises on purpose.

    VectorIndexError
    ├── FaissMissing        the package faiss is not installed
    ├── InvalidVectors      a matrix of the wrong shape, width or dtype, or with NaN or infinite values
    ├── InvalidK            a number of neighbours that cannot be answered
    ├── InvalidRecipe       a recipe or a setting that no index can be built or searched with
    ├── IndexUnusable       a stored index that is absent, damaged or foreign
    └── OverBudget          no recipe fits the memory given

The engine translates each of them at its border.
"""

from __future__ import annotations

from pathlib import Path


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


class InvalidRecipe(VectorIndexError):
    """An index cannot be built as the recipe says, or searched as the setting says."""


class IndexUnusable(VectorIndexError):
    """The index stored at ``path`` must not be searched; exact search serves in its place."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(f"{message}; build it anew with `mmsearch build`")
        self.path = path


class OverBudget(VectorIndexError):
    """No recipe fits the memory given; ``smallest_bytes`` would do."""

    def __init__(self, message: str, smallest_bytes: int) -> None:
        super().__init__(message)
        self.smallest_bytes = smallest_bytes
