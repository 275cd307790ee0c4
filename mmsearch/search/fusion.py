"""Several rankings of the same items as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mmsearch.arrays import Ids, Scores

CONSTANT = 10
"""The smaller, the more the first few ranks stand out. Measured by benchmarks/hybrid.py; the paper's own is 60."""

WORDS_WEIGHT = 1.5
"""Of a ranking by words, times the items' coverage, that is fused with one by vectors; from the same measurement."""


def fuse(
    rankings: Sequence[Ids], weights: Sequence[float | Scores] | None = None, *, constant: float = CONSTANT
) -> tuple[Ids, Scores]:
    """Reciprocal rank fusion: an item's score is the sum of ``weight / (constant + rank)`` over the rankings.

    Only ranks count, so rankings whose scores cannot be compared, of words and of vectors, or of pictures and of texts,
    can be fused. The order of the rankings does not matter.

    Args:
        rankings: each ``(n,)`` int64 ids, best first, of any length; -1, a missing result, is passed over, and of an id
            that comes twice the better rank counts.
        weights: one for each ranking, 0 or more, or ``(n,)`` of them, one for each of its items; all 1 when None.
            What has the weight 0 is left out.
        constant: 0 or more.

    Returns:
        ``(m,)`` int64 ids, each once, and their ``(m,)`` float32 scores; best first, ties by id.

    Raises:
        ValueError: weights that are not as many as the rankings, or a number that is negative or not finite.

    Source:
        Cormack, Clarke, Büttcher: Reciprocal rank fusion outperforms Condorcet and individual rank learning methods,
        SIGIR 2009. Weights for single items are our own.
    """
    given = [1.0] * len(rankings) if weights is None else weights
    if len(given) != len(rankings):
        raise ValueError(f"{len(given)} weights were given for {len(rankings)} rankings; give one for each")
    counted = [_counted(ids, weight) for ids, weight in zip(rankings, given, strict=True)]
    if not 0 <= constant < float("inf"):
        raise ValueError(f"the constant is {constant}; it is a finite number, 0 or more")
    every = np.unique(np.concatenate([np.empty(0, np.int64), *(ids for ids, _, _ in counted)]))
    gains = np.zeros((len(every), len(counted)))
    for column, (ids, places, shares) in enumerate(counted):
        gains[np.searchsorted(every, ids), column] = shares / (constant + 1 + places)
    gains.sort(axis=1)  # the sum must not depend on the order of the rankings, not even in its last bit
    total = gains.sum(axis=1)
    order = np.lexsort((every, -total))
    return every[order], total[order].astype(np.float32)


def _counted(ranking: Ids, weight: float | Scores) -> tuple[Ids, Ids, npt.NDArray[np.float64]]:
    """The ids of a ranking that count, each once, with their places from 0 and their weights."""
    shares = np.broadcast_to(np.asarray(weight, np.float64), len(ranking))
    if not ((shares >= 0) & (shares < np.inf)).all():
        raise ValueError(f"a weight is {weight}; weights are finite numbers, 0 or more")
    ids, places = np.unique(np.asarray(ranking, np.int64), return_index=True)
    counts = (ids >= 0) & (shares[places] > 0)
    return ids[counts], places[counts], shares[places][counts]
