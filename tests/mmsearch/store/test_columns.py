"""Columns given to items that are there: by value, and beside writers that do other things."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsearch.errors import CollectionError
from mmsearch.store import Modality, Snapshot, Store
from mmsearch.store.commit import SwapLostError
from tests.mmsearch.store.material import add, contents, expected, files, rows, space, write

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WORDS = pa.list_(pa.string())


def give(store: Store, values: dict[int, Any], name: str = "tags", type_: pa.DataType = WORDS) -> Snapshot:
    columns = {"id": pa.array(list(values), pa.int64()), name: pa.array(list(values.values()), type_)}
    return store.give_columns(pa.table(columns), job="test")


def column(snapshot: Snapshot, name: str = "tags") -> dict[str, Any]:
    table = snapshot.table(["key", name])
    return dict(zip(table["key"].to_pylist(), table[name].to_pylist(), strict=True))


@pytest.fixture
def full(store: Store) -> Store:
    """Items 0 to 5 in three shards, ``b`` removed."""
    add(store, ["a", "b"])
    add(store, ["c", "d"])
    add(store, ["t#0", "t#1"], modality=Modality.TEXT)
    store.commit(store.snapshot(), remove=[1])
    return store


def test_items_have_the_column_that_they_were_given(full: Store) -> None:
    before = full.snapshot()
    snapshot = give(full, {3: ["dog"], 0: ["cat", "mat"], 2: []})
    assert column(snapshot) == {"a": ["cat", "mat"], "c": [], "d": ["dog"], "t#0": None, "t#1": None}
    assert contents(snapshot) == contents(before) == expected(["a", "c", "d", "t#0", "t#1"])
    others = [name for name in snapshot.columns if name != "tags"]
    assert snapshot.table(others).equals(before.table(others))
    assert snapshot.columns == (*before.columns, "tags")
    assert full.verify() == []


def test_only_the_shards_concerned_are_written_and_in_one_commit(full: Store) -> None:
    before, old_files = full.snapshot(), files(full.path / "shards")
    snapshot = give(full, {0: ["x"], 1: ["removed"], 77: ["never there"]})
    old, new = ([shard.name for shard in view.manifest.shards] for view in (before, snapshot))
    assert [a == b for a, b in zip(old, new, strict=True)] == [False, True, True]
    assert snapshot.manifest.number == before.manifest.number + 1
    assert files(full.path / "shards").items() >= old_files.items()
    assert contents(before) == expected(["a", "c", "d", "t#0", "t#1"])  # its files are all there
    assert snapshot.rows_of(snapshot.manifest.shards[0])["tags"].to_pylist() == [["x"], None]


def test_given_again_values_are_replaced_and_the_others_stay(full: Store) -> None:
    give(full, {0: ["old"], 2: ["kept"]})
    snapshot = give(full, {0: ["new"], 3: None})
    assert column(snapshot) == {"a": ["new"], "c": ["kept"], "d": None, "t#0": None, "t#1": None}
    assert snapshot.columns.count("tags") == 1


def test_giving_what_is_there_writes_nothing(full: Store) -> None:
    snapshot = give(full, {0: ["x"], 2: []})
    before = files(full.path)
    assert give(full, {0: ["x"], 2: []}).manifest == snapshot.manifest
    assert give(full, {1: ["removed"]}).manifest == snapshot.manifest
    assert files(full.path) == before


def test_several_columns_come_at_once_those_of_cameras_too(full: Store) -> None:
    noted = pa.table(
        {
            "id": [2, 0],
            "taken": pa.array([datetime(2020, 1, 1), None], pa.timestamp("ms")),
            "stars": pa.array([5, 4], pa.int8()),
        }
    )
    snapshot = full.give_columns(noted, job="test")
    assert column(snapshot, "taken")["c"] == datetime(2020, 1, 1)
    assert [column(snapshot, "stars")[key] for key in "acd"] == [4, 5, None]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"tags": [["x"]]}, "one must be 'id'"),
        ({"id": [0, 0], "tags": [["x"], ["y"]]}, "an id is given twice"),
        ({"id": [0], "width": [3]}, "column 'width' follows from the item"),
        ({"id": [0], "embedding": [[1.0]]}, "column 'embedding' follows from the item"),
    ],
)
def test_what_cannot_be_given_is_refused(full: Store, columns: dict[str, Any], message: str) -> None:
    before = files(full.path)
    with pytest.raises(ValueError, match=message):
        full.give_columns(pa.table(columns), job="test")
    assert files(full.path) == before


def test_a_column_that_differs_in_case_alone_is_refused(full: Store) -> None:
    give(full, {0: ["x"]}, "tags")
    for name, there in (("Tags", "tags"), ("WIDTH", "width"), ("Taken", "taken")):
        with pytest.raises(CollectionError, match=f"{name!r} differs from column {there!r} .* choose another name"):
            give(full, {0: ["y"]}, name)
    assert column(give(full, {0: ["z"]}, "tags"))["a"] == ["z"]


def test_a_column_keeps_its_type(full: Store) -> None:
    give(full, {0: 3}, "stars", pa.int64())
    with pytest.raises(CollectionError, match="column 'stars' of .* is int64, and the new values are list<item: strin"):
        give(full, {2: ["x"]}, "stars")
    with pytest.raises(CollectionError, match="column 'taken' of .* is timestamp"):
        give(full, {2: ["x"]}, "taken")


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rounds=st.lists(st.dictionaries(st.integers(0, 6), st.none() | st.lists(st.sampled_from("xyz"))), max_size=3))
def test_a_column_behaves_as_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[dict[int, list[str] | None]]
) -> None:
    store = Store.create(tmp_path_factory.mktemp("law"), space())
    add(store, ["0", "1"])
    add(store, ["2", "3", "4"])
    store.commit(store.snapshot(), remove=[3])
    model: dict[int, list[str] | None] = dict.fromkeys((0, 1, 2, 4))
    for values in rounds:
        snapshot = give(store, values)
        model.update({item: tags for item, tags in values.items() if item in model})
        assert snapshot.table(["id"])["id"].to_pylist() == list(model)
        if "tags" in snapshot.columns:
            assert column(snapshot) == {str(item): tags for item, tags in model.items()}


def between(store: Store, monkeypatch: pytest.MonkeyPatch, interfere: Callable[[], object]) -> None:
    """Let something happen once, after the shards are written and before their commit."""
    real, waiting = store.commit, [interfere]

    def commit(*args: Any, **kwargs: Any) -> Snapshot:
        if waiting:
            waiting.pop()()
        return real(*args, **kwargs)

    monkeypatch.setattr(store, "commit", commit)


def test_items_added_and_removed_meanwhile_are_added_and_removed(full: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Store.open(full.path)
    between(full, monkeypatch, lambda: other.commit(other.snapshot(), add=[write(other, ["new"])], remove=[3]))
    snapshot = give(full, {0: ["x"], 2: ["y"], 3: ["z"]})
    assert column(snapshot) == {"a": ["x"], "c": ["y"], "t#0": None, "t#1": None, "new": None}
    assert contents(snapshot) == expected(["a", "c", "t#0", "t#1", "new"])
    assert full.verify() == []


def test_a_shard_that_another_writer_swapped_first_is_written_again(
    full: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Store.open(full.path)
    between(full, monkeypatch, lambda: give(other, {0: 7}, "stars", pa.int64()))
    snapshot = give(full, {0: ["x"], 2: ["y"]})
    assert [column(snapshot)[key] for key in "acd"] == [["x"], ["y"], None]
    assert [column(snapshot, "stars")[key] for key in "acd"] == [7, None, None]
    assert full.verify() == []


def test_a_writer_that_planned_on_the_shards_before_removes_and_adds_as_it_meant_to(full: Store) -> None:
    before = full.snapshot()
    entry = write(full, ["a"])
    give(full, {0: ["x"], 3: ["y"]})
    snapshot = full.commit(before, add=[entry], remove=[0])
    assert column(snapshot) == {"c": None, "d": ["y"], "t#0": None, "t#1": None, "a": None}
    assert contents(before) == expected(["a", "c", "d", "t#0", "t#1"])


def test_writers_at_the_same_time_lose_nothing(full: Store) -> None:
    def name(worker: int) -> None:
        for turn in range(4):
            give(Store.open(full.path), {0: [f"{turn}"], 2: [f"{turn}"]}, f"tags{worker}")

    def fill(worker: int) -> None:
        mine = Store.open(full.path)
        for turn in range(4):
            mine.commit(mine.snapshot(), add=[write(mine, [f"{worker}-{turn}"])], remove=[3] if turn == 2 else [])

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, worker) for worker in range(2) for work in (name, fill)]:
            done.result()
    snapshot = full.snapshot()
    added = [f"{worker}-{turn}" for worker in range(2) for turn in range(4)]
    assert contents(snapshot) == expected(["a", "c", "t#0", "t#1", *added])
    for worker in range(2):
        assert [column(snapshot, f"tags{worker}")[key] for key in "ac"] == [["3"], ["3"]]
    assert full.verify() == []


def test_a_commit_refuses_a_swap_that_lost_or_brings_other_items(full: Store) -> None:
    base = full.snapshot()
    first = base.manifest.shards[0]
    new = full.write_shard(rows(0, ["a", "b"]), job="test", replaces=first)
    give(full, {0: ["x"]})
    with pytest.raises(SwapLostError, match=f"another writer took shard {first.name} out of"):
        full.commit(base, swap={first.name: new})
    second = base.manifest.shards[1]
    with pytest.raises(ValueError, match="has other items than"):
        full.commit(base, swap={second.name: new})
    assert column(full.snapshot())["a"] == ["x"]


def interrupted(store: Store, values: dict[int, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a column, and die before the commit."""

    def die(*_: object, **__: object) -> Snapshot:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            give(store, values)


