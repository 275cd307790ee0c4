from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mmsearch
from mmsearch.media import Limits
from mmsearch.search.duplicates import CopyGroup, duplicates_in, find_duplicates
from mmsearch.store import Store


def test_groups_lead_with_the_preferred_and_the_largest_group_comes_first() -> None:
    rows = np.eye(4, dtype=np.float32)[[0, 1, 0, 2, 1, 1, 3]]
    ids = np.array([70, 61, 52, 43, 34, 25, 16])
    assert find_duplicates(ids, rows, [None] * 7, threshold=0.9) == [(61, 34, 25), (70, 52)]


def test_groups_of_equal_size_stand_in_order_of_preference() -> None:
    rows = np.eye(3, dtype=np.float32)[[2, 0, 0, 2, 1]]
    assert find_duplicates(np.arange(5), rows, [None] * 5, threshold=0.9) == [(0, 3), (1, 2)]


def test_nothing_twice_gives_no_group() -> None:
    rows = np.eye(3, dtype=np.float16)
    assert find_duplicates(np.arange(3), rows, [b"a", b"b", None], threshold=0.9) == []
    assert find_duplicates(np.arange(0), rows[:0], [], threshold=0.9) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photographs; of the cat a smaller and a brighter one, and of the coffee its bytes once more."""
    data = pytest.importorskip("skimage.data")
    root = tmp_path_factory.mktemp("photos")
    for name in ("cat", "coffee", "rocket"):
        Image.fromarray(getattr(data, name)()).save(root / f"{name}.png")
    cat = Image.open(root / "cat.png")
    cat.resize((225, 150)).save(root / "cat small.jpg", quality=60)
    Image.eval(cat, lambda value: min(255, round(value * 1.2))).crop((9, 6, 442, 294)).save(root / "cat bright.png")
    (root / "again").mkdir()
    shutil.copy(root / "coffee.png", root / "again/coffee.png")
    return root


@pytest.fixture(scope="module")
def collection(folder: Path) -> Path:
    photos, _ = mmsearch.index(folder, encoder="mini")
    return photos.path


def duplicates(collection: Path, home: Path) -> list[CopyGroup]:
    return duplicates_in(Store.open(collection).snapshot(), home, limits=Limits())


def test_copies_are_found_and_the_largest_is_kept(collection: Path, folder: Path) -> None:
    first, second = duplicates(collection, folder)
    assert [first.keep.key, *(copy.key for copy in first.spare)] == ["cat.png", "cat bright.png", "cat small.jpg"]
    assert [(copy.width, copy.height) for copy in first.spare] == [(433, 288), (225, 150)]
    assert first.keep.path == folder / "cat.png"
    assert first.keep.cosine == 1.0
    assert all(0.85 <= copy.cosine < 1 for copy in first.spare)
    assert [copy.same_bytes for copy in first.spare] == [False, False]
    assert first.spare_bytes == sum((folder / name).stat().st_size for name in ("cat bright.png", "cat small.jpg"))
    assert {second.keep.key, second.spare[0].key} == {"coffee.png", "again/coffee.png"}
    assert second.spare[0].same_bytes


def test_files_that_are_gone_are_copies_by_their_bytes_alone(collection: Path, tmp_path: Path) -> None:
    (group,) = duplicates(collection, tmp_path / "elsewhere")
    assert {group.keep.key, group.spare[0].key} == {"coffee.png", "again/coffee.png"}


def test_groups_are_plain_json(collection: Path, folder: Path) -> None:
    group = json.loads(json.dumps(duplicates(collection, folder)[0].to_json()))
    assert group["keep"]["key"] == "cat.png"
    assert group["keep"]["path"] == str(folder / "cat.png")
    assert group["spare_bytes"] == sum(copy["bytes"] for copy in group["spare"])


def test_a_group_is_shown_with_the_one_to_keep_first(collection: Path, folder: Path) -> None:
    hits = duplicates(collection, folder)[0].to_hits()
    assert [(hit.rank, hit.key) for hit in hits] == [(1, "cat.png"), (2, "cat bright.png"), (3, "cat small.jpg")]
    assert hits.query == mmsearch.Item("cat.png")
    assert hits[2].columns == {"width": 225, "height": 150, "bytes": (folder / "cat small.jpg").stat().st_size}
    assert hits.conditions[0].startswith("2 to spare, ")


def test_an_empty_collection_has_no_duplicates(tmp_path: Path) -> None:
    empty = mmsearch.create(tmp_path / ".mmsearch", mmsearch.load_encoder("mini"))
    assert duplicates(empty.path, tmp_path) == []
