"""Search by the words of captions, texts, file names and folder names (BM25, over tantivy)."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from mmsearch.arrays import Ids, Scores
from mmsearch.errors import MissingPackage, QueryError
from mmsearch.search.kept import Holds, Shelf
from mmsearch.search.tokens import read_words, tokens
from mmsearch.store import Modality, ShardEntry, Snapshot

logger = logging.getLogger(__name__)

FORMAT = 1
"""To be raised with every change of what goes into the index, the rules of ``tokens`` included."""

_FOLDER = Path("indexes") / "lexical"
_LANGUAGE = "english"  # whose endings are cut off; words of other languages meet the same rule on both sides
_ANALYZER = "mmsearch"
_HEAP = 64_000_000  # bytes that tantivy collects before it writes a segment
_MOST_REMOVED = 0.1  # share of removed rows from which the index is built anew: BM25 counts them until then
_SLOW = 50_000  # items from which a person waits for an index that is built in memory
_FETCHED = 4  # hits fetched at first for each that is wanted, and factor from one try to the next
_MOST_TERMS = 1_000  # distinct words of one query
_BORDER = " | "  # between name, text and parts: no word equals it, so that no phrase crosses it


class LexicalIndex:
    """The words of one snapshot's live items.

    The index is derived, and kept in the collection's folder where that can be written. It is brought up to date when
    opened. One that is damaged, of another version, or deleted is built again.
    """

    def __init__(self, index: Any) -> None:
        """Search a ``tantivy.Index``; use ``open``."""
        tantivy = _tantivy()
        index.config_reader("manual")
        index.reload()
        self._schema = index.schema
        self._searcher = index.searcher()
        self._analyzer = _analyzer()
        self._query = tantivy.Query
        self._occur = tantivy.Occur

    @classmethod
    def open(cls, snapshot: Snapshot) -> LexicalIndex:
        """The index of exactly these items.

        Only shards that were added since the last time are read, and removed items taken out. In a folder that cannot
        be written the index is built in memory, and where that takes long, a warning says so.

        Raises:
            MissingPackage: tantivy is not installed.
            CollectionError: a shard cannot be read.
        """
        shelf = Shelf(snapshot.folder / _FOLDER, f"mmsearch lexical {FORMAT}, {_tantivy().__version__}")
        try:
            with tempfile.TemporaryDirectory(prefix="mmsearch-lexical-") as work:
                # The files stay mapped when their names are gone.
                return cls(_up_to_date(shelf, snapshot, Path(work)))
        except (OSError, ValueError) as err:  # tantivy raises ValueError for all that goes wrong on the disk
            _tell(snapshot, f"the index of words is built in memory, as it cannot be built on the disk: {err}")
        index = _empty_index(None)
        _fill(index, snapshot, snapshot.manifest.shards)
        return cls(index)

    def search(
        self,
        words: str,
        k: int,
        modality: Modality | None = None,
        *,
        without: Sequence[str] = (),
        among: Ids | None = None,
    ) -> tuple[Ids, Scores]:
        """The k items whose words fit best.

        An item is found when it has one of the words, in any form that English endings give them. What stands in
        double quotes it must have as it stands there. There is no other syntax: any string will do.

        Args:
            words: as typed by a person.
            k: how many to return at most; 1 or more.
            modality: which items may be returned; all when None.
            without: words and phrases; items that have one of them are left out.
            among: ``(n,)`` ids; only these may be returned, and none that fits is missed.

        Returns:
            ``(m,)`` int64 ids and their ``(m,)`` float32 BM25 scores; best first, ties by id. Fewer than k only
            when no more items fit.

        Raises:
            QueryError: k is below 1.

        Source:
            Robertson, Zaragoza: The probabilistic relevance framework: BM25 and beyond, 2009; k1 is 1.2 and b 0.75.
        """
        if k < 1:
            raise QueryError(f"k is {k}; it counts hits, so it must be 1 or more")
        query = self._asked(words, modality, without)
        every = self._searcher.num_docs
        if query is None or not every:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        allowed = None if among is None else np.unique(among)
        limit = _FETCHED * k
        while True:
            ids, scores = self._fetch(query, min(limit, every))
            fits = np.ones(len(ids), np.bool_) if allowed is None else np.isin(ids, allowed)
            is_all = len(ids) < limit or limit >= every
            # Others may score as the last one does, and have a smaller id.
            if is_all or np.count_nonzero(fits & (scores > scores[-1])) >= k:
                order = np.lexsort((ids[fits], -scores[fits]))[:k]
                return ids[fits][order], scores[fits][order]
            limit *= _FETCHED

    def coverage(self, words: str, scores: Scores) -> Scores:
        """How much of what was asked for each item has, whatever the number of words.

        Args:
            words: as given to ``search``.
            scores: ``(n,)`` as ``search`` returned them for these words.

        Returns:
            ``(n,)`` float32 in [0, 1]: the score as a share of that of an item of mean length with every word once,
            which is the sum of the words' inverse document frequencies.
        """
        typed = read_words(words)
        stems = dict.fromkeys(self._stems([*typed.terms[:_MOST_TERMS], *chain(*typed.phrases)]))
        every = self._searcher.num_docs
        having = np.array([self._searcher.doc_freq("words", stem) for stem in stems]).clip(max=every)
        full = float(np.log1p((every - having + 0.5) / (having + 0.5)).sum())
        return (scores / full).clip(max=1.0).astype(np.float32) if full else np.zeros_like(scores)

    def _fetch(self, query: Any, limit: int) -> tuple[Ids, Scores]:
        hits = self._searcher.search(query, limit=limit, count=False).hits
        ids = self._searcher.fast_field_values("id", [address for _, address in hits])
        return np.array(ids, np.int64), np.array([score for score, _ in hits], np.float32)

    def _asked(self, words: str, modality: Modality | None, without: Sequence[str]) -> Any:
        """tantivy's query; None when there is no word in ``words``."""
        typed = read_words(words)
        terms = dict.fromkeys(self._stems(typed.terms[:_MOST_TERMS]))
        phrases = list(dict.fromkeys(map(self._stems, typed.phrases)))
        if not terms and not phrases:
            return None
        clauses = [(self._occur.Must, self._phrase(phrase)) for phrase in phrases]
        if terms:
            loose = self._query.boolean_query([(self._occur.Should, self._phrase((term,))) for term in terms])
            clauses.append((self._occur.Should if phrases else self._occur.Must, loose))
        if modality is not None:
            right = self._query.term_query(self._schema, "modality", modality.value, "basic")
            clauses.append((self._occur.Must, self._query.const_score_query(right, 0.0)))
        unwanted = filter(None, (self._stems(tokens(phrase).words) for phrase in without))
        clauses += [(self._occur.MustNot, self._phrase(phrase)) for phrase in unwanted]
        return self._query.boolean_query(clauses)

    def _stems(self, words: Sequence[str]) -> tuple[str, ...]:
        return tuple(self._analyzer.analyze(" ".join(words)))

    def _phrase(self, stems: Sequence[str]) -> Any:
        if len(stems) == 1:
            return self._query.term_query(self._schema, "words", stems[0], "freq")
        return self._query.phrase_query(self._schema, "words", list(stems))


