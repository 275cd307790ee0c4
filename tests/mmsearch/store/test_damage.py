"""Flipped bits, cut and lost files: named by ``verify``, never read as if whole, and made good by ``repair``."""

from __future__ import annotations

import logging
import random
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from mmsearch.errors import Corrupt
from mmsearch.store import FAILURE_SCHEMA, Modality, Store, item_schema, verify
from tests.mmsearch.store.material import DIM, add, contents, expected, files, rows, space, write

NOW = datetime(2026, 1, 2, tzinfo=UTC)
FLIPS = 300


@pytest.fixture
def full(store: Store) -> Store:
    """Two shards, one with a removed item, and failures."""
    add(store, ["a", "b", "c"])
    add(store, ["t"], modality=Modality.TEXT)
    failed = pa.table([["x.jpg"], ["/x.jpg"], ["decode"], ["OSError"], ["cut"]], schema=FAILURE_SCHEMA)
    store.commit(store.snapshot(), remove=[1], failures=store.write_failures(failed))
    return store


def _newest(store: Store) -> Path:
    return store.log.path(store.newest_number())


def _damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_whole_collection_has_nothing_to_report(full: Store) -> None:
    read: list[int] = []
    assert full.verify(read.append) == []
    assert sum(read) == sum(entry.size_bytes for entry in full.snapshot().manifest.files)


