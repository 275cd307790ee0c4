"""Rows that must never be stored, and collections that must not be opened."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mmsearch.errors import CollectionError, Corrupt, Locked, NewerFormat, NotFound
from mmsearch.store import Store, embedding_column
from mmsearch.store.sealed import seal
from tests.mmsearch.store.material import add, contents, embed, expected, files, rows, space

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def _with_embedding(row: int, values: list[float]) -> pa.Table:
    matrix = embed(["a", "b", "c"])
    matrix[row] = values
    return rows(10, ["a", "b", "c"]).set_column(12, "embedding", embedding_column(matrix))


@pytest.mark.parametrize(
    ("values", "norm"),
    [
        ([np.nan] + [0.0] * 7, "nan"),
        ([np.inf] + [0.0] * 7, "inf"),
        ([0.0] * 8, "0"),
        ([1.02] + [0.0] * 7, "1.0"),
        ([0.98] + [0.0] * 7, "0.9"),
    ],
    ids=["nan", "infinite", "zero", "too long", "too short"],
)
def test_an_embedding_that_no_search_could_use_is_refused_with_its_id(
    store: Store, values: list[float], norm: str
) -> None:
    with pytest.raises(ValueError, match=rf"the embedding of id 11 has norm {norm}"):
        store.write_shard(_with_embedding(1, values), job="j")
    assert list((store.path / "shards").iterdir()) == list((store.path / "tmp").iterdir()) == []


def test_rounding_to_float16_passes(store: Store) -> None:
    assert store.write_shard(_with_embedding(1, [0.995] + [0.0] * 7), job="j").rows == 3


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.slice(0, 0), "a shard of no rows"),
        (lambda t: t.drop_columns(["width"]), "they must begin with"),
        (lambda t: t.set_column(0, "id", pa.array([0, 1, 2], pa.int32())), "column 'id' is int32; it must be int64"),
        (lambda t: t.set_column(0, "id", pa.array([5, 5, 6])), "id 5 follows id 5; ids must ascend"),
        (lambda t: t.set_column(0, "id", pa.array([-1, 5, 6])), "id -1 is negative"),
        (lambda t: t.set_column(1, "key", pa.array(["a", None, "c"])), "column 'key' has 1 nulls"),
        (lambda t: t.set_column(1, "key", pa.array(["a", "b", "a"])), "ids 10 and 12 have the same key 'a'"),
        (lambda t: t.set_column(1, "key", pa.array(["a", "", "c"])), "id 11 has an empty key"),
        (
            lambda t: t.append_column("year", pa.array([1, 2, 3])).append_column("year", pa.array([1, 2, 3])),
            "same name",
        ),
    ],
    ids=["no rows", "no column", "type", "equal ids", "negative", "null key", "twice", "empty key", "double column"],
)
def test_rows_out_of_shape_are_refused(store: Store, spoil: Callable[[pa.Table], pa.Table], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        store.write_shard(spoil(rows(10, ["a", "b", "c"])), job="j")


def test_an_unknown_modality_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match=r"modality \['sound'\] is not one of"):
        store.write_shard(rows(0, ["a"], modality="sound"), job="j")


def test_embeddings_of_another_width_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match=r"column 'embedding' is .*\[4\]; it must be .*\[8\]"):
        store.write_shard(rows(0, ["a"], dim=4), job="j")


@pytest.mark.parametrize("n", [0, -1, 2**27 + 1])
def test_only_sensible_numbers_of_ids_are_reserved(store: Store, n: int) -> None:
    with pytest.raises(ValueError, match=f"n is {n}; ids are reserved 1 to 134,217,728 at a time"):
        store.reserve_ids(n)


def test_an_id_that_another_item_has_is_refused_at_commit(store: Store) -> None:
    add(store, ["a", "b"])
    second = store.write_shard(rows(1, ["c"]), job="j")
    with pytest.raises(CollectionError, match=r"id 1 was given twice in .* mmsearch repair --adopt"):
        store.commit(store.snapshot(), add=[second])
    assert contents(store.snapshot()) == expected(["a", "b"])


def test_a_folder_without_a_collection_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no collection at .*nowhere; make one with: mmsearch index FOLDER"):
        Store.open(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotFound, match="no collection at"):
        Store.open(tmp_path / "file")


def test_a_collection_is_not_made_twice(store: Store) -> None:
    before = files(store.path)
    with pytest.raises(CollectionError, match="holds a collection already"):
        Store.create(store.path, space(weights="1"))
    assert files(store.path) == before


def test_a_crash_during_creation_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "half.json").write_text("{")
    assert Store.open(Store.create(tmp_path, space()).path).space == space()


def _reseal(path: Path, **changes: object) -> None:
    values = json.loads(path.read_text())
    del values["sha256"]
    path.write_bytes(seal({**values, **changes})[0])


@pytest.mark.parametrize("name", ["collection.json", "manifests/00000000000000000002.json"])
def test_a_later_format_is_refused_without_a_write(store: Store, name: str) -> None:
    add(store, ["a"])
    _reseal(store.path / name, format_version=2)
    before = files(store.path)
    with pytest.raises(NewerFormat, match=r"has format 2, and this mmsearch reads up to format 1"):
        Store.open(store.path).snapshot()
    with pytest.raises(NewerFormat, match="upgrade with"):
        Store.open(store.path).reserve_ids(1)
    assert files(store.path) == before


def test_names_of_later_versions_are_ignored(store: Store) -> None:
    add(store, ["a", "b"])
    store.commit(store.snapshot(), remove=[0])
    newest = max((store.path / "manifests").iterdir())
    values = json.loads(newest.read_text())
    shards = [{**shard, "bloom": "x"} for shard in values["shards"]]
    tombstones = [{**entry, "reason": "x"} for entry in values["tombstones"]]
    _reseal(newest, shards=shards, tombstones=tombstones, mood="good")
    _reseal(store.path / "collection.json", colour="blue")

    opened = Store.open(store.path)

    assert contents(opened.snapshot()) == expected(["b"])
    assert opened.verify() == []
    assert contents(add(opened, ["c"])) == expected(["b", "c"])


def test_a_space_with_unknown_names_is_not_guessed_at(store: Store) -> None:
    _reseal(store.path / "collection.json", space={**space().to_json(), "pooling": "cls"})
    with pytest.raises(Corrupt, match=r"cannot be understood: .*pooling.* later mmsearch"):
        Store.open(store.path)


def test_a_second_writer_is_told_who_is_at_work(store: Store) -> None:
    with (
        store.lock(),
        pytest.raises(Locked, match=r"is being written by process \d+ on .+; wait for it"),
        Store.open(store.path).lock(),
    ):
        pass
    with store.lock():
        pass


def test_the_lock_clears_away_what_a_crashed_writer_left_a_day_ago(store: Store) -> None:
    old, young = store.path / "tmp" / "old.parquet", store.path / "tmp" / "young.parquet"
    for path, age_s in ((old, 90_000), (young, 80_000)):
        path.write_bytes(b"x")
        os.utime(path, (NOW.timestamp() - age_s, NOW.timestamp() - age_s))
    with Store.open(store.path, clock=lambda: NOW).lock():
        assert (old.exists(), young.exists()) == (False, True)


def test_commits_are_stamped_by_the_clock_that_was_given(tmp_path: Path) -> None:
    store = Store.create(tmp_path, space(), clock=lambda: NOW)
    assert store.snapshot().manifest.created == add(store, ["a"]).manifest.created == "2026-01-02T00:00:00+00:00"


def test_a_collection_that_cannot_be_written_can_be_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store, ["a", "b"])
    before = files(store.path)

    real_open = os.open

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    def read_only(path: str, flags: int, *args: int, **kwargs: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refuse()
        return real_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", read_only)
    for name in ("mkdir", "link", "rename", "unlink", "utime"):
        monkeypatch.setattr(os, name, refuse)
    opened = Store.open(store.path)
    assert contents(opened.snapshot()) == expected(["a", "b"])
    assert opened.snapshot().rows([1], ["key"])["key"].to_pylist() == ["b"]
    assert opened.verify() == []
    with pytest.raises(CollectionError, match="Read-only file system; make the folder writable, or .* --to"):
        opened.reserve_ids(1)
    with pytest.raises(CollectionError, match="Read-only file system"), opened.lock():
        pass
    assert files(store.path) == before


def test_folders_that_git_does_not_keep_are_made_when_needed(store: Store) -> None:
    for folder in [path for path in store.path.iterdir() if path.is_dir()]:
        folder.rmdir()
    opened = Store.open(store.path)
    assert len(opened.snapshot()) == 0
    assert contents(add(opened, ["a"])) == expected(["a"])


def test_a_type_that_differs_between_shards_is_said_plainly(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    store.reserve_ids(2)
    entries = [
        store.write_shard(rows(0, ["a"]).append_column("year", pa.array([1999])), job="j"),
        store.write_shard(rows(1, ["b"]).append_column("year", pa.array([[1]])), job="j"),
    ]
    snapshot = store.commit(store.snapshot(), add=entries)
    with pytest.raises(CollectionError, match=r"disagree on the type of a column of \['year'\]"):
        snapshot.table(["year"])
    assert snapshot.table(["key"]).num_rows == 2
