"""Tables of texts and pairs: CSV and Parquet, by value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from mmsearch.errors import MediaError, NotFound
from mmsearch.media import Pair, TextTable, read_pairs, read_texts


def write(path: Path, columns: dict[str, Any]) -> Path:
    table = pa.table(columns)
    if path.suffix == ".csv":
        csv.write_csv(table, path)
    else:
        parquet.write_table(table, path)
    return path


@pytest.fixture(params=[".csv", ".parquet", ".CSV"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A path with each ending that can be read."""
    return tmp_path / f"table{request.param}"


def write_any(path: Path, columns: dict[str, Any]) -> Path:
    written = write(path.with_suffix(path.suffix.lower()), columns)
    return written.rename(path)


def test_pairs_keep_order_and_repeat_keys(table: Path) -> None:
    write_any(table, {"key": ["b", "a", "b"], "n": [1, 2, 3], "caption": ["one", "two, three", 'say "four"']})
    assert read_pairs(table) == [
        Pair(key="b", caption="one"),
        Pair(key="a", caption="two, three"),
        Pair(key="b", caption='say "four"'),
    ]


def test_pairs_may_call_the_key_image(table: Path) -> None:
    write_any(table, {"caption": ["one"], "image": ["a.jpg"]})
    assert read_pairs(table) == [Pair(key="a.jpg", caption="one")]


def test_key_wins_over_image(table: Path) -> None:
    write_any(table, {"caption": ["one"], "image": ["/old/a.jpg"], "key": ["a.jpg"]})
    assert read_pairs(table) == [Pair(key="a.jpg", caption="one")]


def test_keys_and_captions_stay_as_written(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("key,caption\n007,null\n1e5,2020-01-01\ntrue, spaced \n")
    assert read_pairs(path) == [
        Pair(key="007", caption="null"),
        Pair(key="1e5", caption="2020-01-01"),
        Pair(key="true", caption=" spaced "),
    ]


def test_numeric_keys_of_parquet_become_text(tmp_path: Path) -> None:
    path = write(tmp_path / "pairs.parquet", {"key": [7, 12], "caption": ["one", "two"]})
    assert [pair.key for pair in read_pairs(path)] == ["7", "12"]


def test_empty_captions_and_keys_are_dropped(table: Path) -> None:
    write_any(table, {"key": ["a", "b", "c", ""], "caption": ["one", "", "  ", "four"]})
    assert read_pairs(table) == [Pair(key="a", caption="one")]
    nulls = write(table.with_name("nulls.parquet"), {"key": ["a", None], "caption": [None, "two"]})
    assert read_pairs(nulls) == []


def test_byte_order_mark_quoted_newlines_and_crlf_are_tolerated(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes('\ufeffkey,caption\r\na.jpg,"two\r\nlines"\r\né.jpg,naïve 写真\r\n'.encode())
    assert read_pairs(path) == [Pair(key="a.jpg", caption="two\r\nlines"), Pair(key="é.jpg", caption="naïve 写真")]


def test_pairs_without_the_columns_name_those_seen(table: Path) -> None:
    write_any(table, {"file": ["a"], "text": ["one"]})
    with pytest.raises(MediaError, match=r"has the columns file, text; it needs key \(or image\) and caption"):
        read_pairs(table)


@pytest.mark.parametrize("name", ["text", "caption", "title", "sentence"])
def test_text_column_is_found_by_its_name(table: Path, name: str) -> None:
    write_any(table, {"year": [1999, 2001], name: ["one", "two"], "who": ["x", "y"]})
    found = read_texts(table)
    assert found.texts == ["one", "two"]
    assert found.columns.to_pydict() == {"year": [1999, 2001], "who": ["x", "y"]}
    assert found.columns.schema.field("year").type == pa.int64()
    assert found.n_empty == 0


def test_text_column_can_be_named(table: Path) -> None:
    write_any(table, {"text": ["one"], "body": ["two"]})
    found = read_texts(table, text_column="body")
    assert found.texts == ["two"]
    assert found.columns.column_names == ["text"]


def test_rows_without_text_are_left_out_of_every_column_and_counted(table: Path) -> None:
    write_any(table, {"text": ["one", "", " \t", "four"], "n": [1, 2, 3, 4]})
    found = read_texts(table)
    assert (found.texts, found.columns["n"].to_pylist(), found.n_empty) == (["one", "four"], [1, 4], 2)


def test_table_of_texts_alone_has_no_other_columns_but_its_rows(table: Path) -> None:
    write_any(table, {"text": ["one", "two"]})
    found = read_texts(table)
    assert found.texts == ["one", "two"]
    assert found.columns.num_columns == 0


def test_missing_text_column_names_those_seen_and_the_way_out(table: Path) -> None:
    write_any(table, {"a": ["one"], "b": ["two"]})
    with pytest.raises(
        MediaError, match=r"has the columns a, b, .* text, caption, title, sentence.*--text-column NAME"
    ):
        read_texts(table)
    with pytest.raises(MediaError, match="has no column 'c'; it has a, b"):
        read_texts(table, text_column="c")


def test_list_column_is_no_text(tmp_path: Path) -> None:
    path = write(tmp_path / "lists.parquet", {"text": [["one"], ["two"]]})
    with pytest.raises(MediaError, match="column 'text' .* holds list<.*>, not text"):
        read_texts(path)


def test_repeated_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.csv"
    path.write_text("text,text\none,two\n")
    with pytest.raises(MediaError, match="more than one column text"):
        read_texts(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("ragged.csv", b"text,n\none,1\ntwo,2,3\n"),
        ("latin.csv", "text\ncafé\n".encode("latin-1")),
        ("html.parquet", b"<html></html>"),
        ("cut.parquet", b"PAR1" + b"\0" * 40),
    ],
)
def test_damaged_table_is_a_media_error_that_names_it(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MediaError, match=name):
        read_texts(path)


def test_missing_or_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no table .*gone\.csv"):
        read_pairs(tmp_path / "gone.csv")
    with pytest.raises(NotFound, match=r"no table .*gone\.parquet"):
        read_pairs(tmp_path / "gone.parquet")
    (tmp_path / "notes.txt").write_text("text\none\n")
    with pytest.raises(MediaError, match=r"notes\.txt is neither \.csv nor \.parquet"):
        read_texts(tmp_path / "notes.txt")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(MediaError, match=r"folder\.csv cannot be read"):
        read_texts(tmp_path / "folder.csv")


def test_header_without_rows_is_an_empty_table(tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    path.write_text("text,n\n")
    found = read_texts(path)
    assert isinstance(found, TextTable)
    assert (found.texts, found.columns.column_names) == ([], ["n"])
