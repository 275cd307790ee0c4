"""JSON files that carry their own checksum.

The last line but one is ``"sha256"``, over every byte before it. It is taken over the bytes as they lie on
disk, so any changed bit shows, whichever version wrote the file; this stays so in every later format.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from mmsearch.errors import Corrupt, NewerFormat

FORMAT_VERSION = 1


def seal(values: dict[str, Any]) -> tuple[bytes, str]:
    """The file's bytes and their checksum, for a non-empty object without a ``sha256``."""
    body = json.dumps({"format_version": FORMAT_VERSION, **values}, indent=1).encode()
    body = body.removesuffix(b"\n}") + b","
    digest = hashlib.sha256(body).hexdigest()
    return body + _trailer(digest), digest


def _trailer(digest: str) -> bytes:
    return f'\n "sha256": "{digest}"\n}}\n'.encode()


_TRAILER_LENGTH = len(_trailer("0" * 64))


def unseal(path: Path, collection: Path) -> tuple[dict[str, Any], str]:
    """Read a sealed file of ``collection``.

    Returns:
        Its object (names of later versions included, to be ignored) and its checksum.

    Raises:
        Corrupt: its bytes are not those that were written.
        NewerFormat: whole, but of a later format.
        FileNotFoundError: it is not there.
    """
    data = path.read_bytes()
    body, trailer = data[:-_TRAILER_LENGTH], data[-_TRAILER_LENGTH:]
    digest = hashlib.sha256(body).hexdigest()
    if trailer != _trailer(digest):
        raise Corrupt(f"{path} is damaged: its checksum does not match its {len(data)} bytes", path)
    values: dict[str, Any] = json.loads(data)
    if values["format_version"] > FORMAT_VERSION:
        raise NewerFormat(collection, found=values["format_version"], known=FORMAT_VERSION)
    return values, digest
