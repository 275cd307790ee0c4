"""How the embedding job runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmsearch.media import Limits, default_workers


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """How the job runs. None of it changes an embedding."""

    text_column: str | None = None
    """Which column of a table holds the text; found by its name when None."""
    shard_rows: int = 16_384
    """Rows a shard; the most that a crash costs, together with ``commit_seconds``."""
    commit_seconds: float = 120.0
    batch_size: int = 32
    workers: int = field(default_factory=default_workers)
    """Decoding processes."""
    limits: Limits = field(default_factory=Limits)
    prune: bool = False
    """Remove items whose file is gone."""
    allow_mass_delete: bool = False
    """Let ``prune`` remove more than a fifth of a source."""
