"""Reading a collection as one commit left it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import compress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mmsearch.arrays import Ids, StoredEmbeddings
from mmsearch.errors import CollectionError
from mmsearch.store.manifest import Manifest, ShardEntry
from mmsearch.store.schema import EXIF_SCHEMA, embedding_matrix, int_column, item_schema
from mmsearch.store.shards import open_parquet, read_footer, read_table

_READERS = 4  # threads at most: reading decodes little and waits for memory
_FEW = 256  # rows


class Snapshot:
    """An immutable view. It takes no lock, and later commits do not change it.

    Every reading method raises ``Corrupt`` when it meets a damaged file, and ``CollectionError`` when a file
    cannot be read for another reason.
    """

    def __init__(self, folder: Path, manifest: Manifest, dim: int) -> None:
        self.folder = folder
        self.manifest = manifest
        self.dim = dim
        self._footers: dict[str, pq.FileMetaData] = {}

    def __len__(self) -> int:
        """Live items."""
        return sum(self.counts().values())

    def counts(self) -> dict[str, int]:
        """Modality -> live items, without the modalities that have none; opens no file."""
        return self.manifest.counts()

    def same_items(self, other: Snapshot) -> bool:
        """Whether both show the same items by the same indexes: the commits between them, if any, changed none."""
        mine, others = self.manifest, other.manifest
        return (mine.shards, mine.tombstones, mine.index) == (others.shards, others.tombstones, others.index)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column: those of ``item_schema`` and ``EXIF_SCHEMA``, then the user's own, oldest first."""
        return tuple(self.types)

    @cached_property
    def types(self) -> Mapping[str, pa.DataType]:
        """Column -> its type, in the order of ``columns``."""
        found: dict[str, pa.DataType] = {}
        for shard in self.manifest.shards:
            with self._open(shard) as file:
                for field in file.schema_arrow:
                    found.setdefault(field.name, field.type)
        known = {field.name: field.type for field in (*item_schema(self.dim), *EXIF_SCHEMA)}
        return {**known, **found}

    @cached_property
    def dead(self) -> Ids:
        """``(n,)`` ids removed, ascending."""
        parts = [
            int_column(read_table(entry.path_in(self.folder), entry.sha256)["id"]) for entry in self.manifest.tombstones
        ]
        return np.sort(np.concatenate([np.empty(0, np.int64), *parts]))

    def table(self, columns: Sequence[str], *, modality: str | None = None) -> pa.Table:
        """The live items in id order.

        Args:
            columns: which, in this order; a shard that lacks one gives nulls.
            modality: only these items.

        Raises:
            KeyError: there is no such column.
        """
        wanted = [shard for shard in self.manifest.shards if modality is None or shard.counts.get(modality)]
        parts = []
        for shard in wanted:
            with self._open(shard) as file:
                names = _present(file, ["id", *columns, *_modality_column(shard, modality)])
                part = file.read(names)
            alive = self._alive(part, shard, modality)
            parts.append(part if alive is None else part.filter(pa.array(alive)))
        rows = self._join(parts, columns)
        ids = int_column(rows["id"])
        if not _ascending(ids):
            rows = _pick(rows, np.argsort(ids))
        return rows.select(list(columns))

    def embeddings(self, modality: str) -> tuple[Ids, StoredEmbeddings]:
        """The live items of one modality.

        Returns:
            ``(n,)`` int64 ids, ascending, and ``(n, dim)`` float16 rows of unit norm, in the same order.
        """
        shards = [shard for shard in self.manifest.shards if shard.counts.get(modality)]
        starts = np.cumsum([0, *(shard.counts[modality] for shard in shards)])
        ids = np.full(starts[-1], -1, np.int64)  # -1 stays where a removed item was
        embeddings = np.empty((starts[-1], self.dim), np.float16)

        def fill(shard: ShardEntry, start: int) -> None:
            with self._open(shard) as file:
                for group in range(file.num_row_groups):
                    part = file.read_row_group(group, ["id", "embedding", *_modality_column(shard, modality)])
                    alive = self._alive(part, shard, modality)
                    keep = slice(None) if alive is None else alive
                    found = int_column(part["id"])[keep]
                    ids[start : start + len(found)] = found
                    embeddings[start : start + len(found)] = embedding_matrix(part["embedding"], self.dim)[keep]
                    start += len(found)

        if len(shards) == 1:
            fill(shards[0], 0)
        elif shards:
            self.dead  # noqa: B018 - read once, before the threads ask for it
            with ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1)) as pool:
                list(pool.map(fill, shards, starts[:-1].tolist()))
        return _in_order(ids, embeddings)

    def embedding_batches(self, modality: str) -> Iterator[tuple[Ids, StoredEmbeddings]]:
        """What ``embeddings`` returns, in parts that follow each other in id order: a shard at a time, as a rule."""
        together: list[ShardEntry] = []
        for shard in self.manifest.shards:  # by ascending id_min
            # Writers that raced can have shards whose ids lie between each other's.
            if together and shard.id_min > max(before.id_max for before in together):
                yield self._only(together).embeddings(modality)
                together = []
            together.append(shard)
        yield self._only(together).embeddings(modality)

    def vectors(self, ids: Ids) -> StoredEmbeddings:
        """``(n, dim)`` float16 embeddings of live items, in the order asked for; raises what ``rows`` does."""
        found: StoredEmbeddings = embedding_matrix(self.rows(ids, ["embedding"])["embedding"], self.dim)
        return found

    def rows(self, ids: Sequence[int] | Ids, columns: Sequence[str]) -> pa.Table:
        """Some items, in the order asked for; opens only the row groups they lie in.

        Raises:
            KeyError: an id that is not live, or a column that there is not.
        """
        asked = np.asarray(ids, dtype=np.int64)
        found = self.find(asked, columns)
        position = _positions(int_column(found["id"]), asked)
        if (position < 0).any():
            raise KeyError(f"item {asked[position < 0][0]} is not in the collection: removed, or never there")
        return _pick(found, position).select(list(columns))

    def find(self, ids: Ids, columns: Sequence[str]) -> pa.Table:
        """Those of ``ids`` that are live, each once, in id order, with an ``id`` column in front."""
        wanted = np.setdiff1d(ids, self.dead)  # sorted
        parts = []
        for shard in self.manifest.shards:
            here = wanted[(wanted >= shard.id_min) & (wanted <= shard.id_max)]
            if here.size:
                with self._open(shard) as file:
                    parts.append(_take(file, shard, here, ["id", *columns]))
        rows = self._join([part for part in parts if part.num_rows], columns)
        ids = int_column(rows["id"])
        return rows if _ascending(ids) else _pick(rows, np.argsort(ids))

    def rows_of(self, shard: ShardEntry) -> pa.Table:
        """One whole shard, with every column that it has, removed items as well."""
        with self._open(shard) as file:
            return file.read()

    def ids_of(self, shard: ShardEntry) -> Ids:
        """``(rows,)`` every id of one shard, ascending, removed ones as well."""
        with self._open(shard) as file:
            ids: Ids = int_column(file.read(["id"])["id"])
        return ids

    def keys_of(self, shard: ShardEntry) -> list[tuple[int, str]]:
        """Id and key of each live item of one shard, in id order."""
        with self._open(shard) as file:
            part = file.read(["id", "key"])
        alive = self._alive(part, shard, None)
        pairs = zip(part["id"].to_pylist(), part["key"].to_pylist(), strict=True)
        return list(pairs if alive is None else compress(pairs, alive))

    def _only(self, shards: Sequence[ShardEntry]) -> Snapshot:
        """The same view of some of its shards."""
        part = Snapshot(self.folder, replace(self.manifest, shards=tuple(shards)), self.dim)
        part._footers = self._footers
        part.__dict__["dead"] = self.dead  # what was read once
        return part

    @contextmanager
    def _open(self, shard: ShardEntry) -> Iterator[pq.ParquetFile]:
        path = shard.path_in(self.folder)
        if shard.name not in self._footers:
            self._footers[shard.name], _ = read_footer(path, shard.size_bytes, shard.footer_sha256)
        with open_parquet(path, self._footers[shard.name]) as file:
            yield file

    def _alive(self, part: pa.Table, shard: ShardEntry, modality: str | None) -> npt.NDArray[np.bool_] | None:
        """Which rows of ``part`` are live and of ``modality``; None when all are."""
        start, end = np.searchsorted(self.dead, [shard.id_min, shard.id_max + 1])
        alive = None
        if end > start:
            alive = np.isin(int_column(part["id"]), self.dead[start:end], invert=True)
        if _modality_column(shard, modality):
            wanted = np.concatenate([_equal(chunk, modality) for chunk in part["modality"].chunks])
            alive = wanted if alive is None else alive & wanted
        return alive

    def _join(self, parts: Sequence[pa.Table], columns: Sequence[str]) -> pa.Table:
        """One table with ``id`` and ``columns``; the user's own columns may differ from shard to shard."""
        if not parts:
            schema = item_schema(self.dim)
            parts = [pa.schema([schema.field(name) for name in schema.names if name in ("id", *columns)]).empty_table()]
        try:
            rows = pa.concat_tables(parts, promote_options="permissive")
        except pa.ArrowException as err:
            raise CollectionError(
                f"shards of {self.folder} disagree on the type of a column of {list(columns)}: {err}"
            ) from err
        rows = rows.unify_dictionaries()
        for name in columns:
            if name not in rows.schema.names:
                if name not in self.types:
                    raise KeyError(f"no column {name!r} in the collection; it has {', '.join(self.columns)}")
                rows = rows.append_column(name, pa.nulls(rows.num_rows, self.types[name]))
        return rows.select(list(dict.fromkeys(["id", *columns])))


