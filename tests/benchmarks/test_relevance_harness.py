"""The judge and the numbers of the relevance benchmark, on cases small enough to reckon by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.judge import Judge, phrases, words
from benchmarks.prompts import filled, hit_rate, precision, reciprocal_rank
from benchmarks.relevance import Asked, Found, auroc, calibration, fitted, gain, search
from mmsearch.store import Modality


def test_a_picture_is_right_when_its_captions_have_three_quarters_of_the_words() -> None:
    judge = Judge([["Two dogs run .", "A brown dog on grass"], ["A man climbs a rock"], ["a dog"]])
    assert judge.right(["a dog that runs", "brown dogs", "rocks", "a penguin", "the man and the dog"]).tolist() == [
        [True, False, False],
        [True, False, False],
        [False, True, False],
        [False, False, False],
        [False, False, False],
    ]
    assert words("The dogs are jumping !") == {"dog", "jump"}


def test_phrases_are_pairs_of_words_that_enough_pictures_share() -> None:
    captions = {"a": ["a brown dog , running fast", "brown dog"], "b": ["the brown dog"], "c": ["dog running"]}
    assert phrases(captions, 2) == ["brown dog"]
    assert phrases(captions, 1) == ["brown dog", "dog running", "running fast"]


def test_auroc_counts_pairs_in_order_and_ties_half() -> None:
    measured = auroc(np.array([0.9, 0.5]), np.array([0.5, 0.1]))
    assert measured["auroc"] == pytest.approx(3.5 / 4, abs=1e-3)
    assert measured["low"] <= measured["auroc"] <= measured["high"]


def test_a_gain_is_that_of_the_same_queries() -> None:
    worse, better = (np.array([0.1, 0.2]), np.array([0.3, 0.4])), (np.array([0.8, 0.9]), np.array([0.3, 0.4]))
    assert gain(worse, better) == {"change": 1.0, "low": 1.0, "high": 1.0}


def found(relevance: list[float], right: list[bool]) -> Found:
    row = np.array([relevance])
    return Found(row, row, row, np.array([right]))


def test_calibration_bins_what_was_said_with_what_was_right() -> None:
    measured = calibration({"x": found([0.95, 0.85, 0.15, 0.1], [True, True, False, True])})
    assert measured["bins"]["0.1"] == {"hits": 2, "said": 0.125, "right": 0.5}
    assert measured["bins"]["0.8"] == {"hits": 1, "said": 0.85, "right": 1.0}
    assert measured["right"] == 0.75
    assert measured["calibration_error"] == pytest.approx((0.05 + 0.15 + 2 * 0.375) / 4, abs=1e-3)


def test_fitting_finds_the_constants_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    spreads = rng.uniform(0, 6, 40_000)
    right = rng.random(40_000) < 1 / (1 + np.exp(4 - 1.5 * spreads))
    said = 1 / (1 + np.exp(3 - spreads))  # by other constants
    constants = fitted({"x": found(said.tolist(), right.tolist())}, 1.0, -3.0)
    assert constants == pytest.approx({"slope": 1.5, "offset": -4.0}, abs=0.1)


def test_search_ranks_and_judges_and_a_picture_does_not_find_itself() -> None:
    pictures = np.eye(12, dtype=np.float32)
    pictures[1, 0], pictures[1, 1] = 0.6, 0.8
    asked = Asked(pictures[:1], np.arange(12)[np.newaxis] == 1)
    hits = search(asked, pictures, pictures, query=Modality.IMAGE, of=Modality.IMAGE)
    assert hits.right.tolist() == [[True] + [False] * 9]
    assert hits.scores[0, 0] == pytest.approx(0.6)
    assert hits.relevance[0, 0] > hits.relevance[0, 1]


def test_templates_take_the_place_of_an_article() -> None:
    assert filled("a photo of {a} {}", "an old dog") == "a photo of an old dog"
    assert filled("{a} {}", "the umbrella") == "an umbrella"
    assert filled("{}", "a cat") == "a cat"


def test_what_is_made_of_a_ranking() -> None:
    ranked = np.zeros((2, 20), dtype=bool)
    ranked[0, [1, 3, 15]] = ranked[1, 12] = True
    assert precision(ranked).tolist() == [0.2, 0.0]
    assert reciprocal_rank(ranked).tolist() == [1 / 2, 1 / 13]
    assert hit_rate(ranked).tolist() == [1.0, 0.0]
