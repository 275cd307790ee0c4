from __future__ import annotations

import numpy as np

from benchmarks.diverse import Album, by_score, distinct, diverse, uncommon_words


def test_versions_of_one_photograph_count_once() -> None:
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]] * np.float32(1)
    looks = np.eye(256, dtype=np.float32)[[0, 0, 1, 2]]
    album = Album(vectors, looks, np.array([0, 0, 1, 2]), [{"dog"}, {"dog", "ball"}, {"cat"}])
    queries = np.array([[0.8, 0.6, 0.0]], np.float32)
    right = [np.array([True, False, True])]
    assert album.measure(queries, right, by_score) == {
        "photographs": 3.0,
        "showing_the_noun": 2.0,
        "words": 3.0,
        "cosine": 0.167,  # one pair of six
    }
    assert album.measure(queries, right, distinct)["cosine"] == 0.0
    assert album.measure(queries, right, diverse(0.5))["photographs"] == 3.0


def test_words_of_every_caption_and_of_hardly_any_tell_nothing() -> None:
    captions = ["a dog"] * 3 + ["a cat"] * 2 + ["a horse"] * 250
    assert uncommon_words(captions)[0] == {"dog"}
    assert uncommon_words(captions)[3] == set()
    assert uncommon_words(captions)[-1] == set()
