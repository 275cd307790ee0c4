from __future__ import annotations

import numpy as np
import pytest

from mmsearch_indexes import (
    ApproximateIndex,
    FlatIndex,
    IndexRecipe,
    InvalidVectors,
    Matrix,
    RowIds,
    Truth,
    tune,
)

N, DIM = 8000, 32


def drawn(n: int, seed: int, spread: float) -> Matrix:
    """Unit rows around a mean; a wider spread is another kind of query."""
    chance = np.random.default_rng(seed)
    rows = 1 + spread * chance.standard_normal((n, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


ROWS, QUERIES, FRESH = drawn(N, 0, 2), drawn(400, 1, 2), drawn(400, 2, 2)
ORACLE = FlatIndex.build(ROWS)


@pytest.fixture(scope="module", params=["IVF64,PQ16x4fsr", "RR32,IVF64,RaBitQfs4", "HNSW8,SQ8"])
def index(request: pytest.FixtureRequest) -> ApproximateIndex:
    return ApproximateIndex.build(ROWS, IndexRecipe(factory=request.param))


def ann_recall(found: RowIds, exact: RowIds) -> float:
    return float(np.mean([len(np.intersect1d(f, e)) / 10 for f, e in zip(found, exact, strict=True)]))


@pytest.mark.parametrize("target", [0.8, 0.95])
def test_the_recall_that_is_promised_is_kept_for_fresh_queries(index: ApproximateIndex, target: float) -> None:
    tuned = tune(index, QUERIES, recall=target)
    fresh = ann_recall(index.search(FRESH, 10, tuned.setting).row_ids, ORACLE.search(FRESH, 10).row_ids)
    assert fresh >= target
    assert tuned.recall_low - 0.015 <= fresh <= tuned.recall_high + 0.015
    assert (tuned.target, tuned.n_queries) == (target, 200)


def test_what_is_reported_was_measured_on_the_queries_that_did_not_choose(index: ApproximateIndex) -> None:
    tuned = tune(index, QUERIES, recall=0.9)
    held_out = QUERIES[1::2]
    found, exact = index.search(held_out, 10, tuned.setting).row_ids, ORACLE.search(held_out, 10).row_ids
    assert tuned.recall == pytest.approx(ann_recall(found, exact), abs=1e-4)
    assert tuned.recall_low < tuned.recall < tuned.recall_high
    assert tuned.qps > 0


def test_no_more_is_spent_than_the_promise_needs(index: ApproximateIndex) -> None:
    tuned = tune(index, QUERIES, recall=0.8)
    assert tuned.recall < 0.93
    assert tuned.effort < index.max_effort / 2


def test_given_neighbours_are_what_recall_is_measured_against(index: ApproximateIndex) -> None:
    exact = ORACLE.search(QUERIES, 10).row_ids
    assert tune(index, QUERIES, recall=0.9, truth=Truth(exact)).recall > 0.88
    if not index.has_lists:
        return
    wrong = tune(index, QUERIES, recall=0.9, truth=Truth(np.roll(exact, 200, axis=0)))
    assert wrong.recall < 0.9
    assert wrong.effort == index.max_effort


def test_all_rows_compared_is_tuned_to_perfection() -> None:
    tuned = tune(ApproximateIndex.build(ROWS, IndexRecipe(factory="Flat")), QUERIES, recall=0.99)
    assert (tuned.recall, tuned.recall_low, tuned.recall_high) == (1, 1, 1)


def test_fewer_rows_than_neighbours_are_tuned() -> None:
    few = ApproximateIndex.build(ROWS[:5], IndexRecipe(factory="IVF64,PQ16x4fsr"))
    assert tune(few, QUERIES, recall=0.9).recall == 1


def test_too_few_queries_and_impossible_promises_are_refused(index: ApproximateIndex) -> None:
    with pytest.raises(InvalidVectors, match="39 queries tell too little to tune with; give 40 or more"):
        tune(index, QUERIES[:39], recall=0.9)
    for recall in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match=f"recall is {recall}"):
            tune(index, QUERIES, recall=recall)


def test_tuning_leaves_the_threads_of_faiss_as_they_were(index: ApproximateIndex) -> None:
    import faiss

    before = faiss.omp_get_max_threads()
    tune(index, QUERIES[:50], recall=0.5)
    assert faiss.omp_get_max_threads() == before


def test_where_the_measured_half_finds_less_the_other_is_asked_for_more(
    index: ApproximateIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other query is harder, so what suffices for the first half does not for the second."""
    if not index.has_lists:
        pytest.skip("to this graph they are alike")
    queries = drawn(400, 1, 2)
    queries[1::2] = drawn(400, 3, 0.5)[1::2]
    assert tune(index, queries, recall=0.9).recall >= 0.9
    monkeypatch.setattr("mmsearch_indexes.tuning._TRIES", 1)
    assert tune(index, queries, recall=0.9).recall < 0.9