def _modality_column(shard: ShardEntry, modality: str | None) -> list[str]:
    """The column to filter by; a shard of one modality, the usual case, needs no filter."""
    return ["modality"] if modality is not None and len(shard.counts) > 1 else []


def _equal(names: pa.DictionaryArray, name: str | None) -> npt.NDArray[np.bool_]:
    codes = [code for code, known in enumerate(names.dictionary.to_pylist()) if known == name]
    return np.isin(names.indices.to_numpy(), codes)


def _present(file: pq.ParquetFile, columns: Sequence[str]) -> list[str]:
    names = set(file.schema_arrow.names)
    return [name for name in dict.fromkeys(columns) if name in names]


def _take(file: pq.ParquetFile, shard: ShardEntry, ids: Ids, columns: Sequence[str]) -> pa.Table:
    """The rows of a shard with these ids, which ascend; those it does not have are left out."""
    if shard.id_max - shard.id_min + 1 == shard.rows:
        position = ids - shard.id_min  # no gaps: the id says where it lies
    else:
        position = _positions(int_column(file.read(["id"])["id"]), ids)
        position = position[position >= 0]
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    starts = np.cumsum([0, *sizes])
    group_of = np.searchsorted(starts, position, side="right") - 1
    groups = np.unique(group_of)
    rows = file.read_row_groups(groups.tolist(), _present(file, columns))
    shift = np.cumsum([0, *(sizes[group] for group in groups)])[np.searchsorted(groups, group_of)]
    return _pick(rows, position - starts[group_of] + shift)


