"""An approximate index in a folder: written once, mapped on opening, and searched only if it is what was written.

    rows.f16       (n, dim) float16, little endian, row after row
    index.faiss    the structure, in FAISS's own format; absent where all rows are compared
    meta.json      what the other two hold, with their SHA-256; written last, so its presence means complete

One flipped bit in a structure can change answers without an error, so every byte is summed before it is trusted. That
reads the files once; the pages then lie in the system's cache, where searches find them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmsearch_indexes.approximate import ApproximateIndex
from mmsearch_indexes.errors import IndexUnusable, InvalidRecipe
from mmsearch_indexes.flat import load_faiss
from mmsearch_indexes.halves import CHUNK, StoredRows
from mmsearch_indexes.recipe import IndexRecipe, Tuned

FORMAT = 1
_META, _ROWS, _STRUCTURE = "meta.json", "rows.f16", "index.faiss"
_MAX_META_BYTES = 1 << 20
_MAX_DIM = 1 << 16
_MAX_ROWS = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexDescription:
    """What a stored index says of itself; nothing but ``meta.json`` was read."""

    recipe: IndexRecipe
    tuned: Mapping[str, Tuned]
    n: int
    dim: int
    structure_bytes: int
    """What searching keeps in memory."""


def store_rows(folder: Path, batches: Iterable[StoredRows], dim: int) -> StoredRows:
    """Write rows to a folder as ``save_index`` would, and map them: an index over them is built without a copy.

    Args:
        folder: of the index to be; made where it is not there.
        batches: ``(any, dim)`` float16 each.
        dim: width of a row.

    Returns:
        ``(n, dim)`` float16, for ``ApproximateIndex.build``; then ``save_index`` to the same folder.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n = 0
    with (folder / _ROWS).open("wb") as file:
        for batch in batches:
            file.write(np.ascontiguousarray(batch, "<f2").data)
            n += len(batch)
    return _map_rows(folder / _ROWS, n, dim)


