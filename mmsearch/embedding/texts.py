"""Texts: captions of pictures, and tables of texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from mmsearch.embedding.inventory import CAPTION_MARK, Inventory, picture_of
from mmsearch.embedding.report import IndexReport, Progress
from mmsearch.embedding.writer import Row, ShardWriter
from mmsearch.errors import MediaError
from mmsearch.media import Candidate
from mmsearch.store import Modality, Snapshot, item_schema

ROW_MARK = "#row="
TEXT_BATCH = 256


@dataclass(frozen=True, slots=True)
class TextPlan:
    """What has to be done for some texts."""

    to_encode: list[Row]
    to_copy: list[tuple[Row, int]]
    """Rows and the items whose vectors they take: the same text, elsewhere."""
    stale: list[int]
    """Ids of the items that these texts have left without a place."""
    unchanged: int

    def run(self, writer: ShardWriter, report: IndexReport) -> Iterator[Progress]:
        """Carry the plan out; yields after each batch."""
        report.unchanged += self.unchanged
        for copy in self.to_copy:
            writer.add_copies([copy])
        for start in range(0, len(self.to_encode), TEXT_BATCH):
            batch = self.to_encode[start : start + TEXT_BATCH]
            writer.add_texts(batch)
            yield Progress(start + len(batch), len(self.to_encode), report.bound)
        writer.remove(self.stale)


def plan_captions(captions: Mapping[str, Sequence[str]], sources: Mapping[str, str], inventory: Inventory) -> TextPlan:
    """Every caption becomes a text item of its own, under its picture's key.

    Args:
        captions: picture key -> its captions; for the pictures named, these are all there are.
        sources: picture key -> source.
        inventory: the texts of the collection.
    """
    rows = [
        _row(f"{key}{CAPTION_MARK}{number}", sources[key], text, 0)
        for key, texts in captions.items()
        for number, text in enumerate(texts)
    ]
    wanted = {row.key for row in rows}
    stale = [
        held.id
        for held in inventory
        if CAPTION_MARK in held.key and picture_of(held.key) in captions and held.key not in wanted
    ]
    return _plan(rows, inventory, stale)


def plan_table(texts: Sequence[str], own: pa.Table, file: Candidate, inventory: Inventory) -> TextPlan:
    """Every row of a table becomes a text item with the user's other columns.

    Rows of a file of unchanged time that say the same are left alone; of a changed one all are written again, and
    only texts that were not there before are encoded.

    Args:
        texts: the rows' texts; items are numbered by their place among them.
        own: the user's other columns, from ``fit_columns``; as many rows.
        file: the table.
        inventory: the texts of the collection.
    """
    prefix = f"{file.key}{ROW_MARK}"
    old = [held for held in inventory if held.key.startswith(prefix)]
    rows = [
        _row(f"{prefix}{number}", file.source, text, file.mtime_ns, own.slice(number, 1))
        for number, text in enumerate(texts)
    ]
    wanted = {row.key for row in rows}
    return _plan(rows, inventory, [held.id for held in old if held.key not in wanted])


def fit_columns(columns: pa.Table, snapshot: Snapshot, file: Path) -> pa.Table:
    """The user's columns as the collection can take them.

    Names that the collection has a meaning for get ``table_`` before them. A column that is there already keeps its
    type; values of another type are converted.

    Raises:
        MediaError: values that cannot be converted, or two columns of one name.
    """
    taken = set(item_schema(snapshot.dim).names)
    names = [f"table_{name}" if name in taken else name for name in columns.column_names]
    if len(set(names)) < len(names):
        raise MediaError(f"table {file} has two columns of one name among {', '.join(names)}; rename one")
    fitted = columns.rename_columns(names)
    for position, name in enumerate(names):
        known = snapshot.types.get(name)
        if known is None:
            continue
        try:
            fitted = fitted.set_column(position, name, fitted[name].cast(known))
        except pa.ArrowException as err:
            raise MediaError(
                f"column {name!r} of table {file} has values that are no {known}, as which the collection "
                f"keeps that column: {err}; rename the column"
            ) from err
    return fitted


def _plan(rows: Iterable[Row], inventory: Inventory, stale: list[int]) -> TextPlan:
    to_encode: list[Row] = []
    to_copy: list[tuple[Row, int]] = []
    unchanged = 0
    for row in rows:
        held = inventory.of_key(row.key)
        if held and (held.sha256, held.mtime_ns) == (row.sha256, row.mtime_ns):
            unchanged += 1
            continue
        if held:
            row = replace(row, replaces=(held.id,))
        donor = inventory.of_content(row.sha256)
        if donor:
            to_copy.append((row, donor.id))
        else:
            to_encode.append(row)
    return TextPlan(to_encode, to_copy, stale, unchanged)


def _row(
    key: str,
    source: str,
    text: str,
    mtime_ns: int,
    extra: pa.Table | None = None,
) -> Row:
    data = text.encode("utf-8")
    return Row(
        key=key,
        source=source,
        modality=Modality.TEXT,
        text=text,
        size_bytes=len(data),
        mtime_ns=mtime_ns,
        sha256=hashlib.sha256(data).digest(),
        extra=extra,
    )
