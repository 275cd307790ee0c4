from __future__ import annotations

import numpy as np
import pytest

from mmsearch_indexes import InvalidK, InvalidVectors, Neighbors, rank


def test_rank_sorts_by_score_then_row_id() -> None:
    found = rank(np.array([[0.5, 0.9, 0.5, 0.9, 0.1]], dtype=np.float32), k=4)
    np.testing.assert_array_equal(found.row_ids, [[1, 3, 0, 2]])
    np.testing.assert_array_equal(found.scores, np.float32([[0.9, 0.9, 0.5, 0.5]]))


def test_rank_fills_missing_places() -> None:
    found = rank(np.array([[0.5, 0.9]], dtype=np.float32), k=4)
    np.testing.assert_array_equal(found.row_ids, [[1, 0, -1, -1]])
    np.testing.assert_array_equal(found.scores, np.float32([[0.9, 0.5, -np.inf, -np.inf]]))


def test_rank_of_no_rows_is_all_fill() -> None:
    np.testing.assert_array_equal(rank(np.empty((2, 0), dtype=np.float32), k=1).row_ids, [[-1], [-1]])


def test_rank_rejects_nan() -> None:
    with pytest.raises(InvalidVectors, match="scores hold NaN"):
        rank(np.array([[np.nan]], dtype=np.float32), k=1)


def test_rank_rejects_scores_of_other_dtype() -> None:
    with pytest.raises(InvalidVectors, match=r"scores are float64 \(1, 2\)"):
        rank(np.zeros((1, 2)), k=1)  # type: ignore[arg-type]


def test_rank_rejects_k_below_one() -> None:
    with pytest.raises(InvalidK, match="k is 0; it counts neighbours"):
        rank(np.zeros((1, 2), dtype=np.float32), k=0)


def test_neighbors_refuse_arrays_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"row ids are \(1, 2\) and scores \(1, 3\)"):
        Neighbors(np.zeros((1, 2), dtype=np.int64), np.zeros((1, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="row ids are int32 and scores float32"):
        Neighbors(np.zeros((1, 2), dtype=np.int32), np.zeros((1, 2), dtype=np.float32))  # type: ignore[arg-type]
