"""Writers killed with SIGKILL: nothing acknowledged is lost, and the next writer goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mmsearch.store import Store
from tests.mmsearch.store import crash_child
from tests.mmsearch.store.material import add, contents, expected

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ROUNDS = 20
# Written so that strace takes it on machines that lack one of a pair.
CALLS = [
    "openat",
    "write",
    "fsync",
    "close",
    "?rename,?renameat,?renameat2",
    "?link,?linkat",
    "?unlink,?unlinkat",
]


class Writers:
    """The other end of ``crash_child``."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.acknowledged = folder / "acknowledged"  # outside the collection
        self.acknowledged.touch()
        self._process = subprocess.Popen(
            [sys.executable, crash_child.__file__, str(store.path), str(self.acknowledged)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )

    def fork(self, seed: str, command: str = "fork") -> int:
        self._say(f"{command} {seed}")
        return int(self._hear())

    def go(self) -> None:
        self._say("go")

    def status(self) -> int:
        return int(self._hear())

    def close(self) -> None:
        self._process.communicate()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def check(self) -> None:
        """Every fact that was told holds; what was not told may or may not have happened, but whole."""
        told: dict[str, set[str]] = {"+": set(), "?": set(), "-": set()}
        for line in self.acknowledged.read_text().splitlines():
            told[line[0]].add(line[2:])
        live = contents(Store.open(self.store.path).snapshot())
        assert told["+"] - told["?"] <= live.keys()
        assert not told["-"] & live.keys()
        assert live == expected(list(live))


@contextmanager
def writers(store: Store, folder: Path) -> Iterator[Writers]:
    others = Writers(store, folder)
    try:
        yield others
    finally:
        others.close()


def _all_is_well(others: Writers) -> None:
    others.fork("last")
    others.go()
    assert others.status() == 0
    others.check()
    assert others.store.verify() == []
    others.store.repair(adopt=True, now=NOW)
    others.check()
    assert others.store.verify() == []


def test_writers_killed_at_random_lose_nothing_acknowledged(store: Store, tmp_path: Path) -> None:
    chance = random.Random(1)
    killed = 0
    with writers(store, tmp_path) as others:
        for number in range(ROUNDS):
            pid = others.fork(str(number))
            bomb = threading.Timer(chance.uniform(0, 0.06), _kill_if_running, (pid,))
            others.go()
            bomb.start()
            status = others.status()
            bomb.cancel()
            bomb.join()
            assert status in (0, signal.SIGKILL)
            killed += status == signal.SIGKILL
            others.check()
        _all_is_well(others)
    assert killed >= ROUNDS // 4


def _kill_if_running(pid: int) -> None:
    """A writer may end, and be collected, just before the shot."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _may_trace() -> bool:
    if not shutil.which("strace"):
        return False
    return subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(sys.platform != "linux" or not _may_trace(), reason="strace is absent, or may not trace")
@pytest.mark.parametrize("calls", CALLS)
def test_a_writer_killed_at_each_system_call_loses_nothing_acknowledged(
    store: Store, tmp_path: Path, calls: str
) -> None:
    points = 0
    with writers(store, tmp_path) as others:
        status = None
        while status != 0:
            pid = others.fork(f"{points}")
            with _killing(pid, calls, points + 1):
                others.go()
                status = others.status()
            assert status in (0, signal.SIGKILL)
            others.check()
            points += 1
        _all_is_well(others)
    assert points > 3


@pytest.mark.skipif(sys.platform != "linux" or not _may_trace(), reason="strace is absent, or may not trace")
@pytest.mark.parametrize("calls", [calls for calls in CALLS if calls not in ("openat", "close")])
def test_a_writer_of_columns_killed_at_each_system_call_gives_all_items_its_column_or_none(
    store: Store, tmp_path: Path, calls: str
) -> None:
    add(store, ["a", "b"])
    store.commit(add(store, ["c", "d"]), remove=[1])
    points = 0
    with writers(store, tmp_path) as others:
        status = None
        while status != 0:
            pid = others.fork(f"{points}", "give")
            with _killing(pid, calls, points + 1):
                others.go()
                status = others.status()
            snapshot = Store.open(store.path).snapshot()
            assert contents(snapshot) == expected(["a", "c", "d"])
            told = [int(line[2:]) for line in others.acknowledged.read_text().splitlines()]
            if "note" in snapshot.columns:
                (note,) = set(snapshot.table(["note"])["note"].to_pylist())
                assert max(told, default=0) <= note <= points
            assert told or status != 0
            points += 1
    assert points > 1
    store.repair(adopt=True, now=NOW)
    assert contents(store.snapshot()) == expected(["a", "c", "d"])
    assert store.verify() == []


@contextmanager
def _killing(pid: int, calls: str, nth: int) -> Iterator[None]:
    """Kill process ``pid`` as it enters the nth of ``calls``."""
    command = [
        "strace",
        "-f",
        "-o",
        os.devnull,
        "-e",
        f"trace={calls}",
        "-e",
        f"inject={calls}:signal=SIGKILL:when={nth}",
    ]
    with subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        assert "attached" in tracer.stderr.readline()
        yield
        tracer.communicate()
