"""More like these, less like those: a query moved by what a person thought of its hits."""

from __future__ import annotations

from collections.abc import Sequence

from mmsearch.search.query import Item, Operand, Query

LIKE_WEIGHT = 0.75
UNLIKE_WEIGHT = 0.15
"""Of all liked, and of all disliked items together, beside the query's 1; see benchmarks/feedback.py."""


def with_feedback(query: Query, *, like: Sequence[Operand | str] = (), unlike: Sequence[Operand | str] = ()) -> Query:
    """Move a query towards what was liked and away from what was not.

    The mean of the liked items is added and that of the disliked ones subtracted. Like in every sum, each term is
    centred on the mean of its modality first, so that liked pictures do not drown the words.

    Args:
        query: what was searched with.
        like: items that are right, as keys of the collection; pictures and texts from elsewhere may be given too.
        unlike: items that are wrong.

    Returns:
        A sum; the query itself when nothing was liked or disliked.

    Source:
        Rocchio, Relevance feedback in information retrieval, 1971.
    """
    moved = query
    for weight, judged in ((LIKE_WEIGHT, like), (-UNLIKE_WEIGHT, unlike)):
        if isinstance(judged, str):
            raise TypeError(f"like and unlike are lists of keys; {judged!r} is a string, so give [{judged!r}]")
        for of in judged:
            moved = moved + weight / len(judged) * (Item(of) if isinstance(of, str) else of)
    return moved
