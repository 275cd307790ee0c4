from __future__ import annotations

import numpy as np

from mmsearch_indexes.halves import widened


def test_every_finite_half_is_widened_to_the_same_number() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].reshape(-1, 16)
    assert finite.size == 63488
    wide = widened(finite)
    np.testing.assert_array_equal(wide, finite.astype(np.float32))
    np.testing.assert_array_equal(np.signbit(wide), np.signbit(finite))
