"""Decoding in worker processes, in order, which a bad file can crash or hang without harm."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from types import TracebackType

from mmsearch.media.lane import Inbox, Job, Lane, PoolClosedError
from mmsearch.media.limits import DEFAULT_LIMITS, Limits
from mmsearch.media.outcomes import DecodeTask, Outcome
from mmsearch.media.preprocessing import Preprocessing

_LOOK_AHEAD = 16
"""Tasks drawn ahead, per worker: one slow picture holds up nobody, and 16 of 224 pixels a side are 2.4 MB."""
_MOST_WORKERS = 32


class DecodePool:
    """Worker processes that turn files into prepared pixels.

    They are plain subprocesses, not ``multiprocessing``, so that a script that uses this needs no
    ``__main__`` guard and no state of the parent is copied. They start at once, and end with the pool or with
    the parent, however that dies. Use it in a ``with`` block.
    """

    def __init__(self, preprocessing: Preprocessing, *, workers: int, limits: Limits = DEFAULT_LIMITS) -> None:
        """Start the workers; they get ready while the caller goes on.

        Raises:
            ValueError: ``workers`` is less than 1.
        """
        if workers < 1:
            raise ValueError(f"workers is {workers}; it counts processes, so it must be 1 or more")
        setup = json.dumps({"preprocessing": preprocessing.to_json(), "limits": limits.to_json()})
        shape = (preprocessing.size, preprocessing.size, 3)
        self._inbox: Inbox = SimpleQueue()
        self._is_closed = False
        self._look_ahead = _LOOK_AHEAD * workers
        self._lanes = [Lane(self._inbox, setup, shape=shape, timeout_s=limits.timeout_s) for _ in range(workers)]

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that run at this moment."""
        return tuple(pid for lane in self._lanes if (pid := lane.pid) is not None)

    def map(self, tasks: Iterable[DecodeTask]) -> Iterator[Outcome]:
        """One outcome for each task, in order.

        Tasks are drawn lazily, a bounded number ahead. A file that cannot be read or decoded gives a
        ``Failure``; so does one that crashes its worker or takes too long, and the worker is replaced.

        Raises:
            MediaError: the workers cannot be started.
            PoolClosedError: the pool was closed meanwhile.
        """
        pending: deque[Future[Outcome]] = deque()
        try:
            for task in tasks:
                pending.append(self._submit(task))
                if len(pending) >= self._look_ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def close(self) -> None:
        """Kill the workers at once; a ``map`` that is under way raises."""
        if self._is_closed:
            return
        self._is_closed = True
        for lane in self._lanes:
            lane.close()
            self._inbox.put(None)
        for lane in self._lanes:
            lane.join()

    def _submit(self, task: DecodeTask) -> Future[Outcome]:
        if self._is_closed:
            raise PoolClosedError
        job = Job.of(task)
        self._inbox.put(job)
        return job.future

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def default_workers() -> int:
    """One for each processor that this process may use, at most 32."""
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        usable = os.cpu_count() or 1
    return min(usable, _MOST_WORKERS)
