"""Every error the engine raises on purpose.

    MmsearchError
    ├── CollectionError
    │   ├── NotFound            no collection here, or a path that is not there
    │   ├── Corrupt             a file of the collection is damaged
    │   ├── NewerFormat         written by a later mmsearch
    │   ├── EncoderMismatch     embeddings of another space
    │   ├── Locked              another writer is at work
    │   └── MassDelete          a run would remove more than it may
    ├── MediaError              one file or table that cannot be read
    ├── QueryError              a query that cannot be answered
    ├── BuildError              an index that cannot be built as asked
    ├── EncoderError            an encoder that cannot be loaded or run
    └── MissingPackage          an optional package is not installed

Errors keep their facts as attributes; the message says what was wrong, the value seen and the way out.
"""

from __future__ import annotations

from pathlib import Path


class MmsearchError(Exception):
    """Base of all errors that mmsearch raises on purpose."""


class CollectionError(MmsearchError):
    """A collection cannot be opened, read or written."""


class NotFound(CollectionError):
    """Nothing is at ``path``."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


class Corrupt(CollectionError):
    """The file at ``path`` does not hold what was written there."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


class NewerFormat(CollectionError):
    """The collection has a format that this version does not know."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"collection {path} has format {found}, and this mmsearch reads up to format {known}; "
            "upgrade with: pip install --upgrade mmsearch"
        )
        self.path = path
        self.found = found
        self.known = known


class EncoderMismatch(CollectionError):
    """Embeddings of one space meet a collection or query of another."""

    def __init__(self, message: str, expected: str, found: str) -> None:
        super().__init__(message)
        self.expected = expected
        self.found = found


class Locked(CollectionError):
    """Another process writes to the collection."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is being written by {holder}; wait for it to finish, or stop it")
        self.path = path
        self.holder = holder


class MassDelete(CollectionError):
    """Removing ``missing`` of ``total`` items needs the user's word."""

    def __init__(self, missing: int, total: int) -> None:
        super().__init__(
            f"{missing:,} of {total:,} items are gone from the source, more than a fifth, so nothing was removed; "
            "check that the disk is mounted, then repeat with --allow-mass-delete if they are really gone"
        )
        self.missing = missing
        self.total = total


class MediaError(MmsearchError):
    """One picture, table or folder cannot be read."""


class QueryError(MmsearchError):
    """A query cannot be answered as it stands."""


class BuildError(MmsearchError):
    """An index cannot be built as it was asked for."""


class EncoderError(MmsearchError):
    """An encoder cannot be loaded or run."""


class MissingPackage(MmsearchError):
    """A package that only some need is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package} is not installed; install it with: python -m pip install "mmsearch[{extra}]"')
        self.package = package
        self.extra = extra
