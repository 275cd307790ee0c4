"""Does a GPU give the answers that the CPU gives, and how much sooner?

    python -m benchmarks.gpu.ann [--rows N ...] [--dim D]

Data: unit vectors drawn around a thousand centres, stored as float16, one in a hundred a copy of another row, so that
there are ties; queries drawn likewise. Synthetic: it says nothing about recall in general, only whether both sides have
the same.

Exact search: neighbours, scores and order must be equal, else the command fails. Timed are queries a second of
``FlatIndex`` with and without its rows on the GPU, Python included, 1, 100 and 1,000 queries at a time: medians of
rounds, and each round; the copy to the GPU once. Sizes ascend; the first that the GPU's memory cannot hold is the last.

Lists: the same recipe is built with and without the GPU, and both are searched on the CPU. Timed are training alone
(sample, k-means and codes) and the whole build. Recall@10 must not differ by more than chance: the 95 % interval of the
difference over queries holds 0, or the difference is below .005.

Without a GPU the same code runs on 3,000 rows in seconds, compares the CPU with itself, and records nothing.

``faiss-gpu`` (MIT; 1.15.1 of September 2026: 135 MB, CUDA 12.6 or later) has to stand in the place of ``faiss-cpu``:
both are the module ``faiss``. For a machine without a network:

    python -m pip download --no-deps --only-binary=:all: -d wheels faiss-gpu nvidia-cublas-cu12 \
        nvidia-cuda-runtime-cu12 nvidia-curand-cu12
    python -m pip install --no-index --no-deps --target site wheels/*.whl
    PYTHONPATH=site python -m benchmarks.gpu.ann
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from benchmarks.ann import RESULTS, ann_recall
from benchmarks.ann_opponents import K, Matrix, factory
from benchmarks.record import write_record
from mmsearch_indexes import ApproximateIndex, FlatIndex, IndexRecipe, Neighbors, Setting, gpu_count, on_gpu
from mmsearch_indexes.flat import load_faiss
from mmsearch_indexes.halves import StoredRows, sample, widened
from mmsearch_indexes.structure import trained

ROWS = (100_000, 1_000_000, 10_000_000)
BATCHES = (1, 100, 1000)
SETTINGS = tuple(Setting(effort=effort, rerank=100) for effort in (4, 16, 64))
_CENTRES = 1000
_SPREAD = 1.0  # length of the noise around a centre of length 1
_COPIED = 100  # one row in so many
_DRAWN = 1 << 16  # rows at a time
_ALIKE = 0.005  # difference of recall that does not matter


def draw(n: int, dim: int, seed: int) -> StoredRows:
    """``(n, dim)`` float16 unit rows around centres that are the same for each seed."""
    centres = np.random.default_rng(0).standard_normal((_CENTRES, dim), np.float32) / np.sqrt(dim)
    chance = np.random.default_rng(seed)
    rows = np.empty((n, dim), np.float16)
    for start in range(0, n, _DRAWN):
        part = rows[start : start + _DRAWN]
        drawn = chance.standard_normal(part.shape, np.float32) * np.float32(_SPREAD / np.sqrt(dim))
        drawn += centres[chance.integers(_CENTRES, size=len(part))]
        part[:] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    rows[_COPIED - 1 :: _COPIED] = rows[: n - _COPIED + 1 : _COPIED]
    return rows


def differences(found: Neighbors, expected: Neighbors) -> dict[str, int]:
    """Places where row ids and scores are not the same."""
    return {
        "row_ids": int((found.row_ids != expected.row_ids).sum()),
        "scores": int((found.scores != expected.scores).sum()),
    }


def qps(index: FlatIndex, queries: Matrix, batch: int, *, rounds: int, seconds: float) -> list[float]:
    """Queries a second in each round, of ``seconds`` or one call at the least."""
    parts = [queries[start : start + batch] for start in range(0, len(queries) - batch + 1, batch)]
    index.search(parts[0], K)
    found = []
    for _ in range(rounds):
        calls, started = 0, time.perf_counter()
        while (took := time.perf_counter() - started) < seconds or not calls:
            index.search(parts[calls % len(parts)], K)
            calls += 1
        found.append(round(calls * batch / took, 1) if took else 0.0)
    return found


def exact(stored: StoredRows, queries: Matrix, *, rounds: int, seconds: float) -> dict[str, Any] | None:
    """Compare and time exact search; None where the GPU cannot hold the rows."""
    on_cpu = FlatIndex.build(widened(stored))
    started = time.perf_counter()
    moved = on_gpu(on_cpu)
    copy_s = round(time.perf_counter() - started, 3)
    if gpu_count() and moved is on_cpu:
        return None
    few = queries[:200]
    return {
        "n": len(stored),
        "copy_s": copy_s,
        "different": {f"k={k}": differences(moved.search(few, k), on_cpu.search(few, k)) for k in (1, K, 100)},
        "qps": {
            side: {str(batch): qps(index, queries, batch, rounds=rounds, seconds=seconds) for batch in BATCHES}
            for side, index in (("cpu", on_cpu), ("gpu", moved))
        },
    }


def lists(stored: StoredRows, queries: Matrix) -> dict[str, Any]:
    """Build with and without the GPU, and compare what the CPU finds in both."""
    recipe = IndexRecipe(factory=factory("IVF{lists},PQ{half_dim}x4fsr", *stored.shape)).fitted(len(stored))
    drawn = sample(stored, recipe.train_rows, recipe.seed)
    drawn -= drawn.mean(axis=0)
    sides: dict[str, dict[str, Any]] = {}
    shares: dict[str, list[npt.NDArray[np.float64]]] = {}
    for side in ("gpu", "cpu"):
        with nullcontext() if side == "gpu" else patch("mmsearch_indexes.gpu.gpu_count", return_value=0):
            started = time.perf_counter()
            trained(recipe, drawn)
            train_s = round(time.perf_counter() - started, 3)
            built = ApproximateIndex.build(stored, recipe)
            build_s = round(time.perf_counter() - started - train_s, 3)
        truth = built.search_exactly(queries, K).row_ids
        shares[side] = [ann_recall(built.search(queries, K, setting).row_ids, truth) for setting in SETTINGS]
        recall = [round(each.mean(), 4) for each in shares[side]]
        sides[side] = {"train_s": train_s, "build_s": build_s, "recall": recall}
    gained = [there - here for there, here in zip(shares["gpu"], shares["cpu"], strict=True)]
    return {
        "n": len(stored),
        "recipe": recipe.to_json(),
        "settings": [setting.to_json() for setting in SETTINGS],
        **sides,
        "recall_gained": [round(each.mean(), 4) for each in gained],
        "half_interval": [round(1.96 * each.std() / np.sqrt(len(each)), 4) for each in gained],
    }


def complaints(measured: dict[str, Any]) -> list[str]:
    """What does not agree between the GPU and the CPU."""
    found = [
        f"exact search over {part['n']:,} rows, {k}: {count} {what} differ"
        for part in measured["exact"]
        for k, counts in part["different"].items()
        for what, count in counts.items()
        if count
    ]
    found += [
        f"lists over {part['n']:,} rows: recall {gained:+.4f} with the GPU"
        for part in measured["lists"]
        for gained, half in zip(part["recall_gained"], part["half_interval"], strict=True)
        if abs(gained) > max(half, _ALIKE)
    ]
    return found


def gpu() -> str | None:
    """Name, memory and driver of the first GPU, as its tool tells them."""
    if not shutil.which("nvidia-smi"):
        return None
    asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader", "--id=0"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def main(argv: list[str] | None = None) -> None:
    """Measure all sizes; record them where there is a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one round")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    has_gpu, rounds, seconds = gpu_count() > 0, args.rounds, args.seconds
    if not has_gpu:
        print("FAISS sees no GPU: the CPU is compared with itself, on little data, and nothing is recorded")
        args.rows, args.dim, rounds, seconds = [3000], 32, 1, 0.0
    measured: dict[str, Any] = {
        "gpu": gpu(),
        "faiss": load_faiss().__version__,
        "compiled": load_faiss().get_compile_options(),
        "dim": args.dim,
        "exact": [],
        "lists": [],
    }
    queries = widened(draw(1000, args.dim, seed=2))
    for n in sorted(args.rows):
        stored = draw(n, args.dim, seed=1)
        if (part := exact(stored, queries, rounds=rounds, seconds=seconds)) is None:
            print(f"{n:,} rows of {args.dim} are more than the GPU's memory holds")
            break
        measured["exact"].append(part)
        measured["lists"].append(lists(stored, queries))
    if has_gpu:
        write_record("gpu.ann", measured, folder=args.results)
    if found := complaints(measured):
        raise SystemExit("\n".join(["the two sides do not agree", *found]))
    print("both sides agree")


if __name__ == "__main__":
    main()
