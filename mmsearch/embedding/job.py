"""One run of the embedding job over some sources."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmsearch.embedding.inventory import Held, Inventory
from mmsearch.embedding.options import JobOptions
from mmsearch.embedding.pictures import PictureJob, plan_pictures
from mmsearch.embedding.report import IndexReport, Progress
from mmsearch.embedding.sources import Source, is_table, known_roots, resolve_source
from mmsearch.embedding.texts import picture_of, plan_captions, plan_moved, plan_table
from mmsearch.embedding.writer import ShardWriter
from mmsearch.encoders import DualEncoder
from mmsearch.errors import EncoderError, MassDelete
from mmsearch.media import (
    Candidate,
    Failure,
    Pair,
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
        except (KeyboardInterrupt, EncoderError):
            job.writer.commit()  # what is encoded is paid for
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
        self.writer = ShardWriter(
            store,
            encoder,
            report,
            shard_rows=options.shard_rows,
            commit_seconds=options.commit_seconds,
        )

    def run(self, paths: Sequence[Path], pairs: Sequence[Pair]) -> None:
        roots = known_roots(self._snapshot)
        sources = []
        for path in paths:
            source = resolve_source(path, self._home, roots)
            roots.setdefault(source.name, set()).add(source.prefix.split("/", 1)[0])
            sources.append(source)
        tables = [source for source in sources if is_table(source.start)]
        folders = [source for source in sources if source not in tables]
        if folders:
            self._embed_pictures(folders, pairs)
        for table in tables:
            self._embed_table(table)
        self.writer.finish()

    def _embed_pictures(self, folders: Sequence[Source], pairs: Sequence[Pair]) -> None:
        candidates, failures = self._walk(folders)
        sources = {candidate.key: candidate.source for candidate in candidates}
        captions = self._captions_of(pairs, list(sources))
        texts = {key: "\n".join(lines) for key, lines in captions.items()}
        inventory = Inventory(self._snapshot, Modality.IMAGE)
        spoken = Inventory(self._snapshot, Modality.TEXT)
        plan = plan_pictures(candidates, inventory, texts)
        pictures = PictureJob(
            writer=self.writer,
            preprocessing=self._preprocessing,
            options=self._options,
            inventory=inventory,
            texts=texts,
            seen=frozenset(sources),
        )
        for progress in pictures.run(plan, self._report):
            self._progress(progress)
        for step in (plan_captions(captions, sources, spoken), plan_moved(pictures.moved, spoken)):
            for progress in step.run(self.writer, self._report):
                self._progress(progress)
        hidden = [failure.key for failure in failures]
        gone = [
            held
            for held in inventory
            if held.key not in sources
            and held.key not in pictures.moved
            and any(held.source == folder.name and _under(held.key, folder.prefix) for folder in folders)
            and not any(_under(held.key, key) for key in hidden)
        ]
        self._prune(gone, inventory, spoken)

    def _walk(self, folders: Sequence[Source]) -> tuple[list[Candidate], list[Failure]]:
        found: dict[str, Candidate] = {}
        failures: list[Failure] = []
        for folder in folders:
            for item in walk(folder.root, start=folder.start, source=folder.name, exclude=[self._store.path]):
                if isinstance(item, Failure):
                    failures.append(item)
                    self.writer.fail(item)
                else:
                    found.setdefault(item.key, item)
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
        plan = plan_table(table, file, Inventory(self._snapshot, Modality.TEXT))
        for progress in plan.run(self.writer, self._report):
            self._progress(progress)
        self.writer.commit()

    def _prune(self, gone: Sequence[Held], inventory: Inventory, spoken: Inventory) -> None:
        if not self._options.prune or not gone:
            self._report.gone += len(gone)
            return
        if len(gone) > MASS_DELETE_SHARE * len(inventory) and not self._options.allow_mass_delete:
            self.writer.finish()
            raise MassDelete(len(gone), len(inventory))
        keys = {held.key for held in gone}
        words = [held.id for held in spoken if picture_of(held.key) in keys and held.key not in keys]
        self.writer.remove([*(held.id for held in gone), *words])
        self._report.removed += len(gone) + len(words)


def _under(key: str, prefix: str) -> bool:
    return not prefix or key == prefix or key.startswith(f"{prefix}/")
