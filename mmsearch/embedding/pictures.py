"""Pictures: what changed since the last run, and how it becomes rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mmsearch.arrays import Pixels
from mmsearch.embedding.inventory import Held, Inventory, picture_of
from mmsearch.embedding.options import JobOptions
from mmsearch.embedding.report import IndexReport, Progress, Step
from mmsearch.embedding.writer import Row, ShardWriter
from mmsearch.media import Candidate, Decoded, DecodePool, DecodeTask, Failure, Preprocessing, SameContent
from mmsearch.store import Modality


@dataclass(slots=True)
class PicturePlan:
    """What has to be done for the pictures that a walk found."""

    to_read: list[Candidate] = field(default_factory=list)
    to_caption: list[tuple[Held, str]] = field(default_factory=list)
    """Unchanged pictures with the new text they carry."""
    unchanged: int = 0


def plan_pictures(candidates: Sequence[Candidate], inventory: Inventory, texts: Mapping[str, str]) -> PicturePlan:
    """Tell new and changed files from those whose size and time are as they were.

    Args:
        candidates: all picture files found, in the order of the walk.
        inventory: the pictures of the collection.
        texts: key -> the captions a picture carries, where the user gave any.
    """
    plan = PicturePlan()
    for candidate in candidates:
        held = inventory.of_key(candidate.key)
        if held is None or (held.size_bytes, held.mtime_ns) != (candidate.size_bytes, candidate.mtime_ns):
            plan.to_read.append(candidate)
        elif texts.get(candidate.key, held.text) != held.text:
            plan.to_caption.append((held, texts[candidate.key]))
        else:
            plan.unchanged += 1
    return plan


@dataclass(slots=True, kw_only=True)
class PictureJob:
    """Reads, decodes and encodes what the plan names; rows go to the writer in the order of the walk."""

    writer: ShardWriter
    preprocessing: Preprocessing
    options: JobOptions
    inventory: Inventory
    texts: Mapping[str, str]
    spoken: Inventory
    """The texts of the collection, captions among them."""
    missing: Mapping[bytes, list[Held]]
    """Content -> the items whose file is gone from where it was looked for, and which so may have moved."""
    moved: set[str] = field(default_factory=set)
    """Keys of those that were found elsewhere."""
    _rows: list[Row] = field(default_factory=list)
    _pixels: list[Pixels] = field(default_factory=list)

    def run(self, plan: PicturePlan, report: IndexReport) -> Iterator[Progress]:
        """Carry the plan out; yields after each file."""
        report.unchanged += plan.unchanged
        for held, text in plan.to_caption:
            self.writer.add_copies([(_row_of(held, text), held.id)])
        if not plan.to_read:
            return
        workers = min(self.options.workers, len(plan.to_read))
        with DecodePool(self.preprocessing, workers=workers, limits=self.options.limits) as pool:
            results = pool.map(self._task(candidate) for candidate in plan.to_read)
            for done, candidate in enumerate(plan.to_read, start=1):
                with self.writer.timed(Step.DECODE):
                    result = next(results)
                self._take(candidate, result)
                yield Progress(done, len(plan.to_read), report.bound)
            self.flush()

    def flush(self) -> None:
        """Encode the batch that is not full yet."""
        if self._rows:
            rows, pixels = self._rows, self._pixels
            self._rows, self._pixels = [], []
            self.writer.add_pictures(rows, pixels)

    def _task(self, candidate: Candidate) -> DecodeTask:
        known = self.inventory.digests_of_size(candidate.size_bytes)
        return DecodeTask(path=candidate.path, key=candidate.key, known=known)

    def _take(self, candidate: Candidate, result: Decoded | SameContent | Failure) -> None:
        if isinstance(result, Failure):
            self.writer.fail(result)
        elif isinstance(result, SameContent) or self.inventory.of_content(result.sha256):
            self._take_same(candidate, result)
        else:
            self._rows.append(self._fresh(candidate, result))
            self._pixels.append(result.pixels)
            if len(self._rows) >= self.options.batch_size:
                self.flush()

    def _fresh(self, candidate: Candidate, decoded: Decoded) -> Row:
        held = self.inventory.of_key(candidate.key)
        return Row(
            key=candidate.key,
            source=candidate.source,
            modality=Modality.IMAGE,
            text=self.texts.get(candidate.key, held.text if held else None),
            size_bytes=decoded.size_bytes,
            mtime_ns=decoded.mtime_ns,
            sha256=decoded.sha256,
            width=decoded.width,
            height=decoded.height,
            exif=decoded.exif,
            replaces=(held.id,) if held else (),
        )

    def _take_same(self, candidate: Candidate, same: SameContent | Decoded) -> None:
        """A file whose content is known: touched, copied, or moved here from a key that is gone."""
        held = self.inventory.of_key(candidate.key)
        leaving = [held] if held else []
        captions: list[Held] = []
        if held and held.sha256 == same.sha256:
            donor = held
        else:
            found = self._moved_here(same.sha256) or self.inventory.of_content(same.sha256)
            if found is None:
                raise AssertionError("the pool recognises only contents of the inventory")
            donor = found
            if candidate.key not in self.texts:  # captions go with the content, in the commit that moves it
                captions = self.spoken.captions_of(donor.key)
                leaving += self.spoken.captions_of(candidate.key)
            if donor.key in self.moved:
                leaving += [donor, *self.spoken.captions_of(donor.key)]
        row = Row(
            key=candidate.key,
            source=candidate.source,
            modality=Modality.IMAGE,
            text=self.texts.get(candidate.key, donor.text),
            size_bytes=same.size_bytes,
            mtime_ns=same.mtime_ns,
            sha256=same.sha256,
            replaces=tuple(item.id for item in leaving),
        )
        said = [(_caption(item, candidate), item.id) for item in captions]
        self.writer.add_copies([(row, donor.id), *said])

    def _moved_here(self, sha256: bytes) -> Held | None:
        items = self.missing.get(sha256)
        if not items:
            return None
        self.moved.add(items[0].key)
        return items.pop(0)


def _caption(held: Held, picture: Candidate) -> Row:
    row = _row_of(held, held.text)
    key = picture.key + held.key.removeprefix(picture_of(held.key))
    return replace(row, key=key, source=picture.source, modality=Modality.TEXT, replaces=())


def _row_of(held: Held, text: str | None) -> Row:
    return Row(
        key=held.key,
        source=held.source,
        modality=Modality.IMAGE,
        text=text,
        size_bytes=held.size_bytes,
        mtime_ns=held.mtime_ns,
        sha256=held.sha256,
        replaces=(held.id,),
    )
