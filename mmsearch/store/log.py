"""The folder of manifests: finding the newest, and publishing the next."""

from __future__ import annotations

import errno
import logging
import os
import re
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from mmsearch.errors import CollectionError, Corrupt
from mmsearch.store.durable import (
    NoLinksError,
    discard,
    ensure_folder,
    fill,
    link,
    sync_folder,
    write_new,
    writing,
)
from mmsearch.store.manifest import Manifest
from mmsearch.store.sealed import unseal

logger = logging.getLogger(__name__)

MAX_RESERVATION = 1 << 27
"""Ids given by one commit at most, and so the number that one unreadable manifest can have given."""

_NAME = re.compile(r"(\d{20})\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the next commit goes on."""

    manifest: Manifest
    next_number: int
    next_id: int
    """Beyond every id that was ever given, even by manifests that can no longer be read."""


class ManifestLog:
    """The manifests of one collection."""

    def __init__(self, collection: Path, genesis: Manifest) -> None:
        self._collection = collection
        self._folder = collection / "manifests"
        self._genesis = genesis

    def path(self, number: int) -> Path:
        """Where manifest ``number`` lies."""
        return self._folder / f"{number:020d}.json"

    def numbers(self) -> list[int]:
        """Numbers taken, whole or not, ascending."""
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:  # an empty folder does not survive a copy through git
            return []
        return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))

    def read(self, number: int) -> Manifest:
        """One manifest.

        Raises:
            Corrupt: damaged, or of another collection.
            NewerFormat: written by a later mmsearch.
        """
        path = self.path(number)
        try:
            values, sha256 = unseal(path, self._collection)
            manifest = Manifest.from_json(values, sha256)
        except FileNotFoundError as err:
            raise Corrupt(f"{path} is missing", path) from err
        except (KeyError, TypeError, ValueError) as err:
            raise Corrupt(f"{path} cannot be understood: {err!r}", path) from err
        except OSError as err:
            if err.errno == errno.EIO:
                raise Corrupt(f"{path} cannot be read: {err.strerror}", path) from err
            # Too many open files, say. A manifest that may be whole is never passed over.
            raise CollectionError(f"cannot read {path}: {err.strerror}") from err
        if (manifest.number, manifest.collection) != (number, self._genesis.collection):
            raise Corrupt(
                f"{path} is manifest {manifest.number} of collection {manifest.collection}, "
                f"not {number} of {self._genesis.collection}",
                path,
            )
        return manifest

    def head(self, *, known: Manifest | None = None, or_genesis: bool = False) -> Head:
        """The newest valid manifest; damaged newer ones are logged and passed over.

        Args:
            known: taken as it is when it is still the newest, which saves reading it again.
            or_genesis: start anew when there are manifests and all of them are damaged.

        Raises:
            Corrupt: no manifest is whole (and not ``or_genesis``).
        """
        numbers = self.numbers()
        damaged = 0
        for number in reversed(numbers):
            try:
                manifest = known if known and known.number == number else self.read(number)
            except Corrupt as err:
                logger.warning("%s; using the manifest before it. Run: mmsearch repair --adopt", err)
                damaged += 1
                continue
            return Head(
                manifest=manifest,
                next_number=numbers[-1] + 1,
                next_id=manifest.next_id + damaged * MAX_RESERVATION,
            )
        if numbers and not or_genesis:
            path = self.path(numbers[-1])
            raise Corrupt(f"no manifest in {self._folder} is whole; run: mmsearch repair --adopt", path)
        next_number = numbers[-1] + 1 if numbers else 1
        return Head(manifest=self._genesis, next_number=next_number, next_id=damaged * MAX_RESERVATION)

    def publish(self, head: Head, manifest: Manifest, *, follows: bool = True) -> Manifest | None:
        """Make ``manifest``, planned on ``head``, the collection; the only commit point.

        Its number and parent are filled in here; with ``follows=False`` it has no parent.

        Returns:
            The manifest as published, or None when another writer took the number.

        Raises:
            CollectionError: it cannot be written; nothing has changed.
        """
        follows = follows and head.manifest.number > 0
        manifest = replace(
            manifest,
            number=head.next_number,
            nonce=uuid.uuid4().hex,
            parent=head.manifest.number if follows else None,
            parent_sha256=head.manifest.sha256 if follows else None,
        )
        data, manifest = manifest.sealed()
        ensure_folder(self._folder)
        temporary = ensure_folder(self._collection / "tmp") / f"{manifest.nonce}.json"
        write_new(temporary, data)
        try:
            published = link(temporary, self.path(manifest.number))
        except NoLinksError:
            published = self._publish_without_link(head, manifest.number, data)
        finally:
            discard(temporary)
        return manifest if published else None

    def _publish_without_link(self, head: Head, number: int, data: bytes) -> bool:
        """Create the final name exclusively, then fill it: for a while it is there and not whole.

        A second writer passes over such a manifest as damaged, so both look again after their own move: one,
        once the name is its own, whether a manifest it passed over has become whole; the other, once its
        manifest is whole, whether a later name is there. At least one sees the other and starts over.
        """
        path = self.path(number)
        with writing(path):
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            except FileExistsError:
                return False
            if any(self.is_whole(passed) for passed in range(head.manifest.number + 1, number)):
                discard(path)
                return False
            try:
                fill(os.open(path, os.O_WRONLY | os.O_CLOEXEC), data)
                sync_folder(self._folder)
            except BaseException:
                discard(path)
                raise
        return self.numbers()[-1] == number

    def is_whole(self, number: int) -> bool:
        """Whether manifest ``number`` can be read."""
        try:
            self.read(number)
        except Corrupt:
            return False
        return True
