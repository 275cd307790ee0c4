"""The columns of a shard, and the rows that may enter one."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa

from mmsearch.arrays import Ids, StoredEmbeddings

NORM_TOLERANCE = 1e-2
"""How far the norm of a float16 row may be from 1; rounding alone stays below 1e-3."""

_REQUIRED = ("id", "key", "source", "modality", "embedding")
_NORM_ROWS = 4096  # rows whose norms are taken at once: the float32 copy stays small


FAILURE_SCHEMA = pa.schema([(name, pa.string()) for name in ("key", "path", "stage", "error", "message")])
"""The columns of a failures file."""


EXIF_SCHEMA = pa.schema(
    [
        ("taken", pa.timestamp("ms")),
        ("camera", pa.string()),
        ("lens", pa.string()),
        ("orientation", pa.int8()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
    ]
)
"""What a camera notes about its picture; every collection has these columns, if only with nulls."""


class Modality(StrEnum):
    """What an item is."""

    IMAGE = "image"
    TEXT = "text"
    FRAME = "frame"


def item_schema(dim: int) -> pa.Schema:
    """The columns every shard has, in this order; the user's own columns follow them.

    ``id``, ``key``, ``source``, ``modality`` and ``embedding`` hold no nulls.
    """
    # Elements that cannot be null are read a third faster.
    element = pa.field("element", pa.float16(), nullable=False)
    return pa.schema(
        [
            ("id", pa.int64()),
            ("key", pa.string()),
            ("source", pa.string()),
            ("modality", pa.dictionary(pa.int8(), pa.string())),
            ("text", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("bytes", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("sha256", pa.binary(32)),
            ("t_start", pa.float64()),
            ("t_end", pa.float64()),
            ("embedding", pa.list_(element, dim)),
        ]
    )


def check_rows(rows: pa.Table, dim: int) -> None:
    """Refuse what must never be stored.

    Raises:
        ValueError: columns that do not begin with ``item_schema(dim)``, no rows, nulls, ids that do not
            ascend, an unknown modality, keys that are empty or given twice, or an embedding that is NaN,
            infinite, zero or not of unit norm; names the id.
    """
    _check_columns(rows.schema, item_schema(dim))
    if not rows.num_rows:
        raise ValueError("a shard of no rows was given; write none instead")
    for name in _REQUIRED:
        if rows[name].null_count:
            raise ValueError(f"column {name!r} has {rows[name].null_count} nulls; every item needs a value there")
    ids = int_column(rows["id"])
    _check_ids(ids)
    _check_keys(ids, rows["key"].to_pylist())
    unknown = set(rows["modality"].unique().to_pylist()) - set(Modality)
    if unknown:
        raise ValueError(f"modality {sorted(unknown)} is not one of {[str(known) for known in Modality]}")
    _check_norms(ids, embedding_matrix(rows["embedding"], dim))


def _check_columns(found: pa.Schema, expected: pa.Schema) -> None:
    if len(set(found.names)) < len(found.names):
        raise ValueError(f"two columns have the same name: {found.names}")
    for position, field in enumerate(expected):
        if position >= len(found) or found.field(position).name != field.name:
            raise ValueError(f"columns are {found.names}; they must begin with {expected.names}")
        if not _same_type(found.field(position).type, field.type):
            raise ValueError(f"column {field.name!r} is {found.field(position).type}; it must be {field.type}")


def _same_type(found: pa.DataType, expected: pa.DataType) -> bool:
    """Equal but for the nullability of list items."""
    if pa.types.is_fixed_size_list(expected) and pa.types.is_fixed_size_list(found):
        return bool(found.value_type == expected.value_type and found.list_size == expected.list_size)
    return bool(found == expected)


def _check_ids(ids: Ids) -> None:
    if ids[0] < 0:
        raise ValueError(f"id {ids[0]} is negative; take ids from reserve_ids")
    falling = np.flatnonzero(np.diff(ids) <= 0)
    if falling.size:
        raise ValueError(f"id {ids[falling[0] + 1]} follows id {ids[falling[0]]}; ids must ascend within a shard")


def _check_keys(ids: Ids, keys: list[str]) -> None:
    first: dict[str, int] = {}
    for item_id, key in zip(ids.tolist(), keys, strict=True):
        if not key:
            raise ValueError(f"id {item_id} has an empty key")
        if first.setdefault(key, item_id) != item_id:
            raise ValueError(f"ids {first[key]} and {item_id} have the same key {key!r}")


def _check_norms(ids: Ids, embeddings: StoredEmbeddings) -> None:
    for start in range(0, len(ids), _NORM_ROWS):
        part = embeddings[start : start + _NORM_ROWS].astype(np.float32)
        norms = np.sqrt(np.einsum("ij,ij->i", part, part))
        bad = np.flatnonzero(~(np.abs(norms - 1) <= NORM_TOLERANCE))  # NaN fails every comparison
        if bad.size:
            raise ValueError(
                f"the embedding of id {ids[start + bad[0]]} has norm {norms[bad[0]]:g}; "
                f"stored rows are finite and of unit norm, so normalise it or leave it out"
            )


def embedding_matrix(column: pa.ChunkedArray, dim: int) -> StoredEmbeddings:
    """``(n, dim)`` float16 rows of an embedding column without nulls; read-only, no copy when it is one chunk."""
    parts: list[StoredEmbeddings] = [
        _numpy(chunk.values.slice(chunk.offset * dim, len(chunk) * dim)).reshape(-1, dim)
        for chunk in column.chunks
        if len(chunk)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty((0, dim), np.float16), *parts])


def int_column(column: pa.ChunkedArray) -> Ids:
    """``(n,)`` int64 values of a column without nulls; read-only, no copy when it is one chunk.

    ``column.to_numpy()`` would import pandas where it is installed: 0.3 s, ten times what a search reads for.
    """
    parts: list[Ids] = [_numpy(chunk) for chunk in column.chunks if len(chunk)]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.int64), *parts])


def _numpy(values: pa.Array) -> Any:
    return np.from_dlpack(values)


def embedding_column(embeddings: StoredEmbeddings) -> pa.FixedSizeListArray:
    """The embedding column of ``(n, dim)`` float16 rows, the inverse of ``embedding_matrix``."""
    flat = pa.array(np.ascontiguousarray(embeddings).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=item_schema(embeddings.shape[1]).field("embedding").type)


def in_shape(rows: pa.Table, dim: int) -> pa.Table:
    """``rows`` in one piece, its embedding column of exactly the type of ``item_schema(dim)``."""
    rows = rows.unify_dictionaries().combine_chunks()
    column = embedding_column(embedding_matrix(rows["embedding"], dim))
    return rows.set_column(rows.schema.get_field_index("embedding"), item_schema(dim).field("embedding"), column)
