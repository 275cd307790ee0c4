from __future__ import annotations

import numpy as np

from benchmarks.duplicates import collection_like
from mmsearch.search.duplicates import find_duplicates
from mmsearch.search.variety import COPY


def test_one_row_in_twenty_is_a_copy() -> None:
    rng = np.random.default_rng(1)
    pictures = rng.normal(size=(50, 384)).astype(np.float32)
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    rows = collection_like(pictures, 400)
    assert rows.dtype == np.float16
    groups = find_duplicates(np.arange(400), rows, [None] * 400, threshold=COPY)
    assert groups == [(row, 380 + row) for row in range(20)]
