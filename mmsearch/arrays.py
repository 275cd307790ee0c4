"""Names for the arrays that rooms pass to each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""``(size, size, 3)``, or ``(n, size, size, 3)`` for a batch; uint8 RGB, row-major."""

Embeddings = npt.NDArray[np.float32]
"""``(n, dim)`` float32, every row of unit L2 norm."""

StoredEmbeddings = npt.NDArray[np.float16]
"""``(n, dim)`` float16, as shards keep them."""

Ids = npt.NDArray[np.int64]
"""``(n,)`` or ``(n, k)`` int64 item ids; -1 where a result is missing."""

Scores = npt.NDArray[np.float32]
"""``(n, k)`` float32 inner products, larger is better; -inf where a result is missing."""
