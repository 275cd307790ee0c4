"""Building: what is promised is measured, what is asked is checked, and nothing is left of what failed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import mmsearch
from mmsearch.ann import everyday_sentences
from mmsearch.errors import BuildError, CollectionError, MissingPackage
from mmsearch.store import Modality, Store
from mmsearch_indexes import FaissMissing, IndexUnusable, OverBudget, VectorIndexError
from tests.fakes import FakeEncoder
from tests.mmsearch.ann.conftest import RECIPE, N, drawn, put


def folders(store: Store) -> list[str]:
    return sorted(path.name for path in (store.path / "indexes").glob("*-*"))


def test_a_build_tells_what_it_measured(built: mmsearch.Collection, store: Store) -> None:
    kept = built.info().indexes["image"]
    assert (kept.rows, kept.recipe, kept.newer, kept.gone) == (N, RECIPE, 0, 0)
    assert set(kept.tuned) == {"text", "image"}
    for tuned in kept.tuned.values():
        assert tuned.target == 0.95
        assert tuned.recall_low <= tuned.recall <= tuned.recall_high
        assert tuned.recall >= 0.93  # half of the queries chose the setting, the other half measured it
        assert tuned.qps > 0
    assert kept.size_bytes == sum(file.stat().st_size for file in kept.folder.iterdir())
    assert kept.memory_bytes < kept.size_bytes
    assert built.verify() == []


def test_progress_counts_items_and_kinds_of_queries(photos: mmsearch.Collection) -> None:
    told: list[tuple[str, int, int]] = []
    photos.build(mmsearch.BuildOptions(recipe=RECIPE), progress=lambda _, step, done, of: told.append((step, done, of)))
    assert [of for of in told if of[0] == "reading"] == [("reading", N // 2, N), ("reading", N, N)]
    assert [of for of in told if of[0] == "learning and adding"] == [
        ("learning and adding", 0, N),
        ("learning and adding", N, N),
    ]
    assert [of for of in told if of[0] == "tuning"] == [("tuning", 0, 2), ("tuning", 1, 2)]


def test_few_items_need_no_index(photos: mmsearch.Collection, store: Store) -> None:
    announced = []
    reports = photos.build(announce=lambda modality, plan: announced.append((modality, plan.recipe.factory)))
    assert announced == [("image", "Flat")]
    assert [(report.modality, report.rows, report.index) for report in reports] == [("image", N, None)]
    assert folders(store) == []
    assert photos.outdated() == {}


def test_an_index_that_is_not_needed_any_more_goes(built: mmsearch.Collection, store: Store) -> None:
    built.build(mmsearch.BuildOptions())
    assert folders(store) == []
    assert built.info().indexes == {}


def test_a_rebuild_takes_the_place_of_the_index_and_keeps_its_options(built: mmsearch.Collection, store: Store) -> None:
    before = folders(store)
    store.commit(store.snapshot(), add=[put(store, drawn(2000, seed=3), "new")], remove=[1, 2, 3])
    kept = built.info().indexes["image"]
    assert (kept.newer, kept.gone) == (2000, 3)
    assert built.outdated() == {"image": pytest.approx(2003 / (N + 2000 - 3))}
    (report,) = built.build()
    assert report.index
    assert (report.index.rows, report.index.recipe, report.index.newer) == (N + 1997, RECIPE, 0)
    assert folders(store) != before
    assert len(folders(store)) == 1
    assert built.outdated() == {"image": 0}


def test_a_few_texts_do_not_take_the_memory_of_the_pictures(photos: mmsearch.Collection, store: Store) -> None:
    store.commit(store.snapshot(), add=[put(store, drawn(5, seed=3), "t", modality=Modality.TEXT)])
    reports = photos.build(mmsearch.BuildOptions(memory_bytes=200_000))
    assert [(report.modality, report.plan.recipe.is_exact) for report in reports] == [("image", False), ("text", True)]
    assert sum(report.plan.resident_bytes for report in reports) <= 200_000


def test_that_no_index_is_wanted_is_remembered(
    built: mmsearch.Collection, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mmsearch.ann.building.EXACT_ROWS", 1000)
    monkeypatch.setattr("mmsearch_indexes.planner.EXACT_ROWS", 1000)
    assert built.outdated() == {"image": 0}
    built.build(mmsearch.BuildOptions(recall=1))
    assert built.outdated() == {}
    assert built.info().indexes == {}
    assert built.search("two dogs")[0].rank == 1
    assert caplog.text == ""
    assert built.build()[0].plan.recipe.is_exact
    store.commit(store.snapshot(), index={"image": None})
    assert built.outdated() == {"image": 1}


def test_a_modality_without_items_keeps_no_index(photos: mmsearch.Collection, store: Store) -> None:
    store.commit(store.snapshot(), add=[put(store, drawn(4000, seed=3), "t", modality=Modality.TEXT)])
    photos.build(mmsearch.BuildOptions(recipe=RECIPE))
    assert len(folders(store)) == 2
    ids = store.snapshot().table(["id"], modality="text")["id"].to_pylist()
    store.commit(store.snapshot(), remove=ids)
    photos.build()
    assert list(photos.info().indexes) == ["image"]
    assert len(folders(store)) == 1


def test_a_collection_behind_a_link_is_indexed(photos: mmsearch.Collection, store: Store, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(store.path)
    linked = mmsearch.Collection(Store.open(tmp_path / "linked"), encoder=FakeEncoder())
    linked.build(mmsearch.BuildOptions(recipe=RECIPE))
    assert photos.info().indexes["image"].rows == N
    assert photos.verify() == []


def test_what_a_killed_build_left_goes_a_day_later(photos: mmsearch.Collection, store: Store) -> None:
    left = store.path / "tmp" / "abandoned"
    left.mkdir()
    (left / "rows.f16").write_bytes(b"0" * 1000)
    os.utime(left, (1, 1))
    photos.build(mmsearch.BuildOptions(recipe=RECIPE))
    assert not left.exists()


def test_an_index_is_built_over_what_is_live(photos: mmsearch.Collection, store: Store) -> None:
    store.commit(store.snapshot(), remove=list(range(0, N, 2)))
    (report,) = photos.build(mmsearch.BuildOptions(recipe="IVF16,PQ8x4fsr"))
    assert report.rows == N // 2
    assert photos.info().indexes["image"].gone == 0


def test_shards_of_writers_that_raced_are_indexed_in_id_order(photos: mmsearch.Collection, store: Store) -> None:
    """Ids that one writer reserved before another, and committed after it."""
    first, second = put(store, drawn(500, seed=3), "a"), put(store, drawn(500, seed=4), "b")
    third = put(store, drawn(500, seed=5), "c")
    store.commit(store.snapshot(), add=[third, first])
    store.commit(store.snapshot(), add=[second])
    photos.build(mmsearch.BuildOptions(recipe=RECIPE))
    assert photos.info().indexes["image"].rows == N + 1500
    snapshot = store.snapshot()
    ids, stored = snapshot.embeddings(Modality.IMAGE)
    parts = list(snapshot.embedding_batches(Modality.IMAGE))
    np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), ids)
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), stored)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recall": 0}, "recall is 0; give a number above 0 and up to 1"),
        ({"recall": 1.5}, "recall is 1.5; give"),
        ({"recall": float("nan")}, "recall is nan; give"),
        ({"memory_bytes": 0}, "memory is 0 bytes; give 1 or more, such as 500MB"),
        ({"recipe": "IVF32,PQ8"}, "factory is 'IVF32,PQ8'; give Flat, "),
        ({"recipe": "IVF32,PQ5x4fsr"}, "FAISS cannot build 'IVF32,PQ5x4fsr' over rows of 16"),
        ({"recipe": RECIPE, "recall": 1}, "only comparing all items finds all of the nearest"),
        (
            {"memory_bytes": 1000},
            "indexes of 6,000 items need 77 kB of memory at least, and 1 kB were given; give 77 kB",
        ),
    ],
)
def test_what_cannot_be_built_is_said_and_leaves_nothing(
    photos: mmsearch.Collection, store: Store, options: dict[str, float], message: str
) -> None:
    with pytest.raises(BuildError, match=message):
        photos.build(mmsearch.BuildOptions(**options))  # type: ignore[arg-type]
    assert folders(store) == []
    assert list((store.path / "tmp").iterdir()) == []


def test_a_build_that_is_stopped_leaves_what_was(built: mmsearch.Collection, store: Store) -> None:
    before = folders(store)

    def stop(_: object, step: mmsearch.BuildStep, done: int, total: int) -> None:
        if step is mmsearch.BuildStep.TUNING:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built.build(progress=stop)
    assert folders(store) == before
    assert list((store.path / "tmp").iterdir()) == []
    assert built.info().indexes["image"].rows == N


def test_a_folder_that_cannot_be_written_is_said(photos: mmsearch.Collection, store: Store) -> None:
    (store.path / "indexes").rmdir()
    (store.path / "indexes").write_text("in the way")
    with pytest.raises(CollectionError, match="cannot write"):
        photos.build(mmsearch.BuildOptions(recipe=RECIPE))
    assert len(photos) == N


def test_verify_finds_a_flipped_bit_of_an_index_and_repair_drops_it(built: mmsearch.Collection, store: Store) -> None:
    file = built.info().indexes["image"].folder / "rows.f16"
    data = bytearray(file.read_bytes())
    data[1000] ^= 4
    file.write_bytes(data)
    (damage,) = built.verify()
    assert damage.path == file
    assert "mmsearch build" in damage.message
    built.repair()
    assert built.verify() == []
    assert built.info().indexes == {}
    assert folders(store) == []
    assert len(built) == N


def test_an_index_that_somebody_deleted_is_no_damage(built: mmsearch.Collection, store: Store) -> None:
    folder = built.info().indexes["image"].folder
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert built.verify() == []
    assert built.outdated() == {"image": 1}
    assert built.search("two dogs")[0].rank == 1


def test_everyday_sentences_differ() -> None:
    sentences = everyday_sentences(2000)
    assert len(set(sentences)) == 2000
    assert sentences == everyday_sentences(2000)
    assert not set(sentences[:50]) <= set(everyday_sentences(50, seed=1))


@pytest.mark.parametrize("error", VectorIndexError.__subclasses__())
def test_errors_of_the_indexes_are_translated(
    error: type[VectorIndexError], photos: mmsearch.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {IndexUnusable: ("bad", Path()), OverBudget: ("bad", 1), FaissMissing: ()}.get(error, ("bad",))
    if error.__name__ == "InvalidK":
        arguments = ("bad", 0)

    def fail(*_: object, **__: object) -> None:
        raise error(*arguments)

    monkeypatch.setattr("mmsearch.ann.building.plan", fail)
    monkeypatch.setattr("mmsearch_indexes.FlatIndex.search", fail)
    with pytest.raises(MissingPackage if error is FaissMissing else BuildError):
        photos.build()
    with pytest.raises(MissingPackage if error is FaissMissing else mmsearch.errors.QueryError):
        photos.search("two dogs")
