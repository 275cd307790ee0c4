"""Recall against speed: every setting of an index that no other beats in both, for one kind of query."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np

from mmsearch_indexes.approximate import ApproximateIndex
from mmsearch_indexes.errors import InvalidVectors
from mmsearch_indexes.flat import FlatIndex
from mmsearch_indexes.halves import chunks
from mmsearch_indexes.measuring import Shares, interval, one_thread, seconds_each, shares_by_rerank
from mmsearch_indexes.neighbors import Matrix
from mmsearch_indexes.recipe import TUNED_K, Setting
from mmsearch_indexes.truth import Truth

RERANKS = (10, 20, 40, 80, 160, 320)
ROUNDS = 6
"""Of timing. The slowest and the quickest of six hold the true median 97 times of 100, however times scatter."""
_GAIN = 0.001  # more recall than this must come of more candidates, or of more effort
_LEAST_RECALL = 0.7  # settings with less are of no use to anyone
_FIRST_LOOKS, _GLANCE = 2, 8  # how often, and with how many queries, all settings are timed to see which to measure
_SLACK = 1.5  # what first looks may err by
_RECALL_SHARE = 0.4  # of the time
_EXACT_QUERIES = 5

_Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """A setting, and what was measured with it.

    Args:
        effort, rerank: of the ``Setting``.
        recall: ann_recall@10.
        recall_low, recall_high: its 95 % interval over queries.
        qps: single queries a second, one after the other, one thread: the median of ``ROUNDS`` rounds.
        qps_low, qps_high: the slowest and the quickest round.
    """

    effort: int
    rerank: int
    recall: float
    recall_low: float
    recall_high: float
    qps: float
    qps_low: float
    qps_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCurve:
    """What ``measure_curve`` found.

    Args:
        points: the settings that no other beats in both recall and speed, by rising recall.
        in_use: the setting that was asked for, measured along with them; None where none was asked for.
        exact_qps: single queries a second when ``FlatIndex`` compares all rows, one thread.
    """

    points: tuple[CurvePoint, ...]
    in_use: CurvePoint | None
    exact_qps: float


def measure_curve(
    index: ApproximateIndex,
    queries: Matrix,
    truth: Truth,
    *,
    in_use: Setting | None = None,
    seconds: float = 20.0,
    progress: _Progress = lambda _: None,
) -> MeasuredCurve:
    """Measure what an index can do for queries such as these, from little effort to as much as helps.

    Args:
        index: what to measure; its ``tuned`` is not looked at.
        queries: ``(n_queries, dim)`` float32 of one kind, 1 or more.
        truth: what they should find.
        in_use: a setting that is measured in any case.
        seconds: about what it may take, beside a pass over all rows. With less, less effort is looked at, and fewer
            queries are timed.
        progress: told how many measurements more are done; nobody knows beforehand how many there will be.

    Raises:
        InvalidVectors: no rows, no queries, unsound ones, or another number of neighbours than of queries.
    """
    if not len(queries) or len(truth) != len(queries):
        raise InvalidVectors(f"{len(queries)} queries and the neighbours of {len(truth)}; give as many, 1 or more")
    if not len(index):
        raise InvalidVectors("an index of no rows has no curve; add some first")
    with one_thread():
        exact_seconds = _exact_seconds(index, queries[:_EXACT_QUERIES])
    progress(1)
    end = perf_counter() + seconds
    found = _found(index, queries, truth, in_use, perf_counter() + _RECALL_SHARE * seconds, progress)
    with one_thread():
        rounds = _timed(index, queries, _worth_timing(index, queries, found, in_use), end, progress)
    points = {setting: _point(setting, found[setting], times) for setting, times in rounds.items()}
    return MeasuredCurve(
        points=pareto_front(list(points.values())),
        in_use=points[in_use] if in_use else None,
        exact_qps=round(1 / exact_seconds, 1),
    )


def pareto_front(points: Sequence[CurvePoint]) -> tuple[CurvePoint, ...]:
    """Those that no other beats in both recall and speed, by rising recall."""
    best: list[CurvePoint] = []
    for point in sorted(points, key=lambda point: (-point.recall, -point.qps)):
        if not best or point.qps > best[-1].qps:
            best.append(point)
    return tuple(best[::-1])


def _exact_seconds(index: ApproximateIndex, queries: Matrix) -> float:
    """A query's time when ``FlatIndex`` compares all rows, which it holds as float32: here some rows after others."""
    times = np.zeros(len(queries))
    for rows in chunks(index.rows):
        flat = FlatIndex.build(rows)
        times += [seconds_each(partial(flat.search, k=TUNED_K), queries[i : i + 1]) for i in range(len(queries))]
    return float(np.median(times))


