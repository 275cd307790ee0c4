"""`Collection`, the one object users hold. It owns no logic; it joins the rooms."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from mmsearch.ann import (
    BuildOptions,
    BuildProgress,
    BuildReport,
    IndexInfo,
    build,
    indexes_in_use,
    outdated,
)
from mmsearch.embedding import IndexReport, JobOptions, Progress, embed
from mmsearch.encoders import DualEncoder, EmbeddingSpace, load_encoder
from mmsearch.errors import EncoderMismatch, MediaError, NotFound, QueryError
from mmsearch.evaluation import BenchReport, Report, bench, evaluate_pairs
from mmsearch.media import Limits, match_keys, read_pairs
from mmsearch.search import (
    DEFAULT_COLUMN,
    DEFAULT_K,
    DEFAULT_MOST,
    DEFAULT_THRESHOLD,
    Answer,
    By,
    CopyGroup,
    Explanation,
    Hits,
    Neighbors,
    Query,
    QueryEncoder,
    Searcher,
    SearchOptions,
    TagReport,
    as_query,
    duplicates_in,
    explain,
    file_key,
    matching_ids,
    tag,
)
from mmsearch.store import Damage, Modality, RepairReport, Store, item_schema
from mmsearch_indexes import Plan

logger = logging.getLogger(__name__)

COLLECTION_FOLDER = ".mmsearch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What a collection is and holds."""

    path: Path
    uuid: str
    encoder: str
    dim: int
    fingerprint: str
    counts: dict[str, int]
    """Modality -> live items."""
    sources: dict[str, int]
    """Source -> live items."""
    shards: int
    size_bytes: int
    """Of the shards."""
    last_commit: int
    """Its number; some commits only reserve ids."""
    committed: str
    """When it was made, ISO 8601, UTC."""
    columns: dict[str, str]
    """Those beyond mmsearch's own -> their type: what tables brought, what cameras noted, tags."""
    failures_file: Path | None
    """What could not be read in the last run that had failures."""
    indexes: dict[str, IndexInfo]
    """Modality -> what its items are searched by; those without one are compared one by one."""


