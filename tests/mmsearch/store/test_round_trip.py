"""What is written comes back, by value, whatever was written in between."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.store import EXIF_SCHEMA, FAILURE_SCHEMA, Modality, Store, embedding_column, item_schema
from tests.mmsearch.store.material import DIM, add, contents, embed, expected, rows, space, write

KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


def test_rows_of_every_column_come_back_by_value(store: Store) -> None:
    written = rows(store.reserve_ids(3), ["b.jpg", "a.jpg", "c d/ü.jpg"])
    snapshot = store.commit(store.snapshot(), add=[store.write_shard(written, job="j")])

    assert snapshot.table(item_schema(DIM).names).equals(written)
    assert snapshot.table(["embedding"]).schema.field("embedding").type == written.schema.field("embedding").type


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_values_survive_the_disk(data: st.DataObject) -> None:
    keys = data.draw(st.lists(KEYS, min_size=1, max_size=6, unique=True))
    n = len(keys)
    optional = {
        "text": st.none() | st.text(st.characters(codec="utf-8")),
        "width": st.none() | st.integers(0, 2**31 - 1),
        "height": st.none() | st.integers(0, 2**31 - 1),
        "bytes": st.none() | st.integers(0, 2**63 - 1),
        "mtime_ns": st.none() | st.integers(-(2**63), 2**63 - 1),
        "t_start": st.none() | st.floats(allow_nan=False),
    }
    table = rows(0, keys)
    for name, values in optional.items():
        column = data.draw(st.lists(values, min_size=n, max_size=n))
        position = table.schema.get_field_index(name)
        table = table.set_column(position, name, pa.array(column, table.schema.field(name).type))
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(Path(folder), space())
        store.reserve_ids(n)
        snapshot = store.commit(store.snapshot(), add=[store.write_shard(table, job="j")])
        assert snapshot.table(table.schema.names).equals(table)


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "replace", "reserve", "reopen"]), st.integers(0, 11)), max_size=14
)


@settings(max_examples=30, deadline=None)
@given(steps=STEPS)
def test_a_collection_behaves_as_a_dictionary(steps: list[tuple[str, int]]) -> None:
    """Keys k0..k11 are added, removed, replaced; modality and shard order differ from step to step."""
    ids: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(Path(folder), space())
        for step, (what, number) in enumerate(steps):
            key = f"k{number}"
            modality = Modality.TEXT if step % 3 == 0 else Modality.IMAGE
            base = store.snapshot()
            if what == "reserve":
                store.reserve_ids(number + 1)
            elif what == "reopen":
                store = Store.open(Path(folder))
            elif what == "remove":
                gone = [ids.pop(key)] if key in ids else []
                store.commit(base, remove=gone)
            elif what == "replace" or key not in ids:
                entry = write(store, [key], modality=modality)
                store.commit(base, add=[entry], remove=[ids[key]] if key in ids else [])
                ids[key] = entry.id_min
        snapshot = store.snapshot()
        assert contents(snapshot) == expected(list(ids))
        assert snapshot.table(["id"])["id"].to_pylist() == sorted(ids.values())
        assert len(snapshot) == len(ids)
        assert store.verify() == []


def test_embeddings_of_a_modality_are_in_id_order_without_removed_items(store: Store) -> None:
    mixed = pa.concat_tables([rows(0, ["a", "b"]), rows(2, ["t"], modality=Modality.TEXT), rows(3, ["c"])])
    store.reserve_ids(4)
    store.commit(store.snapshot(), add=[store.write_shard(mixed, job="j")])
    add(store, ["d", "e"])
    snapshot = store.commit(store.snapshot(), remove=[1, 5])

    ids, embeddings = snapshot.embeddings(Modality.IMAGE)

    assert ids.tolist() == [0, 3, 4]
    assert embeddings.dtype == np.float16
    np.testing.assert_array_equal(embeddings, embed(["a", "c", "d"]))
    assert snapshot.counts() == {"image": 3, "text": 1}
    assert snapshot.table(["key"], modality=Modality.TEXT)["key"].to_pylist() == ["t"]
    assert snapshot.embeddings(Modality.FRAME)[1].shape == (0, DIM)


def test_id_ranges_that_interleave_are_read_in_id_order(store: Store) -> None:
    store.reserve_ids(4)
    even = rows(0, ["a", "x", "c"]).take([0, 2])
    odd = rows(1, ["b", "y", "d"]).take([0, 2])
    snapshot = store.commit(store.snapshot(), add=[store.write_shard(t, job="j") for t in (odd, even)])

    ids, embeddings = snapshot.embeddings(Modality.IMAGE)

    assert ids.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(embeddings, embed(["a", "b", "c", "d"]))
    assert snapshot.table(["key"])["key"].to_pylist() == ["a", "b", "c", "d"]
    assert snapshot.rows([3, 0, 3], ["key"])["key"].to_pylist() == ["d", "a", "d"]


def test_rows_come_in_the_order_asked_for_across_shards_and_row_groups(store: Store) -> None:
    keys = [f"{number:05}" for number in range(9000)]
    add(store, keys)
    add(store, ["last"])
    snapshot = store.snapshot()

    wanted = [9000, 5000, 0, 4095, 4096, 8999]

    table = snapshot.rows(wanted, ["key", "id"])
    assert table.schema.names == ["key", "id"]
    assert table["id"].to_pylist() == wanted
    assert table["key"].to_pylist() == ["last", "05000", "00000", "04095", "04096", "08999"]
    many = list(range(8000, 0, -7))
    assert snapshot.rows(many, ["key"])["key"].to_pylist() == [keys[item_id] for item_id in many]
    assert snapshot.rows([], ["key"]).num_rows == 0


def test_rows_read_only_the_row_groups_they_lie_in(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = add(store, [f"{number:05}" for number in range(9000)])
    read: list[list[int]] = []
    original = pq.ParquetFile.read_row_groups

    def spy(file: pq.ParquetFile, groups: list[int], columns: list[str]) -> pa.Table:
        read.append(groups)
        return original(file, groups, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", spy)
    snapshot.rows([8500, 8192], ["key"])
    assert read == [[2]]


@pytest.mark.parametrize("item_id", [1, 3, -1])
def test_an_id_that_is_not_live_is_named(store: Store, item_id: int) -> None:
    add(store, ["a", "b", "c"])
    snapshot = store.commit(store.snapshot(), remove=[1])
    with pytest.raises(KeyError, match=f"item {item_id} is not in the collection"):
        snapshot.rows([0, item_id], ["key"])


def test_users_columns_may_differ_from_shard_to_shard(store: Store) -> None:
    first = rows(store.reserve_ids(1), ["a"]).append_column("year", pa.array([1999]))
    second = rows(store.reserve_ids(1), ["b"]).append_column("place", pa.array(["Rome"]))
    store.commit(store.snapshot(), add=[store.write_shard(table, job="j") for table in (first, second)])
    add(store, ["c"])
    snapshot = store.snapshot()

    assert snapshot.columns == (*item_schema(DIM).names, *EXIF_SCHEMA.names, "year", "place")
    assert snapshot.table(["place", "year"]).to_pydict() == {
        "place": [None, "Rome", None],
        "year": [1999, None, None],
    }
    assert snapshot.rows([2], ["year"]).schema.field("year").type == pa.int64()
    with pytest.raises(KeyError, match="no column 'colour' in the collection; it has id, key"):
        snapshot.table(["colour"])


def test_an_empty_collection_answers(store: Store) -> None:
    snapshot = store.snapshot()
    assert len(snapshot) == 0
    assert snapshot.counts() == {}
    assert snapshot.manifest.number == store.newest_number() == 0
    assert snapshot.table(["key", "id"]).schema.names == ["key", "id"]
    ids, embeddings = snapshot.embeddings(Modality.IMAGE)
    assert (ids.shape, embeddings.shape) == ((0,), (0, DIM))


def test_failures_of_the_latest_run_are_named_and_kept(store: Store) -> None:
    failed = pa.table([["a.jpg"], ["/x/a.jpg"], ["decode"], ["OSError"], ["cut"]], schema=FAILURE_SCHEMA)
    entry = store.write_failures(failed)
    store.commit(store.snapshot(), failures=entry)
    snapshot = add(store, ["b"])
    assert snapshot.manifest.failures == entry
    assert pq.ParquetFile(entry.path_in(store.path)).read().equals(failed)


def test_many_removals_leave_few_files(store: Store) -> None:
    add(store, [f"k{number}" for number in range(30)])
    for item_id in range(20):
        snapshot = store.commit(store.snapshot(), remove=[item_id])
    assert len(snapshot) == 10
    assert len(snapshot.manifest.tombstones) <= 9
    assert snapshot.table(["id"])["id"].to_pylist() == list(range(20, 30))
    assert store.verify() == []


def test_chunked_columns_with_dictionaries_of_their_own_are_stored(store: Store) -> None:
    parts = [rows(0, ["a"]), rows(1, ["t"], modality=Modality.TEXT), rows(2, ["b"])]
    store.reserve_ids(3)
    entry = store.write_shard(pa.concat_tables(parts), job="j")
    assert entry.counts == {"image": 2, "text": 1}
    assert store.commit(store.snapshot(), add=[entry]).counts() == {"image": 2, "text": 1}


def test_any_parquet_reader_can_open_a_shard_that_explains_itself(store: Store) -> None:
    entry = write(store, ["a", "b"])
    with pq.ParquetFile(entry.path_in(store.path)) as file:
        metadata = file.schema_arrow.metadata
        embedding = file.metadata.row_group(0).column(file.metadata.num_columns - 1)
    assert metadata[b"mmsearch.collection"].decode() == store.uuid
    assert metadata[b"mmsearch.space"].decode() == store.space.fingerprint
    assert metadata[b"mmsearch.job"] == b"test"
    assert metadata[b"mmsearch.rows"] == b"2"
    assert (embedding.compression, embedding.has_dictionary_page) == ("UNCOMPRESSED", False)


def test_reading_loads_neither_pandas_nor_compute(store: Store) -> None:
    """Together they take ten times as long as reading ten thousand embeddings."""
    add(store, ["a", "b", "c"])
    store.commit(store.snapshot(), remove=[1])
    script = (
        "import sys; from pathlib import Path; from mmsearch.store import Store\n"
        f"snapshot = Store.open(Path({str(store.path)!r})).snapshot()\n"
        "ids, _ = snapshot.embeddings('image'); snapshot.rows(ids, ['id', 'key', 'text', 'modality'])\n"
        "print([name for name in ('pandas', 'pyarrow.compute', 'pyarrow.dataset', 'torch') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "[]"


def test_embedding_column_is_the_inverse_of_reading(store: Store) -> None:
    matrix = embed(["a", "b"])
    assert embedding_column(matrix).type == item_schema(DIM).field("embedding").type
    add(store, ["a", "b"])
    np.testing.assert_array_equal(store.snapshot().embeddings(Modality.IMAGE)[1], matrix)