def _found(
    index: ApproximateIndex, queries: Matrix, truth: Truth, in_use: Setting | None, end: float, progress: _Progress
) -> dict[Setting, Shares]:
    """What each query finds, with each setting that finds more than those that ask for less.

    Effort doubles until it brings nothing more, or until the next doubling would pass the end.
    """
    reranks = sorted({*RERANKS, *([in_use.rerank] if in_use else [])})
    found: dict[Setting, Shares] = {}
    effort = 1 if index.has_lists else TUNED_K  # a graph looks at no fewer rows than are asked for
    most_before, took = -1.0, 0.0
    while not found or perf_counter() + 2 * took < end:
        start = perf_counter()
        found |= _worth_a_look(effort, reranks, shares_by_rerank(index, queries, truth, effort, reranks))
        took = perf_counter() - start
        progress(1)
        most = max(float(shares.mean()) for setting, shares in found.items() if setting.effort == effort)
        if effort == index.max_effort or most < most_before + _GAIN:
            break
        effort, most_before = min(2 * effort, index.max_effort), most
    if in_use and in_use not in found:
        found[in_use] = shares_by_rerank(index, queries, truth, in_use.effort, (in_use.rerank,))[0]
    return found


def _worth_a_look(effort: int, reranks: Sequence[int], shares: Shares) -> dict[Setting, Shares]:
    """Of the settings of one effort, those with more recall than the ones with fewer candidates."""
    worth: dict[Setting, Shares] = {}
    most = -1.0
    for rerank, of_rerank in zip(reranks, shares, strict=True):
        if of_rerank.mean() >= most + _GAIN:
            most = float(of_rerank.mean())
            worth[Setting(effort=effort, rerank=rerank)] = of_rerank
    return worth


def _worth_timing(
    index: ApproximateIndex, queries: Matrix, found: Mapping[Setting, Shares], in_use: Setting | None
) -> dict[Setting, float]:
    """Settings that may lie on the curve, and the seconds of a query in first looks at them."""
    recall = {setting: float(shares.mean()) for setting, shares in found.items()}
    least = min(_LEAST_RECALL, max(recall.values()))
    costs = {setting: float("inf") for setting in found if recall[setting] >= least or setting == in_use}
    for _ in range(_FIRST_LOOKS):
        for setting, cost in costs.items():
            took = seconds_each(partial(index.search, k=TUNED_K, setting=setting), queries[:_GLANCE])
            costs[setting] = min(cost, took)
    return {
        setting: cost
        for setting, cost in costs.items()
        if setting == in_use
        or not any(recall[other] >= recall[setting] and costs[other] * _SLACK < cost for other in costs)
    }


def _timed(
    index: ApproximateIndex, queries: Matrix, costs: Mapping[Setting, float], end: float, progress: _Progress
) -> dict[Setting, list[float]]:
    """The seconds of a query in each round; settings take turns, each for as long as is left for it."""
    rounds: dict[Setting, list[float]] = {setting: [] for setting in costs}
    first = 0
    for turns_left, setting in zip(range(ROUNDS * len(costs), 0, -1), ROUNDS * list(costs), strict=True):
        times = rounds[setting]
        expected = times[-1] if times else costs[setting]
        count = min(len(queries), max(1, int((end - perf_counter()) / (turns_left * expected))))
        # Each time other queries: lists and rows that another setting has just read would be in the cache.
        asked = np.take(queries, range(first, first + count), axis=0, mode="wrap")
        first += count
        times.append(seconds_each(partial(index.search, k=TUNED_K, setting=setting), asked))
        progress(1)
    return rounds


def _point(setting: Setting, shares: Shares, times: Sequence[float]) -> CurvePoint:
    low, high = interval(shares)
    return CurvePoint(
        effort=setting.effort,
        rerank=setting.rerank,
        recall=round(float(shares.mean()), 4),
        recall_low=round(low, 4),
        recall_high=round(high, 4),
        qps=round(1 / median(times), 1),
        qps_low=round(1 / max(times), 1),
        qps_high=round(1 / min(times), 1),
    )
