"""The race of indexes, on little data: recall, speed and interpolation must be right before anyone is compared."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import ann, ann_plot
from benchmarks.ann import DataSet, ann_recall
from benchmarks.ann_opponents import OPPONENTS, K, factory, lists_for, steps
from benchmarks.ann_plot import front, qps_at


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    """300 rows in three files, 40 sentences and 30 pictures to ask with."""
    chance = np.random.default_rng(0)
    for number, n in enumerate((120, 120, 60)):
        np.save(tmp_path / f"pictures-{number:03}.npy", chance.standard_normal((n, 16)).astype(np.float16))
    np.save(tmp_path / "sentences-dev.npy", chance.standard_normal((40, 16)).astype(np.float16))
    np.save(tmp_path / "held-out.npy", chance.standard_normal((30, 16)).astype(np.float16))
    (tmp_path / "about.json").write_text('{"name": "noise"}', encoding="utf-8")
    return DataSet(folder=tmp_path)


def stored(data: DataSet) -> np.ndarray[Any, Any]:
    return np.concatenate([np.load(file) for file in sorted(data.folder.glob("pictures-*.npy"))])


def test_rows_come_whole_or_evenly_spaced_across_files(data: DataSet) -> None:
    np.testing.assert_array_equal(data.load(), stored(data).astype(np.float32))
    np.testing.assert_array_equal(DataSet(folder=data.folder, rows=100).load(), stored(data)[::3].astype(np.float32))


def test_truth_is_exact_and_computed_once(data: DataSet) -> None:
    rows, queries = data.load(), data.queries("sentences", 20)
    assert len(queries) == 20
    truth = data.truth("sentences", queries, rows)
    np.testing.assert_array_equal(truth, np.argsort(-(queries @ rows.T), axis=1, kind="stable")[:, :K])
    np.testing.assert_array_equal(data.truth("sentences", queries, np.zeros_like(rows)), truth)
    np.save(data.folder / "pictures-003.npy", np.ones((300, 16), np.float16))
    half = DataSet(folder=data.folder, rows=300)
    assert not np.array_equal(half.truth("sentences", queries, half.load()), truth)


def test_recall_counts_each_exact_neighbour_once_in_any_order() -> None:
    truth = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    found = np.array([[4, 1, 1, -1], [8, 7, 6, 5]], dtype=np.int32)
    assert ann_recall(found, truth).tolist() == [0.5, 1.0]


def test_speed_counts_queries_and_not_calls_by_both_clocks() -> None:
    queries = np.zeros((10, 4), np.float32)
    now, sizes = [0.0], []

    def search(asked: Any) -> Any:
        sizes.append(len(asked))
        now[0] += 0.004
        return asked

    for batch, calls in ((1, 13), (4, 13)):
        wall, cpu = ann.speed(search, queries, batch, 0.05, clocks=(lambda: now[0], lambda: now[0] / 2))
        assert (wall, cpu) == pytest.approx((batch / 0.004, batch / 0.002))
        assert sizes == [batch] * calls
        sizes.clear()


def test_a_sweep_stops_where_more_effort_brings_nothing(data: DataSet) -> None:
    truth = np.tile(np.arange(K), (3, 1))
    queries = np.zeros((3, 16), np.float32)

    def opened(effort: int, rerank: int) -> Any:
        kept = min(effort, 9 if rerank == 20 else 10)
        return lambda asked: np.where(np.arange(K) < kept, np.arange(K), -1)[np.newaxis].repeat(len(asked), 0)

    two = replace(OPPONENTS["scann"], reranks=(20, 40), efforts=lambda _: [5, 8, 9, 10, 11])
    swept = ann.sweep(two, opened, queries, truth, n=300, rounds=2, seconds=0.001)
    found = swept["points"]
    assert [(p["rerank"], p["effort"], p["recall"]) for p in found] == [
        (20, 5, 0.5), (20, 8, 0.8), (20, 9, 0.9), (20, 10, 0.9),
        (40, 5, 0.5), (40, 8, 0.8), (40, 9, 0.9), (40, 10, 1.0),
    ]  # fmt: skip
    assert "qps_single" not in found[0]
    assert len(found[1]["qps_single"]) == len(found[1]["qps_batch"]) == len(swept["machine_ms"]) - 1 == 2


def test_between_two_settings_the_logarithm_of_the_speed_is_straight() -> None:
    measured = [(0.8, 1000.0), (0.9, 400.0), (0.85, 300.0), (0.98, 100.0)]
    assert front(measured) == [(0.8, 1000.0), (0.9, 400.0), (0.98, 100.0)]
    assert qps_at(measured, 0.9) == pytest.approx(400)
    assert qps_at(measured, 0.94) == pytest.approx(200)
    assert qps_at(measured, 0.5) == 1000
    assert qps_at(measured, 0.99) is None
    assert qps_at([], 0.9) is None


def record(name: str, size: float, qps: float) -> dict[str, Any]:
    timed = {"qps_single": [qps / 2, qps, 9 * qps], "qps_batch": [2 * qps]}
    curve = [{"recall": 0.5}, {"recall": 0.9, **timed}, {"recall": 0.995, **timed}]
    return {
        "data": "noise", "n": 300, "opponent": name, "build_cpu_s": 1.0,
        "bytes_per_vector": {"anonymous": size, "mapped": 10.0}, "curves": {"sentences": {"points": curve}},
    }  # fmt: skip


def test_margins_are_over_the_best_no_larger_and_the_best_of_any_size() -> None:
    records = [record("mmsearch lists", 100, 300), record("small", 90, 100), record("large", 2000, 600)]
    found = ann_plot.rows(records, "sentences")
    assert [row.name for row in found] == ["mmsearch lists", "large", "small"]
    assert ann_plot.margins(found, "single", 0.95) == (3.0, 0.5)
    assert ann_plot.margins(found[1:], "single", 0.95) == (None, None)
    table = ann_plot.table(found)
    assert "| mmsearch lists | 300 | 300 | 300 | 600 |" in table
    assert "no larger | 3.00 | 3.00 | 3.00 |" in table


def test_a_drawing_is_sound_xml_and_names_all_curves(tmp_path: Path) -> None:
    file = tmp_path / "ann.jsonl"
    older, newer = record("a<b", 1, 50), record("a<b", 1, 60)
    file.write_text("\n".join(map(json.dumps, (older, newer, record("mmsearch lists", 1, 90)))), encoding="utf-8")
    assert [kept for kept in ann_plot.newest(file)["noise", 300] if kept["opponent"] == "a<b"] == [newer]
    ann_plot.main(["--draw", str(tmp_path), "--records", str(file)])
    drawing = ElementTree.parse(tmp_path / "ann-noise-300-sentences-single.svg").getroot()
    texts = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a<b", "mmsearch lists", "ann_recall@10", ".95"} <= set(texts)
    assert len(list(drawing.iter("{http://www.w3.org/2000/svg}polyline"))) == 2


def test_efforts_grow_from_first_to_last() -> None:
    assert steps(1, 10) == [1, 2, 3, 4, 6, 8, 10]
    assert [lists_for(n) for n in (10, 300, 201_003, 1_000_000)] == [4, 16, 512, 1024]
    assert factory("IVF{lists},PQ{half_dim}x4fsr", 1_000_000, 512) == "IVF1024,PQ256x4fsr"
    for opponent in OPPONENTS.values():
        efforts = opponent.efforts(300)
        assert efforts == sorted(set(efforts)), opponent.name


def test_an_opponent_is_run_in_its_own_processes_and_only_once(data: DataSet, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    asked = ["--opponents", "faiss IVF-Flat", "--queries", "20", "--rounds", "1", "--seconds", "0.002"]
    for _ in range(2):
        ann.main([str(data.folder), *asked, "--results", str(results)])
    (line,) = (results / "ann.jsonl").read_text(encoding="utf-8").splitlines()
    measured = json.loads(line)
    assert (measured["data"], measured["n"], measured["dim"]) == ("noise", 300, 16)
    assert measured["curves"]["pictures"]["points"][-1]["recall"] == 1.0
    assert measured["disk_bytes_per_vector"] > 64
    assert not (data.folder / "indexes" / "faiss-IVF-Flat-300").exists()
