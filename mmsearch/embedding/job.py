"""One run of the embedding job over some sources."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path

from mmsearch.embedding.inventory import Held, Inventory
from mmsearch.embedding.options import JobOptions
from mmsearch.embedding.pictures import PictureJob, plan_pictures
from mmsearch.embedding.report import IndexReport, Progress
from mmsearch.embedding.sources import Source, is_table, is_under, known_roots, resolve_sources
from mmsearch.embedding.texts import fit_columns, plan_captions, plan_table
from mmsearch.embedding.writer import ShardWriter
from mmsearch.encoders import DualEncoder
from mmsearch.errors import CollectionError, MassDelete, MediaError
from mmsearch.media import (
    SAME_FOLDER,
    Candidate,
    Failure,
    Pair,
    Stage,
    match_keys,
    read_pairs,
    read_texts,
    walk,
)
from mmsearch.store import Modality, Snapshot, Store

MASS_DELETE_SHARE = 0.2


def embed(
    store: Store,
    encoder: DualEncoder,
    sources: Sequence[Path],
    options: JobOptions,
    *,
    home: Path,
    captions: Path | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> IndexReport:
    """Bring the collection up to date with its sources.

    Args:
        store: the collection; its space is that of ``encoder``.
        encoder: what embeds the items.
        sources: folders of pictures, single pictures, tables of texts.
        options: see ``JobOptions``.
        home: the folder the collection belongs to; its own pictures have keys relative to it.
        captions: CSV or Parquet with ``key`` (or ``image``) and ``caption``; each caption is attached to its
            picture and becomes a text item as well.
        progress: called after each item or batch.

    Raises:
        NotFound: a source does not exist; nothing is done then.
        Locked: another process writes to the collection.
        MassDelete: ``prune`` would remove more than a fifth; everything else is done and committed.
        MediaError: a captions file or a table cannot be read.
    """
    start = time.perf_counter()
    report = IndexReport()
    with store.lock():
        job = _Job(store, encoder, options, home, progress, report)
        try:
            job.run(sources, read_pairs(captions) if captions else [])
        except (CollectionError, MediaError):
            raise
        except (KeyboardInterrupt, Exception):
            job.writer.finish()  # what is encoded is paid for
            raise
    report.seconds = time.perf_counter() - start
    return report


class _Job:
    def __init__(
        self,
        store: Store,
        encoder: DualEncoder,
        options: JobOptions,
        home: Path,
        progress: Callable[[Progress], None],
        report: IndexReport,
    ) -> None:
        self._options = options
        self._home = home
        self._store = store
        self._progress = progress
        self._report = report
        self._snapshot: Snapshot = store.snapshot()
        self._preprocessing = encoder.space.preprocessing
        self.writer = ShardWriter(store, self._snapshot, encoder, options, report)

    def run(self, paths: Sequence[Path], pairs: Sequence[Pair]) -> None:
        roots = known_roots(self._snapshot)
        if self._home != self._store.path:
            roots.setdefault(SAME_FOLDER, set())  # its own pictures may come later; their keys have no prefix
        sources = resolve_sources(paths, self._home, roots)
        tables = [source for source in sources if is_table(source.start)]
        folders = [source for source in sources if source not in tables]
        for table in tables:  # first: one that cannot be read is told at once, not after hours
            self._embed_table(table)
        if folders:
            self._embed_pictures(folders, pairs)
        self.writer.finish()

    def _embed_pictures(self, folders: Sequence[Source], pairs: Sequence[Pair]) -> None:
        inventory = Inventory(self._snapshot, Modality.IMAGE)
        candidates, failures = self._walk(folders, inventory)
        sources = {candidate.key: candidate.source for candidate in candidates}
        captions = self._captions_of(pairs, list(sources))
        texts = {key: "\n".join(lines) for key, lines in captions.items()}
        spoken = Inventory(self._snapshot, Modality.TEXT)
        absent = _absent(inventory, sources, folders, failures)
        missing: dict[bytes, list[Held]] = {}
        for held in absent:
            missing.setdefault(held.sha256, []).append(held)
        plan = plan_pictures(candidates, inventory, texts)
        pictures = PictureJob(
            writer=self.writer,
            preprocessing=self._preprocessing,
            options=self._options,
            inventory=inventory,
            texts=texts,
            spoken=spoken,
            missing=missing,
        )
        for progress in pictures.run(plan, self._report):
            self._progress(progress)
        unread = {failure.key for failure in self._report.failures if not inventory.of_key(failure.key)}
        captions = {key: lines for key, lines in captions.items() if key not in unread}
        for progress in plan_captions(captions, sources, spoken).run(self.writer, self._report):
            self._progress(progress)
        self._prune([held for held in absent if held.key not in pictures.moved], folders, inventory, spoken)

    def _walk(self, folders: Sequence[Source], inventory: Inventory) -> tuple[list[Candidate], list[Failure]]:
        found: dict[str, Candidate] = {}
        failures: list[Failure] = []
        for folder in folders:
            others = (other.start for other in folders if other.start != folder.start and other.start.is_dir())
            exclude = [self._store.path, *others]
            for item in walk(folder.root, start=folder.start, source=folder.name, exclude=exclude):
                if isinstance(item, Candidate):
                    held = inventory.of_key(item.key)
                    owner = held.source if held else found.setdefault(item.key, item).source
                    if owner == item.source:
                        found.setdefault(item.key, item)
                        continue
                    item = _clash(item, owner)
                failures.append(item)
                self.writer.fail(item)
        return list(found.values()), failures

    def _captions_of(self, pairs: Sequence[Pair], keys: Sequence[str]) -> Mapping[str, list[str]]:
        matched = match_keys({pair.key for pair in pairs}, keys)
        captions: dict[str, list[str]] = {}
        for pair in pairs:
            if pair.key in matched:
                captions.setdefault(matched[pair.key], []).append(pair.caption)
            else:
                self._report.unmatched += 1
        return captions

    def _embed_table(self, source: Source) -> None:
        self.writer.commit()  # so that no shard mixes the columns of two tables
        table = read_texts(source.start, text_column=self._options.text_column)
        stat = source.start.stat()
        file = Candidate(
            key=source.prefix or source.start.name,
            source=source.name,
            path=source.start,
            size_bytes=stat.st_size,
            mtime_ns=stat.st_mtime_ns,
        )
        own = fit_columns(table.columns, self._snapshot, source.start)
        plan = plan_table(table.texts, own, file, Inventory(self._snapshot, Modality.TEXT))
        for progress in plan.run(self.writer, self._report):
            self._progress(progress)
        self.writer.commit()

    def _prune(self, gone: Sequence[Held], folders: Sequence[Source], inventory: Inventory, spoken: Inventory) -> None:
        if not self._options.prune or not gone:
            self._report.gone += len(gone)
            return
        for folder in folders if not self._options.allow_mass_delete else ():
            lost, held_here = sum(map(folder.holds, gone)), sum(map(folder.holds, inventory))
            if lost > MASS_DELETE_SHARE * held_here:
                self.writer.finish()
                raise MassDelete(lost, held_here)
        words = [caption.id for held in gone for caption in spoken.captions_of(held.key)]
        self.writer.remove([*(held.id for held in gone), *words])
        self._report.removed += len(gone) + len(words)


def _absent(
    inventory: Inventory, found: Container[str], folders: Sequence[Source], failures: Sequence[Failure]
) -> list[Held]:
    """Items that should have been found, but for those that a failure may hide: gone, or moved."""
    return [
        held
        for held in inventory.absent(found)
        if any(folder.holds(held) for folder in folders)
        and not any(is_under(held.key, failure.key) for failure in failures)
    ]


def _clash(item: Candidate, owner: str) -> Failure:
    message = f"a picture of {owner} has the same key {item.key}; rename one of the folders"
    return Failure(key=item.key, path=str(item.path), stage=Stage.WALK, error="KeyClash", message=message)