def test_every_flipped_bit_is_named_and_never_read_as_if_whole(full: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    chance = random.Random(1)
    paths = sorted(path for path in full.path.rglob("*") if path.is_file())
    whole = full.snapshot().table(item_schema(DIM).names)
    named = 0
    for flip in range(FLIPS):
        path = paths[flip % len(paths)]
        original = path.read_bytes()
        changed = bytearray(original)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        named += path in {damage.path for damage in verify(full.path)}
        if path.parent.name in ("shards", "tombstones"):
            assert _equal_or_corrupt(full.path, path, whole)
        path.write_bytes(original)
    assert named == FLIPS


def _equal_or_corrupt(collection: Path, path: Path, whole: pa.Table) -> bool:
    try:
        return bool(Store.open(collection).snapshot().table(whole.schema.names).equals(whole))
    except Corrupt as err:
        return err.path == path and "mmsearch verify, then mmsearch repair" in str(err)


@pytest.mark.parametrize("keep", [0, 1, 30, -1])
def test_a_cut_file_is_named(full: Store, keep: int) -> None:
    for path in [path for path in full.path.rglob("*") if path.is_file()]:
        original = path.read_bytes()
        path.write_bytes(original[:keep])
        assert [damage.path for damage in verify(full.path)] == [path]
        path.write_bytes(original)


def test_a_missing_file_is_named(full: Store) -> None:
    parent = full.log.path(3)
    for path in [*(entry.path_in(full.path) for entry in full.snapshot().manifest.files), parent]:
        original = path.read_bytes()
        path.unlink()
        assert [damage.path for damage in full.verify()] == [path]
        assert "is missing" in full.verify()[0].message
        path.write_bytes(original)


def test_reading_a_missing_shard_says_what_to_do(full: Store) -> None:
    path = full.snapshot().manifest.shards[0].path_in(full.path)
    path.unlink()
    with pytest.raises(Corrupt, match=r"is missing; run: mmsearch verify, then mmsearch repair") as caught:
        full.snapshot().embeddings(Modality.IMAGE)
    assert caught.value.path == path


def test_a_damaged_newest_manifest_is_passed_over_with_a_warning(full: Store, caplog: pytest.LogCaptureFixture) -> None:
    given = full.snapshot().manifest.next_id
    _damage(_newest(full))

    snapshot = full.snapshot()

    assert "using the manifest before it. Run: mmsearch repair --adopt" in caplog.text
    assert contents(snapshot) == expected(["a", "b", "c", "t"])
    assert full.reserve_ids(1) >= given
    assert contents(add(full, ["d"])) == expected(["a", "b", "c", "d", "t"])


def test_ids_that_a_damaged_manifest_gave_away_are_not_given_again(store: Store) -> None:
    add(store, ["a"])
    first = store.reserve_ids(1000)
    _damage(_newest(store))
    assert store.reserve_ids(1) >= first + 1000


def test_a_collection_whose_manifests_are_all_damaged_is_not_taken_for_an_empty_one(store: Store) -> None:
    add(store, ["a", "b"])
    for path in (store.path / "manifests").iterdir():
        _damage(path)
    with pytest.raises(Corrupt, match="no manifest in .* is whole; run: mmsearch repair --adopt"):
        store.snapshot()
    with pytest.raises(Corrupt, match="no manifest"):
        store.reserve_ids(1)

    report = store.repair(adopt=True, now=NOW)

    assert (report.adopted_shards, report.adopted_rows) == (1, 2)
    assert contents(store.snapshot()) == expected(["a", "b"])
    assert store.verify() == []


def test_a_manifest_of_another_collection_is_not_ours(store: Store, tmp_path: Path) -> None:
    other = Store.create(tmp_path / "other", space())
    add(other, ["x"])
    shutil.copy(other.log.path(2), store.log.path(1))
    shutil.copy(other.log.path(2), store.log.path(2))
    assert [damage.path for damage in store.verify()] == [store.log.path(1), store.log.path(2)]
    assert f"of collection {other.uuid}" in store.verify()[1].message


def test_repair_of_a_whole_collection_changes_nothing(full: Store) -> None:
    before = files(full.path)
    report = full.repair(adopt=True, now=NOW)
    assert (report.damage, report.dropped_rows, report.adopted_rows, report.rejected) == ((), 0, 0, ())
    assert files(full.path) == {**before, "LOCK": files(full.path)["LOCK"]}


def test_repair_drops_a_damaged_shard_and_keeps_its_bytes(full: Store) -> None:
    path = full.snapshot().manifest.shards[0].path_in(full.path)
    _damage(path)
    bad = path.read_bytes()

    report = full.repair(adopt=False, now=NOW)

    assert [damage.path for damage in report.damage] == [path]
    assert report.dropped_rows == 3
    assert [aside.read_bytes() for aside in report.set_aside] == [bad]
    assert not path.exists()
    assert contents(full.snapshot()) == expected(["t"])
    assert full.verify() == []
    assert contents(add(full, ["a", "b"])) == expected(["a", "b", "t"])


def test_repair_drops_a_shard_that_is_gone(full: Store) -> None:
    full.snapshot().manifest.shards[1].path_in(full.path).unlink()
    assert full.repair(adopt=True, now=NOW).dropped_rows == 1
    assert contents(full.snapshot()) == expected(["a", "c"])
    assert full.verify() == []


def test_a_lost_tombstone_brings_items_back_but_no_key_twice(full: Store) -> None:
    snapshot = full.commit(full.snapshot(), add=[write(full, ["a"])], remove=[0])
    for entry in snapshot.manifest.tombstones:
        _damage(entry.path_in(full.path))
    full.repair(adopt=False, now=NOW)
    assert contents(full.snapshot()) == expected(["a", "b", "c", "t"])
    assert full.snapshot().table(["id"])["id"].to_pylist() == [1, 2, 3, 4]  # the younger "a" stays
    assert full.verify() == []


@pytest.mark.parametrize("number", [2, 5], ids=["old", "newest"])
def test_repair_sets_a_damaged_manifest_aside(full: Store, number: int) -> None:
    _damage(full.log.path(number))
    report = full.repair(adopt=True, now=NOW)
    assert [path.name.partition("-")[2] for path in report.set_aside] == [f"{number:020}.json"]
    assert full.verify() == []
    assert set(contents(full.snapshot())) >= {"a", "c", "t"}


def test_repair_adopts_a_shard_that_a_crash_left_uncommitted(store: Store) -> None:
    add(store, ["a"])
    write(store, ["b", "c"])
    assert store.verify() == []
    assert store.repair(adopt=False, now=NOW).adopted_shards == 0

    report = store.repair(adopt=True, now=NOW)

    assert (report.adopted_shards, report.adopted_rows) == (1, 2)
    assert contents(store.snapshot()) == expected(["a", "b", "c"])
    assert store.repair(adopt=True, now=NOW).adopted_shards == 0


def test_adopted_rows_give_way_to_live_items_of_the_same_key(store: Store) -> None:
    orphan, useless = write(store, ["a", "b"]), write(store, ["a"])
    add(store, ["a"])

    report = store.repair(adopt=True, now=NOW)

    assert (report.adopted_shards, report.adopted_rows) == (1, 1)
    assert [damage.path for damage in report.rejected] == [useless.path_in(store.path)]
    assert "every key of" in report.rejected[0].message
    assert store.snapshot().table(["id"])["id"].to_pylist() == [orphan.id_max, 3]
    assert store.verify() == []


def test_adopted_rows_whose_id_was_given_again_get_a_new_one(store: Store) -> None:
    add(store, ["a", "b"])
    store.write_shard(rows(1, ["x", "y"]), job="j")

    assert store.repair(adopt=True, now=NOW).adopted_rows == 2

    assert contents(store.snapshot()) == expected(["a", "b", "x", "y"])
    assert len(set(store.snapshot().table(["id"])["id"].to_pylist())) == 4
    assert store.verify() == []


@pytest.mark.parametrize("weights", ["0", "1"], ids=["another collection", "another space"])
def test_a_foreign_shard_is_never_adopted(store: Store, tmp_path: Path, weights: str) -> None:
    other = Store.create(tmp_path / "other", space(weights=weights))
    if weights == "1":
        other.uuid = store.uuid
    foreign = write(other, ["x"]).path_in(other.path)
    target = store.path / "shards" / foreign.name
    shutil.copy(foreign, target)

    report = store.repair(adopt=True, now=NOW)

    assert [damage.path for damage in report.rejected] == [target]
    assert "belongs to " + ("space" if weights == "1" else "collection") in report.rejected[0].message
    assert len(store.snapshot()) == 0
    assert target.exists()


def test_a_damaged_orphan_is_left_alone(store: Store) -> None:
    path = write(store, ["a", "b"]).path_in(store.path)
    _damage(path)
    report = store.repair(adopt=True, now=NOW)
    assert [damage.path for damage in report.rejected] == [path]
    assert len(store.snapshot()) == 0


def test_a_shard_that_was_replaced_is_no_orphan(store: Store) -> None:
    """Older manifests name it: its items were removed on purpose."""
    snapshot = add(store, ["a"])
    shard = snapshot.manifest.shards[0]
    shard.path_in(store.path).rename(store.path / "moved")
    store.repair(adopt=False, now=NOW)
    (store.path / "moved").rename(shard.path_in(store.path))
    assert store.repair(adopt=True, now=NOW).adopted_shards == 0


def test_repair_clears_away_what_a_crashed_writer_left_a_day_ago(store: Store) -> None:
    (store.path / "tmp" / "x.parquet").write_bytes(b"x")
    assert store.repair(adopt=False, now=datetime(2020, 1, 1, tzinfo=UTC)).removed_temporary == 0
    assert store.repair(adopt=False, now=datetime(2100, 1, 1, tzinfo=UTC)).removed_temporary == 1


def test_a_key_that_is_live_twice_is_damage(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsearch.store import commit

    with monkeypatch.context() as patch:
        patch.setattr(commit, "doubled_keys", lambda *_: [])
        add(store, ["a", "b"])
        add(store, ["b"])
    (damage,) = store.verify()
    assert damage.message == f"{damage.path}: items 1 and 2 have the same key 'b'"
    store.repair(adopt=False, now=NOW)
    assert store.verify() == []
    assert store.snapshot().table(["id"])["id"].to_pylist() == [0, 2]
