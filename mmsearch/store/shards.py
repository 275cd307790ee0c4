"""One shard: items and embeddings in a Parquet file that can prove itself whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmsearch.errors import CollectionError, Corrupt
from mmsearch.store.durable import file_sha256
from mmsearch.store.manifest import ShardEntry
from mmsearch.store.schema import check_rows

ROW_GROUP_ROWS = 4096
"""Rows read together: at 512 dimensions 4 MB of embeddings for the few rows that a hit list needs."""

_MAGIC = b"PAR1"
_TAIL = 8  # bytes: the footer's length and the magic


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what pyarrow and the system raise on a bad file into ``Corrupt``, which says what to do."""
    way_out = "run: mmsearch verify, then mmsearch repair"
    try:
        yield
    except FileNotFoundError as err:
        raise Corrupt(f"{path} is missing; {way_out}", path) from err
    except PermissionError as err:
        raise CollectionError(f"cannot read {path}: {err.strerror}") from err
    except (OSError, pa.ArrowException) as err:
        reason = str(err).splitlines()[0] if str(err) else repr(err)
        raise Corrupt(f"{path} is damaged: {reason}; {way_out}", path) from err


def encode_parquet(rows: pa.Table) -> pa.Buffer:
    """A table as Parquet with page checksums; without them flipped bits read back unnoticed."""
    plain = {"embedding"} & set(rows.schema.names)
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows,
        sink,
        row_group_size=ROW_GROUP_ROWS,
        write_page_checksum=True,
        use_dictionary=[_leaf(field) for field in rows.schema if field.name not in plain],
        write_statistics=[_leaf(field) for field in rows.schema if field.name not in plain],
        compression={_leaf(field): "none" if field.name in plain else "zstd" for field in rows.schema},
    )
    return sink.getvalue()


def _leaf(field: pa.Field) -> str:
    """Parquet's name of a column: pyarrow takes what concerns one by leaf."""
    is_list = pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type)
    return f"{field.name}.list.element" if is_list else str(field.name)


def encode_shard(rows: pa.Table, *, collection: str, space: str, job: str, replaces: str | None = None) -> pa.Buffer:
    """Rows as a shard's bytes, labelled so that the file explains itself when nothing names it."""
    labels = {"collection": collection, "space": space, "job": job, "rows": str(rows.num_rows)}
    if replaces:
        labels["replaces"] = replaces
    return encode_parquet(rows.replace_schema_metadata({f"mmsearch.{name}": label for name, label in labels.items()}))


def _label(schema: pa.Schema, name: str) -> str | None:
    found: bytes | None = (schema.metadata or {}).get(f"mmsearch.{name}".encode())
    return None if found is None else found.decode()


def replaced_shard(path: Path) -> str | None:
    """The name of the shard whose place a shard was written to take, None for one of new items."""
    with open_parquet(path) as file:
        return _label(file.schema_arrow, "replaces")


def read_footer(path: Path, size_bytes: int, footer_sha256: str | None = None) -> tuple[pq.FileMetaData, str]:
    """Parquet's metadata and the sha256 of the bytes it came from.

    Parquet keeps no checksum over its footer, so a flipped bit there could move a column or rename it.

    Raises:
        Corrupt: another length than ``size_bytes``, or another footer than ``footer_sha256``.
    """
    with reading(path), path.open("rb") as file:
        found = os.fstat(file.fileno()).st_size
        if found != size_bytes or found < 2 * _TAIL:
            raise OSError(f"it has {found} bytes, {size_bytes} were written")
        file.seek(-_TAIL, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little") + _TAIL
        if length > found:
            raise OSError("its footer has no end")
        file.seek(-length, os.SEEK_END)
        footer = file.read(length)
        digest = hashlib.sha256(footer).hexdigest()
        if footer_sha256 is not None and digest != footer_sha256:
            raise OSError("the checksum of its footer does not match")
        return pq.read_metadata(pa.BufferReader(_MAGIC + footer)), digest


@contextlib.contextmanager
def open_parquet(path: Path, metadata: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
    """Open for reading, every page checked; damage met by the body is raised as ``Corrupt``."""
    with (
        reading(path),
        pq.ParquetFile(path, metadata=metadata, page_checksum_verification=True, pre_buffer=False) as file,
    ):
        yield file


def read_table(path: Path, sha256: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A small Parquet file, checked against its checksum first."""
    with reading(path):
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise OSError("its checksum does not match")
        # Not pq.read_table: that imports pyarrow.dataset, 0.2 s.
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            return file.read(columns)


def describe_shard(path: Path, *, collection: str, space: str, dim: int) -> ShardEntry:
    """Read a whole shard, check all of it, and say what a manifest says of it.

    Raises:
        Corrupt: the file is damaged.
        CollectionError: it belongs to another collection or space.
        ValueError: it holds rows that may not be stored.
    """
    with reading(path):
        size_bytes = path.stat().st_size
    metadata, footer_sha256 = read_footer(path, size_bytes)
    with open_parquet(path, metadata) as file:
        rows: pa.Table = file.read()
        sha256 = file_sha256(path)
    for label, expected in (("collection", collection), ("space", space)):
        found = _label(rows.schema, label)
        if found != expected:
            raise CollectionError(f"{path} belongs to {label} {found}, not {expected}")
    check_rows(rows, dim)
    keys = rows["key"].to_pylist()
    modalities = {pair["values"]: pair["counts"] for pair in rows["modality"].value_counts().to_pylist()}
    return ShardEntry(
        name=path.name,
        rows=rows.num_rows,
        size_bytes=size_bytes,
        sha256=sha256,
        footer_sha256=footer_sha256,
        id_min=rows["id"][0].as_py(),
        id_max=rows["id"][-1].as_py(),
        key_min=min(keys),
        key_max=max(keys),
        counts=dict(sorted(modalities.items())),
    )
