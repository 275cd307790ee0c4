from __future__ import annotations

from pathlib import Path

import pytest

from mmsearch.errors import QueryError
from mmsearch.search import Item, Picture, Query, Text, parse_line, parse_query
from mmsearch.search.query import Sum, Term
from tests.pictures import paint


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    paint(tmp_path / "pool.png", seed=1)
    paint(tmp_path / "2:1 crop.png", seed=2)
    return tmp_path


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a dog", Text("a dog")),
        (["two", "dogs", "in", "the", "snow"], Text("two dogs in the snow")),
        (["well-known"], Text("well-known")),
        ("pool.png", Picture(Path("pool.png"))),
        ("2:1 crop.png", Picture(Path("2:1 crop.png"))),
        ("@a/b.jpg", Item("a/b.jpg")),
        ("2e1:dog", Sum((Term(20.0, Text("dog")),))),
        ("inf: a short film", Text("inf: a short film")),
        ("https://example.org is down", Text("https://example.org is down")),
        (["2:golden", "retriever"], Sum((Term(2.0, Text("golden retriever")),))),
        (
            ["dog", "+", "./pool.png", "-", "0.5:red fruit"],
            Sum((Term(1.0, Text("dog")), Term(1.0, Picture(Path("pool.png"))), Term(-0.5, Text("red fruit")))),
        ),
        (["-", "fruit", "+", "dog"], Sum((Term(-1.0, Text("fruit")), Term(1.0, Text("dog"))))),
        ("x" * 5000, Text("x" * 5000)),
        ("a\0b", Text("a\0b")),
    ],
)
def test_what_is_typed_becomes_a_query(words: str | list[str], expected: Query) -> None:
    assert parse_query(words) == expected


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("words", [["pool.png", "./pool.png"], ["dog", "pool.png"], ["2:dog", "+", "a", "./pool.png"]])
def test_a_picture_without_a_sign_is_not_taken_for_a_word(words: list[str]) -> None:
    with pytest.raises(QueryError, match=r"pool.png is a picture among other words; put \+ or - before and after it"):
        parse_query(words)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a child's birthday - it's raining", Text("a child's birthday") - Text("it's raining")),
        ("my cats/pool 1.png", Picture(Path("my cats/pool 1.png"))),
        ('dog + "my cats/pool 1.png"', Text("dog") + Picture(Path("my cats/pool 1.png"))),
        ("@a b.jpg - 2:red fruit", Item("a b.jpg") - 2 * Text("red fruit")),
        ('"@a - b.jpg" + dog', Item("a - b.jpg") + Text("dog")),
        ('"black - white" dog - "a" b', Text('"black - white" dog') - Text('"a" b')),
        ("well-known +1 dog-like", Text("well-known +1 dog-like")),
        ('half " a quote - dog', Text('half " a quote') - Text("dog")),
    ],
)
def test_a_line_is_read_without_a_shell(here: Path, line: str, expected: Query) -> None:
    paint(here / "my cats/pool 1.png", seed=3)
    assert parse_line(line) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "the query is empty"),
        ("0:dog", "weight is 0"),
        ("./pool.pgn", r"there is no picture ./pool.pgn"),
        (["dog", "+", "0:cat"], "weight is 0"),
        ("nan:dog", "weight is nan"),
        (["dog", "-", "INF:cat"], "weight is -inf"),
        (["1e9:dog", "+", "cat"], "too far apart"),
        ([], "the query is empty"),
        ("  ", "the query is empty"),
        (["dog", "+"], "nothing follows the last sign"),
        (["dog", "+", "-", "cat"], "two signs follow each other"),
        (["-", "fruit"], "no term is added"),
        ("cat.JPG", "there is no picture cat.JPG"),
        (["dog", "-", "2:cat.png"], "there is no picture cat.png"),
    ],
)
def test_what_makes_no_sense_is_said(words: str | list[str], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse_query(words)
