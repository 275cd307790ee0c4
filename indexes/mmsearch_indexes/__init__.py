"""Vector search over float32 matrices and int64 row ids; knows no pictures, texts or item ids."""

from mmsearch_indexes.errors import (
    FaissMissing,
    InvalidK,
    InvalidVectors,
    VectorIndexError,
)
from mmsearch_indexes.flat import FlatIndex
from mmsearch_indexes.neighbors import Matrix, Neighbors, RowIds, Scores, rank

__all__ = [
    "FaissMissing",
    "FlatIndex",
    "InvalidK",
    "InvalidVectors",
    "Matrix",
    "Neighbors",
    "RowIds",
    "Scores",
    "VectorIndexError",
    "rank",
]
