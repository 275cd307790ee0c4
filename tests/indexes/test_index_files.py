from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmsearch_indexes import (
    ApproximateIndex,
    IndexRecipe,
    IndexUnusable,
    Matrix,
    Setting,
    Tuned,
    load_index,
    save_index,
)

N, DIM = 3000, 32
RECIPES = ["Flat", "IVF32,PQ16x4fsr", "OPQ8,IVF32,PQ8x4fsr", "RR32,IVF32,RaBitQfs", "HNSW16,SQ8"]
SETTING = Setting(effort=8, rerank=40)
TUNED = Tuned(effort=3, rerank=30, target=0.9, recall=0.93, recall_low=0.92, recall_high=0.94, qps=9.0, n_queries=500)


def rows_of(seed: int, n: int = N) -> Matrix:
    rows = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


QUERIES = rows_of(1, 20)


@pytest.fixture(scope="module", params=RECIPES)
def index(request: pytest.FixtureRequest) -> ApproximateIndex:
    return ApproximateIndex.build(rows_of(0), IndexRecipe(factory=request.param))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    save_index(ApproximateIndex.build(rows_of(0), IndexRecipe(factory="IVF32,PQ16x4fsr")), folder)
    return folder


@pytest.fixture
def folder(stored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stored, tmp_path / "index"))


def test_a_stored_index_answers_as_before(index: ApproximateIndex, tmp_path: Path) -> None:
    save_index(index.with_tuned("sentences", TUNED), tmp_path)
    opened = load_index(tmp_path)
    assert (opened.recipe, opened.tuned, len(opened), opened.dim) == (index.recipe, {"sentences": TUNED}, N, DIM)
    assert opened.max_effort == index.max_effort
    for among in (None, np.arange(0, N, 3)):
        before, after = (one.search(QUERIES, 10, SETTING, among=among) for one in (index, opened))
        np.testing.assert_array_equal(after.row_ids, before.row_ids)
        np.testing.assert_array_equal(after.scores, before.scores)


def test_saving_what_was_opened_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    save_index(load_index(folder), tmp_path / "again")
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_an_empty_index_is_stored(tmp_path: Path) -> None:
    save_index(ApproximateIndex.build(rows_of(0, 0), IndexRecipe(factory="IVF32,PQ16x4fsr")), tmp_path)
    assert len(load_index(tmp_path)) == 0


def test_the_rows_are_mapped_and_not_read(folder: Path) -> None:
    rows = load_index(folder).rows
    assert not rows.flags.writeable
    assert isinstance(rows.base, np.memmap)


def test_the_files_are_what_the_format_says(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    assert {key: meta[key] for key in ("format", "n", "dim", "tuned")} == {
        "format": 1,
        "n": N,
        "dim": DIM,
        "tuned": {},
    }
    assert meta["recipe"]["factory"] == "IVF32,PQ16x4fsr"
    rows = np.fromfile(folder / "rows.f16", "<f2").reshape(N, DIM)
    np.testing.assert_array_equal(rows, rows_of(0).astype(np.float16))


@pytest.mark.parametrize("name", ["rows.f16", "index.faiss"])
@pytest.mark.parametrize("harm", ["flipped", "truncated", "longer", "empty", "gone", "a folder"])
def test_a_damaged_file_is_named_before_it_is_searched(folder: Path, name: str, harm: str) -> None:
    file = folder / name
    content = bytearray(file.read_bytes())
    file.unlink()
    if harm == "flipped":
        content[len(content) // 2] ^= 1
    elif harm == "truncated":
        del content[-100:]
    elif harm == "longer":
        content.append(0)
    if harm == "a folder":
        file.mkdir()
    elif harm != "gone":
        file.write_bytes(b"" if harm == "empty" else content)
    message = "cannot be read" if harm in ("gone", "a folder") else "is not what was written"
    with pytest.raises(IndexUnusable, match=f"{name} {message}.*; build it anew") as caught:
        load_index(folder)
    assert caught.value.path == folder


@pytest.mark.parametrize("name", ["rows.f16", "index.faiss"])
def test_a_file_of_another_index_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    save_index(ApproximateIndex.build(rows_of(7), IndexRecipe(factory="IVF32,PQ16x4fsr")), tmp_path / "other")
    shutil.copy(tmp_path / "other" / name, folder / name)
    with pytest.raises(IndexUnusable, match=f"{name} is not what was written"):
        load_index(folder)


def test_files_swapped_with_their_sums_are_refused_by_what_they_hold(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save_index(ApproximateIndex.build(rows_of(7, 2000), IndexRecipe(factory="IVF32,PQ16x4fsr")), other)
    for name in ("rows.f16", "index.faiss"):
        swapped = Path(shutil.copytree(folder, tmp_path / f"with-other-{name}"))
        shutil.copy(other / name, swapped / name)
        meta = json.loads((swapped / "meta.json").read_text())
        meta["sha256"][name] = json.loads((other / "meta.json").read_text())["sha256"][name]
        (swapped / "meta.json").write_text(json.dumps(meta))
        with pytest.raises(IndexUnusable, match=r"does not hold 3,000 rows|is not the structure of 3,000 rows"):
            load_index(swapped)


def test_a_structure_that_faiss_refuses_is_unusable_even_with_the_right_sum(folder: Path) -> None:
    import hashlib

    content = (folder / "index.faiss").read_bytes()[:5000]
    (folder / "index.faiss").write_bytes(content)
    meta = json.loads((folder / "meta.json").read_text())
    meta["sha256"]["index.faiss"] = hashlib.sha256(content).hexdigest()
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(IndexUnusable, match="cannot be read by FAISS"):
        load_index(folder)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "has format None"),
        ('{"format": 2}', "has format 2, and this mmsearch reads format 1"),
        ('{"format": 1}', "does not describe an index"),
    ],
)
def test_a_meta_file_that_says_nothing_is_refused(folder: Path, meta: str, message: str) -> None:
    (folder / "meta.json").write_text(meta)
    with pytest.raises(IndexUnusable, match=message):
        load_index(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n", -1),
        ("n", "many"),
        ("n", 10**30),
        ("dim", 0),
        ("dim", None),
        ("sha256", {}),
        ("sha256", {"../secret": "0"}),
        ("sha256", None),
        ("recipe", {"factory": "Flat"}),
        ("recipe", []),
        ("tuned", {"sentences": {"effort": 1}}),
        ("tuned", 5),
    ],
)
def test_a_meta_file_with_another_kind_of_value_is_refused(folder: Path, key: str, value: object) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, key: value}))
    with pytest.raises(IndexUnusable, match=r"meta.json does not describe an index"):
        load_index(folder)


def test_a_folder_without_an_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(IndexUnusable, match="holds no index"):
        load_index(tmp_path / "nowhere")


def test_an_index_whose_writing_was_stopped_is_no_index(folder: Path) -> None:
    (folder / "meta.json").unlink()
    with pytest.raises(IndexUnusable, match="holds no index"):
        load_index(folder)


def test_reading_leaves_the_limits_of_faiss_as_they_were(folder: Path) -> None:
    import faiss

    before = faiss.get_deserialization_vector_byte_limit()
    load_index(folder)
    assert faiss.get_deserialization_vector_byte_limit() == before
