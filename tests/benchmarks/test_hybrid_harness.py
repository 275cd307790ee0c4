from __future__ import annotations

import numpy as np

from benchmarks.hybrid import Words, compared, fused, fused_as_published, keywords, ranks_of, report


def test_ranks_are_places_and_what_is_not_found_comes_last() -> None:
    rankings = [np.array([4, 7, 2]), np.array([9]), np.array([], np.int64)]
    assert ranks_of(rankings, np.array([2, 4, 9]), missing=100).tolist() == [3, 100, 100]


def test_a_report_is_hit_rates_and_the_mean_reciprocal_rank() -> None:
    ranks = np.array([1, 2, 10, 100])
    assert report(ranks) == {"hit_rate@1": 0.25, "hit_rate@5": 0.5, "hit_rate@10": 0.75, "mrr": 0.4025}


def test_what_became_of_the_answers() -> None:
    before, after = np.array([1, 5, 30, 9]), np.array([1, 3, 10, 11])
    assert compared(before, after) == {"better": 0.5, "worse": 0.25, "into_top_10": 0.25, "out_of_top_10": 0.25}


def test_each_query_is_fused_by_itself_and_to_a_depth() -> None:
    vectors = [np.array([1, 2, 3]), np.array([3])]
    words = Words([np.array([3, 2, 1]), np.array([4])], [np.array([1.0, 0.1, 1.0]), np.array([0.2])])
    both = fused(vectors, words, 2.0, constant=10, depth=2)
    assert [ids.tolist() for ids in both] == [[3, 2, 1], [3, 4]]  # 2/11; 1/12 + 0.2/12; 1/11
    assert [ids.tolist() for ids in fused_as_published(vectors, words.ids, weights=[1, 2])] == [[3, 2, 1], [4, 3]]


def test_keywords_are_the_rarest_words_that_are_no_rarity() -> None:
    queries = ["a dog on grass"] * 10 + ["a dog on snow"] * 15 + ["a zebra on grass"]
    short = keywords(queries)
    assert short[0] == "a dog grass"
    assert short[10] == "a dog snow"
    assert short[25] == "a on grass"
