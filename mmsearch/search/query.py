"""What is searched with: texts, pictures, and weighted sums of both.

>>> query = 2 * Text("golden retriever") + Text("pool") - Text("fruit")
>>> [(term.weight, term.of.text) for term in query.terms]
[(2.0, 'golden retriever'), (1.0, 'pool'), (-1.0, 'fruit')]
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmsearch.arrays import Embeddings
from mmsearch.encoders import DualEncoder
from mmsearch.errors import QueryError
from mmsearch.media import PICTURE_EXTENSIONS, Limits, load_picture

_SMALLEST_NORM = 1e-3
"""A sum shorter than this has cancelled out; its direction is rounding noise."""


class Query(ABC):
    """A text, a picture or a sum of them. Add, subtract and weigh them with ``+``, ``-`` and ``*``."""

    __slots__ = ()

    @property
    @abstractmethod
    def terms(self) -> tuple[Term, ...]:
        """The weighted texts and pictures that the query is the sum of."""

    def __add__(self, other: Query) -> Query:
        return Sum(self.terms + other.terms)

    def __sub__(self, other: Query) -> Query:
        return self + -1.0 * other

    def __neg__(self) -> Query:
        return -1.0 * self

    def __mul__(self, weight: float) -> Query:
        return Sum(tuple(Term(weight * term.weight, term.of) for term in self.terms))

    __rmul__ = __mul__


@dataclass(frozen=True, slots=True)
class Text(Query):
    """A word, a phrase or a sentence."""

    text: str

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise QueryError("the query is empty; give a sentence or a picture to search with")

    @property
    def terms(self) -> tuple[Term, ...]:
        return (Term(1.0, self),)


@dataclass(frozen=True, slots=True)
class Picture(Query):
    """A picture file; it need not be in the collection."""

    path: str | Path

    @property
    def terms(self) -> tuple[Term, ...]:
        return (Term(1.0, self),)


@dataclass(frozen=True, slots=True)
class Term:
    """One text or picture and its weight, which may be negative."""

    weight: float
    of: Text | Picture

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise QueryError(f"a query's weight is {self.weight}; give a finite number")


@dataclass(frozen=True, slots=True)
class Sum(Query):
    """What arithmetic on queries gives."""

    terms: tuple[Term, ...]


def parse_query(words: str) -> Query:
    """What a person typed: the path of a picture file, else a sentence.

    Raises:
        QueryError: nothing but blanks, or the name of a picture that is not there.
    """
    path = Path(words).expanduser()
    if _is_file(path):
        return Picture(path)
    if path.suffix.lower() in PICTURE_EXTENSIONS:
        raise QueryError(f"there is no picture {words}; give the path of one, or a sentence")
    return Text(words)


def embed_query(query: Query | str, encoder: DualEncoder, limits: Limits) -> Embeddings:
    """The direction a query points in.

    Args:
        query: a ``Query``, or a string that is taken as ``Text``.
        encoder: of the collection's space.
        limits: for reading pictures.

    Returns:
        ``(dim,)`` float32 of unit norm: the weighted sum of the terms' unit vectors, normalised.

    Raises:
        QueryError: the terms cancel each other out.
        MediaError: a picture cannot be read.
    """
    terms = (Text(query) if isinstance(query, str) else query).terms
    total = np.zeros(encoder.space.dim, dtype=np.float32)
    for term in terms:
        total += np.float32(term.weight) * _embed_term(term.of, encoder, limits)
    norm = float(np.linalg.norm(total))
    if not norm > _SMALLEST_NORM:
        raise QueryError("the query's terms cancel each other out, so nothing is left to search for")
    unit: Embeddings = total / np.float32(norm)
    return unit


def _embed_term(of: Text | Picture, encoder: DualEncoder, limits: Limits) -> Embeddings:
    if isinstance(of, Text):
        embeddings = encoder.encode_texts([of.text])
    else:
        picture = load_picture(Path(of.path).expanduser(), limits=limits)
        embeddings = encoder.encode_images(encoder.prepare(picture)[np.newaxis])
    row: Embeddings = embeddings[0]
    return row


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a sentence can be too long for a file name, or hold a NUL
        return False
