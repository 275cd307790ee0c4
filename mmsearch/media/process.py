"""One decode worker as the parent sees it: a subprocess that takes requests and can be lost at any time."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import numpy as np

from mmsearch.arrays import Pixels
from mmsearch.errors import MediaError
from mmsearch.media.frames import REPLY_BYTES, Reply

_START_TIMEOUT_S = 60.0
_PIPE_BYTES = 1 << 20  # a worker may run some pictures ahead of a parent that is busy
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of Linux
_ERROR_TAIL = 400
# Goes round the package's front door, which would load all the engine into each worker.
_BOOTSTRAP = f"""
import sys, types
package = types.ModuleType("mmsearch")
package.__path__ = [{str(Path(__file__).parents[1])!r}]
sys.modules["mmsearch"] = package
from mmsearch.media.worker import main
main()
"""
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}


class WorkerLostError(Exception):
    """The worker died or was too slow; ``kind`` names which, the message says more."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class WorkerProcess:
    """A subprocess that runs ``mmsearch.media.worker``; used by one thread, except for ``kill``."""

    def __init__(self, setup: str) -> None:
        """Start it, without waiting; call ``wait_ready`` before anything else.

        Args:
            setup: JSON of the preprocessing and the limits.
        """
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by wait_ready
        # -P: nothing is imported from the current folder. Ctrl-C reaches the parent's process group only.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOTSTRAP, setup],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": _import_path()},
            process_group=0,
            bufsize=0,
        )
        assert isinstance(self._process.stdin, io.FileIO)
        assert isinstance(self._process.stdout, io.FileIO)
        self._requests, self._replies = self._process.stdin, self._process.stdout
        os.set_blocking(self._replies.fileno(), False)
        _widen(self._replies.fileno())
        self._poll = select.poll()
        self._poll.register(self._replies.fileno(), select.POLLIN)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_ready(self) -> None:
        """Wait until it takes requests.

        Raises:
            MediaError: it cannot start; the message holds the end of what it wrote to stderr.
        """
        try:
            self.receive(_START_TIMEOUT_S)
        except WorkerLostError as err:
            self._errors.seek(0)
            tail = self._errors.read().decode(errors="replace").strip()[-_ERROR_TAIL:]
            raise MediaError(f"the picture decoder cannot start: {err}; {tail or 'it wrote nothing'}") from err
        finally:
            self._errors.close()

    def send(self, request: bytes) -> None:
        """Hand over a request.

        Raises:
            BrokenPipeError: the worker has died.
        """
        view = memoryview(request)
        while view:
            view = view[self._requests.write(view) :]

    def receive(self, timeout_s: float) -> tuple[Reply, Pixels]:
        """The next reply and its body, as flat uint8.

        Raises:
            WorkerLostError: the worker died, or nothing whole came within the time.
        """
        deadline = time.monotonic() + timeout_s
        head = bytearray(REPLY_BYTES)
        try:
            self._fill(memoryview(head), deadline)
            reply = Reply.unpack(head)
            body = np.empty(reply.body_bytes, dtype=np.uint8)
            self._fill(body.data, deadline)
        except TimeoutError as err:
            raise WorkerLostError("DecodeTimeout", f"the decoder took longer than {timeout_s:g} s") from err
        return reply, body

    def _fill(self, view: memoryview, deadline: float) -> None:
        while view:
            n_read = self._replies.readinto(view)
            if n_read is None:
                remaining_ms = (deadline - time.monotonic()) * 1000
                if remaining_ms <= 0 or not self._poll.poll(remaining_ms):
                    raise TimeoutError
            elif n_read == 0:
                raise WorkerLostError("WorkerCrashed", f"the decoder {self._end()}")
            else:
                view = view[n_read:]

    def _end(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    def kill(self) -> None:
        """End it now, whatever it does. May be called from any thread, and more than once."""
        self._process.kill()

    def dispose(self) -> None:
        """``kill``, then give back all that the parent holds of it."""
        self.kill()
        self._process.wait()
        for stream in (self._requests, self._replies, self._errors):
            stream.close()


def _import_path() -> str:
    """What this process imports from, so that a worker finds the same packages, installed or not."""
    return os.pathsep.join(path or os.getcwd() for path in sys.path if isinstance(path, str))  # noqa: PTH109


def _widen(descriptor: int) -> None:
    if not sys.platform.startswith("linux"):
        return
    import fcntl

    try:
        fcntl.fcntl(descriptor, _SET_PIPE_SIZE, _PIPE_BYTES)
    except OSError:
        return  # over the user's quota of pipe memory: slower, not wrong
