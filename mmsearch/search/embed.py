"""The directions that queries point in."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mmsearch.arrays import Embeddings
from mmsearch.encoders import DualEncoder, knows_only_english
from mmsearch.errors import QueryError
from mmsearch.media import Limits, load_picture
from mmsearch.search.prompts import as_caption
from mmsearch.search.query import Item, Operand, Picture, Query, Term, Text, as_query, check_terms
from mmsearch.store import Modality

_SMALLEST_NORM = 1e-3
"""A sum shorter than this has cancelled out; its direction is rounding noise."""

_PLAIN_TEXTS = (
    "a man", "a woman and a child", "people in a city street", "a dog running", "a cat on a chair", "a bird in the sky",
    "a red car", "a train at the station", "a boat on the water", "mountains in the snow", "a beach by the sea",
    "trees in a forest", "a field of flowers", "food on a plate", "a room with furniture", "an old building",
    "a computer screen", "a drawing", "a page of text", "the night sky",
)  # fmt: skip
"""What texts have in common, whatever they are about, is the mean over texts about many things."""


class Library(Protocol):
    """What a query may ask of the collection."""

    def vector_of(self, key: str) -> tuple[Modality, Embeddings]:
        """An item's modality and its ``(dim,)`` vector; ``QueryError`` when it is not there."""
        ...

    @property
    def mean_image(self) -> Embeddings:
        """``(dim,)`` mean of all pictures' vectors; zeros when there are none."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedQuery:
    """A query as a direction of the space, and what it is the sum of."""

    terms: tuple[Term, ...]
    modalities: tuple[Modality, ...]
    """Of the terms."""
    weights: npt.NDArray[np.float64]
    """``(n,)``, scaled so that the largest is 1: no weight, however large, overflows."""
    centred: npt.NDArray[np.float64]
    """``(n, dim)`` vectors of the terms, less the mean of their modality where there are several terms."""
    vector: Embeddings
    """``(dim,)`` float32, unit norm."""
    everyday_texts: Embeddings
    """``(p, dim)`` vectors of texts about many things, to hold scores against; 0 rows when no term is a text."""
    notes: tuple[str, ...]
    """What a person should know before trusting the answer."""

    @property
    def asked_in(self) -> Modality:
        """Text where any term is one: of the two kinds, texts find their neighbours less easily."""
        return Modality.TEXT if Modality.TEXT in self.modalities else Modality.IMAGE

    @property
    def total(self) -> npt.NDArray[np.float64]:
        """``(dim,)`` the weighted sum, whose direction ``vector`` has."""
        return self.weights @ self.centred


class QueryEncoder:
    """Turns queries into directions, and keeps what it has learned of the encoder's texts."""

    def __init__(self, encoder: DualEncoder) -> None:
        self._encoder = encoder

    @cached_property
    def everyday_texts(self) -> Embeddings:
        """``(p, dim)`` vectors of texts about many things."""
        return self._encoder.encode_texts([*map(as_caption, _PLAIN_TEXTS)])

    def embed(self, queries: Sequence[Query | str], library: Library, limits: Limits) -> list[EmbeddedQuery]:
        """Embed the terms of each query and sum them up; all texts go through the encoder as one batch.

        A few words are embedded as the caption of a picture of them, see ``as_caption``.

        Pictures and texts lie in two cones of the space, and all vectors of a cone share most of their length. In a
        sum of several terms each is therefore centred on the mean of its modality first: what is added or subtracted
        is what tells it from others of its kind, and pictures do not drown words.

        Args:
            queries: ``Query`` objects, or strings that are taken as ``Text``.
            library: the collection, for items and for the mean of its pictures.
            limits: for reading pictures.

        Raises:
            QueryError: a query adds nothing (see ``check_terms``), its terms cancel each other out, or an item is
                not in the collection.
            MediaError, NotFound: a picture cannot be read.

        Source:
            Centring per modality: GR-CLIP, arXiv 2507.19054.
        """
        sums = [as_query(query).terms for query in queries]
        for terms in sums:
            check_terms(terms)
        operands = list(dict.fromkeys(term.of for terms in sums for term in terms))
        vectors = self._embed(operands, library, limits)
        return [self._sum(terms, vectors, library) for terms in sums]

    def _embed(
        self, operands: Sequence[Operand], library: Library, limits: Limits
    ) -> dict[Operand, tuple[Modality, Embeddings]]:
        encoder = self._encoder
        texts = [as_caption(of.text) for of in operands if isinstance(of, Text)]
        encoded = iter(encoder.encode_texts(texts) if texts else ())
        vectors: dict[Operand, tuple[Modality, Embeddings]] = {}
        for of in operands:
            match of:
                case Text():
                    vectors[of] = Modality.TEXT, next(encoded)
                case Picture(path):
                    picture = load_picture(Path(path).expanduser(), limits=limits)
                    vectors[of] = Modality.IMAGE, encoder.encode_images(encoder.prepare(picture)[np.newaxis])[0]
                case Item(key):
                    vectors[of] = library.vector_of(key)
                case _:
                    raise TypeError(f"a query's term is {type(of).__name__}; make it of Text, Picture and Item")
        return vectors

    def _sum(
        self, terms: tuple[Term, ...], vectors: dict[Operand, tuple[Modality, Embeddings]], library: Library
    ) -> EmbeddedQuery:
        weights = np.array([term.weight for term in terms])
        weights /= np.abs(weights).max()
        modalities = tuple(vectors[term.of][0] for term in terms)
        centred = np.stack([vectors[term.of][1] for term in terms]).astype(np.float64)
        if len(terms) > 1:
            centred -= np.stack([self._mean(modality, library) for modality in modalities])
        total = weights @ centred
        norm = float(np.linalg.norm(total))
        if not norm > _SMALLEST_NORM:
            raise QueryError("the query's terms cancel each other out, so nothing is left to search for")
        vector = (total / norm).astype(np.float32)
        everyday = self.everyday_texts if Modality.TEXT in modalities else np.empty((0, len(vector)), np.float32)
        return EmbeddedQuery(terms, modalities, weights, centred, vector, everyday, tuple(self._notes(terms)))

    def _notes(self, terms: tuple[Term, ...]) -> Iterator[str]:
        name = self._encoder.space.encoder
        for term in terms:
            if isinstance(term.of, Text) and _is_foreign(term.of.text) and knows_only_english(name):
                yield f"{name} knows only English, and {term.of.text!r} is not; `mmsearch encoders` lists others"

    def _mean(self, modality: Modality, library: Library) -> Embeddings:
        """``(dim,)`` what the vectors of one modality have in common."""
        mean: Embeddings = self.everyday_texts.mean(axis=0) if modality is Modality.TEXT else library.mean_image
        return mean


def _is_foreign(text: str) -> bool:
    """Whether most letters belong to another script than Latin."""
    letters = [letter for letter in text if letter.isalpha()]
    return sum("LATIN" not in unicodedata.name(letter, "") for letter in letters) > len(letters) / 2
