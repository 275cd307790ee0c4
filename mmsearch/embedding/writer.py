"""Rows and pixels in, acknowledged shards out."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa

from mmsearch.arrays import Embeddings, Pixels, StoredEmbeddings
from mmsearch.embedding.options import JobOptions
from mmsearch.embedding.report import IndexReport, Step
from mmsearch.encoders import DualEncoder
from mmsearch.media import Exif, Failure, Stage
from mmsearch.store import EXIF_SCHEMA, Modality, Snapshot, Store, item_schema

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An item on its way into a shard: everything but its id and its vector."""

    key: str
    source: str
    modality: Modality
    text: str | None
    size_bytes: int
    mtime_ns: int
    sha256: bytes
    width: int | None = None
    height: int | None = None
    exif: Exif | None = None
    """Of a picture that was read; a copy has its donor's."""
    extra: pa.Table | None = None
    """The user's own columns, one row; all rows between two commits have the same ones."""
    replaces: tuple[int, ...] = ()
    """Ids of the items whose place it takes; they leave in the commit that brings it."""


@dataclass(slots=True)
class _Pending:
    """What the next commit will hold."""

    rows: list[Row] = field(default_factory=list)
    vectors: list[StoredEmbeddings] = field(default_factory=list)
    copies: list[tuple[Row, int]] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows) + len(self.copies)