def _pick(rows: pa.Table, positions: Ids) -> pa.Table:
    """The rows at these positions, in this order."""
    if len(positions) > _FEW:
        return rows.take(pa.array(positions))
    # Table.take imports pyarrow.compute, which takes longer than all else that a single search reads.
    parts = [rows.slice(position, 1) for position in positions.tolist()]
    return pa.concat_tables([rows.slice(0, 0), *parts]).combine_chunks()


def _positions(ascending: Ids, wanted: Ids) -> Ids:
    """Where in ``ascending`` each of ``wanted`` is, -1 where it is not."""
    if not len(ascending):
        return np.full(len(wanted), -1, np.int64)
    position = np.searchsorted(ascending, wanted).clip(max=len(ascending) - 1)
    return np.where(ascending[position] == wanted, position, -1)


def _ascending(ids: Ids) -> bool:
    return bool((np.diff(ids) > 0).all())


def _in_order(ids: Ids, embeddings: StoredEmbeddings) -> tuple[Ids, StoredEmbeddings]:
    if (ids < 0).any():
        ids, embeddings = ids[ids >= 0], embeddings[ids >= 0]
    if not _ascending(ids):
        order = np.argsort(ids)
        ids, embeddings = ids[order], embeddings[order]
    return ids, embeddings
