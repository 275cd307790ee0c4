"""What a search gives back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

import pyarrow as pa

from mmsearch.store import Modality


@dataclass(frozen=True, slots=True)
class Hit:
    """One item that was found."""

    rank: int
    """1 for the best."""
    score: float
    """Cosine between query and item, larger is better."""
    id: int
    key: str
    path: Path
    """Where the file lies; for a text, its table or the picture it describes."""
    modality: Modality
    text: str | None
    """The text, or the captions a picture carries."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, in the order users read them."""
        return {**asdict(self), "path": str(self.path), "modality": self.modality.value}


_SCHEMA = pa.schema(
    [
        ("rank", pa.int32()),
        ("score", pa.float32()),
        ("id", pa.int64()),
        ("key", pa.string()),
        ("path", pa.string()),
        ("modality", pa.string()),
        ("text", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Hits(Sequence[Hit]):
    """The hits of one query, best first."""

    hits: tuple[Hit, ...]

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Hits: ...
    def __getitem__(self, index: int | slice) -> Hit | Hits:
        return Hits(self.hits[index]) if isinstance(index, slice) else self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def to_arrow(self) -> pa.Table:
        """One row a hit, columns named as the fields of ``Hit``."""
        return pa.Table.from_pylist([hit.to_json() for hit in self.hits], schema=_SCHEMA)
