"""Folders to candidates: order, keys, links, and what is never opened."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import NotFound
from mmsearch.media import Candidate, Failure, Stage, path_of, walk
from mmsearch.media.failures import one_line


def plant(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode(errors="surrogateescape"))


def keys(root: Path, *, start: Path | None = None, exclude: tuple[Path, ...] = ()) -> list[str]:
    found = list(walk(root, source=".", start=start, exclude=exclude))
    assert all(isinstance(each, Candidate) for each in found), found
    return [each.key for each in found]


def test_candidate_tells_where_how_large_and_how_old(tmp_path: Path) -> None:
    plant(tmp_path, "a/b.jpg")
    os.utime(tmp_path / "a/b.jpg", ns=(1, 1_600_000_000_123_456_789))
    (found,) = walk(tmp_path, source="/mnt/disk")
    assert found == Candidate(
        key="a/b.jpg",
        source="/mnt/disk",
        path=tmp_path / "a/b.jpg",
        size_bytes=7,
        mtime_ns=1_600_000_000_123_456_789,
    )


def test_walk_goes_depth_first_in_bytewise_order(tmp_path: Path) -> None:
    plant(tmp_path, "b.jpg", "B.jpg", "a/z.png", "a/a.png", "a.jpg", "c/d/e.gif", "é.jpg", "z.jpg")
    assert keys(tmp_path) == [
        "B.jpg",
        "a/a.png",
        "a/z.png",
        "a.jpg",
        "b.jpg",
        "c/d/e.gif",
        "z.jpg",
        "é.jpg",
    ]


def test_only_picture_endings_are_taken_in_either_case(tmp_path: Path) -> None:
    plant(tmp_path, "a.JPG", "b.JpEg", "c.webp", "d.TIFF", "e.txt", "f", "g.jpg.part", "h.svg", "i.eps", "jpg")
    assert keys(tmp_path) == ["a.JPG", "b.JpEg", "c.webp", "d.TIFF"]


def test_hidden_and_excluded_are_left_out(tmp_path: Path) -> None:
    plant(tmp_path, "a.jpg", ".b.jpg", ".mmsearch/c.jpg", "d/.e/f.jpg", "index/g.jpg", "h/index/i.jpg", "j.jpg")
    excluded = (tmp_path / "h/../index", tmp_path / "j.jpg", tmp_path / "absent")
    assert keys(tmp_path, exclude=excluded) == ["a.jpg", "h/index/i.jpg"]


def test_keys_stay_relative_to_the_root_when_the_walk_starts_below(tmp_path: Path) -> None:
    plant(tmp_path, "a/b/c.jpg", "a/d.jpg", "e.jpg", ".f/g.jpg", "h.scan")
    assert keys(tmp_path, start=tmp_path / "a") == ["a/b/c.jpg", "a/d.jpg"]
    assert keys(tmp_path, start=tmp_path / "a/d.jpg") == ["a/d.jpg"]
    assert keys(tmp_path, start=tmp_path / ".f") == [".f/g.jpg"]
    assert keys(tmp_path, start=tmp_path / "h.scan") == ["h.scan"]


def test_start_that_is_missing_or_elsewhere_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no file or folder .*gone; check the path, or mount the disk") as caught:
        walk(tmp_path / "gone", source=".")
    assert caught.value.path == tmp_path / "gone"
    with pytest.raises(ValueError, match="not in the subpath"):
        walk(tmp_path / "a", source=".", start=tmp_path)


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path: Path) -> None:
    plant(tmp_path, "real/a.jpg", "outside/b.data")
    (tmp_path / "real/linked.jpg").symlink_to("../outside/b.data")
    (tmp_path / "real/again.jpg").symlink_to("linked.jpg")
    (tmp_path / "real/folder.jpg").symlink_to("../outside")
    (tmp_path / "real/loop").symlink_to(".")
    found = {each.key: each for each in walk(tmp_path / "real", source=".") if isinstance(each, Candidate)}
    assert list(found) == ["a.jpg", "again.jpg", "linked.jpg"]
    assert found["again.jpg"].size_bytes == len("outside/b.data")


def test_root_may_itself_be_a_link(tmp_path: Path) -> None:
    plant(tmp_path, "real/a.jpg")
    (tmp_path / "link").symlink_to("real")
    assert keys(tmp_path / "link") == ["a.jpg"]


def test_what_cannot_be_a_picture_fails_and_is_never_opened(tmp_path: Path) -> None:
    plant(tmp_path, "good.jpg")
    os.mkfifo(tmp_path / "fifo.jpg")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.jpg"))
        found = list(walk(tmp_path, source="."))
    assert [(each.key, each.error, each.message) for each in found if isinstance(each, Failure)] == [
        ("circle.jpg", "OSError", "the link leads nowhere: Too many levels of symbolic links"),
        ("dangling.jpg", "FileNotFoundError", "the link leads nowhere: No such file or directory"),
        ("fifo.jpg", "NotRegular", "it is a FIFO, not a regular file"),
        ("socket.jpg", "NotRegular", "it is a socket, not a regular file"),
        ("zero.jpg", "NotRegular", "it is a device, not a regular file"),
    ]
    assert [each.key for each in found if isinstance(each, Candidate)] == ["good.jpg"]
    assert {each.stage for each in found if isinstance(each, Failure)} == {Stage.WALK}


@contextmanager
def without_privileges() -> Iterator[None]:
    """chmod does not bind root, so a test that runs as root steps down meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_folder_without_permission_fails_and_the_walk_goes_on() -> None:
    with tempfile.TemporaryDirectory() as name:  # not tmp_path, whose parents are closed to others
        root = Path(name)
        plant(root, "a.jpg", "shut/b.jpg", "unseen/c.jpg", "z.jpg")
        root.chmod(0o755)
        (root / "shut").chmod(0o000)
        (root / "unseen").chmod(0o444)  # may be listed, and nothing in it looked at
        with without_privileges():
            found = list(walk(root, source="."))
        for folder in ("shut", "unseen"):
            (root / folder).chmod(0o755)
    assert [(type(each), each.key) for each in found] == [
        (Candidate, "a.jpg"),
        (Failure, "shut"),
        (Failure, "unseen/c.jpg"),
        (Candidate, "z.jpg"),
    ]
    messages = [each.message for each in found if isinstance(each, Failure)]
    assert messages == [
        "cannot list the folder: Permission denied",
        "cannot be looked at: Permission denied",
    ]


