"""Texts: captions of pictures, and tables of texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from mmsearch.embedding.inventory import Inventory
from mmsearch.embedding.report import IndexReport, Progress
from mmsearch.embedding.writer import Row, ShardWriter
from mmsearch.media import Candidate, TextTable
from mmsearch.store import Modality, item_schema

CAPTION_MARK = "#text="
ROW_MARK = "#row="
TEXT_BATCH = 256


def picture_of(key: str) -> str:
    """The picture that a caption's key names; a key that is no caption's comes back as it is."""
    return key.rpartition(CAPTION_MARK)[0] or key


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
        for row, donor in self.to_copy:
            writer.add_copy(row, donor)
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


def plan_table(table: TextTable, file: Candidate, inventory: Inventory) -> TextPlan:
    """Every row of a table becomes a text item with the user's other columns.

    A file of unchanged size and time is left alone; of a changed one all rows are written again, and only
    texts that were not there before are encoded.
    """
    prefix = f"{file.key}{ROW_MARK}"
    old = [held for held in inventory if held.key.startswith(prefix)]
    if len(old) == len(table.texts) and all(held.mtime_ns == file.mtime_ns for held in old):
        return TextPlan([], [], [], len(old))
    own = _own_columns(table.columns)
    rows = [
        _row(f"{prefix}{number}", file.source, text, file.mtime_ns, own.slice(number, 1))
        for number, text in enumerate(table.texts)
    ]
    wanted = {row.key for row in rows}
    return _plan(rows, inventory, [held.id for held in old if held.key not in wanted])


def _own_columns(columns: pa.Table) -> pa.Table:
    """The user's columns, with ``table_`` before the names that the collection has a meaning for."""
    taken = set(item_schema(1).names)
    return columns.rename_columns([f"table_{name}" if name in taken else name for name in columns.column_names])


def plan_moved(moved: Mapping[str, str], inventory: Inventory) -> TextPlan:
    """Captions follow their pictures to the new keys."""
    copies = []
    for held in inventory if moved else ():
        new = moved.get(picture_of(held.key))
        if new is not None and CAPTION_MARK in held.key:
            key = new + held.key.removeprefix(picture_of(held.key))
            copies.append((_row(key, held.source, held.text or "", held.mtime_ns, replaces=(held.id,)), held.id))
    return TextPlan([], copies, [], 0)


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
    replaces: tuple[int, ...] = (),
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
        replaces=replaces,
    )
