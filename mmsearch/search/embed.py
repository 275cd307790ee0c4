"""The directions that queries point in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from mmsearch.arrays import Embeddings
from mmsearch.encoders import DualEncoder
from mmsearch.errors import QueryError
from mmsearch.media import Limits, load_picture
from mmsearch.search.query import Item, Operand, Picture, Query, Term, Text, check_terms
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


def embed_queries(queries: Sequence[Query | str], encoder: DualEncoder, library: Library, limits: Limits) -> Embeddings:
    """Embed the terms of each query and sum them up; all texts go through the encoder as one batch.

    Pictures and texts lie in two cones of the space, and all vectors of a cone share most of their length. In a
    sum of several terms each is therefore centred on the mean of its modality first: what is added or subtracted
    is what tells it from others of its kind, and pictures do not drown words.

    Args:
        queries: ``Query`` objects, or strings that are taken as ``Text``.
        encoder: of the collection's space.
        library: the collection, for items and for the mean of its pictures.
        limits: for reading pictures.

    Returns:
        ``(n, dim)`` float32, unit rows.

    Raises:
        QueryError: a query adds nothing (see ``check_terms``), its terms cancel each other out, or an item is not
            in the collection.
        MediaError, NotFound: a picture cannot be read.

    Source:
        Centring per modality: GR-CLIP, arXiv 2507.19054.
    """
    sums = [(Text(query) if isinstance(query, str) else query).terms for query in queries]
    for terms in sums:
        check_terms(terms)
    operands = list(dict.fromkeys(term.of for terms in sums for term in terms))
    vectors = _embed(operands, encoder, library, limits)
    means = _Means(encoder, library)
    rows = [_sum(terms, vectors, means) for terms in sums]
    return np.stack(rows) if rows else np.empty((0, encoder.space.dim), np.float32)


def _embed(
    operands: Sequence[Operand], encoder: DualEncoder, library: Library, limits: Limits
) -> dict[Operand, tuple[Modality, Embeddings]]:
    texts = [of.text for of in operands if isinstance(of, Text)]
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


@dataclass(frozen=True)
class _Means:
    """What the vectors of one modality have in common, found when first needed."""

    encoder: DualEncoder
    library: Library

    @cached_property
    def text(self) -> Embeddings:
        mean: Embeddings = self.encoder.encode_texts(_PLAIN_TEXTS).mean(axis=0)
        return mean

    @cached_property
    def image(self) -> Embeddings:
        return self.library.mean_image


def _sum(terms: Sequence[Term], vectors: dict[Operand, tuple[Modality, Embeddings]], means: _Means) -> Embeddings:
    weights = np.array([term.weight for term in terms])
    weights /= np.abs(weights).max() or 1.0  # so that no weight, however large, overflows
    total = np.zeros_like(vectors[terms[0].of][1], dtype=np.float64)
    for weight, term in zip(weights, terms, strict=True):
        modality, vector = vectors[term.of]
        mean = 0.0 if len(terms) == 1 else means.text if modality is Modality.TEXT else means.image
        total += weight * (vector - mean)
    norm = float(np.linalg.norm(total))
    if not norm > _SMALLEST_NORM:
        raise QueryError("the query's terms cancel each other out, so nothing is left to search for")
    unit: Embeddings = (total / norm).astype(np.float32)
    return unit