def _up_to_date(shelf: Shelf, snapshot: Snapshot, work: Path) -> Any:
    """A ``tantivy.Index`` in an empty folder that holds what the snapshot holds; kept on the shelf if it is new."""
    kept = shelf.newest()
    if kept and _can_follow(kept.holds, snapshot):
        kept.link_into(work)
        index, held = _opened_index(work), kept.holds
    else:
        index, held = _empty_index(work), Holds(commit=0, shards=frozenset(), dead=snapshot.dead, rows=0)
    shards = {shard.name: shard for shard in snapshot.manifest.shards}
    added = [shard for name, shard in shards.items() if name not in held.shards]
    gone = held.shards - shards.keys()
    removed = np.setdiff1d(snapshot.dead, held.dead)
    if added or gone or removed.size:
        rows = _fill(index, snapshot, added, gone=gone, removed=removed)
        holds = Holds(
            commit=snapshot.manifest.number, shards=frozenset(shards), dead=snapshot.dead, rows=held.rows + rows
        )
        try:
            shelf.put(work, holds)
        except OSError as err:
            _tell(snapshot, f"the index of words cannot be kept in {shelf.folder}: {err}")
    return index


def _can_follow(held: Holds, snapshot: Snapshot) -> bool:
    """Whether adding and taking out leads from what is held to the snapshot, and leaves little behind."""
    # A repair can bring removed items back; and an older snapshot has some that were removed later.
    if np.setdiff1d(held.dead, snapshot.dead).size:
        return False
    added = sum(shard.rows for shard in snapshot.manifest.shards if shard.name not in held.shards)
    return held.rows + added - len(snapshot) <= _MOST_REMOVED * len(snapshot)