def test_folders_nested_deeper_than_pythons_stack(tmp_path: Path) -> None:
    depth = 1_001
    plant(tmp_path, "z.jpg")
    deepest = Path(f"{tmp_path}{'/d' * depth}")
    try:
        for n in range(1, depth + 1):
            Path(f"{tmp_path}{'/d' * n}").mkdir()
        plant(deepest, "a.jpg")
        assert keys(tmp_path) == ["d/" * depth + "a.jpg", "z.jpg"]
    finally:  # here, because rmtree recurses and would fail to clear tmp_path
        (deepest / "a.jpg").unlink()
        os.removedirs(deepest)


NASTY = [
    b"\xff\xfe.jpg",
    b"line\nbreak.jpg",
    b"-rf.jpg",
    b"=cmd().jpg",
    b"%2e%2e.jpg",
    "rtl\u202egpj.jpg".encode(),
    "e\u0301.jpg".encode(),
    "\u00e9.jpg".encode(),
    b"back\\slash.jpg",
    b"looks\\xffescaped.jpg",
    b"both\\xe9\xe9.jpg",
    b"n" * 251 + b".jpg",
    b"folder\xe9/inner\xe8.jpg",
]


@pytest.mark.parametrize("name", NASTY)
def test_every_name_has_a_portable_key_that_leads_back(tmp_path: Path, name: bytes) -> None:
    plant(tmp_path, os.fsdecode(name))
    (found,) = walk(tmp_path, source=".")
    assert isinstance(found, Candidate)
    assert found.key.encode("utf-8").decode("utf-8") == found.key
    back = path_of(".", found.key, tmp_path)
    assert back.read_bytes() == name
    assert path_of(str(tmp_path), found.key, Path("/elsewhere")).read_bytes() == name


def test_names_that_read_alike_do_not_share_a_key(tmp_path: Path) -> None:
    plant(tmp_path, "\\xff.jpg", os.fsdecode(b"\xff.jpg"), os.fsdecode(b"\xff/a.jpg"), "\\xff/a.jpg")
    found = list(walk(tmp_path, source="."))
    good = [each.key for each in found if isinstance(each, Candidate)]
    assert good == ["\\xff/a.jpg", "\\xff.jpg"]
    bad = [each for each in found if isinstance(each, Failure)]
    assert [each.key for each in bad] == ["\\xff", "\\xff.jpg"]
    assert all("rename one of them" in each.message for each in bad)


def test_source_of_any_bytes_leads_back(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"disk\xff")
    plant(root, "a.jpg")
    source = os.fsencode(root).decode("utf-8", "backslashreplace")
    assert path_of(source, "a.jpg", tmp_path) == root / "a.jpg"


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20))
def test_keys_without_escapes_are_plain_paths(name: str) -> None:
    assert path_of(".", f"a/{name}", Path("/home/x")) == Path("/home/x") / "a" / name


def test_text_of_a_failure_fits_one_line_of_500() -> None:
    assert one_line("a\n\tb\x1b[31m\udcffc") == "a b [31m\\udcffc"
    assert one_line("x" * 501) == "x" * 499 + "…"
    assert one_line("x" * 500) == "x" * 500
