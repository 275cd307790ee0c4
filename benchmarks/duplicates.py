"""How long does it take to find the copies in a large collection, apart from reading files?

Data: mixtures of the vectors of Flickr8k's 1,000 dev photographs, each of two of them and a little noise, so that
neighbours are as dense as in a real collection; one row in twenty is another once more, moved a little. Stored as
float16, as a collection has them. Timed once, in wall and processor seconds: which rows have a near neighbour, and
folding. Reading looks is left out: it takes as long as decoding the files that have a near neighbour.

    python -m benchmarks.duplicates --rows 100000
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.nouns import dev_pictures
from benchmarks.record import write_record
from mmsearch.arrays import Embeddings, StoredEmbeddings
from mmsearch.encoders import load_encoder
from mmsearch.search.duplicates import find_duplicates
from mmsearch.search.variety import COPY, NEAR, near_another

_MIXED_NOISE = 0.5  # length beside unit vectors; the nearest other row is then at about .8
_COPY_NOISE = 0.1


def collection_like(pictures: Embeddings, rows: int) -> StoredEmbeddings:
    """``(rows, dim)`` vectors between those of real pictures; the last twentieth are copies of the first."""
    rng = np.random.default_rng(0)
    share = rng.uniform(0.5, 1, (rows, 1)).astype(np.float32)
    first, second = rng.integers(0, len(pictures), (2, rows))
    mixed = share * pictures[first] + (1 - share) * pictures[second]
    mixed = _unit(_unit(mixed) + _MIXED_NOISE * _noise(rng, mixed.shape))
    copies = rows // 20
    mixed[rows - copies :] = _unit(mixed[:copies] + _COPY_NOISE * _noise(rng, (copies, mixed.shape[1])))
    return mixed.astype(np.float16)


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Embeddings:
    noise: Embeddings = (rng.normal(size=shape) / np.sqrt(shape[1])).astype(np.float32)
    return noise


def _unit(rows: Embeddings) -> Embeddings:
    unit: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What came out, and how long it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, {
        "wall_s": round(time.perf_counter() - wall, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
    }


def measure(rows: int) -> dict[str, Any]:
    """Both steps."""
    _, pictures = dev_pictures(load_encoder("mini"))
    vectors = collection_like(pictures, rows)
    near, near_time = timed(lambda: near_another(vectors, NEAR))
    groups, fold_time = timed(lambda: find_duplicates(np.arange(rows), vectors, [None] * rows, threshold=COPY))
    return {
        "rows": rows,
        "dim": vectors.shape[1],
        "near_another": {"threshold": NEAR, "share": round(float(near.mean()), 4), **near_time},
        "find_duplicates": {"threshold": COPY, "groups": len(groups), **fold_time},
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    write_record("duplicates", measure(parser.parse_args().rows))


if __name__ == "__main__":
    main()