def save_index(index: ApproximateIndex, folder: Path) -> None:
    """Write an index to a folder, which is made where it is not there.

    What lies there already is overwritten file by file: give each index a folder of its own. Rows that ``store_rows``
    put there stay.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _META).unlink(missing_ok=True)
    if not _is_mapped(index.rows, folder / _ROWS):
        store_rows(folder, (index.rows[start : start + CHUNK] for start in range(0, len(index), CHUNK)), index.dim)
    if index.structure is not None:
        try:
            load_faiss().write_index(index.structure, str(folder / _STRUCTURE))
        except RuntimeError as err:  # FAISS says what the system said somewhere in a long text
            code = errno.ENOSPC if os.strerror(errno.ENOSPC) in str(err) else errno.EIO
            raise OSError(code, os.strerror(code)) from err
    else:
        (folder / _STRUCTURE).unlink(missing_ok=True)
    meta = {
        "format": FORMAT,
        "n": len(index),
        "dim": index.dim,
        "recipe": index.recipe.to_json(),
        "tuned": {kind: tuned.to_json() for kind, tuned in index.tuned.items()},
        "faiss": load_faiss().__version__,
        "sha256": {name: _sha256(folder / name) for name in _files(index.structure is not None)},
    }
    unfinished = folder / f"{_META}.unfinished"
    unfinished.write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(folder / _META)


def load_index(folder: Path) -> ApproximateIndex:
    """Map an index from its folder.

    Raises:
        IndexUnusable: it is not there, not whole, not what was written, or of another format.
        FaissMissing: FAISS is not installed.
    """
    meta = _read_meta(folder)
    try:
        recipe = IndexRecipe.from_json(meta["recipe"])
        tuned = {str(kind): Tuned.from_json(values) for kind, values in meta["tuned"].items()}
        n, dim, sums = meta["n"], meta["dim"], meta["sha256"]
        sound = 0 <= n <= _MAX_ROWS and 0 < dim <= _MAX_DIM and set(sums) in (set(_files(True)), set(_files(False)))
    except (InvalidRecipe, KeyError, TypeError, AttributeError) as err:
        raise IndexUnusable(f"{folder / _META} does not describe an index: {err!r}", folder) from err
    if not sound:
        raise IndexUnusable(f"{folder / _META} does not describe an index", folder)
    for name, expected in sums.items():
        if _sha256(folder / name) != expected:
            raise IndexUnusable(f"{folder / name} is not what was written", folder)
    try:
        rows = _map_rows(folder / _ROWS, n, dim)
        structure = _map_structure(folder / _STRUCTURE, n, dim) if _STRUCTURE in sums else None
    except OSError as err:  # somebody is deleting it
        raise IndexUnusable(f"{folder} cannot be read ({err.strerror})", folder) from err
    return ApproximateIndex(rows, structure, recipe, tuned)


def describe_index(folder: Path) -> IndexDescription:
    """What an index says of itself, without a look at its rows or structure.

    Raises:
        IndexUnusable: it does not say.
    """
    meta = _read_meta(folder)
    try:
        return IndexDescription(
            recipe=IndexRecipe.from_json(meta["recipe"]),
            tuned={str(kind): Tuned.from_json(values) for kind, values in meta["tuned"].items()},
            n=int(meta["n"]),
            dim=int(meta["dim"]),
            structure_bytes=(folder / _STRUCTURE).stat().st_size if _STRUCTURE in meta["sha256"] else 0,
        )
    except (InvalidRecipe, KeyError, TypeError, ValueError, AttributeError, OSError) as err:
        raise IndexUnusable(f"{folder / _META} does not describe an index: {err!r}", folder) from err


def _files(has_structure: bool) -> tuple[str, ...]:
    return (_ROWS, _STRUCTURE) if has_structure else (_ROWS,)


def _read_meta(folder: Path) -> dict[str, Any]:
    path = folder / _META
    try:
        with path.open("rb") as file:
            meta = json.loads(file.read(_MAX_META_BYTES))
    except OSError as err:
        raise IndexUnusable(f"{folder} holds no index ({err.strerror})", folder) from err
    except (ValueError, RecursionError) as err:
        raise IndexUnusable(f"{path} is not JSON", folder) from err
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        found = meta.get("format") if isinstance(meta, dict) else None
        raise IndexUnusable(f"{path} has format {found!r}, and this mmsearch reads format {FORMAT}", folder)
    return meta


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise IndexUnusable(f"{path} cannot be read ({err.strerror})", path.parent) from err


def _is_mapped(rows: StoredRows, path: Path) -> bool:
    base: Any = rows.base
    return isinstance(base, np.memmap) and base.filename is not None and Path(base.filename).resolve() == path.resolve()


def _map_rows(path: Path, n: int, dim: int) -> StoredRows:
    if path.stat().st_size != n * dim * 2:
        raise IndexUnusable(f"{path} does not hold {n:,} rows of {dim} halves", path.parent)
    if not n:
        return np.empty((0, dim), np.float16)
    mapped: StoredRows = np.memmap(path, "<f2", "r", shape=(n, dim))
    if sys.byteorder == "big":
        return mapped.astype(np.float16)
    return mapped.view(np.ndarray)  # the subclass costs each query some microseconds


def _map_structure(path: Path, n: int, dim: int) -> Any:
    faiss = load_faiss()
    try:
        with _limits(path.stat().st_size):
            structure = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as err:
        raise IndexUnusable(f"{path} cannot be read by FAISS: {err}", path.parent) from err
    if (structure.ntotal, structure.d, structure.metric_type) != (n, dim, faiss.METRIC_INNER_PRODUCT):
        raise IndexUnusable(f"{path} is not the structure of {n:,} rows of {dim}", path.parent)
    return structure


@contextmanager
def _limits(file_bytes: int) -> Iterator[None]:
    """Let FAISS allocate no more for one vector than the file could fill; its limit is of the whole process."""
    faiss = load_faiss()
    before = faiss.get_deserialization_vector_byte_limit()
    faiss.set_deserialization_vector_byte_limit(file_bytes)
    try:
        yield
    finally:
        faiss.set_deserialization_vector_byte_limit(before)