def test_repair_takes_in_a_column_that_a_crash_left_uncommitted(full: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(full, {0: ["x"], 2: ["y"]}, monkeypatch)
    full.commit(full.snapshot(), remove=[2])
    report = full.repair(adopt=True, now=NOW)
    assert (report.adopted_shards, report.adopted_rows, report.rejected) == (2, 0, ())
    assert column(full.snapshot()) == {"a": ["x"], "d": None, "t#0": None, "t#1": None}
    assert full.verify() == []


def test_repair_never_brings_removed_items_back_with_a_column(full: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shard was swapped by another run since: its older version, with the column, stays aside."""
    interrupted(full, {0: ["x"]}, monkeypatch)
    give(full, {0: 3}, "stars", pa.int64())
    full.commit(full.snapshot(), remove=[0])
    report = full.repair(adopt=True, now=NOW)
    assert report.adopted_shards == 0
    assert "which has left the collection since" in report.rejected[0].message
    assert contents(full.snapshot()) == expected(["c", "d", "t#0", "t#1"])


def test_repair_refuses_a_shard_that_is_to_take_its_own_place(full: Store) -> None:
    itself = replace(full.snapshot().manifest.shards[0], name="abc.parquet")
    written = full.write_shard(rows(0, ["a", "b"]), job="test", replaces=itself)
    written.path_in(full.path).rename(itself.path_in(full.path))
    report = full.repair(adopt=True, now=NOW)
    assert "was to take the place of shard abc.parquet" in report.rejected[0].message
    assert contents(full.snapshot()) == expected(["a", "c", "d", "t#0", "t#1"])


def test_a_column_survives_the_loss_of_the_manifest_that_brought_it(full: Store) -> None:
    number = give(full, {0: ["x"]}).manifest.number
    give(full, {0: ["newer"], 2: ["y"]})
    for lost in (number, number + 1):
        full.log.path(lost).write_bytes(b"damaged")
    assert "tags" not in full.snapshot().columns
    full.repair(adopt=True, now=NOW)
    assert [column(full.snapshot())[key] for key in "acd"] == [["newer"], ["y"], None]
    assert contents(full.snapshot()) == expected(["a", "c", "d", "t#0", "t#1"])
    assert full.verify() == []
