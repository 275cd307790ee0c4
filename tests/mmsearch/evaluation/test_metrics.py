from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.arrays import Ids
from mmsearch.evaluation import (
    Qrels,
    ann_recall_at_k,
    hit_rate_at_k,
    hit_rate_interval,
    median_rank,
    mrr,
    ndcg_at_k,
    ranks_in_run,
    recall_at_k,
)

N_CANDIDATES = 12
RUN = np.array([[3, 1, 2, 0], [0, 2, 1, 3], [1, 0, 3, 2], [2, 3, 0, 1]])
"""Ranked lists of four queries over four candidates."""
QRELS = Qrels.from_lists([{1, 0}, {0}, set(), {1}], n_candidates=4)
"""Best relevant ranks: 2 (and 4), 1, none, 4."""


def test_metrics_of_four_queries_computed_by_hand() -> None:
    ranks = ranks_in_run(RUN, QRELS)
    assert ranks.first.tolist() == [2, 1, math.inf, 4]
    assert [hit_rate_at_k(ranks, k) for k in (1, 2, 3, 4)] == [0.25, 0.5, 0.5, 0.75]
    assert [recall_at_k(ranks, k) for k in (1, 2, 4)] == [0.25, 0.375, 0.75]
    assert mrr(ranks) == pytest.approx((1 / 2 + 1 + 0 + 1 / 4) / 4)
    first_query = (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))
    assert ndcg_at_k(ranks, 4) == pytest.approx((first_query + 1 + 0 + 1 / math.log2(5)) / 4)
    assert ndcg_at_k(ranks, 1) == pytest.approx(1 / 4)
    assert median_rank(ranks) == 3


def test_k_beyond_all_candidates_is_as_good_as_all_of_them() -> None:
    ranks = ranks_in_run(RUN, QRELS)
    assert hit_rate_at_k(ranks, 10) == hit_rate_at_k(ranks, 4)
    assert recall_at_k(ranks, 10) == recall_at_k(ranks, 4)
    assert ndcg_at_k(ranks, 10) == ndcg_at_k(ranks, 4)


def test_k_beyond_the_end_of_a_short_run_is_refused() -> None:
    ranks = ranks_in_run(RUN[:, :2], QRELS)
    assert hit_rate_at_k(ranks, 2) == 0.5
    for metric in (hit_rate_at_k, recall_at_k, ndcg_at_k):
        with pytest.raises(ValueError, match="k is 3 but the rankings end after 2 places; search with k=3"):
            metric(ranks, 3)


def test_median_is_infinite_when_half_of_the_queries_find_nothing() -> None:
    assert median_rank(ranks_in_run(RUN[:, :1], QRELS)) == math.inf


def test_missing_results_never_count() -> None:
    ranks = ranks_in_run(np.array([[-1, -1], [-1, 1]]), Qrels.from_lists([{0}, {1}], n_candidates=2))
    assert ranks.ranks.tolist() == [math.inf, 2]


def test_no_queries_have_no_mean() -> None:
    ranks = ranks_in_run(np.empty((0, 3), dtype=np.int64), Qrels.from_lists([], n_candidates=5))
    for metric in (mrr, median_rank):
        with pytest.raises(ValueError, match="there are no queries"):
            metric(ranks)


def test_k_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="k is 0; it counts places"):
        hit_rate_at_k(ranks_in_run(RUN, QRELS), 0)


def test_run_that_does_not_fit_the_pairs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the run is \(3, 4\) and the pairs know 4 queries"):
        ranks_in_run(RUN[:3], QRELS)
    with pytest.raises(ValueError, match="the run names candidate 4, but there are 4"):
        ranks_in_run(RUN + 1, QRELS)


@st.composite
def runs(draw: st.DrawFn) -> tuple[Ids, list[set[int]]]:
    """Ranked lists of some depth, some ending in -1, and relevant sets, some empty."""
    n_queries, depth = draw(st.integers(1, 6)), draw(st.integers(1, N_CANDIDATES))
    order = st.permutations(range(N_CANDIDATES))
    run = np.array([draw(order)[:depth] for _ in range(n_queries)], dtype=np.int64)
    for row in run:
        row[depth - draw(st.integers(0, depth - 1)) :] = -1
    relevant = st.sets(st.integers(0, N_CANDIDATES - 1), max_size=5)
    return run, [draw(relevant) for _ in range(n_queries)]


@given(runs())
def test_metrics_equal_their_naive_definitions(case: tuple[Ids, list[set[int]]]) -> None:
    run, relevant = case
    ranks = ranks_in_run(run, Qrels.from_lists(relevant, n_candidates=N_CANDIDATES))
    k = run.shape[1]
    hits, recalls, reciprocals, gains = [], [], [], []
    for row, wanted in zip(run.tolist(), relevant, strict=True):
        found = [place for place, candidate in enumerate(row, 1) if candidate in wanted]
        hits.append(bool(found))
        recalls.append(len(found) / len(wanted) if wanted else 0)
        reciprocals.append(1 / found[0] if found else 0)
        ideal = sum(1 / math.log2(place + 1) for place in range(1, min(k, len(wanted)) + 1))
        gains.append(sum(1 / math.log2(place + 1) for place in found) / ideal if wanted else 0)
    n = len(run)
    assert hit_rate_at_k(ranks, k) == pytest.approx(sum(hits) / n)
    assert recall_at_k(ranks, k) == pytest.approx(sum(recalls) / n)
    assert mrr(ranks) == pytest.approx(sum(reciprocals) / n)
    assert ndcg_at_k(ranks, k) == pytest.approx(sum(gains) / n)
    assert median_rank(ranks) == np.median([1 / r if r else math.inf for r in reciprocals])


def test_ann_recall_counts_shared_neighbours_in_any_order() -> None:
    exact = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    assert ann_recall_at_k(np.array([[4, 3, 2, 1], [5, 9, -1, -1]]), exact) == 5 / 8
    assert ann_recall_at_k(exact, exact) == 1.0


def test_ann_recall_counts_a_row_that_is_found_twice_once() -> None:
    assert ann_recall_at_k(np.array([[1, 1]]), np.array([[1, 2]])) == 0.5


def test_ann_recall_refuses_what_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match=r"found is \(1, 1\) and exact \(1, 2\)"):
        ann_recall_at_k(np.array([[1]]), np.array([[1, 2]]))
    with pytest.raises(ValueError, match=r"found is \(1, 0\)"):
        ann_recall_at_k(np.empty((1, 0), dtype=np.int64), np.empty((1, 0), dtype=np.int64))
    with pytest.raises(ValueError, match="exact holds -1"):
        ann_recall_at_k(np.array([[1, 2]]), np.array([[1, -1]]))


def test_interval_is_that_of_wilson() -> None:
    # Newcombe 1998, table I: 81 of 263 and 0 of 20.
    assert hit_rate_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert hit_rate_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert hit_rate_interval(20, 20) == pytest.approx((0.8389, 1.0), abs=5e-5)


def test_interval_refuses_more_hits_than_queries() -> None:
    with pytest.raises(ValueError, match="3 hits of 2 queries is no hit rate"):
        hit_rate_interval(3, 2)
