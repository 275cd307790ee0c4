"""The decode worker: reads requests from stdin, answers on stdout, and dies with its parent.

Started by ``WorkerProcess``. It loads NumPy and Pillow, no more.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import signal
import sys
import warnings
from pathlib import Path

from mmsearch.errors import MediaError
from mmsearch.media.decode import decode
from mmsearch.media.failures import Stage, cause_name, one_line
from mmsearch.media.frames import Kind, Reason, Reply, read_request
from mmsearch.media.limits import Limits
from mmsearch.media.preprocessing import Preprocessing
from mmsearch.media.reading import FileBytes, read_file

_STDOUT = 1
_STDERR = 2
_ALARM_GRACE_S = 1
_Answer = tuple[Reply, bytes]


def main() -> None:
    """Serve until stdin ends."""
    setup = json.loads(sys.argv[1])
    preprocessing, limits = Preprocessing.from_json(setup["preprocessing"]), Limits(**setup["limits"])
    _shield(limits)
    _send(Reply(Kind.READY), b"")
    while (request := read_request(sys.stdin.buffer.read)) is not None:
        raw_path, known = request
        # Should the parent be killed while a file hangs in a decoder, nobody else would end this process.
        signal.alarm(math.ceil(limits.timeout_s) + _ALARM_GRACE_S)
        reply, body = _answer(Path(os.fsdecode(raw_path)), known, preprocessing, limits)
        signal.alarm(0)
        _send(reply, body)


def _shield(limits: Limits) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to judge
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = limits.memory_bytes if hard == resource.RLIM_INFINITY else min(limits.memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    warnings.simplefilter("ignore")
    # Until here stderr told why a start failed; from here it would only carry libtiff's complaints.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDERR)
    os.close(nowhere)


def _answer(path: Path, known: frozenset[bytes], preprocessing: Preprocessing, limits: Limits) -> _Answer:
    try:
        content = read_file(path, max_bytes=limits.max_bytes)
    except OSError as err:
        return _failed(Stage.READ, err, err.strerror or str(err))
    except (MediaError, MemoryError, ValueError) as err:
        return _failed(Stage.READ, err, str(err))
    digest = hashlib.sha256(content.data).digest()
    if digest in known:
        return _about(Kind.SAME, content, digest), b""
    try:
        return _decoded(content, digest, preprocessing, limits)
    except MediaError as err:
        return _failed(Stage.DECODE, err, str(err))
    except Exception as err:  # noqa: BLE001 - out of memory, or whatever; it costs this file only
        return _failed(Stage.DECODE, err, f"cannot be prepared: {err}")


def _decoded(content: FileBytes, digest: bytes, preprocessing: Preprocessing, limits: Limits) -> _Answer:
    picture = decode(content.data, limits=limits, min_side=preprocessing.size)
    body = preprocessing.prepare(picture.image).tobytes() + picture.exif.pack()
    reply = _about(Kind.PIXELS, content, digest, picture.width, picture.height, len(body))
    return reply, body


def _about(
    kind: Kind, content: FileBytes, digest: bytes, width: int = 0, height: int = 0, body_bytes: int = 0
) -> Reply:
    return Reply(kind, width, height, len(content.data), content.mtime_ns, digest, body_bytes)


def _failed(stage: Stage, err: Exception, message: str) -> _Answer:
    body = Reason(stage=stage, error=cause_name(err), message=one_line(message)).pack()
    return Reply(Kind.FAILED, body_bytes=len(body)), body


def _send(reply: Reply, body: bytes) -> None:
    head = reply.pack()
    try:
        written = os.writev(_STDOUT, (head, body)) - len(head)
        rest = memoryview(body)[written:]
        while rest:
            rest = rest[os.write(_STDOUT, rest) :]
    except BrokenPipeError:
        os._exit(0)  # the parent has gone; nobody reads an exit code
