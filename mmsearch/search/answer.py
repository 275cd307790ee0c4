"""From a query to its hits: ranked, fused, judged, narrowed and spread out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmsearch.arrays import Embeddings, Ids, Scores
from mmsearch.errors import QueryError
from mmsearch.media import Limits
from mmsearch.search.embed import EmbeddedQuery
from mmsearch.search.filters import matching_ids
from mmsearch.search.fusion import WORDS_WEIGHT, fuse
from mmsearch.search.hits import Hit, Hits
from mmsearch.search.looks import LOOK_SIZE, read_looks
from mmsearch.search.options import By, SearchOptions
from mmsearch.search.query import Query, Text
from mmsearch.search.relevance import Yardstick, nothing_below, yardstick
from mmsearch.search.searcher import Searcher
from mmsearch.search.variety import NEAR, diversify, first_of_each, fold_copies, near_another
from mmsearch.store import Modality

_POOL = 5
"""Candidates looked at for each hit wanted, where rankings are fused, or hits folded or spread out."""
_LEAST_POOL = 100
_FUSED = 1000
"""Places of the rankings by vectors and by words that are fused at least, as in benchmarks/hybrid.py: an item can stand
far down in one of them and still be among the best, and the order of hits must not depend on how many are wanted."""
_DEEPER = 4

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Candidates, best first; all arrays are ``(n,)``."""

    ids: Ids
    strengths: Scores
    """What they are ranked by: cosine, BM25, or what fusion made of several rankings."""
    scores: Scores
    """Cosine; BM25 where only words were searched for."""
    relevances: npt.NDArray[np.float64]
    """NaN where nothing can be said, as where only words were searched for."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, chosen: Positions | npt.NDArray[np.bool_] | slice) -> _Found:
        return _Found(self.ids[chosen], self.strengths[chosen], self.scores[chosen], self.relevances[chosen])


class Answer:
    """One query against one snapshot."""

    def __init__(
        self, query: Query, embedded: EmbeddedQuery | None, options: SearchOptions, searcher: Searcher
    ) -> None:
        """Prepare to answer.

        Args:
            query: what was asked.
            embedded: the same as a vector; None where only words are searched for.
            options: what narrows and orders the answer.
            searcher: of the snapshot to search.

        Raises:
            QueryError: a condition that cannot be understood.
            MissingPackage: the condition needs duckdb.
        """
        self._query = query
        self._embedded = embedded
        self._options = options
        self._searcher = searcher
        self._modalities = options.modalities or (searcher.default_modality,)
        self._among = matching_ids(searcher.snapshot, options.where) if options.where is not None else None
        self._total = searcher.count(self._modalities, self._among)
        self._k = min(options.k, self._total)  # a k beyond what there is means "all"
        self._yardsticks: dict[Modality, Yardstick] = {}
        self._copies: dict[int, list[str]] = {}

    def hits(self) -> Hits:
        """The k best items.

        Raises:
            QueryError: an unknown column, or words are searched for and the query has none.
            MissingPackage: tantivy or faiss is needed and not installed.
        """
        found = self._candidates()
        best = found.relevances.max(initial=0.0)
        if self._options.diverse:
            found = found.take(diversify(found.strengths, self._searcher.vectors_of(found.ids), self._k))
        hits = tuple(self._described(found.take(slice(self._k))))
        return Hits(
            hits, self._query, self._options.conditions, tuple(self._notes(len(hits), best)), self._types_of_columns()
        )

    def _candidates(self) -> _Found:
        """The k best, unless there are fewer; more of them where they are still to be spread out."""
        options = self._options
        pool = max(_POOL * self._k, _LEAST_POOL)
        simple = options.by != By.BOTH and len(self._modalities) == 1 and not options.distinct and not options.diverse
        depth = max(self._k, 1) if simple else pool
        while True:
            found, is_all = self._ranked(max(depth, _FUSED) if options.by == By.BOTH else depth)
            if options.distinct or options.diverse:  # which compare all candidates with each other
                is_all, found = is_all and len(found) <= depth, found.take(slice(depth))
            found = self._folded(found) if options.distinct else found
            if is_all or len(found) >= (pool if options.diverse else self._k):
                return found
            depth *= _DEEPER

    def _ranked(self, depth: int) -> tuple[_Found, bool]:
        """The candidates that ``depth`` places of each ranking hold, and whether deeper ones hold no more."""
        if self._embedded is None:
            ids, scores, _ = self._by_words(depth)
            return _Found(ids, scores, scores, np.full(len(ids), np.nan)), len(ids) < depth or depth >= self._total
        least, near = self._options.min_relevance, [self._by_vector(depth, modality) for modality in self._modalities]
        # Relevance falls with the score: below the least one a ranking by vectors has nothing more to give.
        is_all = least > 0 and all(
            (self._judged(ids[-1:], scores[-1:]).relevances < least).all() for ids, scores in near
        )
        if self._options.by == By.BOTH:
            having, _, coverage = self._by_words(depth)
            weights: list[float | Scores] = [*(1.0 for _ in near), WORDS_WEIGHT * coverage]
            found = self._judged(*fuse([*(ids for ids, _ in near), having], weights))
        elif len(near) > 1:
            found = self._judged(*fuse([ids for ids, _ in near]))
        else:
            found = self._judged(*near[0])
        return found.take(~(found.relevances < least)), is_all or depth >= self._total

    def _by_vector(self, depth: int, modality: Modality) -> tuple[Ids, Scores]:
        assert self._embedded is not None
        near = self._searcher.search_many(
            self._vector[np.newaxis], depth, modality, asked_in=[self._embedded.asked_in], among=self._among
        )
        there = near.ids[0] >= 0
        return near.ids[0][there], near.scores[0][there]

    @property
    def _vector(self) -> Embeddings:
        assert self._embedded is not None
        return self._embedded.vector

    def _by_words(self, depth: int) -> tuple[Ids, Scores, Scores]:
        """Ids, BM25, and how much of the query's words each item has."""
        texts = [(term.weight, term.of.text) for term in self._query.terms if isinstance(term.of, Text)]
        words = " ".join(text for weight, text in texts if weight > 0)
        if not words:
            raise QueryError("the query has no words to search captions and names for; add some, or search by vectors")
        unwanted = [text for weight, text in texts if weight < 0]
        modality = self._modalities[0] if len(self._modalities) == 1 else None
        lexical = self._searcher.lexical
        ids, scores = lexical.search(words, depth, modality, without=unwanted, among=self._among)
        return ids, scores, lexical.coverage(words, scores)

    def _judged(self, ids: Ids, strengths: Scores) -> _Found:
        """The candidates with their cosines and what these are worth."""
        scores, relevances = np.empty(len(ids), np.float32), np.empty(len(ids))
        for modality in self._modalities:
            here = self._searcher.holds(ids, modality)
            if here.any():
                vectors = self._searcher.vectors_of(ids[here])
                scores[here] = vectors.astype(np.float64) @ self._vector
                relevances[here] = self._yardstick(modality).relevance(self._vector, scores[here])
        return _Found(ids, strengths, scores, relevances)

    def _yardstick(self, modality: Modality) -> Yardstick:
        assert self._embedded is not None
        if modality not in self._yardsticks:
            sample, terms = self._searcher.sample, self._embedded.modalities
            self._yardsticks[modality] = yardstick(
                terms,
                modality,
                sample=sample(modality),
                texts=self._embedded.everyday_texts,
                pictures=sample(Modality.IMAGE) if Modality.IMAGE in terms else self._embedded.everyday_texts[:0],
            )
        return self._yardsticks[modality]

    def _folded(self, found: _Found) -> _Found:
        """Only the best of each group of copies; texts are copies when they are the same, letter by letter."""
        searcher = self._searcher
        hits = searcher.hits(found.ids, found.scores)
        vectors = searcher.vectors_of(found.ids)
        digests = searcher.snapshot.rows(found.ids, ["sha256"])["sha256"].to_pylist()
        is_first = first_of_each(digests, len(hits)) == np.arange(len(hits))
        is_picture = np.array([hit.modality is not Modality.TEXT for hit in hits], np.bool_)
        pictures = np.flatnonzero(is_first & is_picture)
        near = pictures[near_another(vectors[pictures])]
        looks = np.zeros((len(hits), LOOK_SIZE), np.float32)
        looks[near] = read_looks([hits[place].path for place in near], Limits())
        leaders = fold_copies(vectors, digests, NEAR, looks=looks)
        is_leader = leaders == np.arange(len(leaders))
        self._copies = {}
        for follower in np.flatnonzero(~is_leader):
            self._copies.setdefault(int(found.ids[leaders[follower]]), []).append(hits[follower].key)
        return found.take(is_leader)

    def _described(self, found: _Found) -> Iterator[Hit]:
        asked = list(self._types_of_columns())
        columns = self._searcher.snapshot.rows(found.ids, asked).to_pylist() if asked else [{}] * len(found)
        for hit, relevance, extra in zip(
            self._searcher.hits(found.ids, found.scores), found.relevances.tolist(), columns, strict=True
        ):
            known = None if math.isnan(relevance) else relevance
            yield replace(hit, relevance=known, copies=tuple(self._copies.get(hit.id, ())), columns=extra)

    def _types_of_columns(self) -> dict[str, pa.DataType]:
        if not self._options.columns:
            return {}
        types = self._searcher.snapshot.types
        for name in self._options.columns:
            if name not in types:
                raise QueryError(f"there is no column {name!r}; there are {', '.join(types)}")
        return {name: types[name] for name in self._options.columns}

    def _notes(self, shown: int, best: np.floating) -> Iterator[str]:
        options = self._options
        yield from self._embedded.notes if self._embedded else ()
        if options.where is not None and self._total < options.k:
            what = " or ".join(f"{modality}s" for modality in self._modalities)
            yield f"only {self._total:,} {what} match: {options.where}"
        if shown < self._k and options.min_relevance:
            yield f"{f'only {shown:,} have' if shown else 'none has'} a relevance of {options.min_relevance:g} or more"
        elif not shown and self._total:
            yield "nothing has these words" if options.by == By.WORDS else "nothing found"
        has_level = not all(held_against.within for held_against in self._yardsticks.values())
        is_one_kind = len(self._modalities) == 1
        if shown and options.by == By.VECTORS and is_one_kind and has_level and best < nothing_below(self._total):
            yield f"nothing here matches well: the best has a relevance of {best:.2f}"
