"""Why an item has its score: what each term, each word and each place of the picture adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmsearch.arrays import Embeddings
from mmsearch.encoders import DualEncoder, Heat, HeatMaps, heat_maps
from mmsearch.errors import MediaError, NotFound, QueryError
from mmsearch.media import Limits, load_picture
from mmsearch.search.embed import EmbeddedQuery, QueryEncoder
from mmsearch.search.explain_page import write_page
from mmsearch.search.heat_overlay import Box, overlay, seen_box
from mmsearch.search.hits import Hit
from mmsearch.search.query import Item, Operand, Picture, Query, Term, Text, as_query
from mmsearch.search.searcher import Searcher
from mmsearch.store import Modality

_MOST_WORDS = 100
"""Words of one text that are left out in turn; encoders read no more than the first 60 or so."""
_SAME_PICTURE = 0.95
"""Cosine of a file with what was indexed, below which it shows something else; decoding at another scale costs .01."""


@dataclass(frozen=True, slots=True)
class WordShare:
    """What one word of a text does to the score."""

    word: str
    share: float
    """What the score loses when the word is left out; negative when it gains."""


@dataclass(frozen=True, slots=True)
class TermShare:
    """What one term of the query adds to the score."""

    term: Term
    share: float
    """The shares of all terms sum up to the score."""
    words: tuple[WordShare, ...]
    """For a text of several words, each of them; they need not sum up to anything."""

    @property
    def name(self) -> str:
        """The term as a query says it: ``a dog``, ``- 2:grass``, ``@a/b.jpg``."""
        weight = abs(self.term.weight)
        return f"{'- ' if self.term.weight < 0 else ''}{'' if weight == 1 else f'{weight:g}:'}{self.operand}"

    @property
    def operand(self) -> str:
        """The same without sign and weight."""
        ((kind, value),) = _plain(self.term.of).items()
        return f"@{value}" if kind == "item" else value


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Why one item has its score for one query."""

    query: Query
    hit: Hit
    """The item, with its score; it stands alone, so its rank is 1."""
    terms: tuple[TermShare, ...]
    """In the order of the query."""
    words: tuple[WordShare, ...]
    """For an item that is a text of several words, what each does to the score."""
    heat_maps: HeatMaps | None
    """For a picture: what its places add to the score, and then, where there are several terms, where it shows each
    of them. None for a text, and for a picture that cannot be read any more."""
    picture: Image.Image | None
    """Upright, mode RGB, perhaps smaller than its file."""
    seen: Box | None
    """What the encoder sees of the picture."""
    notes: tuple[str, ...]
    """What a person should know before trusting it."""

    def heat(self, term: int | None = None) -> Heat | None:
        """``(rows, columns)`` float32 over what is seen: what each place adds to the score.

        Args:
            term: the position of a term, for where the picture shows it, whether it is added or subtracted.
        """
        if self.heat_maps is None:
            return None
        alone = term is None or len(self.terms) == 1
        heat: Heat = self.heat_maps.maps[0 if alone else 1 + range(len(self.terms))[term or 0]]
        return heat

    def warmest(self, term: int | None = None) -> tuple[float, float] | None:
        """Where the heat is greatest, as shares of the upright picture's width and height; None without heat."""
        heat = self.heat(term)
        if heat is None or self.seen is None or not heat.max() > 0:
            return None
        row, column = np.unravel_index(int(heat.argmax()), heat.shape)
        left, top, right, bottom = self.seen
        rows, columns = heat.shape
        across = left + (right - left) * (float(column) + 0.5) / columns
        down = top + (bottom - top) * (float(row) + 0.5) / rows
        return across, down

    def overlay(self, term: int | None = None) -> Image.Image:
        """The upright picture with its heat drawn on it; see ``heat_overlay.overlay``.

        Args:
            term: as for ``heat``.

        Raises:
            QueryError: there is no heat map; the notes say why.
        """
        heat = self.heat(term)
        if heat is None or self.picture is None or self.seen is None:
            raise QueryError(f"there is no heat map to draw: {'; '.join(self.notes) or f'{self.hit.key} is a text'}")
        return overlay(self.picture, heat, self.seen)

    def write_page(self, file: str | Path) -> None:
        """Write shares and heat maps as one HTML page that can be mailed.

        Raises:
            QueryError: the file cannot be written.
        """
        write_page(self, file)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the map of the whole query as a list of its rows."""
        heat, warmest = self.heat(), self.warmest()
        return {
            "score": self.hit.score,
            "key": self.hit.key,
            "path": str(self.hit.path),
            "modality": self.hit.modality.value,
            "text": self.hit.text,
            "terms": [
                {"weight": of.term.weight, **_plain(of.term.of), "share": of.share, "words": _pairs(of.words)}
                for of in self.terms
            ],
            "words": _pairs(self.words),
            "heat": None if heat is None else [[round(float(value), 5) for value in row] for row in heat],
            "method": self.heat_maps.method.value if self.heat_maps else None,
            "warmest": [round(place, 3) for place in warmest] if warmest else None,
            "notes": list(self.notes),
        }


def explain(query: Query | str, key: str, encoder: DualEncoder, searcher: Searcher, limits: Limits) -> Explanation:
    """Take apart the score of one item for one query.

    With terms ``t`` of weights ``w`` and centred vectors ``c``, the score of an item ``x`` is
    ``sum_t w_t c_t . x / |sum_t w_t c_t|``; a term's share is its summand.

    Args:
        query: what was searched with; a string is taken as ``Text``.
        key: of the item; an ``@`` may stand before it, as in a query.
        encoder: of the collection's space.
        searcher: over the collection.
        limits: for reading pictures.

    Raises:
        QueryError: no item has the key, or the query is none that ``QueryEncoder.embed`` takes.
        MediaError, NotFound: a picture of the query cannot be read.
    """
    query = as_query(query)
    item, hit = _item(key, searcher)
    asker = _Asker(QueryEncoder(encoder), searcher, limits)
    embedded = asker.embed([query])[0]
    unit = embedded.vector
    picture, notes = _picture(hit, encoder.space.preprocessing.size, limits)
    maps = None
    if picture is not None:
        directions = unit[np.newaxis] if len(query.terms) == 1 else np.stack([unit, *_directions(embedded)])
        maps = heat_maps(encoder, encoder.prepare(picture), directions)
        if float(maps.embedding @ item) < _SAME_PICTURE:
            notes += (f"{hit.path.name} is no longer the picture that was indexed; the map is of what it shows now",)
    return Explanation(
        query=query,
        hit=replace(hit, score=float(unit @ item)),
        terms=tuple(
            TermShare(term, share, _words_of_term(embedded, position, item, asker))
            for position, (term, share) in enumerate(zip(query.terms, _shares(embedded, item), strict=True))
        ),
        words=_words_of_item(hit, unit, encoder),
        heat_maps=maps,
        picture=picture,
        seen=seen_box(picture.size, encoder.space.preprocessing) if picture else None,
        notes=notes,
    )


@dataclass(frozen=True, slots=True)
class _Asker:
    """Embeds queries just as a search does, whatever it makes of their texts."""

    encoder: QueryEncoder
    searcher: Searcher
    limits: Limits

    def embed(self, queries: Sequence[Query]) -> list[EmbeddedQuery]:
        return self.encoder.embed(queries, self.searcher, self.limits)


def _shares(embedded: EmbeddedQuery, item: Embeddings) -> list[float]:
    """What each term adds to the score; they sum up to it."""
    shares: list[float] = (embedded.weights * (embedded.centred @ item) / np.linalg.norm(embedded.total)).tolist()
    return shares


def _directions(embedded: EmbeddedQuery) -> Embeddings:
    """``(n, dim)``: each term's own direction, as if it were added."""
    lengths = np.linalg.norm(embedded.centred, axis=1, keepdims=True)
    directions: Embeddings = (embedded.centred / np.maximum(lengths, 1e-9)).astype(np.float32)
    return directions


