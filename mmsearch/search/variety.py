"""Fewer of the same: near-copies folded into one, and hits that differ from each other. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmsearch.arrays import Embeddings, Ids, Scores, StoredEmbeddings
from mmsearch.search.looks import SAME_LOOK, Looks

NEAR = 0.85
"""The cosine from which on it is worth comparing what two pictures look like; see benchmarks/copies.py."""
COPY = 0.96
"""The cosine from which on two items are taken for copies when there are no looks to compare."""
DEFAULT_BALANCE = 0.5
"""Of relevance against variety in ``diversify``; see benchmarks/diverse.py."""

_BLOCK = 2048  # rows compared at once: the product of two blocks takes 16 MB
_ROUNDING = 1e-6  # of float32 cosines


@dataclass(frozen=True, slots=True)
class _Likeness:
    """Which items are copies by what can be seen of them."""

    vectors: Embeddings | StoredEmbeddings
    looks: Looks | None
    threshold: float

    def between(self, rows: Ids, others: Ids) -> npt.NDArray[np.bool_]:
        """``(len(rows), len(others))``"""
        alike: npt.NDArray[np.bool_] = (
            self.vectors[rows].astype(np.float32) @ self.vectors[others].astype(np.float32).T >= self.threshold
        )
        if self.looks is not None and alike.any():
            alike &= self.looks[rows] @ self.looks[others].T >= SAME_LOOK
        return alike


def near_another(vectors: Embeddings | StoredEmbeddings, threshold: float = NEAR) -> npt.NDArray[np.bool_]:
    """Which items have another at this cosine or above: only of those are looks worth reading.

    Args:
        vectors: ``(n, dim)`` float32 or float16, unit rows.
        threshold: a cosine.

    Returns:
        ``(n,)`` bool.
    """
    likeness = _Likeness(vectors, None, threshold)
    found = np.zeros(len(vectors), bool)
    blocks = [np.arange(start, min(start + _BLOCK, len(vectors))) for start in range(0, len(vectors), _BLOCK)]
    for number, block in enumerate(blocks):
        within = likeness.between(block, block)
        np.fill_diagonal(within, False)
        found[block] |= within.any(axis=1)
        for other in blocks[:number]:
            alike = likeness.between(block, other)
            found[block] |= alike.any(axis=1)
            found[other] |= alike.any(axis=0)
    return found


def first_of_each(digests: Sequence[bytes | None] | None, n: int) -> Ids:
    """``(n,)`` int64 position of the first item with the same digest; ``None`` equals nothing."""
    first: dict[bytes, int] = {}
    given = digests if digests is not None else [None] * n
    return np.array(
        [row if digest is None else first.setdefault(digest, row) for row, digest in enumerate(given)], np.int64
    )


def fold_copies(
    vectors: Embeddings | StoredEmbeddings,
    digests: Sequence[bytes | None] | None,
    threshold: float,
    *,
    looks: Looks | None = None,
) -> Ids:
    """For each item, the item that stands for it.

    Items come in order of preference: by rank, or the one to keep first. Going down the list, an item follows the
    first leader that it is a copy of, and leads when there is none. So every follower is a copy of its leader
    itself, never only a copy of a copy: a long series of pictures, each like the next, does not become one group.

    Args:
        vectors: ``(n, dim)`` float32 or float16, unit rows, in order of preference.
        digests: n digests of the items' bytes; equal ones are copies whatever their vectors, ``None`` equals nothing.
        threshold: the cosine from which on two items are copies: ``COPY``, or ``NEAR`` with looks.
        looks: ``(n, 256)`` as ``looks.read_looks`` gives them; copies must then look the same as well.

    Returns:
        ``(n,)`` int64 positions; a leader has its own.

    Raises:
        ValueError: not one digest, or not one look, for each row.
    """
    for name, given in (("digests", digests), ("looks", looks)):
        if given is not None and len(given) != len(vectors):
            raise ValueError(f"{len(given)} {name} for {len(vectors)} vectors; give one for each")
    likeness = _Likeness(vectors, looks, threshold)
    firsts = first_of_each(digests, len(vectors))
    contents = np.flatnonzero(firsts == np.arange(len(vectors)))  # each compared once, however often it is there
    leader_of = np.full(len(vectors), -1, np.int64)
    leaders = np.empty(0, np.int64)
    for start in range(0, len(contents), _BLOCK):
        block = contents[start : start + _BLOCK]
        for begin in range(0, len(leaders), _BLOCK):
            _follow(leader_of, block[leader_of[block] < 0], leaders[begin : begin + _BLOCK], likeness)
        block = block[leader_of[block] < 0]
        _fold_block(leader_of, block, likeness)
        leaders = np.concatenate([leaders, block[leader_of[block] == block]])
    return leader_of[firsts]


def _follow(leader_of: Ids, rows: Ids, leaders: Ids, likeness: _Likeness) -> None:
    """Let each of ``rows`` follow the first of ``leaders`` that it is like, if there is one."""
    alike = likeness.between(rows, leaders)
    follows = alike.any(axis=1)
    leader_of[rows[follows]] = leaders[alike[follows].argmax(axis=1)]


def _fold_block(leader_of: Ids, rows: Ids, likeness: _Likeness) -> None:
    """Settle rows that follow no earlier leader among themselves."""
    alike = np.tril(likeness.between(rows, rows), -1)
    leads = np.ones(len(rows), bool)
    leader_of[rows] = rows
    for place in np.flatnonzero(alike.any(axis=1)):  # ascending, so that all before it are settled
        earlier = alike[place] & leads
        if earlier.any():
            leads[place] = False
            leader_of[rows[place]] = rows[earlier.argmax()]


def diversify(scores: Scores, vectors: Embeddings, k: int, *, balance: float = DEFAULT_BALANCE) -> Ids:
    """Choose k candidates that fit the query and differ from each other, by maximal marginal relevance.

    The first is the best. Each next one has the largest ``balance * relevance - (1 - balance) * likeness``, where
    likeness is that to the nearest of those chosen before.

    A sentence and a picture are seldom nearer than a cosine of 0.3, two pictures seldom farther apart. So both are
    brought to one scale first, that of the candidates themselves: the worst score becomes 0 and the best 1; the
    cosine of the two candidates that differ most becomes 0, that of an item and itself 1.

    Args:
        scores: ``(n,)`` float32 scores of the candidates: a few times k of them, the best.
        vectors: ``(n, dim)`` float32, unit rows, of the same candidates.
        k: how many to choose; all when there are fewer.
        balance: 1 is by score alone, 0 by difference alone.

    Returns:
        ``(min(k, n),)`` int64 positions in the order chosen; ties by position.

    Raises:
        ValueError: a balance outside [0, 1], or not one score for each vector.

    Source:
        Carbonell & Goldstein, The use of MMR, diversity-based reranking for reordering documents, SIGIR 1998.
    """
    if not 0 <= balance <= 1:
        raise ValueError(f"balance is {balance}; give a number from 0 (variety alone) to 1 (score alone)")
    if len(scores) != len(vectors):
        raise ValueError(f"{len(scores)} scores for {len(vectors)} vectors; give one for each")
    if not len(scores):
        return np.empty(0, np.int64)
    farthest = min(
        float((vectors[start : start + _BLOCK] @ vectors.T).min()) for start in range(0, len(vectors), _BLOCK)
    )
    relevance = _scaled(scores, float(scores.min()), float(scores.max()))
    chosen = [int(relevance.argmax())]
    nearest = np.full(len(scores), -np.inf)
    while len(chosen) < min(k, len(scores)):
        np.maximum(nearest, _scaled(vectors @ vectors[chosen[-1]], farthest, 1.0), out=nearest)
        gain = balance * relevance - (1 - balance) * nearest
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
    return np.array(chosen, np.int64)


def _scaled(values: Scores, low: float, high: float) -> npt.NDArray[np.float64]:
    """Map ``low`` to 0 and ``high`` to 1; zeros where only rounding tells the two apart."""
    above = values.astype(np.float64) - low
    scaled: npt.NDArray[np.float64] = above / (high - low) if high - low > _ROUNDING else np.zeros_like(above)
    return scaled
