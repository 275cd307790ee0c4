"""The cheapest setting that keeps a promise of recall, for one kind of query.

Half of the queries choose the setting, the other half measures it. So that the promise holds for fresh queries too,
it is the lower end of an interval that must reach it on the first half, not the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from statistics import median

import numpy as np

from mmsearch_indexes.approximate import ApproximateIndex
from mmsearch_indexes.errors import InvalidVectors
from mmsearch_indexes.measuring import Shares, interval, one_thread, seconds_each, shares_by_rerank
from mmsearch_indexes.neighbors import Matrix
from mmsearch_indexes.recipe import TUNED_K, Setting, Tuned
from mmsearch_indexes.truth import Truth, find_truth

RERANKS = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 120, 160, 200, 250, 320, 400, 500, 640)
MIN_QUERIES = 40
_TRIES, _STEP = 4, 0.002
_ONE_SIDED = 1.645  # of the normal distribution: 95 % lie above
_TIMED_QUERIES = 60  # a round
_ROUNDS = 5


def tune(index: ApproximateIndex, queries: Matrix, *, recall: float, truth: Truth | None = None) -> Tuned:
    """Find the quickest setting whose ann_recall@10 is ``recall`` or more for queries such as these.

    Args:
        index: what to tune; its ``tuned`` is not looked at.
        queries: ``(n_queries, dim)`` float32, 40 or more, of one kind. A thousand give an interval of about .01.
        recall: what is promised, above 0 and below 1.
        truth: what they should find; where it is None, all rows are compared.

    Returns:
        The setting, with what the queries that did not choose it measured. Where no setting reaches the target,
        the most thorough one: its ``recall`` says how far it comes.

    Raises:
        InvalidVectors: fewer than 40 queries, or unsound ones.
        ValueError: a recall that cannot be promised.
    """
    if not 0 < recall < 1:
        raise ValueError(f"recall is {recall}; give a number above 0 and below 1")
    if len(queries) < MIN_QUERIES:
        raise InvalidVectors(f"{len(queries)} queries tell too little to tune with; give {MIN_QUERIES} or more")
    truth = truth or find_truth(index, queries)
    # Every other query, as neighbours in a file are often alike.
    choosing, measuring = slice(None, None, 2), slice(1, None, 2)
    lowest_recall = cache(partial(_lowest_recall, index, queries[choosing], truth.take(choosing)))
    needed = recall
    for _ in range(_TRIES):
        settings = _keeping(index, lowest_recall, needed)
        costs = _seconds(index, queries[measuring], settings)
        setting = min(costs, key=lambda setting: costs[setting])
        shares = shares_by_rerank(index, queries[measuring], truth.take(measuring), setting.effort, [setting.rerank])[0]
        if shares.mean() >= recall:
            break
        needed = min(needed + recall - float(shares.mean()) + _STEP, 1.0)  # the halves differ: ask the first for more
    low, high = interval(shares)
    return Tuned(
        effort=setting.effort,
        rerank=setting.rerank,
        target=recall,
        recall=round(float(shares.mean()), 4),
        recall_low=round(low, 4),
        recall_high=round(high, 4),
        qps=round(1 / costs[setting], 1),
        n_queries=len(shares),
    )


def _keeping(index: ApproximateIndex, lowest_recall: Callable[[int], Shares], recall: float) -> list[Setting]:
    """Settings that keep the promise, each with less effort and more candidates than the next."""
    if index.structure is None:
        return [Setting(effort=1, rerank=TUNED_K)]
    keeping: list[Setting] = []
    for place in reversed(range(len(RERANKS))):
        start = keeping[-1].effort if keeping else 1

        def suffices(effort: int, place: int = place) -> bool:
            return bool(lowest_recall(effort)[place] >= recall)

        effort = _least_effort(suffices, start, index.max_effort)
        if effort is None or (keeping and effort > 2 * keeping[0].effort):
            break  # more lists would be visited only to score fewer rows
        keeping.append(Setting(effort=effort, rerank=RERANKS[place]))
    return keeping or [Setting(effort=index.max_effort, rerank=RERANKS[-1])]


def _least_effort(suffices: Callable[[int], bool], start: int, most: int) -> int | None:
    """The least effort from ``start`` on that suffices, to about a sixteenth; None where none does."""
    effort, too_little = start, start - 1
    while not suffices(effort):
        if effort == most:
            return None
        effort, too_little = min(2 * effort, most), effort
    while effort - too_little > max(1, effort // 16):
        middle = (effort + too_little) // 2
        if suffices(middle):
            effort = middle
        else:
            too_little = middle
    return effort


def _lowest_recall(index: ApproximateIndex, queries: Matrix, truth: Truth, effort: int) -> Shares:
    """``(len(RERANKS),)`` the lower end of the interval of recall, for each number of candidates."""
    shares = shares_by_rerank(index, queries, truth, effort, RERANKS)
    lowest: Shares = shares.mean(axis=1) - _ONE_SIDED * shares.std(axis=1) / np.sqrt(len(queries))
    return lowest


def _seconds(index: ApproximateIndex, queries: Matrix, settings: Sequence[Setting]) -> dict[Setting, float]:
    """A single query's time on one thread with each setting, in the median of some rounds.

    No two ask the same queries one after the other: what one has read, the next finds in the processor's cache.
    """
    rounds: dict[Setting, list[float]] = {setting: [] for setting in settings}
    first = 0
    with one_thread():
        for _ in range(_ROUNDS):
            for setting, times in rounds.items():
                asked = np.take(queries, range(first, first + _TIMED_QUERIES), axis=0, mode="wrap")
                first += _TIMED_QUERIES
                times.append(seconds_each(partial(index.search, k=TUNED_K, setting=setting), asked))
    return {setting: median(times) for setting, times in rounds.items()}
