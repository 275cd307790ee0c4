"""Columns for items that are there already: their shards are written anew and swapped in one commit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mmsearch.errors import CollectionError
from mmsearch.store.commit import SwapLostError
from mmsearch.store.manifest import ShardEntry
from mmsearch.store.schema import int_column, item_schema
from mmsearch.store.snapshot import Snapshot
from mmsearch.store.writer import Writer


def give_columns(store: Writer, given: pa.Table, *, job: str) -> Snapshot:
    """Give items new columns, or new values in columns they have.

    All of it is one commit: a reader sees none of the new values or all. Ids and embeddings stay as they are. Items
    that are added or removed meanwhile are added and removed; when another writer swaps one of the shards first,
    that shard is written anew from what the other made of it. The files of the shards swapped stay on the disk.

    Args:
        store: the collection.
        given: ``id`` int64, each once, and the columns. Items that are not live are passed over; items that it
            does not name keep what they have.
        job: any label of the run, kept in the files.

    Returns:
        The collection with the columns.

    Raises:
        ValueError: no ``id`` column, an id twice, or a column of ``item_schema``, which follow from the item.
        CollectionError: a column is there with another type or in another case, or the files cannot be written.
    """
    _check(given, store.space.dim)
    written: dict[str, ShardEntry] = {}
    while True:
        base = store.snapshot()
        _check_types(given, base)
        for shard in base.manifest.shards:
            if shard.name not in written and (rows := _changed(base, shard, given)) is not None:
                written[shard.name] = store.write_shard(rows, job=job, replaces=shard)
        here = {shard.name for shard in base.manifest.shards}
        try:
            return store.commit(base, swap={name: new for name, new in written.items() if name in here})
        except SwapLostError:
            continue


def _check(given: pa.Table, dim: int) -> None:
    if "id" not in given.column_names:
        raise ValueError(f"columns are {given.column_names}; one must be 'id'")
    ids = int_column(given["id"])
    if len(np.unique(ids)) < len(ids):
        raise ValueError("an id is given twice; give each item one row")
    fixed = [name for name in given.column_names if name != "id" and name in item_schema(dim).names]
    if fixed:
        raise ValueError(f"column {fixed[0]!r} follows from the item; choose another name")


def _check_types(given: pa.Table, base: Snapshot) -> None:
    spelled = {name.casefold(): name for name in base.columns}
    for column in given.schema:
        there = spelled.get(column.name.casefold(), column.name)
        if there != column.name and column.name not in base.columns:
            raise CollectionError(
                f"column {column.name!r} differs from column {there!r} of {base.folder} in case alone, which no "
                f"condition tells apart; choose another name"
            )
        known = base.types.get(column.name, column.type)
        if known != column.type:
            raise CollectionError(
                f"column {column.name!r} of {base.folder} is {known}, and the new values are {column.type}; "
                f"choose another name"
            )


def _changed(base: Snapshot, shard: ShardEntry, given: pa.Table) -> pa.Table | None:
    """The shard's rows with the columns put in; None when that changes none of them."""
    ids = base.ids_of(shard)
    given_ids = int_column(given["id"])
    order = np.argsort(given_ids)
    place = np.searchsorted(given_ids, ids, sorter=order).clip(max=max(len(given_ids) - 1, 0))
    row = order[place] if len(order) else place
    is_given = np.isin(ids, given_ids) & np.isin(ids, base.dead, invert=True)
    if not is_given.any():
        return None
    # Of one long column, what is given and then what is there, each row takes its own.
    take = pa.array(np.where(is_given, row, len(given_ids) + np.arange(len(ids))))
    old = base.rows_of(shard)
    new = old
    for column in given.schema:
        if column.name == "id":
            continue
        position = old.schema.get_field_index(column.name)
        there = old[column.name].cast(column.type).chunks if position >= 0 else [pa.nulls(len(ids), column.type)]
        values = pa.chunked_array([*given[column.name].chunks, *there], column.type).take(take)
        if position < 0:
            new = new.append_column(column, values)
        elif not values.equals(old[column.name]):
            new = new.set_column(new.schema.get_field_index(column.name), column, values)
    return None if new is old else new
