"""The comparison of GPU and CPU, where FAISS's index of the CPU stands in for one of the GPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from benchmarks.gpu import ann
from mmsearch_indexes import Neighbors, gpu

SMALL = ["--rows", "1500", "--dim", "16", "--rounds", "1", "--seconds", "0"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So little work is not worth threads waiting for each other."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(gpu, "gpu_count", lambda: 1)
    monkeypatch.setattr(ann, "gpu_count", lambda: 1)
    monkeypatch.setattr(gpu, "_new_flat", lambda dim, metric: faiss.IndexFlat(dim, metric))
    return monkeypatch


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in folder.glob("*.jsonl") for line in file.read_text("utf-8").splitlines()]


def test_rows_are_unit_vectors_and_one_in_a_hundred_is_a_copy() -> None:
    rows = ann.draw(1050, 16, seed=1)
    np.testing.assert_allclose(np.linalg.norm(rows.astype(np.float32), axis=1), 1, atol=2e-3)
    assert len(np.unique(rows, axis=0)) == 1040
    np.testing.assert_array_equal(rows, ann.draw(1050, 16, seed=1))
    assert not np.array_equal(rows, ann.draw(1050, 16, seed=2))


def test_without_a_gpu_it_says_so_and_records_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "gpu_count", lambda: 0)
    monkeypatch.setattr(ann, "gpu_count", lambda: 0)
    ann.main([*SMALL, "--results", str(tmp_path)])
    assert capsys.readouterr().out.splitlines() == [
        "FAISS sees no GPU: the CPU is compared with itself, on little data, and nothing is recorded",
        "both sides agree",
    ]
    assert not records(tmp_path)


def test_with_a_gpu_both_sides_are_timed_compared_and_recorded(pretended: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ann.main([*SMALL, "--results", str(tmp_path)])
    [record] = records(tmp_path)
    [exact], [lists] = record["exact"], record["lists"]
    assert exact["n"] == 1500
    assert exact["different"]["k=10"] == {"row_ids": 0, "scores": 0}
    assert set(exact["qps"]["gpu"]) == set(exact["qps"]["cpu"]) == {"1", "100", "1000"}
    assert lists["recall_gained"] == [0.0, 0.0, 0.0]
    assert lists["gpu"]["recall"] == lists["cpu"]["recall"]
    assert min(lists["cpu"]["train_s"], lists["cpu"]["build_s"]) > 0


def test_rows_beyond_its_memory_end_the_sweep(
    pretended: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def none_left(*_: object) -> None:
        raise RuntimeError("alloc fail")

    pretended.setattr(gpu, "_new_flat", none_left)
    ann.main([*SMALL, "--results", str(tmp_path)])
    assert "1,500 rows of 16 are more than the GPU's memory holds" in capsys.readouterr().out
    assert records(tmp_path)[0]["exact"] == []


def test_what_differs_is_counted_and_fails() -> None:
    found = Neighbors(np.array([[3, 1, 2]]), np.array([[0.5, 0.4, 0.3]], np.float32))
    expected = Neighbors(np.array([[3, 2, 1]]), np.array([[0.5, 0.4, 0.2]], np.float32))
    different = ann.differences(found, expected)
    assert different == {"row_ids": 2, "scores": 1}
    measured = {
        "exact": [{"n": 9000, "different": {"k=3": different}}],
        "lists": [{"n": 9000, "recall_gained": [-0.02, 0.02, -0.004], "half_interval": [0.01, 0.03, 0.001]}],
    }
    assert ann.complaints(measured) == [
        "exact search over 9,000 rows, k=3: 2 row_ids differ",
        "exact search over 9,000 rows, k=3: 1 scores differ",
        "lists over 9,000 rows: recall -0.0200 with the GPU",
    ]
