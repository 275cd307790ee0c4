"""What narrows an answer, orders it, or adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mmsearch.errors import QueryError
from mmsearch.store import Modality

DEFAULT_K = 10
ANY = "any"


class By(StrEnum):
    """What query and items are compared by."""

    VECTORS = "vectors"
    """What they mean, as the encoder sees it."""
    WORDS = "words"
    """The words of captions, texts, file names and folder names."""
    BOTH = "both"
    """Both rankings, fused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """How a query is to be answered. Values that are none of the choices raise ``QueryError``."""

    k: int = DEFAULT_K
    modality: Modality | str | None = None
    """``image``, ``text``, or ``any`` for both, fused by rank; None: pictures, or texts where there are no pictures."""
    where: str | None = None
    by: By | str = By.VECTORS
    min_relevance: float = 0.0
    distinct: bool = False
    diverse: bool = False
    columns: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.k < 1:
            raise QueryError(f"k is {self.k}; it counts hits, so it must be 1 or more")
        if self.by not in list(By):
            raise QueryError(f"there is no way to search by {self.by!r}; choose one of {', '.join(By)}")
        if self.modality is not None and self.modality not in [*Modality, ANY]:
            known = ", ".join([*Modality, ANY])
            raise QueryError(f"there is no modality {self.modality!r}; choose one of {known}")
        if not 0 <= self.min_relevance <= 1:
            raise QueryError(f"the least relevance is {self.min_relevance}; give a number from 0 to 1")
        if self.min_relevance and self.by == By.WORDS:
            raise QueryError("hits that are found by words alone have no relevance; search by vectors, or by both")
        if isinstance(self.columns, str):
            raise TypeError(f"columns is the string {self.columns!r}; give a list of names")

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Those asked for by name; empty when none was."""
        if self.modality == ANY:
            return (Modality.IMAGE, Modality.TEXT)
        return () if self.modality is None else (Modality(self.modality),)

    @property
    def conditions(self) -> tuple[str, ...]:
        """What was asked for beyond the query itself, in words."""
        said = {
            f"where {self.where}": self.where is not None,
            "by words alone": self.by == By.WORDS,
            "by words as well": self.by == By.BOTH,
            f"relevance {self.min_relevance:g} or more": self.min_relevance > 0,
            "near-copies folded": self.distinct,
            "diverse": self.diverse,
        }
        return tuple(words for words, holds in said.items() if holds)