def _fill(
    index: Any,
    snapshot: Snapshot,
    shards: Sequence[ShardEntry],
    *,
    gone: Collection[str] = (),
    removed: Ids | Sequence[int] = (),
) -> int:
    """Put the live items of some shards in, and take others out; returns how many were put in."""
    tantivy = _tantivy()
    writer = index.writer(_HEAP, 1)
    for name in gone:
        writer.delete_documents_by_term("shard", name)
    for item in np.asarray(removed, np.int64).tolist():
        writer.delete_documents_by_term("id", item)
    rows = 0
    for shard in shards:
        for item, modality, words in _words_of(shard, snapshot):
            writer.add_document(tantivy.Document(id=item, shard=shard.name, modality=modality, words=words))
            rows += 1
    writer.commit()
    writer.wait_merging_threads()
    return rows


def _words_of(shard: ShardEntry, snapshot: Snapshot) -> Iterator[tuple[int, str, str]]:
    """Id, modality and words of each live item of a shard."""
    part = Snapshot(snapshot.folder, replace(snapshot.manifest, shards=(shard,)), snapshot.dim)
    for row in part.table(["id", "key", "modality", "text"]).to_pylist():
        # The key of what is part of a file, a text or a frame, is that of the file, "#", and its place there.
        file = row["key"] if row["modality"] == Modality.IMAGE else row["key"].rpartition("#")[0]
        name, text = tokens(file), tokens(row["text"] or "")
        words = _BORDER.join(map(" ".join, (name.words, text.words, name.parts, text.parts)))
        yield row["id"], row["modality"], words


def _empty_index(folder: Path | None) -> Any:
    """A new ``tantivy.Index``, in memory when there is no folder."""
    tantivy = _tantivy()
    fields = tantivy.SchemaBuilder()
    fields.add_text_field("words", tokenizer_name=_ANALYZER)
    fields.add_text_field("modality", tokenizer_name="raw", index_option="basic")
    fields.add_text_field("shard", tokenizer_name="raw", index_option="basic")
    fields.add_integer_field("id", indexed=True, fast=True)
    index = tantivy.Index(fields.build(), path=str(folder) if folder else None)
    index.register_tokenizer(_ANALYZER, _analyzer())
    return index


def _opened_index(folder: Path) -> Any:
    index = _tantivy().Index.open(str(folder))
    index.register_tokenizer(_ANALYZER, _analyzer())
    return index


def _analyzer() -> Any:
    """What is done to each word of ``tokens``: accents are left away, and endings."""
    tantivy = _tantivy()
    analyzer = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
    for word_filter in (tantivy.Filter.ascii_fold(), tantivy.Filter.stemmer(_LANGUAGE)):
        analyzer = analyzer.filter(word_filter)
    return analyzer.build()


def _tell(snapshot: Snapshot, what: str) -> None:
    """A warning, but only where somebody waits each time."""
    logger.log(logging.WARNING if len(snapshot) >= _SLOW else logging.DEBUG, "%s", what)


def _tantivy() -> Any:
    try:
        import tantivy
    except ModuleNotFoundError as err:
        raise MissingPackage("tantivy", "words") from err
    return tantivy
