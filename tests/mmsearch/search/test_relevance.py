"""Relevance: what a cosine is held against, by value and by law."""

from __future__ import annotations

import math
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmsearch.encoders import load_encoder
from mmsearch.search.embed import _PLAIN_TEXTS
from mmsearch.search.relevance import (
    ACROSS_OFFSET,
    ACROSS_SLOPE,
    WITHIN_OFFSET,
    WITHIN_SLOPE,
    nothing_below,
    relevance_across,
    relevance_within,
    yardstick,
)
from mmsearch.store import Modality

EVERYDAY = np.array([-0.1, 0.1, -0.1, 0.1])  # mean 0, standard deviation 0.1
AT_USUAL = np.zeros(990)  # with the 10 that count as seen before: a query whose usual score is 0
cosines = st.floats(-1, 1)


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def test_across_counts_spreads_of_everyday_queries_above_the_usual_score() -> None:
    found = relevance_across(np.array([0.0, 0.4]), AT_USUAL, EVERYDAY)
    assert found == pytest.approx([logistic(ACROSS_OFFSET), logistic(4 * ACROSS_SLOPE + ACROSS_OFFSET)])


def test_a_query_of_few_items_starts_from_the_usual_score_of_everyday_queries() -> None:
    everyday = EVERYDAY + 0.2
    usual = (0.2 + (5 * 0.14 + 10 * 0.2) / 15) / 2  # half way from theirs to its own
    found = relevance_across(np.array([0.5]), np.full(5, 0.14), everyday)
    assert found == pytest.approx([logistic(ACROSS_SLOPE * (0.5 - usual) / 0.1 + ACROSS_OFFSET)])


def test_nonsense_is_not_relevant_for_scoring_about_alike_everywhere() -> None:
    rng = np.random.default_rng(0)
    wide, narrow = rng.normal(0, 0.1, 2000), rng.normal(0, 0.02, 2000)
    asked, nonsense = (relevance_across(np.array([s.max()]), s, EVERYDAY)[0] for s in (wide, narrow))
    assert wide.max() / wide.std() == pytest.approx(narrow.max() / narrow.std(), rel=0.3)  # what a z-score sees
    assert asked > 0.15 > 0.03 > nonsense


def test_in_a_folder_of_dogs_dogs_are_relevant() -> None:
    dogs = np.linspace(0.3, 0.5, 200)
    assert relevance_across(np.array([0.5]), dogs, EVERYDAY)[0] == pytest.approx(
        logistic(ACROSS_SLOPE * 4.5 + ACROSS_OFFSET)
    )


@pytest.mark.parametrize("usual", [0.04, 0.55])  # as pictures of mini and of CLIP lie to each other
def test_within_a_modality_a_copy_comes_near_one_in_any_space(usual: float) -> None:
    background = np.full(500, usual)
    itself, copy, unrelated = relevance_within(np.array([1.0, 0.97, usual]), background, background)
    assert itself > 0.999
    assert copy > 0.95
    assert unrelated == pytest.approx(logistic(WITHIN_OFFSET))


def test_within_counts_the_way_that_is_left_to_identity() -> None:
    found = relevance_within(np.array([0.75]), np.zeros(100), np.zeros(4))
    assert found == pytest.approx([logistic(WITHIN_SLOPE * math.log(4) + WITHIN_OFFSET)])


def test_near_copies_stay_relevant_in_a_folder_of_near_copies() -> None:
    assert relevance_within(np.array([0.97]), np.full(30, 0.97), np.full((30, 30), 0.97))[0] > 0.9


def test_a_cosine_of_an_item_with_itself_tells_nothing_of_others() -> None:
    others = np.array([0.1, 0.2, 0.3])
    same = relevance_within(np.array([0.8]), others, np.array([1.0, 0.2, 0.2, 1.0]))
    assert same == pytest.approx(relevance_within(np.array([0.8]), others, np.array([0.2])))


@given(st.lists(cosines, min_size=2, max_size=8), st.lists(cosines, max_size=8), st.lists(cosines, max_size=8))
def test_relevance_lies_in_the_unit_interval_and_never_falls_with_the_score(
    scores: list[float], background: list[float], everyday: list[float]
) -> None:
    ordered = np.sort(np.array(scores))
    for measure in (relevance_across, relevance_within):
        found = measure(ordered, np.array(background), np.array(everyday))
        if not np.isnan(found).all():
            assert ((found >= 0) & (found <= 1)).all()
            assert (np.diff(found) >= 0).all()


