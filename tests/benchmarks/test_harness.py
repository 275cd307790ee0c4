"""The benchmarks themselves, on little data: a harness that measures nothing must not pass unseen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import cold, crash, crash_index, embed
from benchmarks.record import SHARED, write_record

needs_pictures = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no pictures at {SHARED}")


def test_killed_writers_lose_nothing_and_flipped_bits_are_named() -> None:
    measured = crash.measure(crash.StoreRun(), kills=4, flips=8, seed=3)
    assert measured["after_next_run"]["acknowledged"] > 0
    assert measured["after_next_run"]["lost"] == measured["after_next_run"]["doubled_keys"] == 0
    assert measured["bits"]["named"] == 8


@needs_pictures
def test_a_killed_index_run_is_finished_by_the_next() -> None:
    measured = crash_index.measure(kills=2, seed=3)
    assert measured["each_picture_once"]
    assert measured["after_next_run"]["acknowledged"] == 70
    assert (measured["after_next_run"]["lost"], measured["damage"]) == (0, 0)


@needs_pictures
def test_rates_and_memory_are_those_of_the_pictures_asked_for() -> None:
    measured = embed.measure(pictures=36, rounds=1)
    assert min(measured["decode_per_s"] + measured["encode_per_s"] + measured["whole_per_s"]) > 0
    assert set(measured["peak_rss_mb"]) == {"6", "36"}


@needs_pictures
def test_a_cold_search_loads_no_torch() -> None:
    measured = cold.measure(pictures=12)
    assert measured["pictures"] == 12
    assert "onnxruntime" in measured["search"]["imports"]
    assert "torch" not in measured["search"]["imports"]
    assert measured["help"]["imports"] == []


def test_a_record_says_what_it_takes_to_measure_again(tmp_path: Path) -> None:
    file = write_record("question", {"answer": 42}, folder=tmp_path)
    record = json.loads(file.read_text())
    assert record["answer"] == 42
    assert {"commit", "command", "packages", "cpu", "cores"} <= record.keys()
