"""One worker and the thread that feeds it: jobs in, outcomes out, whatever becomes of the worker."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from mmsearch.arrays import Pixels
from mmsearch.media.exif import Exif
from mmsearch.media.failures import Failure, Stage, one_line
from mmsearch.media.frames import Kind, Reason, Reply, pack_request
from mmsearch.media.outcomes import Decoded, DecodeTask, Outcome, SameContent
from mmsearch.media.process import WorkerLostError, WorkerProcess

_IN_FLIGHT = 3
"""Requests a worker has at once: it decodes the next while the parent takes the last."""
_SMALL_REQUEST = 4096
"""So many bytes times ``_IN_FLIGHT`` fit into any pipe; a larger request waits until the worker is idle.
Otherwise both sides might wait for each other, the parent with a request and the worker with a reply."""


@dataclass(frozen=True, slots=True)
class Job:
    """A task, and where its outcome goes."""

    task: DecodeTask
    future: Future[Outcome]
    request: bytes

    @classmethod
    def of(cls, task: DecodeTask) -> Job:
        """The job for one task."""
        path = task.path if task.path.is_absolute() else Path.cwd() / task.path
        return cls(task, Future(), pack_request(os.fsencode(path), task.known))


Inbox = SimpleQueue[Job | None]
"""Jobs for whichever lane is free; one None ends one lane."""


class PoolClosedError(RuntimeError):
    """A job was still to be done when the pool was closed."""

    def __init__(self) -> None:
        super().__init__("the decode pool was closed before this picture was decoded; open another pool")


class _InboxEndedError(Exception):
    """The None was read."""


class Lane:
    """Runs jobs on one worker process, which it replaces when it is lost."""

    def __init__(self, inbox: Inbox, setup: str, *, shape: tuple[int, int, int], timeout_s: float) -> None:
        self._inbox = inbox
        self._setup = setup
        self._shape = shape
        self._timeout_s = timeout_s
        self._window: deque[Job] = deque()
        self._waiting: Job | None = None  # taken from the inbox, too large to send before the worker is idle
        self._guard = threading.Lock()  # over the next two, which close() reaches from another thread
        self._worker: WorkerProcess | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="mmsearch-decode", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Process id of the worker, None while there is none."""
        worker = self._worker
        return None if worker is None else worker.pid

    def close(self) -> None:
        """Kill the worker; jobs it has, and jobs still to come, end with an error."""
        with self._guard:
            self._closed = True
            if self._worker is not None:
                self._worker.kill()

    def join(self) -> None:
        """Wait for the thread, after ``close`` and a None in the inbox."""
        self._thread.join()

    def _run(self) -> None:
        try:
            worker = self._start()
            while True:
                worker = self._refill(worker)
                worker = self._settle(worker)
        except _InboxEndedError:
            self._refuse_window(PoolClosedError())
        except Exception as err:  # noqa: BLE001 - it goes to whoever waits for a job
            self._refuse_all(PoolClosedError() if self._closed else err)
        finally:
            with self._guard:
                self._discard()

    def _start(self) -> WorkerProcess:
        with self._guard:
            self._discard()
            if self._closed:
                raise PoolClosedError
            self._worker = worker = WorkerProcess(self._setup)
        worker.wait_ready()
        return worker

    def _discard(self) -> None:
        if self._worker is not None:
            self._worker.dispose()
        self._worker = None

    def _refill(self, worker: WorkerProcess) -> WorkerProcess:
        """Send jobs until the window is full or the inbox is empty; wait for one if the window is empty."""
        while len(self._window) < _IN_FLIGHT:
            job = self._waiting or self._take()
            self._waiting = None
            if job is None:
                break
            if self._window and len(job.request) > _SMALL_REQUEST:
                self._waiting = job
                break
            try:
                worker.send(job.request)
            except BrokenPipeError:
                # With nothing in flight no file is to blame; otherwise _settle sees it and sends this again.
                if not self._window:
                    worker = self._start()
                    worker.send(job.request)
            self._window.append(job)
        return worker

    def _take(self) -> Job | None:
        while True:
            try:
                job = self._inbox.get(block=not self._window)
            except Empty:
                return None
            if job is None:
                raise _InboxEndedError
            if job.future.set_running_or_notify_cancel():
                return job

    def _settle(self, worker: WorkerProcess) -> WorkerProcess:
        """Wait for the outcome of the oldest job; the worker, or its successor if that job cost it."""
        job = self._window[0]
        try:
            reply, body = worker.receive(self._timeout_s)
            outcome = self._outcome(job.task, reply, body)
        except WorkerLostError as lost:
            if self._closed:
                raise PoolClosedError from lost
            outcome = _failure(job.task, Reason(stage=Stage.DECODE, error=lost.kind, message=str(lost)))
            worker = self._start()
            # The first of them may cost this worker too, before the others are sent: the next _settle sees to that.
            with suppress(BrokenPipeError):
                for waiting in list(self._window)[1:]:
                    worker.send(waiting.request)
        self._window.popleft()
        job.future.set_result(outcome)
        return worker

    def _outcome(self, task: DecodeTask, reply: Reply, body: Pixels) -> Outcome:
        if reply.kind is Kind.FAILED:
            return _failure(task, Reason.unpack(body.tobytes()))
        if reply.kind is Kind.SAME:
            return SameContent(sha256=reply.sha256, size_bytes=reply.size_bytes, mtime_ns=reply.mtime_ns)
        n_pixels = math.prod(self._shape)
        return Decoded(
            pixels=body[:n_pixels].reshape(self._shape),
            width=reply.width,
            height=reply.height,
            size_bytes=reply.size_bytes,
            mtime_ns=reply.mtime_ns,
            sha256=reply.sha256,
            exif=Exif.unpack(body[n_pixels:].tobytes()),
        )

    def _refuse_window(self, error: Exception) -> None:
        for job in (*self._window, *([self._waiting] if self._waiting else [])):
            job.future.set_exception(error)
        self._window.clear()
        self._waiting = None

    def _refuse_all(self, error: Exception) -> None:
        self._refuse_window(error)
        while (job := self._inbox.get()) is not None:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)


def _failure(task: DecodeTask, reason: Reason) -> Failure:
    return Failure(
        key=task.key,
        path=one_line(os.fsencode(task.path).decode("utf-8", "backslashreplace")),
        stage=reason.stage,
        error=reason.error,
        message=one_line(reason.message),
    )