@given(st.floats(-0.4, 0.4), st.floats(0.1, 1.0))
def test_across_does_not_depend_on_where_an_encoder_keeps_its_cosines(gap: float, scale: float) -> None:
    rng = np.random.default_rng(1)
    scores, background, everyday = rng.uniform(-0.5, 0.5, 5), rng.normal(0, 0.1, 50), rng.normal(0, 0.1, (4, 50))
    moved = relevance_across(gap + scale * scores, gap + scale * background, gap + scale * everyday)
    assert moved == pytest.approx(relevance_across(scores, background, everyday), abs=1e-6)


def test_without_anything_to_hold_scores_against_relevance_is_unknown() -> None:
    assert np.isnan(relevance_across(np.array([0.3, 0.2]), np.zeros(5), np.zeros((0, 5)))).all()
    assert np.isnan(relevance_across(np.array([0.3]), np.zeros(5), np.full((2, 5), 0.2))).all()


def test_the_best_of_many_must_reach_more_than_the_best_of_few() -> None:
    assert nothing_below(1) == pytest.approx(logistic(ACROSS_OFFSET))
    assert nothing_below(43) == pytest.approx(logistic(2 * ACROSS_SLOPE + ACROSS_OFFSET), rel=0.01)  # 1 in 44 > 2 sd
    assert [nothing_below(n) for n in (1, 5, 100, 10_000)] == sorted(nothing_below(n) for n in (1, 5, 100, 10_000))


def test_the_yardstick_of_one_term_takes_everyday_queries_of_its_kind() -> None:
    texts, pictures = np.eye(3, dtype=np.float32)[:2, np.newaxis]
    sample = unit(np.array([[1, 2, 3]]))
    arrays = {"sample": sample, "texts": texts, "pictures": pictures}
    by_text = yardstick([Modality.TEXT], Modality.IMAGE, **arrays)
    by_picture = yardstick([Modality.IMAGE], Modality.TEXT, **arrays)
    alike = yardstick([Modality.IMAGE], Modality.IMAGE, **arrays)
    assert (by_text.everyday, by_text.within) == (pytest.approx(texts @ sample.T), False)
    assert (by_picture.everyday, by_picture.within) == (pytest.approx(pictures @ sample.T), False)
    assert (alike.everyday, alike.within) == (pytest.approx(sample @ sample.T), True)


def test_the_yardstick_of_a_sum_takes_centred_queries_of_the_kinds_it_has() -> None:
    texts = unit(np.array([[1, 1, 0], [1, -1, 0]]))
    pictures = unit(np.array([[0, 1, 1], [0, 1, -1], [0, 1, 0]]))
    sample = np.eye(3, dtype=np.float32)
    words = yardstick([Modality.TEXT] * 2, Modality.IMAGE, sample=sample, texts=texts, pictures=pictures)
    assert words.everyday == pytest.approx(np.array([[0, 1, 0], [0, -1, 0]]), abs=1e-6)
    assert not words.within
    mixed = yardstick([Modality.TEXT, Modality.IMAGE], Modality.IMAGE, sample=sample, texts=texts, pictures=pictures)
    assert len(mixed.everyday) == 5
    assert np.linalg.norm(mixed.everyday, axis=1) == pytest.approx(1)


def test_a_sum_of_pictures_over_a_single_picture_has_unknown_relevance() -> None:
    one = unit(np.array([[1, 2, 3]]))
    measured = yardstick([Modality.IMAGE] * 2, Modality.IMAGE, sample=one, texts=one, pictures=one)
    assert np.isnan(measured.relevance(one[0], np.array([0.5]))).all()


def test_mini_tells_what_is_there_from_what_is_not() -> None:
    encoder = load_encoder("mini")
    names = ["chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "horse.png", "coins.png", "brick.png"]
    folder = resources.files("skimage") / "data"
    pictures = [Image.open(str(folder / name)).convert("RGB") for name in names]
    sample = encoder.encode_images(np.stack([encoder.prepare(picture) for picture in pictures]))
    measured = yardstick(
        [Modality.TEXT],
        Modality.IMAGE,
        sample=sample,
        texts=encoder.encode_texts(_PLAIN_TEXTS),
        pictures=sample,
    )

    def best(text: str) -> float:
        query = encoder.encode_texts([text])[0]
        return float(measured.relevance(query, sample @ query).max())

    there = [best(text) for text in ("a cat", "a cup of coffee", "a motorcycle", "a brick wall")]
    absent = [best(text) for text in ("asdf qwer zxcv", "犬が雪の中を走る", "a tax return", "two men playing hockey")]
    assert min(there) > nothing_below(len(names)) > min(absent)
    assert min(there) > max(absent)