class Collection:
    """Pictures and texts with their embeddings, ready to be searched."""

    def __init__(self, store: Store, *, device: str = "auto", encoder: DualEncoder | None = None) -> None:
        self._store = store
        self._device = device
        self._given_encoder = encoder
        self._searcher: Searcher | None = None
        self._seen = -1  # number of the newest commit when the searcher was made, valid or not

    @property
    def path(self) -> Path:
        """The folder with shards and manifests."""
        return self._store.path

    @property
    def home(self) -> Path:
        """The folder the collection belongs to: keys of the pictures inside are relative to it."""
        return self.path.parent if self.path.name == COLLECTION_FOLDER else self.path

    @property
    def space(self) -> EmbeddingSpace:
        """The embedding space, fixed when the collection was made."""
        return self._store.space

    @cached_property
    def encoder(self) -> DualEncoder:
        """The encoder of the collection's space, loaded when first needed.

        Raises:
            EncoderError: it cannot be loaded.
            EncoderMismatch: what its name loads today is not what made the collection.
        """
        encoder = self._given_encoder or load_encoder(self.space.encoder, device=self._device)
        _check_space(self, encoder.space)
        logger.debug("encoder %s, %d-d, space %s", encoder.space.encoder, encoder.space.dim, encoder.space.fingerprint)
        return encoder

    def __len__(self) -> int:
        return len(self._store.snapshot())

    def counts(self) -> dict[str, int]:
        """Modality -> live items, without the modalities that have none."""
        return self._store.snapshot().counts()

    def __repr__(self) -> str:
        return f"<Collection {str(self.path)!r}: {len(self):,} items, encoder {self.space.encoder!r}>"

    def add(
        self,
        *sources: str | Path,
        captions: str | Path | None = None,
        options: JobOptions = JobOptions(),  # noqa: B008 - frozen
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> IndexReport:
        """Index folders, pictures and tables of texts; what is there already is not embedded again.

        Args:
            sources: folders (searched recursively), picture files, CSV or Parquet tables of texts.
            captions: CSV or Parquet with ``key`` (or ``image``) and ``caption``, several rows a picture allowed;
                captions are attached to their pictures and become text items as well.
            options: how to run; see ``JobOptions``.
            progress: called as the job goes on.

        Returns:
            What was embedded, reused, left alone, and what failed.

        Raises:
            NotFound: a source does not exist.
            MassDelete: pruning would remove more than a fifth of the items.
        """
        return embed(
            self._store,
            self.encoder,
            [Path(source).expanduser() for source in sources],
            options,
            home=self.home,
            captions=Path(captions).expanduser() if captions else None,
            progress=progress,
        )

    def search(
        self,
        query: Query | str,
        k: int = DEFAULT_K,
        *,
        modality: Modality | str | None = None,
        where: str | None = None,
        by: By | str = By.VECTORS,
        min_relevance: float = 0.0,
        distinct: bool = False,
        diverse: bool = False,
        columns: Sequence[str] = (),
    ) -> Hits:
        """Find the items that fit a query best.

        Args:
            query: a sentence, or what ``Text``, ``Picture`` and arithmetic on them give.
            k: how many hits at most.
            modality: ``image``, ``text``, or ``any`` for both, fused by rank; pictures when None, or texts where
                there are no pictures.
            where: a condition in SQL over the collection's columns, as in ``width > 1000``; the hits are the k
                best of the items for which it holds.
            by: ``vectors``; ``words`` of captions, texts, file and folder names; or ``both``, fused by rank.
            min_relevance: leave out hits that are less likely to be right, in [0, 1].
            distinct: fold near-copies into the best of them; ``Hit.copies`` names the others.
            diverse: prefer hits that differ from each other.
            columns: of the collection, to be given with each hit.

        Raises:
            QueryError: an empty query, a k below 1, an unknown choice or column, a condition that cannot be
                understood.
            MissingPackage: ``where`` needs duckdb, words need tantivy.
            MediaError: a picture of the query cannot be read.
        """
        options = SearchOptions(
            k=k,
            modality=modality,
            where=where,
            by=by,
            min_relevance=min_relevance,
            distinct=distinct,
            diverse=diverse,
            columns=columns,
        )
        query = as_query(query)
        searcher = self._fresh_searcher()
        embedded = None if by == By.WORDS else self._query_encoder.embed([query], searcher, Limits())[0]
        return Answer(query, embedded, options, searcher).hits()

    def search_many(
        self,
        queries: Sequence[Query | str],
        k: int = DEFAULT_K,
        *,
        modality: Modality | str | None = None,
        where: str | None = None,
    ) -> Neighbors:
        """Search a batch of queries at once, by vectors, for items of one modality.

        The arguments are those of ``search``.

        Returns:
            ``Neighbors``: ``ids`` ``(n, k)`` int64 and ``scores`` ``(n, k)`` float32.

        Raises:
            QueryError: see ``search``.
        """
        if isinstance(queries, str):
            raise TypeError(f"queries is the string {queries!r}; give a list of queries, or call search")
        searcher = self._fresh_searcher()
        wanted = SearchOptions(k=k, modality=modality).modalities or (searcher.default_modality,)
        if len(wanted) > 1:
            raise QueryError("a batch is searched for one modality at a time; choose image or text")
        among = matching_ids(searcher.snapshot, where) if where is not None else None
        embedded = self._query_encoder.embed(queries, searcher, Limits())
        vectors = np.array([query.vector for query in embedded], np.float32).reshape(len(embedded), self.space.dim)
        asked_in = [query.asked_in for query in embedded]
        return searcher.search_many(vectors, k, wanted[0], asked_in=asked_in, among=among)

    def explain(self, query: Query | str, key: str) -> Explanation:
        """Take apart the score of one item: what each term, each word and each place of the picture adds.

        Args:
            query: as for ``search``.
            key: of the item.

        Raises:
            QueryError: no item has the key, or the query cannot be searched for.
            MediaError: a picture of the query cannot be read.
        """
        return explain(query, key, self.encoder, self._fresh_searcher(), Limits())

    def duplicates(self, progress: Callable[[int], None] = lambda _: None) -> list[CopyGroup]:
        """The pictures that are there more than once, be it in another size or quality; largest group first.

        Args:
            progress: called with the number of files read since the last call; only those that have a near neighbour
                are.
        """
        return duplicates_in(self._store.snapshot(), self.home, limits=Limits(), progress=progress)

    def tag(
        self,
        words: Sequence[str],
        *,
        column: str = DEFAULT_COLUMN,
        most: int = DEFAULT_MOST,
        threshold: float = DEFAULT_THRESHOLD,
    ) -> TagReport:
        """Give every picture the words that fit it, as a column of lists that conditions can use.

        Args:
            words: to choose from.
            column: the column's name; what it has is replaced.
            most: words a picture, at most.
            threshold: higher for fewer and surer words.

        Raises:
            QueryError: no word, no picture, or a value that makes no sense.
            CollectionError: the column is there and holds something else, or the collection cannot be written.
        """
        if isinstance(words, str):
            raise TypeError(f"words is the string {words!r}; give a list of words")
        return tag(self._store, self.encoder, words, column=column, most=most, threshold=threshold)

    def build(
        self,
        options: BuildOptions | None = None,
        *,
        modalities: Sequence[Modality | str] = tuple(Modality),
        announce: Callable[[Modality, Plan], None] = lambda *_: None,
        progress: BuildProgress = lambda *_: None,
    ) -> tuple[BuildReport, ...]:
        """Build indexes that answer quicker than comparing all items, and take them into use.

        Up to some 100,000 items comparing them all is quick enough, and nothing is built unless a recipe is named, or
        less memory is given than that takes.
        Items that are added later are found at once, and removed ones are not; the more there are of both, the more
        a rebuild gains.

        Args:
            options: what they are asked to be; None for what the indexes that are there were asked to be.
            modalities: whose items.
            announce: told what is going to be built for the items of a modality, before anything is.
            progress: called as it goes on.

        Returns:
            What became of each modality; ``index.tuned`` has the recall that was measured.

        Raises:
            BuildError: it cannot be built as asked.
            CollectionError: it cannot be written; what was in use serves on.
        """
        return build(self._store, self.encoder, options, modalities=modalities, announce=announce, progress=progress)

    def outdated(self) -> dict[Modality, float]:
        """Modality -> the share of its items that an index does not know, or knows in vain; 1 without an index.

        Modalities whose items are compared as they are few, or as that was asked for, are left out. From a fifth on,
        `mmsearch index` builds.
        """
        return outdated(self._store.snapshot())

    def bench(self, *, progress: Callable[[int], None] = lambda _: None) -> BenchReport:
        """Measure recall against speed on this collection, for each modality and each kind of query.

        The indexes in use are measured; where all items are compared, one that is built for this in memory.

        Args:
            progress: told how many measurements more are done; it takes about 20 seconds a kind of query.
        """
        return bench(self._store.snapshot(), self.encoder, progress=progress)

    def remove(self, keys: Sequence[str]) -> int:
        """Remove items by key, pictures with their captions, tables with their rows; the files stay.

        Returns:
            How many items were removed.

        Raises:
            NotFound: a key is not in the collection; nothing is removed then.
        """
        if isinstance(keys, str):
            raise TypeError(f"keys is the string {keys!r}; give a list of keys")
        snapshot = self._store.snapshot()
        ids_of: dict[str, list[int]] = {}
        for row in snapshot.table(["id", "key", "modality"]).to_pylist():
            for name in {row["key"], file_key(row["key"], row["modality"])}:
                ids_of.setdefault(name, []).append(row["id"])
        for key in keys:
            if key not in ids_of:
                raise NotFound(f"no item has the key {key!r}; `mmsearch search --json` shows keys", Path(key))
        ids = sorted({id_ for key in keys for id_ in ids_of[key]})
        with self._store.lock():
            self._store.commit(snapshot, remove=ids)
        return len(ids)

    def info(self) -> Info:
        """What the collection is and holds."""
        snapshot = self._store.snapshot()
        manifest = snapshot.manifest
        sources: dict[str, int] = {}
        for source in snapshot.table(["source"])["source"].to_pylist():
            sources[source] = sources.get(source, 0) + 1
        return Info(
            path=self.path,
            uuid=self._store.uuid,
            encoder=self.space.encoder,
            dim=self.space.dim,
            fingerprint=self.space.fingerprint,
            counts=snapshot.counts(),
            sources=sources,
            shards=len(manifest.shards),
            size_bytes=sum(shard.size_bytes for shard in manifest.shards),
            last_commit=manifest.number,
            committed=manifest.created,
            columns={
                name: str(kind) for name, kind in snapshot.types.items() if name not in item_schema(snapshot.dim).names
            },
            failures_file=manifest.failures.path_in(self.path) if manifest.failures else None,
            indexes=indexes_in_use(snapshot),
        )

    def verify(self, progress: Callable[[int], None] | None = None) -> list[Damage]:
        """Read every byte and compare it with what was written; an empty list is good news."""
        return self._store.verify(progress)

    def repair(self, *, adopt: bool = False) -> RepairReport:
        """Set aside damaged shards and, with ``adopt``, take in whole ones that a crash left behind."""
        return self._store.repair(adopt=adopt, now=datetime.now(UTC))

    def evaluate(self, pairs: str | Path, ks: Sequence[int] = (1, 5, 10)) -> Report:
        """Measure how well captions find their pictures and pictures their captions.

        Args:
            pairs: CSV or Parquet with ``key`` (or ``image``) and ``caption``, several rows a picture allowed.
            ks: cut-offs of the hit rate.

        Returns:
            Text→image over all pictures of the collection, image→text over all captions of the file.

        Raises:
            MediaError: the file cannot be read, or none of its pictures is in the collection.
        """
        snapshot = self._store.snapshot()
        ids, stored = snapshot.embeddings(Modality.IMAGE)
        keys = snapshot.table(["key"], modality=Modality.IMAGE)["key"].to_pylist()
        read = read_pairs(Path(pairs).expanduser())
        matched = match_keys({pair.key for pair in read}, keys)
        if not matched:
            raise MediaError(
                f"none of the {len(read):,} rows of {pairs} names one of the {len(ids):,} pictures of the "
                f"collection; a key looks like {keys[0]!r} there"
                if keys
                else "the collection has no pictures"
            )
        row_of = {key: row for row, key in enumerate(keys)}
        known = [pair for pair in read if pair.key in matched]
        if len(known) < len(read):
            logger.warning("%d of %d pairs name no picture of the collection", len(read) - len(known), len(read))
        return evaluate_pairs(
            images=stored.astype(np.float32),
            texts=self.encoder.encode_texts([pair.caption for pair in known]),
            image_of_text=np.array([row_of[matched[pair.key]] for pair in known], dtype=np.int64),
            encoder=self.space.encoder,
            ks=ks,
        )

    @cached_property
    def _query_encoder(self) -> QueryEncoder:
        return QueryEncoder(self.encoder)

    def _fresh_searcher(self) -> Searcher:
        newest = self._store.newest_number()
        if self._searcher is None or newest != self._seen:
            snapshot, self._seen = self._store.snapshot(), newest
            # Many commits only reserve ids; the items are then those there were.
            if self._searcher is None or not snapshot.same_items(self._searcher.snapshot):
                self._searcher = Searcher(snapshot, home=self.home, before=self._searcher)
                logger.debug("reading commit %d of %s", snapshot.manifest.number, self.path)
        return self._searcher


def _check_space(collection: Collection, found: EmbeddingSpace) -> None:
    expected = collection.space
    if found.fingerprint == expected.fingerprint:
        return
    if found.encoder == expected.encoder:
        raise EncoderMismatch(
            f"{found.encoder} is not what it was when collection {collection.path} was made (space "
            f"{expected.fingerprint[:12]}, now {found.fingerprint[:12]}), so their embeddings cannot be compared; go "
            f"back to the version that made it, or delete that folder and index the pictures again",
            expected.fingerprint,
            found.fingerprint,
        )
    raise EncoderMismatch(
        f"collection {collection.path} holds {expected.dim}-d embeddings of {expected.encoder} "
        f"(space {expected.fingerprint[:12]}) but the encoder is {found.encoder}, {found.dim}-d "
        f"(space {found.fingerprint[:12]}); go on with {expected.encoder}, or index the pictures again "
        f"with --encoder {found.encoder} --to ANOTHER_FOLDER",
        expected.fingerprint,
        found.fingerprint,
    )
