"""Writers that meet each other, readers that look on, and a disk that fails."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmsearch.errors import CollectionError
from mmsearch.store import Store
from mmsearch.store import log as log_module
from mmsearch.store.log import ManifestLog
from tests.mmsearch.store.material import add, contents, expected, files, write


def _no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", link)


@pytest.fixture(params=["links", "no links", "no locks"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems with and without hard links, and one whose flock does nothing."""
    if request.param == "no links":
        _no_links(monkeypatch)
    if request.param == "no locks":
        monkeypatch.setattr(fcntl, "flock", lambda *_: None)


def test_a_snapshot_does_not_see_later_commits(store: Store) -> None:
    add(store, ["a", "b"])
    before = store.snapshot()
    store.commit(before, add=[write(store, ["c"])], remove=[0])
    assert contents(before) == expected(["a", "b"])
    assert contents(store.snapshot()) == expected(["b", "c"])


def test_a_commit_that_changes_nothing_publishes_nothing(store: Store) -> None:
    snapshot = add(store, ["a"])
    assert store.commit(snapshot).manifest == snapshot.manifest
    assert store.commit(snapshot, remove=[17]).manifest == snapshot.manifest
    assert store.newest_number() == snapshot.manifest.number


def test_each_manifest_names_its_parent(store: Store) -> None:
    first, second = add(store, ["a"]).manifest, add(store, ["b"]).manifest
    assert (second.number, second.parent) == (4, 3)
    assert store.log.read(3).parent_sha256 == first.sha256


@pytest.mark.usefixtures("disk")
def test_of_two_writers_with_the_same_key_the_first_acknowledged_wins(store: Store) -> None:
    other = Store.open(store.path)
    base, other_base = store.snapshot(), other.snapshot()
    ours, theirs = write(store, ["a", "shared"]), write(other, ["shared", "z"])

    other.commit(other_base, add=[theirs])
    snapshot = store.commit(base, add=[ours])

    assert contents(snapshot) == expected(["a", "shared", "z"])
    assert snapshot.rows([theirs.id_min], ["key"])["key"].to_pylist() == ["shared"]
    assert store.verify() == []


def test_a_replaced_item_that_another_writer_replaced_too_stays_theirs(store: Store) -> None:
    base = add(store, ["a"])
    ours, theirs = write(store, ["a"]), write(store, ["a"])
    store.commit(base, add=[theirs], remove=[0])
    snapshot = store.commit(base, add=[ours], remove=[0])
    assert snapshot.table(["id"])["id"].to_pylist() == [theirs.id_min]


def test_two_shards_of_one_commit_may_not_double_a_key(store: Store) -> None:
    entries = [write(store, ["a", "b"]), write(store, ["b", "c"])]
    snapshot = store.commit(store.snapshot(), add=entries)
    assert snapshot.table(["id"])["id"].to_pylist() == [0, 1, 3]


@pytest.mark.usefixtures("disk")
def test_writers_at_the_same_time_lose_no_row_and_double_no_key(store: Store) -> None:
    add(store, ["doomed"])
    doomed = store.snapshot().table(["id"])["id"].to_pylist()

    def work(worker: int) -> list[int]:
        mine = Store.open(store.path)
        taken = []
        for turn in range(5):
            base = mine.snapshot()
            entry = write(mine, [f"{worker}-{turn}", f"shared-{turn}"])
            mine.commit(base, add=[entry], remove=doomed if turn == 2 else [])
            taken += [entry.id_min, entry.id_max]
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [item_id for ids in pool.map(work, range(4)) for item_id in ids]

    assert len(set(taken)) == len(taken) == 40
    keys = [f"{worker}-{turn}" for worker in range(4) for turn in range(5)] + [f"shared-{turn}" for turn in range(5)]
    assert contents(store.snapshot()) == expected(keys)
    assert len(store.snapshot()) == len(keys)
    assert store.verify() == []


def test_readers_see_only_what_some_commit_left(store: Store) -> None:
    """Items are only added, so what one reader counts never falls, and is a number that was committed."""
    committed = {0}
    done = False

    def read() -> list[int]:
        seen = []
        while not done:
            snapshot = Store.open(store.path).snapshot()
            seen.append(len(snapshot))
            assert len(contents(snapshot)) == seen[-1]
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for number in range(25):
            committed.add(2 * number + 2)
            add(store, [f"a{number}", f"b{number}"])
        done = True
        for reader in readers:
            seen = reader.result()
            assert seen == sorted(seen)
            assert set(seen) <= committed


def test_a_link_that_was_made_although_the_answer_got_lost_counts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def forgetful(source: Path, target: Path) -> None:
        real(source, target)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", forgetful)
    snapshot = add(store, ["a"])
    assert snapshot.manifest.number == 2
    assert contents(snapshot) == expected(["a"])


