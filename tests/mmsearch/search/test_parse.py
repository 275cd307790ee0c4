from __future__ import annotations

from pathlib import Path

import pytest

from mmsearch.errors import QueryError
from mmsearch.search import Item, Picture, Query, Text, parse_query
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "the query is empty"),
        ("0:dog", "weight is 0"),
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