def _item(key: str, searcher: Searcher) -> tuple[Embeddings, Hit]:
    table = searcher.snapshot.table(["id", "key"])
    keys = table["key"].to_pylist()
    name = key if key in keys else key.removeprefix("@")
    _, vector = searcher.vector_of(name)  # which also knows what to say when there is none
    id_ = table["id"][keys.index(name)].as_py()
    return vector, searcher.hits(np.array([id_]), np.zeros(1, np.float32))[0]


def _picture(hit: Hit, size: int, limits: Limits) -> tuple[Image.Image | None, tuple[str, ...]]:
    if hit.modality is Modality.TEXT:
        return None, ()
    try:
        return load_picture(hit.path, limits=limits, min_side=max(size, 512)), ()
    except (MediaError, NotFound) as err:
        return None, (str(err),)


def _words_of_term(embedded: EmbeddedQuery, position: int, item: Embeddings, asker: _Asker) -> tuple[WordShare, ...]:
    """Score of the whole query less that of the query with one word left out of one term."""
    of = embedded.terms[position].of
    words = _words(of.text) if isinstance(of, Text) else []
    if not words:
        return ()
    texts = [" ".join(words), *_each_left_out(words)]
    full, *shorter = (alone.centred[0] for alone in asker.embed([Text(text) for text in texts]))
    totals = embedded.total + embedded.weights[position] * (np.stack(shorter) - full)
    lengths = np.maximum(np.linalg.norm(totals, axis=1), 1e-3)
    return _drops(words, float(embedded.vector @ item), totals @ item / lengths)


def _words_of_item(hit: Hit, unit: Embeddings, encoder: DualEncoder) -> tuple[WordShare, ...]:
    words = _words(hit.text or "") if hit.modality is Modality.TEXT else []
    if not words:
        return ()
    full, *shorter = encoder.encode_texts([" ".join(words), *_each_left_out(words)]) @ unit
    return _drops(words, float(full), shorter)


def _words(text: str) -> list[str]:
    """The words of a text that has several; else none, for nothing would be left without the only one."""
    words = text.split()
    return words if len(words) > 1 else []


def _each_left_out(words: Sequence[str]) -> list[str]:
    return [" ".join([*words[:i], *words[i + 1 :]]) for i in range(min(len(words), _MOST_WORDS))]


def _drops(
    words: Sequence[str], score: float, without: Sequence[float] | npt.NDArray[np.float64]
) -> tuple[WordShare, ...]:
    return tuple(WordShare(word, score - float(rest)) for word, rest in zip(words, without, strict=False))


def _plain(of: Operand) -> dict[str, str]:
    match of:
        case Text(text):
            return {"text": text}
        case Picture(path):
            return {"picture": str(path)}
        case Item(key):
            return {"item": key}
        case _:
            raise TypeError(f"a query's term is {type(of).__name__}; make it of Text, Picture and Item")


def _pairs(words: Sequence[WordShare]) -> list[dict[str, Any]]:
    return [{"word": said.word, "share": said.share} for said in words]
