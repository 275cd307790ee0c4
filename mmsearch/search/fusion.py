"""Several rankings of the same items as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmsearch.arrays import Ids, Scores

CONSTANT = 60
"""Reciprocal rank fusion's own number: the larger, the less the first few ranks stand out."""

WORDS_WEIGHT = 1.0
"""Of a ranking by words that is fused with one by vectors, whose weight is 1."""


def fuse(
    rankings: Sequence[Ids], weights: Sequence[float] | None = None, *, constant: float = CONSTANT
) -> tuple[Ids, Scores]:
    """Reciprocal rank fusion: an item's score is the sum of ``weight / (constant + rank)`` over the rankings.

    Only ranks count, so rankings whose scores cannot be compared, of words and of vectors, or of pictures and of texts,
    can be fused. The order of the rankings does not matter.

    Args:
        rankings: each ``(n,)`` int64 ids, best first, of any length; -1, a missing result, is passed over, and of an id
            that comes twice the better rank counts.
        weights: one for each ranking, 0 or more; all equal when None. A ranking of weight 0 adds nothing, its items
            included.
        constant: 0 or more.

    Returns:
        ``(m,)`` int64 ids, each once, and their ``(m,)`` float32 scores; best first, ties by id.

    Raises:
        ValueError: weights that are not as many as the rankings, or a number that is negative or not finite.

    Source:
        Cormack, Clarke, Büttcher: Reciprocal rank fusion outperforms Condorcet and individual rank learning methods,
        SIGIR 2009, which gives the constant 60 as well.
    """
    shares = [1.0] * len(rankings) if weights is None else list(weights)
    if len(shares) != len(rankings):
        raise ValueError(f"{len(shares)} weights were given for {len(rankings)} rankings; give one for each")
    for number in (*shares, constant):
        if not 0 <= number < float("inf"):
            raise ValueError(f"a weight or the constant is {number}; both are finite numbers, 0 or more")
    counted = [(np.asarray(ids, np.int64), share) for ids, share in zip(rankings, shares, strict=True) if share]
    every = np.unique(np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in counted)]))
    every = every[every >= 0]
    gains = np.zeros((len(every), len(counted)))
    for column, (ids, share) in enumerate(counted):
        known, first = np.unique(ids, return_index=True)
        gains[np.searchsorted(every, known[known >= 0]), column] = share / (constant + 1 + first[known >= 0])
    gains.sort(axis=1)  # the sum must not depend on the order of the rankings, not even in its last bit
    total = gains.sum(axis=1)
    order = np.lexsort((every, -total))
    return every[order], total[order].astype(np.float32)
