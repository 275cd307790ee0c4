from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.search.tokens import LONGEST, WordQuery, read_words, tokens


@pytest.mark.parametrize(
    ("text", "words", "parts"),
    [
        ("A dog runs, fast!", "a dog runs fast", ""),
        ("IMG_2042.JPG", "img 2042 jpg", ""),
        ("img2042", "img2042", "img 2042"),
        ("holidays/2019-07 Rome/beach_sunset.jpg", "holidays 2019 07 rome beach sunset jpg", ""),
        ("BeachSunset", "beachsunset", "beach sunset"),
        ("myHTMLPage2", "myhtmlpage2", "my html page 2"),
        ("iPhone", "iphone", "i phone"),
        ("1141739219_2c47195e4c", "1141739219 2c47195e4c", ""),
        ("Überraschung auf der Straße", "überraschung auf der strasse", ""),
        ("СОБАКА на Пляже", "собака на пляже", ""),
        ("हिन्दी की किताब।", "हिन्दी की किताब", ""),
        ("בַּיִת קָטָן", "בַּיִת קָטָן", ""),
        ("東京タワー.jpg", "東京 京タ タワ ワー jpg", "東 京 タ ワ ー"),
        ("海", "海", ""),
        ("ﬁne ２０２０", "fine 2020", ""),
        ("50€ \x00 ~~~ 🐶", "50", ""),
        ("", "", ""),
    ],
)
def test_words_and_their_parts(text: str, words: str, parts: str) -> None:
    found = tokens(text)
    assert found.words == tuple(words.split())
    assert found.parts == tuple(parts.split())


def test_a_name_is_the_same_however_its_accents_are_stored() -> None:
    for name in ("Übung.jpg", "プール.png", "café"):
        assert tokens(unicodedata.normalize("NFD", name)) == tokens(unicodedata.normalize("NFC", name))


def test_what_is_too_long_for_a_word_is_cut_and_a_long_japanese_text_is_not() -> None:
    assert tokens("x" * 5000).words == ("x" * LONGEST,)
    assert len(tokens("海" * 5000).words) == 4999


@given(st.text())
def test_no_word_is_empty_or_holds_a_space(text: str) -> None:
    found = tokens(text)
    assert all(word and len(word.split()) == 1 and "|" not in word for word in found.words + found.parts)


@given(st.text(), st.text())
def test_a_text_between_two_others_is_a_phrase_of_the_whole(before: str, after: str) -> None:
    middle = tokens("two dogs and 東京").words
    every = tokens(f"{before} two dogs and 東京 {after}").words
    assert any(every[start : start + len(middle)] == middle for start in range(len(every)))


@pytest.mark.parametrize(
    ("typed", "terms", "phrases"),
    [
        ("red car red", ["red", "car"], []),
        ('beach "red car"', ["beach"], ["red car"]),
        ("“two dogs” „im Schnee“", [], ["two dogs", "im schnee"]),
        ('a "b', ["a", "b"], []),
        ('"" " " "!"', [], []),
        ("iPhone", ["iphone", "phone"], []),
        ("東京", ["東京"], []),
        ('AND (OR) +x -y field:z "*"~2 [1 TO 3}', ["and", "or", "x", "y", "field", "z", "2", "1", "to", "3"], []),
        ("\ud800 \x00", [], []),
    ],
)
def test_what_is_typed(typed: str, terms: list[str], phrases: list[str]) -> None:
    assert read_words(typed) == WordQuery(tuple(terms), tuple(tuple(phrase.split()) for phrase in phrases))


@given(st.text())
def test_any_string_will_do(typed: str) -> None:
    found = read_words(typed)
    assert len(set(found.terms)) == len(found.terms)
