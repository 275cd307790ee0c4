from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch_indexes import (
    FaissMissing,
    FlatIndex,
    InvalidK,
    InvalidVectors,
    Matrix,
    Neighbors,
    VectorIndexError,
    rank,
)


def unit_rows(n: int, dim: int, seed: int = 0) -> Matrix:
    rows = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def with_copies(n: int, dim: int, n_distinct: int, seed: int = 0) -> Matrix:
    """n rows drawn from few distinct ones, so that exact ties abound."""
    distinct = unit_rows(n_distinct, dim, seed)
    return distinct[np.random.default_rng(seed + 1).integers(n_distinct, size=n)]


def exact(embeddings: Matrix, queries: Matrix, k: int) -> Neighbors:
    """The plain definition, in float64."""
    products = queries.astype(np.float64) @ embeddings.astype(np.float64).T
    return rank(products.astype(np.float32), k)


def assert_equal(found: Neighbors, expected: Neighbors) -> None:
    np.testing.assert_array_equal(found.row_ids, expected.row_ids)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("n_queries", [1, 3, 64], ids=lambda n: f"{n} queries")
@pytest.mark.parametrize("k", [1, 10, 500, 2000, 2005], ids=lambda k: f"k={k}")
def test_flat_index_agrees_with_matrix_product(k: int, n_queries: int) -> None:
    embeddings, queries = unit_rows(2000, 96), unit_rows(n_queries, 96, seed=1)
    assert_equal(FlatIndex.build(embeddings).search(queries, k), exact(embeddings, queries, k))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.95, 1.0])
def test_a_search_among_some_rows_agrees_with_the_search_of_a_matrix_of_just_these(share: float) -> None:
    embeddings, queries = with_copies(2000, 48, 900), unit_rows(5, 48, seed=3)
    among = np.flatnonzero(np.random.default_rng(4).random(2000) < share)
    found = FlatIndex.build(embeddings).search(queries, 10, among=among)
    expected = exact(embeddings[among], queries, 10)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.row_ids, np.append(among, -1)[expected.row_ids])


def test_a_search_among_most_rows_misses_none_when_the_best_may_not_be_found() -> None:
    embeddings, queries = with_copies(2000, 48, 900), unit_rows(1, 48, seed=3)
    best = exact(embeddings, queries, 400).row_ids[0]
    among = np.setdiff1d(np.arange(2000), best)
    found = FlatIndex.build(embeddings).search(queries, 10, among=among)
    expected = exact(embeddings[among], queries, 10)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.row_ids, among[expected.row_ids])


def test_rows_and_their_mean_come_back_as_they_went_in() -> None:
    embeddings = unit_rows(50, 8)
    index = FlatIndex.build(embeddings)
    np.testing.assert_array_equal(index.vectors(np.array([7, 0, 7])), embeddings[[7, 0, 7]])
    np.testing.assert_allclose(index.mean(), embeddings.mean(axis=0), atol=1e-7)
    assert not FlatIndex.build(embeddings[:0]).mean().any()


@pytest.mark.parametrize("n_distinct", [1, 2, 40, 700])
def test_equal_vectors_come_in_the_order_of_their_row_ids(n_distinct: int) -> None:
    embeddings, queries = with_copies(3000, 48, n_distinct), unit_rows(33, 48, seed=9)
    for k in (1, 7, 100):
        assert_equal(FlatIndex.build(embeddings).search(queries, k), exact(embeddings, queries, k))


def test_scores_of_copies_are_bitwise_equal_wherever_they_lie() -> None:
    embeddings = unit_rows(1027, 100)
    embeddings[[3, 511, 1025, 1026]] = embeddings[700]
    found = FlatIndex.build(embeddings).search(unit_rows(40, 100, seed=2), k=1027)
    copies = np.isin(found.row_ids, [3, 511, 700, 1025, 1026])
    assert all(len(set(scores[mask])) == 1 for scores, mask in zip(found.scores, copies, strict=True))


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 120),
    n_distinct=st.integers(1, 60),
    n_queries=st.integers(1, 30),
    k=st.integers(1, 130),
    seed=st.integers(0, 1000),
)
def test_laws_of_exact_search(n: int, n_distinct: int, n_queries: int, k: int, seed: int) -> None:
    embeddings, queries = with_copies(n, 24, n_distinct, seed), unit_rows(n_queries, 24, seed + 2)
    index = FlatIndex.build(embeddings)
    found = index.search(queries, k)

    longer = index.search(queries, k + 1)
    assert_equal(Neighbors(longer.row_ids[:, :k], longer.scores[:, :k]), found)

    singly = [index.search(query[np.newaxis], k) for query in queries]
    assert_equal(
        Neighbors(np.concatenate([s.row_ids for s in singly]), np.concatenate([s.scores for s in singly])),
        found,
    )

    permutation = np.random.default_rng(seed).permutation(n)
    shuffled = FlatIndex.build(embeddings[permutation]).search(queries, k)
    np.testing.assert_array_equal(shuffled.scores, found.scores)
    if k >= n:  # the whole set is found, so the ids are a permutation whatever the ties
        ids = np.sort(permutation[shuffled.row_ids[:, :n]], axis=1)
        np.testing.assert_array_equal(ids, np.sort(found.row_ids[:, :n], axis=1))


