"""Which queries are asked as a caption, and which as they were typed."""

from __future__ import annotations

import doctest

import pytest

from mmsearch.search import prompts
from mmsearch.search.prompts import as_caption


@pytest.mark.parametrize("text", ["dog", "A dog", "golden retriever", "half-pipe", "the dog's bowl"])
def test_a_few_words_become_a_caption(text: str) -> None:
    assert as_caption(text) == f"a photo of {text}"


@pytest.mark.parametrize(
    "text",
    [
        "two dogs run fast",
        "",
        "犬",
        "Überraschung",
        "IMG_2042",
        "1040",
        "a photo of",
        "Picture of dogs",
        "dog, cat",
        "dog!",
    ],
)
def test_sentences_names_of_files_and_other_languages_stay_as_typed(text: str) -> None:
    assert as_caption(text) == text


def test_space_around_and_between_words_is_not_asked_for() -> None:
    assert as_caption("  golden   retriever ") == "a photo of golden retriever"


def test_the_examples_are_true() -> None:
    assert doctest.testmod(prompts).failed == 0
