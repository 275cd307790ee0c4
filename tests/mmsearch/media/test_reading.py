"""Reading a file whole, and all of one state."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from mmsearch.errors import MediaError
from mmsearch.media import reading
from mmsearch.media.reading import read_file


@pytest.fixture
def on_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Callable[[], object]]], None]:
    """Lets things happen right after each read from a file, as another process would do them."""

    def install(happenings: list[Callable[[], object]]) -> None:
        genuine = os.read

        def read(descriptor: int, size: int) -> bytes:
            data = genuine(descriptor, size)
            if data and happenings:
                happenings.pop(0)()
            return data

        monkeypatch.setattr(reading.os, "read", read)

    return install


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_content_and_time_stamp_belong_together(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(range(256)) * 100)
    os.utime(path, ns=(7, 8))
    content = read_file(path, max_bytes=25_600)
    assert (content.data, content.mtime_ns) == (bytes(range(256)) * 100, 8)


def test_file_that_grows_once_is_read_again(
    tmp_path: Path, on_read: Callable[[list[Callable[[], object]]], None]
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"half")
    on_read([lambda: append(path, b" and whole")])
    assert read_file(path, max_bytes=100).data == b"half and whole"


def test_file_that_is_rewritten_at_equal_size_is_read_again(
    tmp_path: Path, on_read: Callable[[list[Callable[[], object]]], None]
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    os.utime(path, ns=(1, 1))
    on_read([lambda: path.write_bytes(b"new")])
    assert read_file(path, max_bytes=100).data == b"new"


def test_file_that_goes_on_changing_is_refused(
    tmp_path: Path, on_read: Callable[[list[Callable[[], object]]], None]
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a")
    on_read([lambda: append(path, b"b")] * 9)
    with pytest.raises(MediaError, match="changed while it was being read, twice"):
        read_file(path, max_bytes=100)


def test_file_that_shrinks_meanwhile_is_refused_or_read_whole(
    tmp_path: Path, on_read: Callable[[list[Callable[[], object]]], None]
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abcdef")
    on_read([lambda: os.truncate(path, 2)])
    assert read_file(path, max_bytes=100).data == b"ab"


def test_special_files_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(MediaError, match="it is a FIFO, not a regular file"):
        read_file(tmp_path / "fifo", max_bytes=100)
    with pytest.raises(MediaError, match="it is a device"):
        read_file(Path("/dev/zero"), max_bytes=100)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(OSError, match="No such device"):
            read_file(tmp_path / "s", max_bytes=100)


def test_size_limit_holds_before_anything_is_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(100_000_000_000)
    with pytest.raises(MediaError, match="it has 100,000,000,000 bytes, and the limit is 200,000,000"):
        read_file(tmp_path / "sparse", max_bytes=200_000_000)
