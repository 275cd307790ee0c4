from __future__ import annotations

import numpy as np
import pytest

from mmsearch_indexes import (
    ApproximateIndex,
    CurvePoint,
    FlatIndex,
    IndexRecipe,
    InvalidVectors,
    Matrix,
    MeasuredCurve,
    RowIds,
    Setting,
    Truth,
    find_truth,
    measure_curve,
)
from mmsearch_indexes.curve import pareto_front

N, DIM = 8000, 32


def drawn(n: int, seed: int) -> Matrix:
    """Unit rows around a mean."""
    rows = 1 + 2 * np.random.default_rng(seed).standard_normal((n, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


ROWS, QUERIES = drawn(N, 0), drawn(100, 1)
IN_USE = Setting(effort=24, rerank=23)
EXACT = FlatIndex.build(ROWS).search(QUERIES, 10).row_ids


@pytest.fixture(scope="module", params=["IVF64,PQ16x4fsr", "HNSW8,SQ8"])
def index(request: pytest.FixtureRequest) -> ApproximateIndex:
    return ApproximateIndex.build(ROWS, IndexRecipe(factory=request.param))


@pytest.fixture(scope="module")
def measured(index: ApproximateIndex) -> MeasuredCurve:
    return measure_curve(index, QUERIES, Truth(EXACT), in_use=IN_USE, seconds=60)


def ann_recall(found: RowIds, exact: RowIds) -> float:
    return float(np.mean([len(np.intersect1d(f, e)) / 10 for f, e in zip(found, exact, strict=True)]))


def point(recall: float, qps: float) -> CurvePoint:
    return CurvePoint(
        effort=1, rerank=10, recall=recall, recall_low=recall, recall_high=recall, qps=qps, qps_low=qps, qps_high=qps
    )


def test_a_point_tells_the_recall_that_a_search_with_its_setting_has(
    index: ApproximateIndex, measured: MeasuredCurve
) -> None:
    assert measured.in_use
    for found in (*measured.points, measured.in_use):
        setting = Setting(effort=found.effort, rerank=found.rerank)
        searched = index.search(QUERIES, 10, setting).row_ids
        # Candidates with the same approximate score may stand in for each other; a graph may come by others.
        assert found.recall == pytest.approx(ann_recall(searched, EXACT), abs=0.01 if index.has_lists else 0.05)
        assert found.recall_low < found.recall < found.recall_high <= 1 or found.recall == 1
        assert 0 < found.qps_low <= found.qps <= found.qps_high


def test_the_curve_rises_from_quick_to_thorough(index: ApproximateIndex, measured: MeasuredCurve) -> None:
    recalls = [found.recall for found in measured.points]
    speeds = [found.qps for found in measured.points]
    assert recalls == sorted(set(recalls))
    assert speeds == sorted(set(speeds), reverse=True)
    assert len(recalls) >= 3
    assert recalls[-1] > 0.98
    doubled = [(1 if index.has_lists else 10) << times for times in range(12)]
    assert {found.effort for found in measured.points} <= {*doubled, IN_USE.effort, index.max_effort}


def test_the_setting_in_use_is_measured_even_where_the_sweep_passes_it_by(measured: MeasuredCurve) -> None:
    assert measured.in_use
    assert (measured.in_use.effort, measured.in_use.rerank) == (IN_USE.effort, IN_USE.rerank)
    assert measured.exact_qps > 0


def test_no_setting_on_the_front_is_beaten_in_both() -> None:
    quick, beaten, tied, thorough = point(0.8, 900), point(0.85, 300), point(0.9, 400), point(0.98, 100)
    slower_twin = point(0.9, 350)
    assert pareto_front([thorough, slower_twin, tied, beaten, quick]) == (quick, tied, thorough)
    assert pareto_front([]) == ()


def test_where_all_rows_are_compared_the_curve_is_a_point() -> None:
    flat = ApproximateIndex.build(ROWS[:500], IndexRecipe(factory="Flat"))
    exact = flat.search_exactly(QUERIES, 10).row_ids
    measured = measure_curve(flat, QUERIES, Truth(exact), seconds=0.1)
    assert [found.recall for found in measured.points] == [1.0]
    assert measured.in_use is None


def test_fewer_rows_than_neighbours_and_a_single_query_have_a_curve() -> None:
    few = ApproximateIndex.build(ROWS[:5], IndexRecipe(factory="IVF64,PQ16x4fsr"))
    one = QUERIES[:1]
    measured = measure_curve(few, one, find_truth(few, one), seconds=0.05)
    assert [found.recall for found in measured.points] == [1.0]


def test_time_that_is_over_at_once_leaves_the_least_effort_and_what_is_in_use(index: ApproximateIndex) -> None:
    measured = measure_curve(index, QUERIES, Truth(EXACT), in_use=Setting(effort=64, rerank=400), seconds=0.0)
    assert {found.effort for found in measured.points} <= {1 if index.has_lists else 10, 64}
    assert measured.in_use
    assert measured.in_use.effort == 64


def test_each_measurement_is_told_and_the_threads_of_faiss_are_as_they_were(index: ApproximateIndex) -> None:
    import faiss

    before, told = faiss.omp_get_max_threads(), []
    measured = measure_curve(index, QUERIES[:50], Truth(EXACT[:50]), seconds=0.1, progress=told.append)
    assert faiss.omp_get_max_threads() == before
    assert sum(told) > 6 * len(measured.points)


def test_an_index_of_nothing_has_no_curve() -> None:
    empty = ApproximateIndex.build(ROWS[:0], IndexRecipe(factory="Flat"))
    with pytest.raises(InvalidVectors, match="an index of no rows has no curve"):
        measure_curve(empty, QUERIES, Truth(np.full((100, 10), -1)))


def test_queries_and_neighbours_that_do_not_belong_together_are_refused(index: ApproximateIndex) -> None:
    with pytest.raises(InvalidVectors, match=r"100 queries and the neighbours of 99"):
        measure_curve(index, QUERIES, Truth(EXACT[1:]))
    with pytest.raises(InvalidVectors, match="0 queries"):
        measure_curve(index, QUERIES[:0], Truth(EXACT[:0]))
