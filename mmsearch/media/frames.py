"""What a decode worker and its parent say to each other over pipes: length-prefixed frames, raw pixels."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from mmsearch.media.failures import Stage

DIGEST_BYTES = 32
_REQUEST = struct.Struct("<II")  # bytes of the path, number of digests
_REPLY = struct.Struct("<BIIQq32sI")  # kind, width, height, size, mtime_ns, sha256, bytes of the body
REPLY_BYTES = _REPLY.size


class Kind(IntEnum):
    """What a worker answers."""

    READY = 0
    """Said once, when it can take requests."""
    PIXELS = 1
    """The body is the prepared picture's pixels, then its EXIF as JSON."""
    SAME = 2
    """The file's digest is one of the request's; nothing was decoded."""
    FAILED = 3
    """The body is JSON: stage, error, message."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The head of an answer; ``body_bytes`` more bytes follow it."""

    kind: Kind
    width: int = 0
    height: int = 0
    size_bytes: int = 0
    mtime_ns: int = 0
    sha256: bytes = bytes(DIGEST_BYTES)
    body_bytes: int = 0

    def pack(self) -> bytes:
        """``REPLY_BYTES`` bytes."""
        return _REPLY.pack(
            self.kind, self.width, self.height, self.size_bytes, self.mtime_ns, self.sha256, self.body_bytes
        )

    @classmethod
    def unpack(cls, head: bytes | bytearray) -> Reply:
        """The inverse of ``pack``."""
        kind, *rest = _REPLY.unpack(head)
        return cls(Kind(kind), *rest)


def pack_request(raw_path: bytes, known: frozenset[bytes]) -> bytes:
    """One file to decode, unless its digest is among ``known``."""
    return b"".join((_REQUEST.pack(len(raw_path), len(known)), raw_path, *known))


def read_request(read: Callable[[int], bytes]) -> tuple[bytes, frozenset[bytes]] | None:
    """The next request, or None when the parent has gone."""
    head = read(_REQUEST.size)
    if len(head) < _REQUEST.size:
        return None
    path_bytes, n_known = _REQUEST.unpack(head)
    raw_path = read(path_bytes)
    digests = read(n_known * DIGEST_BYTES)
    return raw_path, frozenset(digests[i : i + DIGEST_BYTES] for i in range(0, len(digests), DIGEST_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a file failed."""

    stage: Stage
    error: str
    message: str

    def pack(self) -> bytes:
        """JSON in UTF-8."""
        return json.dumps({"stage": self.stage, "error": self.error, "message": self.message}).encode()

    @classmethod
    def unpack(cls, body: bytes | bytearray) -> Reason:
        """The inverse of ``pack``."""
        values = json.loads(body)
        return cls(stage=Stage(values["stage"]), error=values["error"], message=values["message"])
