from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.arrays import Ids
from mmsearch.search.fusion import fuse

RANKINGS = st.lists(st.lists(st.integers(0, 30), unique=True, max_size=20), max_size=4)


def ranking(*ids: int) -> Ids:
    return np.array(ids, np.int64)


def test_scores_are_the_sums_of_reciprocal_ranks() -> None:
    ids, scores = fuse([ranking(7, 3, 5), ranking(5, 9)], constant=60)
    assert ids.tolist() == [5, 7, 3, 9]
    assert scores == pytest.approx([1 / 63 + 1 / 61, 1 / 61, 1 / 62, 1 / 62])
    assert (ids.dtype, scores.dtype) == (np.int64, np.float32)


def test_weights_and_the_constant_count() -> None:
    ids, scores = fuse([ranking(1, 2), ranking(2, 3)], weights=[1, 0.5], constant=0)
    assert ids.tolist() == [1, 2, 3]  # 1; 1/2 + 0.5; 0.5/2: a tie is broken by id
    assert scores == pytest.approx([1.0, 1.0, 0.25])


def test_a_ranking_of_weight_zero_brings_nothing_in() -> None:
    assert fuse([ranking(4, 2), ranking(9)], weights=[1, 0])[0].tolist() == [4, 2]


def test_items_may_have_weights_of_their_own() -> None:
    shares = np.array([0.5, 0.0, 1.0], np.float32)
    ids, scores = fuse([ranking(1, 2, 3), ranking(5, 1, 6)], weights=[1, shares], constant=0)
    assert ids.tolist() == [1, 2, 5, 3, 6]
    assert scores == pytest.approx([1.0, 1 / 2, 1 / 2, 1 / 3, 1 / 3])


def test_missing_results_are_passed_over_and_keep_no_place_for_others() -> None:
    ids, scores = fuse([ranking(8, -1, 6, -1)], constant=60)
    assert ids.tolist() == [8, 6]
    assert scores == pytest.approx([1 / 61, 1 / 63])


def test_of_an_id_that_comes_twice_the_better_rank_counts() -> None:
    ids, scores = fuse([ranking(2, 1, 2)], constant=60)
    assert ids.tolist() == [2, 1]
    assert scores == pytest.approx([1 / 61, 1 / 62])


def test_no_rankings_give_nothing() -> None:
    for rankings in ([], [ranking()], [ranking(), ranking(-1)]):
        ids, scores = fuse(rankings)
        assert (len(ids), len(scores)) == (0, 0)


@pytest.mark.parametrize(
    ("weights", "constant", "message"),
    [
        ([1.0], 60, "1 weights were given for 2 rankings"),
        ([1.0, -1.0], 60, "a weight is -1.0; weights are finite numbers, 0 or more"),
        ([1.0, float("nan")], 60, "nan"),
        ([1.0, float("inf")], 60, "inf"),
        (None, -1, "the constant is -1; it is a finite"),
    ],
)
def test_what_makes_no_sense_is_refused(weights: list[float] | None, constant: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fuse([ranking(1), ranking(2)], weights=weights, constant=constant)


@given(RANKINGS)
def test_fusion_is_the_formula_whatever_the_order_of_the_rankings(rankings: list[list[int]]) -> None:
    naive: dict[int, float] = {}
    for ids in rankings:
        for rank, item in enumerate(ids, start=1):
            naive[item] = naive.get(item, 0.0) + 1 / (60 + rank)
    found, scores = fuse([ranking(*ids) for ids in rankings], constant=60)
    assert dict(zip(found.tolist(), scores.tolist(), strict=True)) == pytest.approx(naive)
    again, same = fuse([ranking(*ids) for ids in reversed(rankings)], constant=60)
    assert found.tolist() == again.tolist()
    assert scores.tolist() == same.tolist()


@given(RANKINGS)
def test_rankings_that_agree_keep_their_order(rankings: list[list[int]]) -> None:
    for ids in rankings:
        assert fuse([ranking(*ids)] * 3)[0].tolist() == ids
