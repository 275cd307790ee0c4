from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.arrays import Embeddings
from mmsearch.errors import MediaError, NotFound, QueryError
from mmsearch.media import Limits
from mmsearch.search import Item, Picture, Query, QueryEncoder, Text, with_feedback
from mmsearch.store import Modality
from tests.fakes import FakeEncoder
from tests.pictures import paint

ENCODER = FakeEncoder()
LIMITS = Limits()


class Shelf:
    """A collection of two items, whose pictures have a mean."""

    def __init__(self) -> None:
        self.cat = ENCODER.encode_texts(["cat"])[0]

    def vector_of(self, key: str) -> tuple[Modality, Embeddings]:
        assert key == "any.png"
        return Modality.IMAGE, self.cat

    @property
    def mean_image(self) -> Embeddings:
        return np.full(ENCODER.space.dim, 0.05, np.float32)


def embed(query: Query | str) -> Embeddings:
    return QueryEncoder(ENCODER).embed([query], Shelf(), LIMITS)[0].vector


def test_one_term_is_its_own_vector() -> None:
    np.testing.assert_allclose(embed("dog"), ENCODER.encode_texts(["a photo of dog"])[0], atol=1e-6)
    np.testing.assert_allclose(embed(3 * Text("dog")), embed("dog"), atol=1e-6)


def test_a_sum_is_the_normalised_weighted_sum_of_its_centred_terms() -> None:
    dog = ENCODER.encode_texts(["a photo of dog"])[0] - QueryEncoder(ENCODER).everyday_texts.mean(axis=0)
    cat = Shelf().cat - Shelf().mean_image
    expected = 2 * dog - 0.5 * cat
    np.testing.assert_allclose(
        embed(2 * Text("dog") - 0.5 * Item("any.png")), expected / np.linalg.norm(expected), atol=1e-6
    )


def test_pictures_and_texts_add(tmp_path: Path) -> None:
    path = paint(tmp_path / "a.png", seed=1)
    both = embed(Picture(path) + Text("dog"))
    assert float(both @ embed(Picture(path))) > 0.4
    assert float(both @ embed("dog")) > 0.4


def test_a_weight_however_large_does_not_overflow() -> None:
    np.testing.assert_allclose(embed(1e300 * Text("dog") + 1e300 * Text("cat")), embed(Text("dog") + Text("cat")))


@given(st.lists(st.tuples(st.floats(0.1, 5), st.sampled_from(["dog", "cat", "red", "sea"])), min_size=1, max_size=4))
def test_the_order_of_terms_does_not_matter(terms: list[tuple[float, str]]) -> None:
    forward, backward = (
        sum((weight * Text(word) for weight, word in order[1:]), order[0][0] * Text(order[0][1]))
        for order in (terms, terms[::-1])
    )
    np.testing.assert_allclose(embed(forward), embed(backward), atol=1e-5)


def test_a_query_that_cancels_out_is_refused() -> None:
    with pytest.raises(QueryError, match="cancel each other out"):
        embed(Text("dog") - Text("dog"))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (-1 * Text("dog"), "no term is added"),
        (-Text("dog") - Text("cat"), "no term is added"),
        (1e9 * Text("dog") + Text("cat"), r"weights 1 and 1e\+09 are too far apart"),
    ],
)
def test_a_sum_that_cannot_be_searched_for_is_refused(query: Query, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        embed(query)


def test_what_is_no_query_is_refused_by_its_type(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="the query is PosixPath; give a string"):
        embed(tmp_path)  # type: ignore[arg-type]


def test_feedback_on_hundreds_of_items_is_no_weight_out_of_proportion() -> None:
    embed(with_feedback(Text("dog"), unlike=["any.png"] * 700))


def test_a_weight_of_nothing_is_refused() -> None:
    with pytest.raises(QueryError, match="weight is 0"):
        0 * Text("dog")


@pytest.mark.parametrize("words", ["", " \t\n"])
def test_an_empty_text_is_refused(words: str) -> None:
    with pytest.raises(QueryError, match="the query is empty"):
        Text(words)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(QueryError, match=r"'caf\\udce9' is no Unicode"):
        Text("caf\udce9")


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_refused(weight: float) -> None:
    with pytest.raises(QueryError, match="give a finite number"):
        weight * Text("dog")


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("<html>")
    with pytest.raises(MediaError, match=r"broken\.jpg"):
        embed(Picture(broken))
    with pytest.raises((NotFound, MediaError), match=r"gone\.jpg"):
        embed(Picture(tmp_path / "gone.jpg"))
