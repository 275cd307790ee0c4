"""What people are told of an index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmsearch import IndexInfo

_QUERIES = {"text": "sentences", "image": "pictures"}


def lines_about(index: IndexInfo) -> Iterator[str]:
    """What it is, what it finds and how quickly, and what it does not know."""
    each = index.memory_bytes / max(1, index.rows)
    yield (
        f"{index.recipe}, {each:,.0f} bytes an item in memory ({index.memory_bytes / 1e6:,.1f} MB), "
        f"{index.size_bytes / 1e6:,.1f} MB on disk"
    )
    for kind, tuned in index.tuned.items():
        short = "" if round(tuned.recall, 3) >= tuned.target else f"; short of the {tuned.target:g} that was asked for"
        yield (
            f"{_QUERIES[kind]}: recall@10 {tuned.recall:.3f} ({tuned.recall_low:.3f} to {tuned.recall_high:.3f}) "
            f"at {tuned.qps:,.0f} a second on one core{short}"
        )
    if index.newer or index.gone:
        yield f"{index.newer:,} newer items are compared one by one, {index.gone:,} of its own are gone"
