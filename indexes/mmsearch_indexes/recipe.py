"""How an index is built, and how it is searched: values that are stored with it as JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from mmsearch_indexes.errors import InvalidRecipe

TUNED_K = 10
"""The number of neighbours that recall is promised for."""

MIN_ROWS_PER_LIST = 39
"""Training rows that a centroid needs to mean something: below this FAISS warns."""

_FACTORY = re.compile(
    r"Flat"
    r"|(RR\d{1,4},|OPQ(?P<groups>\d{1,4})(_\d{1,4})?,(?=.*,PQ(?P=groups)x))?"
    r"IVF(?P<nlist>[1-9]\d{0,6})(_HNSW\d{1,3})?,(Flat|SQ8|SQfp16|PQ\d{1,4}x4fsr?|RaBitQfs\d?)"
    r"|HNSW\d{1,3},(Flat|SQ8|SQfp16)"
)


class _Json:
    """Plain values out, the same value back; unknown and missing keys are refused."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The value that ``to_json`` wrote down; raises ``InvalidRecipe`` for anything else."""
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        if set(values) != known:
            odd = ", ".join(sorted(set(values) ^ known))
            raise InvalidRecipe(f"{cls.__name__} has other keys than it should ({odd}); build the index anew")
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRecipe(_Json):
    """Says fully how an index is built.

    Args:
        factory: in FAISS's own language: ``Flat`` (exact), ``IVF512,PQ192x4fsr`` (lists), the same behind a rotation,
            ``OPQ160_320,IVF512,PQ160x4fsr`` or ``RR384,IVF512,RaBitQfs``, ``HNSW32,SQ8`` (graph). Its ``PCA`` and
            ``Refine`` are refused: the first subtracts a mean from queries too, which breaks the order of inner
            products; the second is done with every index, and does not belong to its files.
        train_rows: size of the random sample that centroids and codes are learned from.
        seed: of that sample and of k-means.
        spherical: whether centroids have unit length and rows go to the one of largest inner product, which is
            FAISS's own way; otherwise centroids are means, and rows go to the nearest.
    """

    factory: str
    train_rows: int = 100_000
    seed: int = 0
    spherical: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.factory, str) or not _FACTORY.fullmatch(self.factory):
            raise InvalidRecipe(f"factory is {self.factory!r}; give Flat, IVF<nlist>,PQ<m>x4fsr or HNSW<m>,SQ8")
        if self.train_rows < 1:
            raise InvalidRecipe(f"train_rows is {self.train_rows}; give 1 or more")

    @property
    def nlist(self) -> int:
        """Inverted lists; 0 where there are none."""
        return int(match["nlist"] or 0) if (match := _FACTORY.fullmatch(self.factory)) else 0

    @property
    def is_exact(self) -> bool:
        """Whether every row is compared with the query."""
        return self.factory == "Flat"

    def fitted(self, n: int) -> IndexRecipe:
        """This recipe as far as n rows can bear it: fewer lists where they are few, none where they are very few."""
        if self.is_exact or n < 1000:
            return replace(self, factory="Flat")
        most = max(1, min(n, self.train_rows) // MIN_ROWS_PER_LIST)
        if self.nlist <= most:
            return self
        return replace(self, factory=re.sub(r"IVF\d+(_HNSW\d+)?", f"IVF{most}", self.factory))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(_Json):
    """How an index is searched; tuned for each kind of query on its own.

    Args:
        effort: lists visited (``nprobe``) where the index has lists, breadth of the search (``ef_search``) where it
            is a graph. More costs time and finds more.
        rerank: candidates scored anew from the rows themselves when 10 neighbours are asked for; where more are,
            more in proportion.
    """

    effort: int
    rerank: int

    def __post_init__(self) -> None:
        if self.effort < 1 or self.rerank < TUNED_K:
            raise InvalidRecipe(
                f"effort is {self.effort} and rerank {self.rerank}; give 1 or more and {TUNED_K} or more"
            )

    def candidates(self, k: int) -> int:
        """How many rows are scored anew to answer with k."""
        return max(self.rerank, -(-self.rerank * k // TUNED_K))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned(_Json):
    """A setting, and what was measured with it on queries that it was not chosen on.

    Args:
        effort, rerank: of the ``Setting``.
        target: ann_recall@10 that was asked for.
        recall: ann_recall@10 that was measured.
        recall_low, recall_high: its 95 % interval over queries.
        qps: single queries a second, one after the other, one thread.
        n_queries: how many it was measured on.
    """

    effort: int
    rerank: int
    target: float
    recall: float
    recall_low: float
    recall_high: float
    qps: float
    n_queries: int

    @property
    def setting(self) -> Setting:
        """What to search with."""
        return Setting(effort=self.effort, rerank=self.rerank)
