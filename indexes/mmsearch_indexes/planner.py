"""Which recipe for so many rows and so much memory, and what it will cost, before anything is built.

The ladder, from the most to the least memory; the first rung that fits is taken:

    Flat
        all rows compared, as float32: up to 100,000 rows, or where the promise is .999
    OPQ{kept/2}_{kept},IVF{nlist},PQ{kept/2}x4fsr
        4 bits for two of the principal components that hold most of the variance, a large one paired with a small
        one: kept/4 + 8 bytes a row
    IVF{nlist},PQ{dim/2}x4fsr
        in its place where rows are narrow or few: 4 bits for two numbers
    RR{dim},IVF{nlist},RaBitQfs
        1 bit for a number after a random rotation: dim/8 + 16 bytes a row

From 5 million rows on, lists are found by a graph over their centroids (not measured yet). The float16 rows stay on
the disk: a query reads those of its candidates, and the system's cache keeps what it has room for, which is not counted
as resident.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from mmsearch_indexes.errors import OverBudget
from mmsearch_indexes.neighbors import Matrix
from mmsearch_indexes.recipe import MIN_ROWS_PER_LIST, IndexRecipe
from mmsearch_indexes.structure import check_recipe

EXACT_ROWS = 100_000
"""Up to here comparing all rows takes some 20 ms on one core, and nothing is ever missed."""
_GRAPH_ROWS = 5_000_000
_ROTATED_ROWS = 10_000
"""Rotating a query costs as much with few rows as with many."""
_ROTATED_DIM = 64
"""Narrower rows have few numbers to spare."""
_VARIANCE_KEPT = 0.965
"""Of `mini` a third of 384 numbers hold .954, and half .976; of the drawn CLIP vectors half of 512 hold .948, and five
eighths .975: the first is best of `mini`, the last of these (benchmarks/LOG.md)."""
_USUALLY_KEPT = 0.625
_ROWS_PER_LIST_TRAINED = 100
_KMEANS_ROUNDS = 25
_FLOPS = 3e10
"""A core's operations a second: 300,000 rows of 512 in 512 lists are put at 31 s, and took 16 s on two cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A recipe, why it was chosen, and estimates of what it costs."""

    recipe: IndexRecipe
    why: str
    resident_bytes: int
    disk_bytes: int
    build_seconds: float


def plan(
    n: int,
    dim: int,
    *,
    memory_bytes: int | None = None,
    recall: float = 0.95,
    factory: str | None = None,
    sample: Matrix | None = None,
) -> Plan:
    """Pick a recipe.

    Args:
        n: rows there will be.
        dim: their width.
        memory_bytes: what the index may keep in memory; None for no limit.
        recall: ann_recall@10 that will be promised; 1 asks for all rows to be compared.
        factory: to be taken in place of what would be picked; see ``IndexRecipe``.
        sample: ``(m, dim)`` float32, some thousand rows drawn at random: they tell how many principal components are
            worth keeping, which is guessed without them.

    Raises:
        OverBudget: nothing fits; it says the smallest budget that would do.
        InvalidRecipe: a factory that is not known, or not for rows of this width.
    """
    rungs = [_as_asked(n, dim, factory)] if factory else _ladder(n, dim, recall, sample)
    for rung in rungs:
        if memory_bytes is None or rung.resident_bytes <= memory_bytes:
            return rung
    smallest = min(rung.resident_bytes for rung in rungs)
    needed = _megabytes(smallest)
    raise OverBudget(
        f"{n:,} rows of {dim} numbers need {needed} MB of memory at least, and {_megabytes(memory_bytes or 0)} MB were "
        f"given; give {needed} MB",
        smallest,
    )


