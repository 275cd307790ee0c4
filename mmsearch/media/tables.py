"""Tables of texts and of picture-caption pairs, in CSV or Parquet.

pyarrow is imported when a table is read: decode workers import this room and must stay small.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.errors import MediaError, NotFound
from mmsearch.media.failures import one_line

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_EXTENSIONS = frozenset({".csv", ".parquet"})
"""Endings, in lower case, of the tables that can be read."""

_TEXT_COLUMNS = ("text", "caption", "title", "sentence")
_KEY_COLUMNS = ("key", "image")
_CAPTION_COLUMN = "caption"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A picture, by whatever name the table gives it (see ``match_keys``), and a sentence about it."""

    key: str
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """Texts, and what else the table says of each."""

    texts: list[str]
    columns: pa.Table
    """The other columns with their own types; row i belongs to ``texts[i]``."""
    n_empty: int
    """Rows left out because their text is null or blank."""


def read_pairs(path: Path) -> list[Pair]:
    """The rows of a pairs file, in order; rows without a caption or a key are left out.

    Args:
        path: CSV or Parquet with the columns ``key`` (or ``image``) and ``caption``.

    Raises:
        NotFound: there is no such file.
        MediaError: it cannot be read, or has no such columns.
    """
    table = _read(path)
    names = table.column_names
    key_column = next((name for name in _KEY_COLUMNS if name in names), None)
    if key_column is None or _CAPTION_COLUMN not in names:
        raise MediaError(
            f"pairs file {_shown(path)} has the columns {_listed(names)}; it needs key (or image) and caption"
        )
    rows = zip(_strings(table, key_column, path), _strings(table, _CAPTION_COLUMN, path), strict=True)
    return [Pair(key=key, caption=caption) for key, caption in rows if key and caption and caption.strip()]


def read_texts(path: Path, *, text_column: str | None = None) -> TextTable:
    """The texts of a table, in order; rows without a text are left out.

    Args:
        path: CSV or Parquet.
        text_column: the column that holds the texts; if None, the first of ``text``, ``caption``, ``title``
            and ``sentence`` that the table has.

    Raises:
        NotFound: there is no such file.
        MediaError: it cannot be read, or has no such column.
    """
    table = _read(path)
    column = _text_column(table.column_names, text_column, path)
    values = _strings(table, column, path)
    rows = [row for row, value in enumerate(values) if value and value.strip()]
    others = table.drop_columns([column])
    if len(rows) < len(values):
        others = others.take(rows)
    return TextTable(texts=[values[row] or "" for row in rows], columns=others, n_empty=len(values) - len(rows))


def _text_column(names: list[str], asked: str | None, path: Path) -> str:
    if asked is not None:
        if asked not in names:
            raise MediaError(f"table {_shown(path)} has no column {asked!r}; it has {_listed(names)}")
        return asked
    for name in _TEXT_COLUMNS:
        if name in names:
            return name
    raise MediaError(
        f"table {_shown(path)} has the columns {_listed(names)}, and none is called "
        f"{', '.join(_TEXT_COLUMNS)}; name the column with the texts: --text-column NAME"
    )


def _read(path: Path) -> pa.Table:
    import pyarrow as pa

    if path.suffix.lower() not in TABLE_EXTENSIONS:
        raise MediaError(f"table {_shown(path)} is neither .csv nor .parquet; convert it to one of them")
    try:
        table = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    except FileNotFoundError as err:
        raise NotFound(f"there is no table {_shown(path)}; check the path", path) from err
    except (pa.ArrowException, OSError) as err:
        raise MediaError(f"table {_shown(path)} cannot be read: {one_line(str(err))}") from err
    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MediaError(f"table {_shown(path)} has more than one column {_listed(twice)}; rename all but one")
    return table


def _read_csv(path: Path) -> pa.Table:
    """Columns that may hold texts or keys are not guessed at: 007 is a key, not 7, and "null" is a word."""
    import pyarrow as pa
    from pyarrow import csv

    names = (*_TEXT_COLUMNS, *_KEY_COLUMNS)
    return csv.read_csv(
        path,
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )


def _read_parquet(path: Path) -> pa.Table:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        return file.read()


def _strings(table: pa.Table, column: str, path: Path) -> list[str | None]:
    import pyarrow as pa

    try:
        values: list[str | None] = table[column].cast(pa.string()).to_pylist()
    except (pa.ArrowException, UnicodeDecodeError) as err:
        kind = table[column].type
        raise MediaError(f"column {column!r} of {_shown(path)} holds {kind}, not text: {one_line(str(err))}") from err
    return values


def _listed(names: list[str]) -> str:
    return ", ".join(one_line(name) for name in names) or "none"


def _shown(path: Path) -> str:
    return one_line(str(path))
