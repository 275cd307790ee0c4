from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmsearch_indexes import (
    ApproximateIndex,
    FlatIndex,
    IndexRecipe,
    InvalidK,
    InvalidRecipe,
    InvalidVectors,
    Matrix,
    Neighbors,
    RowIds,
    Setting,
    merge,
)
from mmsearch_indexes.structure import reranking

N, DIM = 6000, 32
RECIPES = ["Flat", "IVF32,PQ16x4fsr", "OPQ16,IVF32,PQ16x4fs", "RR32,IVF32,RaBitQfs4", "IVF32,SQ8", "HNSW16,SQ8"]
THOROUGH = Setting(effort=10**6, rerank=400)


def clustered(n: int, seed: int = 0, dim: int = DIM) -> Matrix:
    """Unit rows in 50 groups around a mean that is not zero, as encoders give them; each a float16 number."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((50, dim)) + 0.7
    rows = centres[chance.integers(50, size=n)] + 1.2 * chance.standard_normal((n, dim))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float16).astype(np.float32)


ROWS, QUERIES = clustered(N), clustered(40, seed=1)


@pytest.fixture(scope="module", params=RECIPES)
def index(request: pytest.FixtureRequest) -> ApproximateIndex:
    return ApproximateIndex.build(ROWS, IndexRecipe(factory=request.param, train_rows=4000))


def assert_equal(found: Neighbors, expected: Neighbors) -> None:
    np.testing.assert_array_equal(found.row_ids, expected.row_ids)
    np.testing.assert_array_equal(found.scores, expected.scores)


def overlap(found: RowIds, exact: RowIds) -> float:
    return float(np.mean([len(np.intersect1d(f[f >= 0], e[e >= 0])) for f, e in zip(found, exact, strict=True)]) / 10)


def exact_among(allowed: RowIds, k: int = 10) -> Neighbors:
    return FlatIndex.build(ROWS).search(QUERIES, k, among=allowed)


def test_all_effort_finds_what_exact_search_finds_with_the_same_scores(index: ApproximateIndex) -> None:
    assert_equal(index.search(QUERIES, 10, THOROUGH), FlatIndex.build(ROWS).search(QUERIES, 10))


def test_more_effort_finds_more(index: ApproximateIndex) -> None:
    exact = FlatIndex.build(ROWS).search(QUERIES, 10).row_ids
    small, large = (
        overlap(index.search(QUERIES, 10, Setting(effort=effort, rerank=40)).row_ids, exact) for effort in (1, 16)
    )
    if index.recipe.is_exact:
        assert small == large == 1
    else:
        assert 0.1 < small < large - 0.1
        assert large > 0.85


def test_what_is_found_has_the_score_of_exact_search_whatever_the_effort(index: ApproximateIndex) -> None:
    found = index.search(QUERIES, 10, Setting(effort=1, rerank=10))
    products = QUERIES.astype(np.float64) @ ROWS.T.astype(np.float64)
    np.testing.assert_array_equal(found.scores, np.take_along_axis(products, found.row_ids, axis=1).astype(np.float32))
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_a_query_is_answered_the_same_alone_and_in_a_batch(index: ApproximateIndex) -> None:
    setting = Setting(effort=4, rerank=40)
    singly = [index.search(query[np.newaxis], 10, setting).row_ids for query in QUERIES]
    assert overlap(np.concatenate(singly), index.search(QUERIES, 10, setting).row_ids) > 0.99


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.003, 0.05, 0.3, 0.7, 0.99])
def test_a_filter_is_kept_to_and_never_answers_too_few(index: ApproximateIndex, share: float) -> None:
    allowed = np.flatnonzero(np.random.default_rng(5).random(N) < share)
    exact = exact_among(allowed)
    assert_equal(index.search(QUERIES, 10, THOROUGH, among=allowed), exact)
    hurried = index.search(QUERIES, 10, Setting(effort=1, rerank=10), among=allowed)
    np.testing.assert_array_equal(hurried.row_ids < 0, exact.row_ids < 0)
    assert np.isin(hurried.row_ids[hurried.row_ids >= 0], allowed).all()


@pytest.mark.parametrize("share", [0.03, 0.15, 0.5])
def test_a_filter_costs_little_recall_whichever_way_it_is_answered(share: float) -> None:
    rows = clustered(120_000, 3)
    index = ApproximateIndex.build(rows, IndexRecipe(factory="IVF128,SQ8", train_rows=10_000))
    setting = Setting(effort=10, rerank=40)
    plain = overlap(index.search(QUERIES, 10, setting).row_ids, index.search_exactly(QUERIES, 10).row_ids)
    here_and_there = np.flatnonzero(np.random.default_rng(7).random(len(rows)) < share)
    all_far = np.sort(np.argsort(rows @ QUERIES[0])[: int(share * len(rows))])
    for allowed, least in ((here_and_there, plain - 0.03), (all_far, plain - 0.08)):
        found = index.search(QUERIES, 10, setting, among=allowed).row_ids
        assert overlap(found, FlatIndex.build(rows).search(QUERIES, 10, among=allowed).row_ids) > least


@pytest.mark.parametrize("k", [10, 200])
def test_a_filter_far_from_the_query_is_still_answered_in_full(index: ApproximateIndex, k: int) -> None:
    scores = ROWS @ QUERIES[0]
    allowed = np.sort(np.argsort(scores)[:2500])  # the lists near the query hold none of these
    found = index.search(QUERIES[:1], k, Setting(effort=1, rerank=10), among=allowed)
    assert (found.row_ids >= 0).all()
    assert np.isin(found.row_ids, allowed).all()


@pytest.mark.parametrize("share", [0.001, 0.2, 0.8, 1.0])
def test_removed_rows_are_not_found(index: ApproximateIndex, share: float) -> None:
    removed = np.flatnonzero(np.random.default_rng(6).random(N) < share)
    left = np.setdiff1d(np.arange(N), removed)
    assert_equal(index.search(QUERIES, 10, THOROUGH, without=removed), exact_among(left))
    among = np.arange(0, N, 2)
    assert_equal(
        index.search(QUERIES, 10, THOROUGH, among=among, without=removed), exact_among(np.intersect1d(among, left))
    )


def test_many_queries_are_answered_as_few_are(index: ApproximateIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting(effort=4, rerank=40)
    among = np.arange(0, N, 2)
    once = [index.search(QUERIES, 10, setting), index.search(QUERIES, 10, setting, among=among)]
    monkeypatch.setattr("mmsearch_indexes.approximate._CELLS", 7 * 18 * DIM)
    assert_equal(index.search(QUERIES, 10, setting), once[0])
    assert_equal(index.search(QUERIES, 10, setting, among=among), once[1])


def test_rows_are_scored_where_they_lie(tmp_path: Path) -> None:
    import faiss

    ROWS.astype(np.float16).tofile(tmp_path / "rows")
    mapped = np.memmap(tmp_path / "rows", np.float16, "r", shape=(N, DIM))
    index = ApproximateIndex.build(mapped, IndexRecipe(factory="IVF32,PQ16x4fsr"))
    structure = reranking(index.structure, index.rows)
    stored = faiss.downcast_index(structure.refine_index)
    assert int(stored.codes.data()) == mapped.ctypes.data
    assert not stored.codes.is_owned


@pytest.mark.parametrize("rows", [np.asfortranarray(ROWS, np.float16), np.repeat(ROWS, 2, axis=0)[::2]])
def test_rows_in_another_order_of_memory_are_indexed(rows: Matrix) -> None:
    index = ApproximateIndex.build(rows, IndexRecipe(factory="IVF32,PQ16x4fsr"))
    assert_equal(index.search(QUERIES, 10, THOROUGH), FlatIndex.build(ROWS).search(QUERIES, 10))


def test_removing_the_best_rows_brings_up_the_next(index: ApproximateIndex) -> None:
    best = index.search(QUERIES[:1], 10, THOROUGH).row_ids[0]
    found = index.search(QUERIES[:1], 10, THOROUGH, without=np.sort(best))
    np.testing.assert_array_equal(found.row_ids, FlatIndex.build(ROWS).search(QUERIES[:1], 20).row_ids[:, 10:])


def test_copies_come_in_the_order_of_their_row_ids(index: ApproximateIndex) -> None:
    rows = ROWS.copy()
    rows[[17, 400, 5999]] = rows[3000]
    copied = ApproximateIndex.build(rows, index.recipe)
    found = copied.search(rows[3000:3001], 4, THOROUGH)
    np.testing.assert_array_equal(found.row_ids, [[17, 400, 3000, 5999]])
    assert len(set(found.scores[0])) == 1


@pytest.mark.parametrize("k", [1, 10, 7000])
def test_k_up_to_beyond_the_rows_is_answered_and_filled(index: ApproximateIndex, k: int) -> None:
    assert_equal(index.search(QUERIES, k, THOROUGH), FlatIndex.build(ROWS).search(QUERIES, k))


def test_no_queries_give_no_rows(index: ApproximateIndex) -> None:
    assert index.search(QUERIES[:0], 3, THOROUGH).row_ids.shape == (0, 3)


@pytest.mark.parametrize("n", [0, 1, 10, 999, 1000])
def test_few_rows_are_indexed_with_a_recipe_for_a_million(n: int) -> None:
    index = ApproximateIndex.build(ROWS[:n], IndexRecipe(factory="IVF4096,PQ16x4fsr"))
    assert_equal(index.search(QUERIES, 10, THOROUGH), FlatIndex.build(ROWS[:n]).search(QUERIES, 10))


def test_rows_all_alike_are_indexed() -> None:
    rows = np.repeat(ROWS[:1], 2000, axis=0)
    index = ApproximateIndex.build(rows, IndexRecipe(factory="IVF8,PQ16x4fsr"))
    np.testing.assert_array_equal(index.search(QUERIES[:1], 3, THOROUGH).row_ids, [[0, 1, 2]])


def test_zero_rows_and_zero_queries_score_zero() -> None:
    rows = ROWS.copy()
    rows[7] = 0
    index = ApproximateIndex.build(rows, IndexRecipe(factory="IVF32,PQ16x4fsr"))
    assert_equal(index.search(QUERIES, 10, THOROUGH), FlatIndex.build(rows).search(QUERIES, 10))
    zero = index.search(np.zeros((1, DIM), np.float32), 10, THOROUGH)
    np.testing.assert_array_equal(zero.scores, np.zeros((1, 10)))


def test_building_twice_gives_the_same_answers() -> None:
    recipe, setting = IndexRecipe(factory="IVF32,PQ16x4fsr", seed=3), Setting(effort=2, rerank=20)
    once, twice = (ApproximateIndex.build(ROWS, recipe).search(QUERIES, 10, setting) for _ in range(2))
    assert_equal(once, twice)


@pytest.mark.parametrize("spherical", [False, True], ids=["means", "spherical"])
def test_centroids_are_means_or_of_unit_length(spherical: bool) -> None:
    index = ApproximateIndex.build(ROWS, IndexRecipe(factory="IVF32,PQ16x4fsr", spherical=spherical))
    centroids = index.structure.quantizer.reconstruct_n(0, 32)
    lengths = np.linalg.norm(centroids, axis=1)
    assert np.allclose(lengths, 1, atol=1e-5) == spherical
    if not spherical:  # rows lie in the list whose centroid is nearest
        centred = ROWS - ROWS.mean(axis=0)
        nearest = ((centred[:, np.newaxis] - centroids) ** 2).sum(axis=2).argmin(axis=1)
        sizes = [index.structure.invlists.list_size(i) for i in range(32)]
        np.testing.assert_allclose(np.bincount(nearest, minlength=32), sizes, atol=2)


@pytest.mark.parametrize("factory", ["OPQ16,IVF16,PQ16x4fsr", "OPQ12_24,IVF16,PQ12x4fsr"])
def test_a_rotation_makes_codes_tell_more_of_rows_that_spread_unevenly(factory: str) -> None:
    chance = np.random.default_rng(4)
    uneven = np.linalg.qr(chance.standard_normal((DIM, DIM)))[0] * 0.8 ** np.arange(DIM)
    rows, queries = ((chance.standard_normal((n, DIM)) @ uneven.T).astype(np.float32) for n in (N, 40))
    exact = FlatIndex.build(rows.astype(np.float16).astype(np.float32)).search(queries, 10).row_ids
    setting = Setting(effort=16, rerank=12)
    turned, plain = (
        overlap(ApproximateIndex.build(rows, IndexRecipe(factory=name)).search(queries, 10, setting).row_ids, exact)
        for name in (factory, "IVF16,PQ16x4fsr")
    )
    assert turned > plain + 0.05


@pytest.mark.parametrize("groups", [32, 16, 8])
def test_a_rotation_keeps_lengths_and_spreads_what_there_is_over_the_groups(groups: int) -> None:
    import faiss

    index = ApproximateIndex.build(ROWS, IndexRecipe(factory=f"OPQ{groups},IVF16,PQ{groups}x4fsr"))
    centred = ROWS - ROWS.mean(axis=0)
    turned = faiss.downcast_VectorTransform(index.structure.chain.at(0)).apply(centred)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(centred, axis=1), rtol=1e-5)
    covariance = np.cov(turned.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-4)
    large_first = np.diag(covariance).reshape(groups, -1)
    ascending = np.argsort(large_first, axis=0)
    np.testing.assert_array_equal(ascending[:, 0], np.arange(groups)[::-1])
    assert (np.diff(large_first, axis=1) <= 0).all()


def test_progress_counts_every_row() -> None:
    told: list[int] = []
    ApproximateIndex.build(ROWS, IndexRecipe(factory="IVF32,SQ8"), progress=told.append)
    assert sum(told) == N


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e6])
def test_values_that_float16_cannot_hold_are_rejected(value: float) -> None:
    rows = ROWS.copy()
    rows[4321, 5] = value
    with pytest.raises(InvalidVectors, match="rows hold NaN or infinite values, first in row 4321"):
        ApproximateIndex.build(rows, IndexRecipe(factory="IVF32,PQ16x4fsr"))


@pytest.mark.parametrize("rows", [np.zeros((2, 8)), np.zeros(8, np.float32), np.zeros((2, 0), np.float16)])
def test_other_dtypes_and_shapes_are_rejected(rows: Matrix) -> None:
    with pytest.raises(InvalidVectors, match="give float16 or float32 .n, dim."):
        ApproximateIndex.build(rows, IndexRecipe(factory="Flat"))


def test_unsound_queries_are_rejected(index: ApproximateIndex) -> None:
    unsound = QUERIES.copy()
    unsound[3, 1] = np.nan
    with pytest.raises(InvalidVectors, match="queries hold NaN or infinite values, first in row 3"):
        index.search(unsound, 1, THOROUGH)
    with pytest.raises(InvalidVectors, match="queries are 31 wide and the indexed vectors 32"):
        index.search(QUERIES[:, :31], 1, THOROUGH)
    with pytest.raises(InvalidK, match="k is 0;"):
        index.search(QUERIES, 0, THOROUGH)
    with pytest.raises(InvalidK, match="k is 100,000,000"):
        index.search(QUERIES, 10**8, THOROUGH)


@pytest.mark.parametrize("name", ["among", "without"])
def test_row_ids_that_are_not_there_are_rejected(index: ApproximateIndex, name: str) -> None:
    with pytest.raises(ValueError, match="row ids go from 5 to 6000; there are 6000 rows"):
        index.search(QUERIES, 1, THOROUGH, **{name: np.array([5, 6000])})


def test_codes_that_do_not_divide_the_width_are_named() -> None:
    with pytest.raises(InvalidRecipe, match="cannot build 'IVF32,PQ15x4fsr' over rows of 32"):
        ApproximateIndex.build(ROWS, IndexRecipe(factory="IVF32,PQ15x4fsr"))


def test_merging_answers_ranks_them_as_one() -> None:
    exact = FlatIndex.build(ROWS).search(QUERIES, 10)
    halves = [FlatIndex.build(ROWS).search(QUERIES, 10, among=np.arange(start, N, 2)) for start in (1, 0)]
    assert_equal(merge(halves, 10), exact)
    few = FlatIndex.build(ROWS[:2]).search(QUERIES, 3)
    assert_equal(merge([few], 5), FlatIndex.build(ROWS[:2]).search(QUERIES, 5))