def test_without_links_a_writer_that_was_passed_over_starts_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """We have the name, not yet the contents; another writer takes us for damaged and commits a later number."""
    _no_links(monkeypatch)
    base, entry = store.snapshot(), write(store, ["ours"])
    theirs = write(store, ["theirs"])
    real = log_module.fill
    others: list[Callable[[], object]] = [lambda: Store.open(store.path).commit(base, add=[theirs])]

    def fill(handle: int, data: bytes) -> str:
        if others:
            others.pop()()
        return real(handle, data)

    monkeypatch.setattr(log_module, "fill", fill)
    snapshot = store.commit(base, add=[entry])
    assert contents(snapshot) == contents(store.snapshot()) == expected(["ours", "theirs"])


def test_without_links_a_manifest_that_becomes_whole_at_last_is_not_passed_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We pass over a half-written manifest; it becomes whole before we look at it again."""
    add(store, ["a"])
    last = store.log.path(store.newest_number())
    whole = last.read_bytes()
    last.write_bytes(whole[:40])
    _no_links(monkeypatch)
    real = ManifestLog.is_whole

    def finish(log: ManifestLog, number: int) -> bool:
        last.write_bytes(whole)
        return real(log, number)

    monkeypatch.setattr(ManifestLog, "is_whole", finish)
    snapshot = add(store, ["b"])
    assert contents(snapshot) == expected(["a", "b"])


FAULTS = {
    "disk full": ("write", errno.ENOSPC, "free some space and run the command again"),
    "over quota": ("write", errno.EDQUOT, "free some space and run the command again"),
    "failed flush": ("fsync", errno.EIO, "check the disk and run the command again"),
    "failed rename": ("rename", errno.EACCES, "make the folder writable"),
    "failed link": ("link", errno.ENOSPC, "free some space"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_fails_at_any_call_gives_one_sentence_and_no_damage(
    store: Store, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    name, code, advice = FAULTS[fault]
    add(store, ["a"])
    for nth in range(1, 100):
        before = contents(store.snapshot())
        failing = _Failing(getattr(os, name), nth, code)
        error = None
        with monkeypatch.context() as patch:
            patch.setattr(os, name, failing)
            try:
                store.commit(store.snapshot(), add=[write(store, [f"key {nth}"])], remove=[nth])
            except CollectionError as err:
                error = str(err)
        after = contents(Store.open(store.path).snapshot())
        assert list((store.path / "tmp").iterdir()) == []
        if not failing.failed:
            break
        assert error is not None
        assert f"{os.strerror(code)}; {advice}" in error
        assert "\n" not in error
        # A flush that fails after the manifest has its name leaves a commit that nobody was told of.
        assert after == before or (name == "fsync" and f"key {nth}" in after)
    assert nth > 2
    assert contents(add(store, ["last"]))["last"] == expected(["last"])["last"]
    assert store.verify() == []


class _Failing:
    """A system call that fails the ``nth`` time."""

    def __init__(self, real: Callable[..., object], nth: int, code: int) -> None:
        self.real, self.left, self.code = real, nth, code

    def __call__(self, *args: object, **kwargs: object) -> object:
        self.left -= 1
        if self.left == 0:
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*args, **kwargs)

    @property
    def failed(self) -> bool:
        return self.left <= 0


def test_short_writes_are_continued(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:7]))
    snapshot = add(store, ["a", "b"])
    monkeypatch.undo()
    assert contents(snapshot) == expected(["a", "b"])
    assert store.verify() == []


def test_a_file_size_limit_is_an_error_and_no_damage(store: Store) -> None:
    add(store, ["a"])
    before = files(store.path / "shards")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))  # the first write is short, the second fails
    try:
        with pytest.raises(CollectionError, match="File too large; free some space"):
            write(store, [f"key {number}" for number in range(500)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(store.path / "shards") == before
    assert list((store.path / "tmp").iterdir()) == []
    assert contents(add(store, ["b"])) == expected(["a", "b"])


def test_an_interrupted_write_leaves_nothing_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    first = store.reserve_ids(1)
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.reserve_ids(1)
    monkeypatch.undo()
    assert list((store.path / "tmp").iterdir()) == []
    assert store.reserve_ids(1) == first + 1


def test_a_shard_that_reads_back_otherwise_is_not_published(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that says it wrote and did not."""
    real = os.write

    def lying(handle: int, data: memoryview) -> int:
        flipped = bytearray(data)
        if len(flipped) > 2000:
            flipped[1000] ^= 1
        return real(handle, flipped)

    monkeypatch.setattr(os, "write", lying)
    with pytest.raises(CollectionError, match="damaged|does not hold what was just written|checksum"):
        write(store, ["a", "b"])
    assert list((store.path / "shards").iterdir()) == list((store.path / "tmp").iterdir()) == []
