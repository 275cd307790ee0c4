from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import MediaError, NotFound, QueryError
from mmsearch.media import Limits
from mmsearch.search import Picture, Text, embed_query, parse_query
from tests.fakes import FakeEncoder
from tests.pictures import paint

ENCODER = FakeEncoder()
LIMITS = Limits()


def embed(query: object) -> np.ndarray:
    return embed_query(query, ENCODER, LIMITS)  # type: ignore[arg-type]


def test_a_sum_is_the_normalised_weighted_sum_of_its_terms() -> None:
    dog, cat = ENCODER.encode_texts(["dog", "cat"])
    expected = 2 * dog - 0.5 * cat
    found = embed(2 * Text("dog") - 0.5 * Text("cat"))
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


def test_pictures_and_texts_add(tmp_path: Path) -> None:
    path = paint(tmp_path / "a.png", seed=1)
    both = embed(Picture(path) + Text("dog"))
    assert float(both @ embed(Picture(path))) > 0.4
    assert float(both @ embed("dog")) > 0.4


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


@pytest.mark.parametrize("words", ["", " \t\n"])
def test_an_empty_text_is_refused(words: str) -> None:
    with pytest.raises(QueryError, match="the query is empty"):
        Text(words)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_refused(weight: float) -> None:
    with pytest.raises(QueryError, match="give a finite number"):
        weight * Text("dog")


def test_what_is_typed_is_a_picture_if_such_a_file_is_there(tmp_path: Path) -> None:
    path = paint(tmp_path / "a dog.png", seed=1)
    assert parse_query(str(path)) == Picture(path)
    assert parse_query("a dog") == Text("a dog")
    assert parse_query("x" * 5000) == Text("x" * 5000)
    assert parse_query("a\0b") == Text("a\0b")
    with pytest.raises(QueryError, match="there is no picture cat.JPG"):
        parse_query("cat.JPG")


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("<html>")
    with pytest.raises(MediaError, match=r"broken\.jpg"):
        embed(Picture(broken))
    with pytest.raises((NotFound, MediaError), match=r"gone\.jpg"):
        embed(Picture(tmp_path / "gone.jpg"))