def _ladder(n: int, dim: int, recall: float, sample: Matrix | None) -> list[Plan]:
    exact = Plan(
        recipe=IndexRecipe(factory="Flat"),
        why=f"{n:,} rows are few enough to compare all of them"
        if n <= EXACT_ROWS
        else f"only comparing all rows finds {recall:.1%} of the nearest",
        resident_bytes=4 * n * dim,
        disk_bytes=2 * n * dim,
        build_seconds=0.0,
    )
    if recall > 0.999 or n < MIN_ROWS_PER_LIST * 4:
        return [exact]
    nlist = 2 ** round(math.log2(math.sqrt(n)))
    lists = f"IVF{nlist}_HNSW32" if n >= _GRAPH_ROWS else f"IVF{nlist}"
    groups = dim // 2 if dim % 2 == 0 else dim
    rotation = ""
    if n >= _ROTATED_ROWS and dim >= _ROTATED_DIM:
        groups = (int(_USUALLY_KEPT * dim) if sample is None else _worth_keeping(sample)) // 2
        rotation = f"OPQ{groups}_{2 * groups},"
    quick = _listed(
        n,
        dim,
        f"{rotation}{lists},PQ{groups}x4fsr",
        nlist,
        groups / 2 + 8,
        f"{nlist:,} lists of codes of 4 bits: the quickest to keep recall among {n:,} rows",
    )
    small = _listed(
        n,
        dim,
        f"RR{dim},{lists},RaBitQfs",
        nlist,
        dim / 8 + 16,
        f"memory is short, so {nlist:,} lists of codes of 1 bit",
    )
    listed = [quick, small] if small.resident_bytes < quick.resident_bytes else [quick]
    return [exact, *listed] if n <= EXACT_ROWS or recall >= 0.999 else listed


def _worth_keeping(sample: Matrix) -> int:
    """How many principal components hold most of the variance; a multiple of 16, unless all are needed."""
    centred = sample.astype(np.float64) - sample.mean(axis=0, dtype=np.float64)
    variances = np.linalg.eigvalsh(centred.T @ centred)[::-1].clip(min=0)
    held = np.cumsum(variances) / max(variances.sum(), np.finfo(np.float64).tiny)
    count = int(np.searchsorted(held, _VARIANCE_KEPT)) + 1
    return min(-(-count // 16) * 16, int(sample.shape[1]))


def _as_asked(n: int, dim: int, factory: str) -> Plan:
    recipe = IndexRecipe(factory=factory)
    check_recipe(recipe, dim)
    nlist = recipe.fitted(n).nlist
    return _listed(n, dim, factory, nlist, _bytes_a_row(factory, dim), "the recipe that was asked for")


def _bytes_a_row(factory: str, dim: int) -> float:
    """Of FAISS's structure: codes, and 8 bytes of row id in a list, or two links of 4 for each of M in a graph."""
    codes = factory.rpartition(",")[2]
    if match := re.fullmatch(r"PQ(\d+)x4fsr?\S*", codes):
        size = int(match[1]) / 2
    elif match := re.fullmatch(r"RaBitQfs(\d?)", codes):
        size = dim * int(match[1] or 1) / 8 + 8
    else:
        size = dim * {"SQ8": 1, "SQfp16": 2}.get(codes, 4)
    graph = re.match(r"HNSW(\d+)", factory)
    return size + (8 * int(graph[1]) + 16 if graph else 8)


def _listed(n: int, dim: int, factory: str, nlist: int, bytes_a_row: float, why: str) -> Plan:
    recipe = IndexRecipe(factory=factory, train_rows=_ROWS_PER_LIST_TRAINED * max(nlist, 256))
    rotation = 4 * dim * dim if factory.startswith(("RR", "OPQ")) else 0
    resident = int(n * bytes_a_row) + 4 * nlist * dim + rotation
    trained = min(n, recipe.train_rows)
    kept = int(match[1]) if (match := re.match(r"OPQ\d+_(\d+)", factory)) else dim
    products = (_KMEANS_ROUNDS * trained + n) * nlist * kept + n * rotation / 4
    return Plan(
        recipe=recipe,
        why=why,
        resident_bytes=resident,
        disk_bytes=resident + 2 * n * dim,
        build_seconds=round(2 * products / _FLOPS, 1),
    )


def _megabytes(size: int) -> int:
    return math.ceil(size / 1e6)
