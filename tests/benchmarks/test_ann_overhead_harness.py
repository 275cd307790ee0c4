from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import ann_overhead
from tests.mmsearch.ann.conftest import drawn


def test_the_calls_into_faiss_take_a_part_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "pictures-000.npy", drawn(6000, seed=1, dim=64).astype(np.float16))
    for split, seed in (("train", 2), ("dev", 3)):
        np.save(tmp_path / f"sentences-{split}.npy", drawn(300, seed=seed, dim=64).astype(np.float16))
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(ann_overhead, "write_record", lambda _, measured: written.append(measured))
    monkeypatch.setattr(sys, "argv", ["ann_overhead", str(tmp_path)])
    ann_overhead.main()
    assert (written[0]["n"], written[0]["dim"]) == (6000, 64)
    assert list(written[0]["settings"]) == ["0.9", "0.95", "0.99"]
    for measured in written[0]["settings"].values():
        assert len(measured["rounds_whole_us"]) == len(measured["rounds_faiss_us"]) == ann_overhead.ROUNDS
        assert min(measured["rounds_faiss_us"]) > 0
        assert measured["outside"] == pytest.approx(1 - measured["faiss_us"] / measured["whole_us"], abs=0.01)
