from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.evaluation import Qrels

RELEVANT = st.lists(st.sets(st.integers(0, 7), max_size=4), max_size=6)


def lists_of(qrels: Qrels) -> list[set[int]]:
    ends = zip(qrels.offsets[:-1], qrels.offsets[1:], strict=True)
    return [set(qrels.candidates[start:end].tolist()) for start, end in ends]


@given(RELEVANT)
def test_lists_come_back_as_they_were_given(relevant: list[set[int]]) -> None:
    qrels = Qrels.from_lists(relevant, n_candidates=8)
    assert lists_of(qrels) == relevant
    assert qrels.n_relevant.tolist() == [len(rows) for rows in relevant]


@given(RELEVANT)
def test_transposing_twice_changes_nothing(relevant: list[set[int]]) -> None:
    qrels = Qrels.from_lists(relevant, n_candidates=8)
    other = qrels.transposed()
    assert (other.n_queries, other.n_candidates) == (8, len(relevant))
    assert lists_of(other) == [{q for q, rows in enumerate(relevant) if c in rows} for c in range(8)]
    assert lists_of(other.transposed()) == relevant


def test_a_pair_named_twice_counts_once() -> None:
    qrels = Qrels.from_pairs([1, 0, 1, 1], [2, 0, 2, 1], n_queries=3, n_candidates=3)
    assert lists_of(qrels) == [{0}, {1, 2}, set()]


def test_taken_queries_keep_their_candidates() -> None:
    qrels = Qrels.from_lists([{0}, {1, 2}, set()], n_candidates=3)
    assert lists_of(qrels.take(np.array([2, 1]))) == [set(), {1, 2}]


def test_rows_outside_their_matrix_are_refused() -> None:
    with pytest.raises(ValueError, match="candidate row 3 is not one of the 3 rows"):
        Qrels.from_pairs([0], [3], n_queries=1, n_candidates=3)
    with pytest.raises(ValueError, match="query row -1 is not one of the 1 rows"):
        Qrels.from_pairs([-1], [0], n_queries=1, n_candidates=3)


def test_sides_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 query rows and 1 candidate rows"):
        Qrels.from_pairs([0, 0], [0], n_queries=1, n_candidates=3)
