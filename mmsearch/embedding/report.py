"""What the embedding job says while it runs and when it is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from mmsearch.media import Failure


class Step(StrEnum):
    """Where the job spends its time; the largest share is what it is bound by."""

    DECODE = "decode"
    ENCODE = "encoder"
    WRITE = "disk"


@dataclass(frozen=True, slots=True)
class Progress:
    """Handed to the caller's callback after each item that was dealt with."""

    done: int
    total: int
    """Items to read or encode in this step; those unchanged are not among them."""
    bound: Step
    """What the job waited for most so far."""


@dataclass(slots=True, kw_only=True)
class IndexReport:
    """What one run did. Counts are items; a picture and each of its captions are items of their own."""

    embedded: int = 0
    """Encoded in this run, and committed."""
    reused: int = 0
    """Rows rewritten with a vector that was there already: moved, copied or touched files, new captions."""
    unchanged: int = 0
    """In the collection already, not touched."""
    removed: int = 0
    """Pruned: gone from the source, and now from the collection."""
    gone: int = 0
    """Gone from the source but kept; ``prune`` removes them."""
    unmatched: int = 0
    """Captions whose picture was not found."""
    failures: list[Failure] = field(default_factory=list)
    failures_file: Path | None = None
    seconds: float = 0.0
    spent: dict[Step, float] = field(default_factory=lambda: dict.fromkeys(Step, 0.0))
    """Seconds the job waited for each stage."""

    @property
    def failed(self) -> int:
        """How many files or texts could not be embedded."""
        return len(self.failures)

    @property
    def bound(self) -> Step:
        """The stage that took longest."""
        return max(self.spent, key=lambda stage: self.spent[stage])
