"""Names in tables matched to keys of items."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmsearch.media import match_keys

KEYS = ["a/b.jpg", "a/c.jpg", "d/c.jpg", "e.jpg", "f/e.png", "g/h.v2.jpg", "clips.tar/0001.jpg", "x/é.jpg"]


def test_exact_key_wins() -> None:
    assert match_keys(["e.jpg", "a/c.jpg"], KEYS) == {"e.jpg": "e.jpg", "a/c.jpg": "a/c.jpg"}


def test_unique_end_of_a_key_is_enough() -> None:
    assert match_keys(["b.jpg", "0001.jpg", "é.jpg"], KEYS) == {
        "b.jpg": "a/b.jpg",
        "0001.jpg": "clips.tar/0001.jpg",
        "é.jpg": "x/é.jpg",
    }


def test_name_may_begin_further_up_than_the_key() -> None:
    names = ["/home/me/a/b.jpg", "./e.jpg", "old/d/c.jpg"]
    assert match_keys(names, KEYS) == dict(zip(names, ["a/b.jpg", "e.jpg", "d/c.jpg"], strict=True))


def test_end_must_begin_at_a_folder() -> None:
    assert match_keys([".jpg", "jpg", "/b.jpg", "001.jpg"], ["a/xb.jpg", "0001.jpg"]) == {}


def test_name_of_another_folder_means_nothing() -> None:
    assert match_keys(["cats/001.jpg"], ["dogs/001.jpg"]) == {}


def test_ending_may_be_left_away_or_differ() -> None:
    assert match_keys(["b", "a/b", "b.png", "/x/a/b.webp", "0001", "h.v2", "g/h.v2"], KEYS) == {
        "b": "a/b.jpg",
        "a/b": "a/b.jpg",
        "b.png": "a/b.jpg",
        "/x/a/b.webp": "a/b.jpg",
        "0001": "clips.tar/0001.jpg",
        "h.v2": "g/h.v2.jpg",
        "g/h.v2": "g/h.v2.jpg",
    }


def test_name_of_several_keys_is_left_out() -> None:
    assert match_keys(["c.jpg", "c", "e"], KEYS) == {"e": "e.jpg"}  # "e" is f/e.png too, but equals e.jpg's stem
    assert match_keys(["a/e"], ["a/e.jpg", "a/e.png"]) == {}
    assert match_keys(["e"], ["a/e.jpg", "b/e.png"]) == {}
    assert match_keys(["e"], ["a/e", "b/e", "e.jpg"]) == {}  # of two by its whole name, so none by a shorter one


def test_unknown_and_empty_names_are_left_out() -> None:
    assert match_keys(["z.jpg", "", "/", "a/"], KEYS) == {}
    assert match_keys(["a"], []) == {}


@given(st.lists(st.text("ab/.", min_size=1, max_size=6), unique=True), st.lists(st.text("ab/.", max_size=6)))
def test_matches_agree_with_a_plain_reading_of_the_rule(keys: list[str], wanted: list[str]) -> None:
    matches = match_keys(wanted, keys)
    assert set(matches) <= set(wanted)
    for name in set(wanted):
        ends = [key for key in keys if key.endswith(f"/{name}")]
        if name in keys:
            assert matches[name] == name
        elif len(ends) == 1:
            assert matches[name] == ends[0]
        elif len(ends) > 1:
            assert matches.get(name) is None
