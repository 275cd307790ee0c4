from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmsearch_indexes import ApproximateIndex, OverBudget, plan, save_index


@pytest.mark.parametrize(
    ("n", "memory_mb", "factory"),
    [
        (1000, None, "Flat"),
        (100_000, None, "Flat"),
        (5000, 4, "IVF64,PQ192x4fsr"),
        (100_000, 100, "OPQ120_240,IVF256,PQ120x4fsr"),
        (200_000, 14.6, "RR384,IVF512,RaBitQfs"),
        (300_000, None, "OPQ120_240,IVF512,PQ120x4fsr"),
        (1_000_000, None, "OPQ120_240,IVF1024,PQ120x4fsr"),
        (10_000_000, None, "OPQ120_240,IVF4096_HNSW32,PQ120x4fsr"),
    ],
)
def test_the_first_rung_that_fits_is_taken(n: int, memory_mb: float | None, factory: str) -> None:
    planned = plan(n, 384, memory_bytes=None if memory_mb is None else int(memory_mb * 10**6))
    assert planned.recipe.factory == factory
    assert memory_mb is None or planned.resident_bytes <= memory_mb * 10**6


@pytest.mark.parametrize(("rank", "kept"), [(20, 32), (120, 128), (384, 368)])
def test_components_are_kept_as_the_rows_need_them(rank: int, kept: int) -> None:
    chance = np.random.default_rng(0)
    sample = np.zeros((4000, 384), np.float32)
    sample[:, :rank] = chance.standard_normal((4000, rank))
    planned = plan(200_000, 384, sample=sample)
    assert planned.recipe.factory == f"OPQ{kept // 2}_{kept},IVF512,PQ{kept // 2}x4fsr"


def test_why_is_said_in_words() -> None:
    assert plan(1000, 384).why == "1,000 rows are few enough to compare all of them"
    assert "4 bits" in plan(200_000, 384).why
    assert "memory is short" in plan(200_000, 384, memory_bytes=14_600_000).why


def test_a_promise_that_only_exact_search_keeps_is_planned_so() -> None:
    assert plan(10**6, 384, recall=1.0).recipe.is_exact
    with pytest.raises(OverBudget):
        plan(10**6, 384, recall=1.0, memory_bytes=10**9)


def test_a_budget_that_fits_nothing_is_told_the_smallest_that_would() -> None:
    with pytest.raises(OverBudget, match=r"1,000,000 rows of 512 numbers need 84 MB .* 50 MB were given") as caught:
        plan(10**6, 512, memory_bytes=50 * 10**6)
    assert plan(10**6, 512, memory_bytes=caught.value.smallest_bytes).resident_bytes == caught.value.smallest_bytes


@pytest.mark.parametrize("memory_bytes", [10**9, 2_700_000])
def test_estimates_of_bytes_hold_for_what_is_built(tmp_path: Path, memory_bytes: int) -> None:
    n, dim = 110_000, 64
    planned = (
        plan(n, dim, memory_bytes=memory_bytes) if memory_bytes > 10**8 else plan(n, dim, memory_bytes=memory_bytes * 2)
    )
    rows = np.random.default_rng(0).standard_normal((n, dim)).astype(np.float16)
    save_index(ApproximateIndex.build(rows, planned.recipe), tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) == pytest.approx(planned.disk_bytes, rel=0.03)
    structure = (tmp_path / "index.faiss").stat().st_size
    assert structure == pytest.approx(planned.resident_bytes, rel=0.1)


@pytest.mark.parametrize("dim", [1, 7, 63, 257, 513])
def test_odd_widths_are_planned_and_built(dim: int) -> None:
    recipe = plan(300_000, dim).recipe
    rows = np.random.default_rng(0).standard_normal((2000, dim)).astype(np.float16)
    assert len(ApproximateIndex.build(rows, recipe)) == 2000
