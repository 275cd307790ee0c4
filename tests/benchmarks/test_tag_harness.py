"""The judge of tags, by hand."""

from __future__ import annotations

import numpy as np

from benchmarks.tag import SAID, UNSAID, chosen, judged, truth


def test_a_word_is_said_in_singular_or_plural_but_not_inside_another() -> None:
    captions = ["two men walk. a bus", "a boat and busy dogs", "the children's boats"]
    found = truth(captions, ("man", "bus", "dog", "child", "boat", "cat"))
    assert found.astype(int).tolist() == [[1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 1, 0], [0, 0, 0, 1, 1, 0]]


def test_words_are_taken_best_first_down_to_the_threshold() -> None:
    scores = np.array([[0.1, 0.9, 0.5, 0.6, 0.7], [0.2, 0.1, 0.1, 0.1, 0.1]])
    assert chosen(scores, 0.55).tolist() == [[1, 4, 3], [-1, -1, -1]]


def test_tags_are_judged_by_hand() -> None:
    """Of four words two are right, of three that are true two were given, and one is said of no picture."""
    right = np.zeros((4, len(SAID)), bool)
    right[0, 3] = right[1, 5] = right[1, 6] = True
    unsaid = len(SAID)
    tags = np.array([[3, 7, -1], [5, unsaid, -1], [-1, -1, -1], [-1, -1, -1]])
    assert judged(tags, right) == {
        "words_a_picture": 1.0,
        "pictures_tagged": 0.5,
        "precision": 0.5,
        "recall": 0.667,
        "share_of_unsaid_words": 0.25,
    }


def test_the_two_lists_share_no_word() -> None:
    assert len({*SAID, *UNSAID}) == len(SAID) + len(UNSAID) == 109
