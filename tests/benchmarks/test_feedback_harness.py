from __future__ import annotations

import numpy as np

from benchmarks.feedback import Judged, judge, moved
from benchmarks.nouns import shows
from mmsearch.search import Text
from mmsearch.search.query import Item, Term


def test_a_word_is_shown_in_singular_and_plural_but_not_inside_another() -> None:
    captions = ["two dogs run", "a hotdog stand", "the dog on a beach", "beaches"]
    assert shows(("dog",), captions).tolist() == [True, False, True, False]
    assert shows(("dog", "beach"), captions).tolist() == [False, False, True, False]


def test_the_first_right_ones_are_liked_and_the_first_wrong_ones_disliked() -> None:
    right = np.array([True, False, True, False, True, False])
    judged = judge(("dog",), np.array([1, 4, 3, 2, 0, 5]), right, 2)
    assert judged.like.tolist() == [4, 2]
    assert judged.unlike.tolist() == [1, 3]


def test_judged_pictures_count_for_neither_side() -> None:
    right = np.arange(40) % 2 == 0
    judged = Judged(Text("dog"), right, like=np.array([0, 2]), unlike=np.array([1, 3]))
    assert judged.found(np.arange(40)) == 10
    assert judged.found(np.array([0, 2, 4, 5, 6])) == 2
    assert judged.possible == 18


def test_weights_are_shared_by_what_was_judged_and_a_weight_of_zero_adds_nothing() -> None:
    judged = Judged(Text("dog"), np.ones(4, bool), like=np.array([0, 2]), unlike=np.array([1]))
    dog = Term(1.0, Text("dog"))
    assert moved(judged, "abcd", 1.0, 0.0).terms == (dog, Term(0.5, Item("a")), Term(0.5, Item("c")))
    assert moved(judged, "abcd", 0.0, 0.2).terms == (dog, Term(-0.2, Item("b")))
