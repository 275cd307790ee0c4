"""What is searched with: texts, pictures, items of the collection, and weighted sums of them.

>>> query = 2 * Text("golden retriever") + Picture("pool.jpg") - Text("fruit")
>>> [term.weight for term in query.terms]
[2.0, 1.0, -1.0]
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmsearch.errors import QueryError

_MOST_RATIO = 1_000_000


class Query(ABC):
    """A text, a picture, an item or a sum of them. Add, subtract and weigh them with ``+``, ``-`` and ``*``."""

    __slots__ = ()

    @property
    @abstractmethod
    def terms(self) -> tuple[Term, ...]:
        """The weighted texts, pictures and items that the query is the sum of."""

    def __add__(self, other: Query) -> Query:
        if not isinstance(other, Query):
            return NotImplemented
        return Sum(self.terms + other.terms)

    def __sub__(self, other: Query) -> Query:
        if not isinstance(other, Query):
            return NotImplemented
        return self + -1.0 * other

    def __neg__(self) -> Query:
        return -1.0 * self

    def __mul__(self, weight: float) -> Query:
        return Sum(tuple(Term(weight * term.weight, term.of) for term in self.terms))

    __rmul__ = __mul__


class Operand(Query):
    """A query of one term."""

    __slots__ = ()

    @property
    def terms(self) -> tuple[Term, ...]:
        return (Term(1.0, self),)


@dataclass(frozen=True, slots=True)
class Text(Operand):
    """A word, a phrase or a sentence."""

    text: str

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise QueryError("the query is empty; give a sentence or a picture to search with")
        if any("\ud800" <= letter <= "\udfff" for letter in self.text):
            raise QueryError(f"the text {self.text!r} is no Unicode; give it in UTF-8")


@dataclass(frozen=True, slots=True)
class Picture(Operand):
    """A picture file; it need not be in the collection."""

    path: str | Path


@dataclass(frozen=True, slots=True)
class Item(Operand):
    """An item of the collection, by its key; nothing is read or encoded again."""

    key: str


@dataclass(frozen=True, slots=True)
class Term:
    """One operand and its weight, which may be negative."""

    weight: float
    of: Operand

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise QueryError(f"a query's weight is {self.weight}; give a finite number")
        if not self.weight:
            raise QueryError("a query's weight is 0, so its term adds nothing; leave the term out")


@dataclass(frozen=True, slots=True)
class Sum(Query):
    """What arithmetic on queries gives."""

    terms: tuple[Term, ...]


def as_query(query: Query | str) -> Query:
    """A query as it is, or a string as ``Text``; anything else is a mistake of the caller's, a ``TypeError``."""
    if isinstance(query, Query):
        return query
    if isinstance(query, str):
        return Text(query)
    raise TypeError(f"the query is {type(query).__name__}; give a string, or make it of Text, Picture and Item")


def check_terms(terms: Sequence[Term]) -> None:
    """Refuse a sum that cannot be searched for.

    Raises:
        QueryError: no term is added, or one outweighs another by so much that the other counts for nothing.
    """
    if not any(term.weight > 0 for term in terms):
        raise QueryError("no term is added, so there is nothing to search for; begin with what you want to see")
    least, most = (pick(abs(term.weight) for term in terms) for pick in (min, max))
    if most > _MOST_RATIO * least:
        raise QueryError(
            f"the weights {least:g} and {most:g} are too far apart: beside the larger one the other counts for "
            f"nothing; stay within a factor of {_MOST_RATIO:,}"
        )
