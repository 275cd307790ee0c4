"""What an evaluation says; ``to_json`` is what ``mmsearch eval --json`` prints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mmsearch.evaluation.metrics import hit_rate_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionReport:
    """How well one side finds the other."""

    hit_rate: Mapping[int, float]
    """k -> share of the queries with a relevant candidate in the top k (the "R@k" of CLIP papers)."""
    mrr: float
    ndcg_at_10: float
    median_rank: float
    """1-based; inf when at least half of the queries found nothing relevant."""
    n_queries: int

    def interval(self, k: int) -> tuple[float, float]:
        """95 % interval of the hit rate at k, over the choice of queries."""
        return hit_rate_interval(round(self.hit_rate[k] * self.n_queries), self.n_queries)

    def to_json(self) -> dict[str, float | int | None]:
        """Plain values, for JSON, which has no infinity: an infinite median is null."""
        return {
            **{f"hit_rate@{k}": rate for k, rate in self.hit_rate.items()},
            "mrr": self.mrr,
            "ndcg@10": self.ndcg_at_10,
            "median_rank": self.median_rank if math.isfinite(self.median_rank) else None,
            "n_queries": self.n_queries,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Both directions, and what was evaluated."""

    t2i: DirectionReport
    i2t: DirectionReport
    encoder: str
    search: str
    """``exact``, or the recipe of the index that answered."""

    def to_json(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {
            "t2i": self.t2i.to_json(),
            "i2t": self.i2t.to_json(),
            "encoder": self.encoder,
            "search": self.search,
        }
