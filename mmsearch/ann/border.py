"""Where the errors of the vector indexes become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmsearch.errors import MissingPackage, MmsearchError
from mmsearch_indexes import FaissMissing, VectorIndexError


@contextmanager
def raised_as(error: type[MmsearchError]) -> Iterator[None]:
    """Raise what the vector indexes raise as ``error``, and a missing FAISS as ``MissingPackage``."""
    try:
        yield
    except FaissMissing as err:
        raise MissingPackage("faiss", "cpu") from err
    except VectorIndexError as err:
        raise error(str(err)) from err
