"""What a search gives back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import pyarrow as pa

from mmsearch.search.query import Query
from mmsearch.store import Modality


@dataclass(frozen=True, slots=True)
class Hit:
    """One item that was found."""

    rank: int
    """1 for the best."""
    score: float
    """Cosine between query and item, larger is better; where only words were searched for, BM25."""
    relevance: float | None
    """How likely a hit with this score is right for this query, in [0, 1]; None where only words were searched for, or
    where the collection is too small to say."""
    id: int
    key: str
    path: Path
    """Where the file lies; for a text, its table or the picture it describes."""
    modality: Modality
    text: str | None
    """The text, or the captions a picture carries."""
    copies: tuple[str, ...] = ()
    """Keys of the near-copies that this hit stands for, best first."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """The columns that were asked for."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, in the order users read them; the columns asked for follow the fields."""
        fields = {name: getattr(self, name) for name in _SCHEMA.names}
        plain = {"path": str(self.path), "modality": self.modality.value, "copies": list(self.copies)}
        return {**fields, **plain, **{name: value for name, value in self.columns.items() if name not in fields}}


_SCHEMA = pa.schema(
    [
        ("rank", pa.int32()),
        ("score", pa.float32()),
        ("relevance", pa.float32()),
        ("id", pa.int64()),
        ("key", pa.string()),
        ("path", pa.string()),
        ("modality", pa.string()),
        ("text", pa.string()),
        ("copies", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True, slots=True)
class Hits(Sequence[Hit]):
    """The hits of one query, best first, and how they were asked for."""

    hits: tuple[Hit, ...]
    query: Query
    conditions: tuple[str, ...] = ()
    """What narrowed or ordered the answer, in words: ``where width > 1000``, ``distinct``."""
    notes: tuple[str, ...] = ()
    """What a person should know before trusting it: that only 3 items match, that nothing fits well."""
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    """Of the columns that were asked for."""

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Hits: ...
    def __getitem__(self, index: int | slice) -> Hit | Hits:
        if isinstance(index, slice):
            return replace(self, hits=self.hits[index])
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def to_arrow(self) -> pa.Table:
        """One row a hit, columns named as the fields of ``Hit``, then the columns asked for."""
        rows = [{name: _sound(value) for name, value in hit.to_json().items()} for hit in self.hits]
        table = pa.Table.from_pylist(rows, schema=_SCHEMA)
        for name, kind in self.types.items():
            if name not in _SCHEMA.names:
                table = table.append_column(name, pa.array([hit.columns[name] for hit in self.hits], kind))
        return table


def _sound(value: object) -> object:
    """Arrow holds UTF-8; a file name need not be."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
