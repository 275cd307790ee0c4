from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mmsearch.arrays import Embeddings
from mmsearch.media import Limits
from mmsearch.search.embed import QueryEncoder
from mmsearch.search.feedback import LIKE_WEIGHT, UNLIKE_WEIGHT, with_feedback
from mmsearch.search.query import Item, Picture, Term, Text
from mmsearch.store import Modality
from tests.fakes import FakeEncoder

QUERY = Text("a dog")


def test_a_query_without_feedback_is_itself() -> None:
    assert with_feedback(QUERY) is QUERY


def test_liked_items_share_one_weight_and_disliked_ones_another() -> None:
    moved = with_feedback(QUERY, like=["a.jpg", "b.jpg"], unlike=["c.jpg", Picture("d.jpg"), "e.jpg"])
    assert moved.terms == (
        Term(1.0, QUERY),
        Term(LIKE_WEIGHT / 2, Item("a.jpg")),
        Term(LIKE_WEIGHT / 2, Item("b.jpg")),
        Term(-UNLIKE_WEIGHT / 3, Item("c.jpg")),
        Term(-UNLIKE_WEIGHT / 3, Picture("d.jpg")),
        Term(-UNLIKE_WEIGHT / 3, Item("e.jpg")),
    )


def test_the_terms_of_a_sum_stay_as_they_were() -> None:
    moved = with_feedback(2 * QUERY - Text("grass"), like=["a.jpg"])
    assert moved.terms == (Term(2.0, QUERY), Term(-1.0, Text("grass")), Term(LIKE_WEIGHT, Item("a.jpg")))


@pytest.mark.parametrize("which", ["like", "unlike"])
def test_one_key_is_not_taken_for_a_list_of_letters(which: str) -> None:
    with pytest.raises(TypeError, match=r"give \['a\.jpg'\]"):
        with_feedback(QUERY, **{which: "a.jpg"})


class Shelf:
    """Three pictures at right angles."""

    mean_image = np.full(16, 1 / 3, np.float32) * (np.arange(16) < 3)

    def vector_of(self, key: str) -> tuple[Modality, Embeddings]:
        return Modality.IMAGE, np.eye(16, dtype=np.float32)[int(key)]


def scores(like: Sequence[str], unlike: Sequence[str]) -> Embeddings:
    query = with_feedback(QUERY, like=like, unlike=unlike)
    return QueryEncoder(FakeEncoder()).embed([query], Shelf(), Limits())[0].vector[:3]


def test_feedback_moves_the_query_as_rocchio_says() -> None:
    encoder = FakeEncoder()
    plain = scores(["0"], ["2"])
    words = encoder.encode_texts(["a photo of a dog"])[0] - embed_mean(encoder)
    moved = (
        words + LIKE_WEIGHT * (np.eye(16)[0] - Shelf.mean_image) - UNLIKE_WEIGHT * (np.eye(16)[2] - Shelf.mean_image)
    )
    assert plain == pytest.approx((moved / np.linalg.norm(moved))[:3], abs=1e-6)


def embed_mean(encoder: FakeEncoder) -> Embeddings:

    mean: Embeddings = QueryEncoder(encoder).everyday_texts.mean(axis=0)
    return mean


def test_more_liking_brings_an_item_nearer_and_disliking_takes_it_away() -> None:
    neither, liked, disliked = scores(["1"], []), scores(["1", "0"], []), scores(["1"], ["0"])
    assert liked[0] > neither[0] > disliked[0]