class ShardWriter:
    """Encodes in batches and commits a shard each ``shard_rows`` rows or ``commit_seconds`` seconds.

    Items that are copied are those of ``base``, the snapshot that the job was planned on.
    """

    def __init__(
        self, store: Store, base: Snapshot, encoder: DualEncoder, options: JobOptions, report: IndexReport
    ) -> None:
        self._store = store
        self._base = base
        self._encoder = encoder
        self._options = options
        self._report = report
        self._latest = base
        self._job = str(uuid.uuid4())
        self._pending = _Pending()
        self._last_commit = time.monotonic()

    def add_pictures(self, rows: Sequence[Row], pixels: Sequence[Pixels]) -> None:
        """Encode one batch of pictures, row by row in the order given."""
        with self.timed(Step.ENCODE):
            embeddings = self._encoder.encode_images(np.stack(pixels))
        self._accept(rows, embeddings)

    def add_texts(self, rows: Sequence[Row]) -> None:
        """Encode the rows' texts as one batch."""
        with self.timed(Step.ENCODE):
            embeddings = self._encoder.encode_texts([row.text or "" for row in rows])
        self._accept(rows, embeddings)

    def add_copies(self, copies: Sequence[tuple[Row, int]]) -> None:
        """Write rows with the vector of the items beside them, all in one commit.

        A picture also takes the size and all further columns of its donor: its content is the same.
        """
        self._pending.copies.extend(copies)
        self._commit_if_due()

    def remove(self, ids: Sequence[int]) -> None:
        """Let these items leave with the next commit."""
        self._pending.removed.extend(ids)

    def fail(self, failure: Failure) -> None:
        """Remember what could not be embedded."""
        self._report.failures.append(failure)

    def commit(self) -> None:
        """Acknowledge everything that is encoded."""
        pending = self._pending
        self._last_commit = time.monotonic()
        if not len(pending) and not pending.removed:
            return
        with self.timed(Step.WRITE):
            shards = []
            if len(pending):
                table = self._shard_table(pending)
                shards.append(self._store.write_shard(table, job=self._job))
            replaced = [old for row in pending.rows for old in row.replaces]
            replaced += [old for row, _ in pending.copies for old in row.replaces]
            self._latest = self._store.commit(self._latest, add=shards, remove=[*replaced, *pending.removed])
        self._pending = _Pending()  # only now: an interrupted commit is made again
        self._report.embedded += len(pending.rows)
        self._report.reused += len(pending.copies)

    def finish(self) -> None:
        """Commit what is left, and the failures file when there were failures."""
        self.commit()
        if not self._report.failures:
            return
        rows = [asdict(failure) for failure in self._report.failures]
        entry = self._store.write_failures(pa.Table.from_pylist(rows))
        self._latest = self._store.commit(self._latest, failures=entry)
        self._report.failures_file = entry.path_in(self._store.path)

    @contextmanager
    def timed(self, step: Step) -> Iterator[None]:
        """Book the time inside as time spent on ``step``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._report.spent[step] += time.perf_counter() - start

    def _accept(self, rows: Sequence[Row], embeddings: Embeddings) -> None:
        norms = np.linalg.norm(embeddings, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            units = (embeddings / norms[:, np.newaxis]).astype(np.float16)
        for row, vector, norm in zip(rows, units, norms, strict=True):
            if abs(norm - 1) < 1e-2:  # false for NaN as well
                self._pending.rows.append(row)
                self._pending.vectors.append(vector)
            else:
                message = f"the encoder gave a vector of norm {norm}, which no search could find"
                failure = Failure(key=row.key, path=row.key, stage=Stage.ENCODE, error="EncoderError", message=message)
                self.fail(failure)
        self._commit_if_due()

    def _commit_if_due(self) -> None:
        waited = time.monotonic() - self._last_commit
        if len(self._pending) >= self._options.shard_rows or waited >= self._options.commit_seconds:
            self.commit()

    def _shard_table(self, pending: _Pending) -> pa.Table:
        parts = []
        if pending.rows:
            parts.append(self._fresh_table(pending.rows, np.stack(pending.vectors)))
        if pending.copies:
            parts += _copied_tables(self._base, pending.copies)
        table = pa.concat_tables(parts, promote_options="default")
        first = self._store.reserve_ids(table.num_rows)
        ids = pa.array(np.arange(first, first + table.num_rows))
        return table.set_column(table.schema.get_field_index("id"), "id", ids)

    def _fresh_table(self, rows: Sequence[Row], vectors: StoredEmbeddings) -> pa.Table:
        schema = item_schema(self._encoder.space.dim)
        n = len(rows)
        columns = {
            "id": np.zeros(n, dtype=np.int64),  # given when the shard is written
            "key": [row.key for row in rows],
            "source": [row.source for row in rows],
            "modality": [row.modality.value for row in rows],
            "text": [row.text for row in rows],
            "width": [row.width for row in rows],
            "height": [row.height for row in rows],
            "bytes": [row.size_bytes for row in rows],
            "mtime_ns": [row.mtime_ns for row in rows],
            "sha256": [row.sha256 for row in rows],
            "t_start": pa.nulls(n, pa.float64()),
            "t_end": pa.nulls(n, pa.float64()),
        }
        arrays = [pa.array(columns[f.name], type=f.type) for f in schema if f.name != "embedding"]
        flat = pa.array(vectors.ravel())
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=schema.field("embedding").type))
        table = pa.Table.from_arrays(arrays, schema=schema)
        if any(row.exif for row in rows):
            for column in self._exif_columns:
                noted = [getattr(row.exif, column.name, None) for row in rows]
                table = table.append_column(column, pa.array(noted, column.type))
        return _with_extra(table, rows)

    @cached_property
    def _exif_columns(self) -> list[pa.Field]:
        """Those of ``EXIF_SCHEMA``, but for names that a table took for something else before there was EXIF."""
        columns = []
        for column in EXIF_SCHEMA:
            found = self._base.types[column.name]
            if found == column.type:
                columns.append(column)
            else:
                logger.warning(
                    "column %r of this collection is %s, from a table; the %r that cameras note is left out",
                    column.name,
                    found,
                    column.name,
                )
        return columns


def _with_extra(table: pa.Table, rows: Sequence[Row]) -> pa.Table:
    extras = [row.extra for row in rows if row.extra is not None and row.extra.num_columns]
    if extras:
        extra = pa.concat_tables(extras)
        for name in extra.column_names:
            table = table.append_column(extra.schema.field(name), extra[name])
    return table


def _copied_tables(base: Snapshot, copies: Sequence[tuple[Row, int]]) -> Iterator[pa.Table]:
    """The donors' rows with what the copies say of themselves put over them.

    Columns beyond the common ones go with a picture; a text has those of the table it stands in now.
    """
    common = item_schema(base.dim).names
    pictures = [copy for copy in copies if copy[0].modality is Modality.IMAGE]
    texts = [copy for copy in copies if copy[0].modality is not Modality.IMAGE]
    for part, columns in ((pictures, base.columns), (texts, common)):
        if part:
            donors = base.rows([donor for _, donor in part], columns)
            yield _renamed(donors, [row for row, _ in part])


def _renamed(table: pa.Table, rows: Sequence[Row]) -> pa.Table:
    said = {
        "key": [row.key for row in rows],
        "source": [row.source for row in rows],
        "text": [row.text for row in rows],
        "bytes": [row.size_bytes for row in rows],
        "mtime_ns": [row.mtime_ns for row in rows],
    }
    for name, values in said.items():
        column = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), column, pa.array(values, column.type))
    return _with_extra(table, rows)
