"""Through an index, a collection answers as it does without, but for a little recall."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmsearch
from mmsearch.ann import ItemIndex
from mmsearch.arrays import Embeddings, Ids, Scores
from mmsearch.errors import QueryError
from mmsearch.store import Modality, Store
from mmsearch_indexes import ApproximateIndex, Matrix, Setting
from tests.fakes import FakeEncoder
from tests.mmsearch.ann.conftest import RECIPE, N, drawn, put
from tests.pictures import paint

QUERIES = drawn(40, seed=5)


def found(store: Store, queries: Embeddings = QUERIES, k: int = 10, among: Ids | None = None) -> tuple[Ids, Scores]:
    index = ItemIndex.open(store.snapshot(), Modality.IMAGE)
    return index.search(queries, k, asked_in=Modality.TEXT, among=among)


def exactly(store: Store, queries: Embeddings = QUERIES, k: int = 10, among: Ids | None = None) -> tuple[Ids, Scores]:
    snapshot = store.snapshot()
    ids, stored = snapshot.embeddings(Modality.IMAGE)
    rows = np.arange(len(ids)) if among is None else np.flatnonzero(np.isin(ids, among))
    scores = (queries.astype(np.float64) @ stored[rows].astype(np.float64).T).astype(np.float32)
    order = np.stack([np.lexsort((ids[rows], -row)) for row in scores])[:, :k]
    return ids[rows][order], np.take_along_axis(scores, order, axis=1)


def share(some: Ids, of: Ids) -> float:
    return float(np.mean([np.isin(row, others).mean() for row, others in zip(of, some, strict=True)]))


def test_what_an_index_finds_has_the_score_of_exact_search(built: mmsearch.Collection, store: Store) -> None:
    ids, scores = found(store)
    true_ids, true_scores = exactly(store)
    assert share(ids, true_ids) >= 0.9
    for row, true_row, score, true_score in zip(ids, true_ids, scores, true_scores, strict=True):
        known = dict(zip(true_row.tolist(), true_score.tolist(), strict=True))
        assert all(known.get(item, value) == value for item, value in zip(row.tolist(), score.tolist(), strict=True))
        assert (np.diff(score) <= 0).all()


def test_the_index_is_what_answers(built: mmsearch.Collection, store: Store) -> None:
    ids, _ = found(store, drawn(300, seed=6))
    assert share(ids, exactly(store, drawn(300, seed=6))[0]) < 1  # exact search would miss nothing


def test_what_is_added_later_is_found_at_once(built: mmsearch.Collection, store: Store) -> None:
    store.commit(store.snapshot(), add=[put(store, QUERIES, "new")])
    ids, scores = found(store, k=1)
    np.testing.assert_array_equal(ids, exactly(store, k=1)[0])
    assert (ids[:, 0] >= N).all()
    np.testing.assert_allclose(scores, 1, atol=1e-3)


def test_what_is_removed_is_not_found_and_others_take_its_place(built: mmsearch.Collection, store: Store) -> None:
    best = exactly(store, k=5)[0]
    store.commit(store.snapshot(), remove=np.unique(best).tolist())
    ids, _ = found(store)
    assert not np.isin(ids, best).any()
    assert (ids >= 0).all()
    assert share(ids, exactly(store)[0]) >= 0.85


@pytest.mark.parametrize("share_of_all", [0.001, 0.05, 0.5])
def test_a_filter_never_gives_fewer_than_there_are(
    built: mmsearch.Collection, store: Store, share_of_all: float
) -> None:
    store.commit(store.snapshot(), add=[put(store, drawn(30, seed=8), "new")])
    ids = store.snapshot().table(["id"])["id"].to_numpy()
    among = np.random.default_rng(3).permutation(ids)[: int(share_of_all * len(ids))]
    got, _ = found(store, among=among)
    true = exactly(store, among=among)[0]
    assert np.isin(got[got >= 0], among).all()
    assert ((got >= 0).sum(axis=1) == min(10, len(among))).all()
    assert share(got[:, : true.shape[1]], true) >= 0.85


def test_more_than_there_are_gives_all(built: mmsearch.Collection, store: Store) -> None:
    ids, scores = found(store, QUERIES[:2], k=N + 5)
    np.testing.assert_array_equal(ids[:, :N], exactly(store, QUERIES[:2], k=N)[0])
    assert (ids[:, N:] == -1).all()
    assert np.isneginf(scores[:, N:]).all()


def test_vectors_and_mean_are_those_of_the_items(built: mmsearch.Collection, store: Store) -> None:
    store.commit(store.snapshot(), add=[put(store, drawn(50, seed=9), "new")], remove=[3, 4, 5999])
    snapshot = store.snapshot()
    ids, stored = snapshot.embeddings(Modality.IMAGE)
    index = ItemIndex.open(snapshot, Modality.IMAGE)
    np.testing.assert_array_equal(index.ids, ids)
    some = np.random.default_rng(0).permutation(len(ids))[:200]
    np.testing.assert_array_equal(index.vectors(ids[some]), stored[some].astype(np.float32))
    np.testing.assert_allclose(index.mean(), stored.astype(np.float64).mean(axis=0), atol=1e-6)


def test_hits_of_a_sentence_are_the_same_but_for_recall(built: mmsearch.Collection, store: Store) -> None:
    through = built.search("two dogs in the snow", k=20)
    store.commit(store.snapshot(), index={Modality.IMAGE: None})
    compared = mmsearch.Collection(store, encoder=FakeEncoder()).search("two dogs in the snow", k=20)
    assert len({hit.id for hit in through} & {hit.id for hit in compared}) >= 17
    assert [hit.relevance for hit in compared if hit.id == through[0].id] == [pytest.approx(through[0].relevance)]


@pytest.mark.parametrize("name", ["index.faiss", "rows.f16", "meta.json", "ids.npy", "mean.npy"])
@pytest.mark.parametrize("harm", ["flipped", "truncated", "emptied", "gone"])
def test_a_bad_index_costs_a_warning_and_nothing_else(
    built: mmsearch.Collection, store: Store, name: str, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = store.snapshot().manifest.index["image"].path_in(store.path) / name
    data = bytearray(file.read_bytes())
    file.unlink()
    if harm == "flipped":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif harm == "truncated":
        file.write_bytes(data[: len(data) // 2])
    elif harm == "emptied":
        file.touch()
    with caplog.at_level(logging.WARNING):
        ids, scores = found(store)
    true_ids, true_scores = exactly(store)
    np.testing.assert_array_equal(ids, true_ids)
    np.testing.assert_array_equal(scores, true_scores)
    assert "build it anew with `mmsearch build`" in caplog.text
    assert "until then every item is compared" in caplog.text
    assert "image" in built.info().indexes or name != "mean.npy"  # which is not looked at


def test_an_index_of_another_collection_is_not_used(
    built: mmsearch.Collection, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Store.create(tmp_path / "other", FakeEncoder().space)
    other.commit(other.snapshot(), add=[put(other, drawn(N, seed=77), "q")])
    mmsearch.Collection(other, encoder=FakeEncoder()).build(mmsearch.BuildOptions(recipe=RECIPE))
    mine, foreign = (s.snapshot().manifest.index["image"].path_in(s.path) for s in (store, other))
    shutil.rmtree(mine)
    shutil.copytree(foreign, mine)
    np.testing.assert_array_equal(found(store)[0], exactly(store)[0])
    assert "is not what was written" in caplog.text


def test_a_reader_goes_on_with_the_index_it_opened(built: mmsearch.Collection, store: Store) -> None:
    index = ItemIndex.open(store.snapshot(), Modality.IMAGE)
    before = index.search(QUERIES, 10, asked_in=Modality.TEXT)
    built.build(mmsearch.BuildOptions(recipe="IVF16,PQ4x4fsr"))
    after = index.search(QUERIES, 10, asked_in=Modality.TEXT)
    np.testing.assert_array_equal(after[0], before[0])


def test_an_open_collection_takes_up_a_new_index(photos: mmsearch.Collection, store: Store) -> None:
    photos.search("two dogs")
    assert photos._searcher
    before = photos._searcher
    mmsearch.Collection(store, encoder=FakeEncoder()).build(mmsearch.BuildOptions(recipe=RECIPE))
    photos.search("two dogs")
    assert photos._searcher is not before


def test_each_kind_of_query_is_searched_as_it_was_tuned(
    built: mmsearch.Collection, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Setting] = []
    search = ApproximateIndex.search

    def noted(self: ApproximateIndex, queries: Matrix, k: int, setting: Setting, **options: Any) -> Any:
        asked.append(setting)
        return search(self, queries, k, setting, **options)

    monkeypatch.setattr(ApproximateIndex, "search", noted)
    tuned = {kind: of.setting for kind, of in built.info().indexes["image"].tuned.items()}
    assert tuned["text"] != tuned["image"]
    picture = mmsearch.Picture(paint(tmp_path / "a.png", seed=1))
    built.search("two dogs")
    built.search(picture)
    built.search(picture + mmsearch.Text("two dogs"))
    assert asked == [tuned["text"], tuned["image"], tuned["text"]]
    asked.clear()
    together = built.search_many([picture, "two dogs", picture], k=5)
    assert sorted(asked, key=str) == sorted([tuned["image"], tuned["text"]], key=str)
    for row, query in enumerate([picture, "two dogs", picture]):
        assert [hit.id for hit in built.search(query, k=5)] == together.ids[row].tolist()


def test_more_than_a_million_beyond_the_newer_items_can_be_asked_for(
    built: mmsearch.Collection, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsearch_indexes.neighbors._MAX_FILL", 100)
    ids, _ = found(store, QUERIES[:1], k=N + 50)
    assert (ids >= 0).sum() == N
    with pytest.raises(QueryError, match="k is 6,101 but there are 6,000 rows"):
        found(store, QUERIES[:1], k=N + 101)
    with pytest.raises(QueryError, match="k is 10,000,000,000,000 but"):
        built.search_many(["two dogs"], k=10**13)


def test_an_index_that_is_still_in_use_is_not_read_again(
    built: mmsearch.Collection, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    built.search("two dogs")
    store.commit(store.snapshot(), add=[put(store, QUERIES, "new")])
    monkeypatch.setattr("mmsearch.ann.item_index.open_index", lambda *_: pytest.fail("read again"))
    assert built.search_many(["two dogs"], k=N + 40).ids.max() >= N


def test_texts_are_searched_by_an_index_of_their_own(photos: mmsearch.Collection, store: Store) -> None:
    store.commit(store.snapshot(), add=[put(store, drawn(4000, seed=4), "t", modality=Modality.TEXT)])
    reports = photos.build(mmsearch.BuildOptions(recipe=RECIPE))
    assert [(report.modality, report.rows) for report in reports] == [("image", N), ("text", 4000)]
    assert {tuple(report.index.tuned) for report in reports if report.index} == {("text", "image")}
    assert photos.search("two dogs", k=3, modality="text")[0].modality == "text"
