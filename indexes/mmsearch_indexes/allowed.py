"""Which rows a search may find: those of a filter, less those removed since the index was built."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mmsearch_indexes.flat import load_faiss
from mmsearch_indexes.neighbors import RowIds


class Allowed:
    """The rows 0..n-1, or some of them."""

    def __init__(self, n: int, among: RowIds | None, without: RowIds | None) -> None:
        """Both ``(m,)`` ascending; ``ValueError`` where they name rows that are not there."""
        for row_ids in (among, without):
            if row_ids is not None and len(row_ids) and not 0 <= row_ids[0] <= row_ids[-1] < n:
                raise ValueError(f"row ids go from {row_ids[0]} to {row_ids[-1]}; there are {n} rows")
        if among is not None and without is not None:
            among, without = np.setdiff1d(among, without, assume_unique=True), None
        self._n = n
        self._among = among
        self._without = without if without is not None and len(without) else None

    def __len__(self) -> int:
        if self._among is not None:
            return len(self._among)
        return self._n - (0 if self._without is None else len(self._without))

    @property
    def share(self) -> float:
        """Of all rows, those that may be found."""
        return len(self) / self._n

    @property
    def is_all(self) -> bool:
        """Whether every row may be found."""
        return self._among is None and self._without is None

    def holds(self, row_ids: RowIds) -> npt.NDArray[np.bool_]:
        """Which of some row ids may be found; -1 may not."""
        held: npt.NDArray[np.bool_] = row_ids >= 0
        if self._among is not None:
            held &= _isin(row_ids, self._among)
        if self._without is not None:
            held &= ~_isin(row_ids, self._without)
        return held

    def row_ids(self) -> RowIds:
        """``(m,)`` ascending, all that may be found."""
        if self._among is not None:
            return self._among
        everything = np.arange(self._n)
        return everything if self._without is None else np.delete(everything, self._without)

    def selector(self) -> Any:
        """The same for FAISS, as one bit a row. It does not own the bits: keep ``bits`` of it alive."""
        faiss = load_faiss()
        if self._among is not None:
            mask = np.zeros(self._n, np.bool_)
            mask[self._among] = True
        else:
            mask = np.ones(self._n, np.bool_)
            mask[self._without] = False
        return faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))


def _isin(row_ids: RowIds, ascending: RowIds) -> npt.NDArray[np.bool_]:
    """Which row ids are in a list; quick where they are few and the list is long."""
    if not len(ascending):
        return np.zeros(row_ids.shape, np.bool_)
    places = np.searchsorted(ascending, row_ids)
    places[places == len(ascending)] = 0
    same: npt.NDArray[np.bool_] = ascending[places] == row_ids
    return same