def test_permuting_distinct_rows_permutes_ids() -> None:
    embeddings, queries = unit_rows(500, 32), unit_rows(20, 32, seed=3)
    permutation = np.random.default_rng(0).permutation(500)
    found = FlatIndex.build(embeddings[permutation]).search(queries, 12)
    np.testing.assert_array_equal(permutation[found.row_ids], FlatIndex.build(embeddings).search(queries, 12).row_ids)


def test_vectors_of_any_length_are_ranked_by_inner_product() -> None:
    embeddings = np.array([[1, 0], [3, 0], [0, 5], [-2, 0]], dtype=np.float32)
    found = FlatIndex.build(embeddings).search(np.array([[2, 0]], dtype=np.float32), 4)
    np.testing.assert_array_equal(found.row_ids, [[1, 0, 2, 3]])
    np.testing.assert_array_equal(found.scores, [[6, 2, 0, -4]])


def test_k_beyond_the_number_of_rows_is_filled() -> None:
    found = FlatIndex.build(unit_rows(3, 8)).search(unit_rows(2, 8, seed=1), 5)
    np.testing.assert_array_equal(found.row_ids[:, 3:], -1)
    assert np.isneginf(found.scores[:, 3:]).all()
    np.testing.assert_array_equal(np.sort(found.row_ids[:, :3], axis=1), [[0, 1, 2], [0, 1, 2]])


def test_empty_index_finds_nothing() -> None:
    index = FlatIndex.build(np.empty((0, 8), dtype=np.float32))
    found = index.search(unit_rows(2, 8), 3)
    assert len(index) == 0
    np.testing.assert_array_equal(found.row_ids, np.full((2, 3), -1))
    assert np.isneginf(found.scores).all()


def test_no_queries_give_no_rows() -> None:
    found = FlatIndex.build(unit_rows(5, 8)).search(np.empty((0, 8), dtype=np.float32), 3)
    assert found.row_ids.shape == found.scores.shape == (0, 3)


@pytest.mark.parametrize("k", [0, -1])
def test_search_rejects_k_below_one(k: int) -> None:
    with pytest.raises(InvalidK, match=f"k is {k};") as caught:
        FlatIndex.build(unit_rows(5, 8)).search(unit_rows(1, 8), k)
    assert caught.value.k == k


def test_search_rejects_a_k_whose_fill_would_cost_gigabytes() -> None:
    with pytest.raises(InvalidK, match="k is 100,000,000 but there are 5 rows; ask for 5 at most"):
        FlatIndex.build(unit_rows(5, 8)).search(unit_rows(1, 8), 10**8)


def test_search_rejects_query_of_other_width() -> None:
    with pytest.raises(InvalidVectors, match="queries are 9 wide and the indexed vectors 8"):
        FlatIndex.build(unit_rows(5, 8)).search(unit_rows(1, 9), 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_nan_infinite_and_overflowing_values_are_rejected(value: float) -> None:
    vectors = unit_rows(5, 8)
    index = FlatIndex.build(vectors.copy())
    vectors[3, 2] = value
    with pytest.raises(InvalidVectors, match="embeddings hold NaN or infinite values, first in row 3"):
        FlatIndex.build(vectors)
    with pytest.raises(InvalidVectors, match="queries hold NaN or infinite values, first in row 3"):
        index.search(vectors, 1)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.zeros((2, 8), dtype=np.float16), "float16 .2, 8."),
        (np.zeros((2, 8), dtype=np.float64), "float64 .2, 8."),
        (np.zeros(8, dtype=np.float32), "float32 .8,."),
        (np.zeros((2, 0), dtype=np.float32), "float32 .2, 0."),
    ],
)
def test_other_dtypes_and_shapes_are_rejected(vectors: Matrix, message: str) -> None:
    with pytest.raises(InvalidVectors, match=f"embeddings are {message}; give float32"):
        FlatIndex.build(vectors)
    with pytest.raises(InvalidVectors, match=f"queries are {message}; give float32"):
        FlatIndex.build(unit_rows(5, 8)).search(vectors, 1)


def test_rows_that_are_not_contiguous_are_searched_rightly() -> None:
    wide = unit_rows(200, 32)
    embeddings, queries = wide[:, ::2], unit_rows(4, 32, seed=5)[:, 1::2]
    assert_equal(FlatIndex.build(embeddings).search(queries, 5), exact(embeddings, queries, 5))


def test_missing_faiss_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(FaissMissing, match="faiss is not installed"):
        FlatIndex.build(unit_rows(5, 8))


def test_every_error_has_one_base() -> None:
    assert all(issubclass(error, VectorIndexError) for error in (FaissMissing, InvalidK, InvalidVectors))


def test_importing_the_package_loads_no_faiss() -> None:
    code = "import mmsearch_indexes, sys; print('faiss' in sys.modules)"
    path = [entry for entry in sys.path if entry]
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "False\n"
