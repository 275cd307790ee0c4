from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ann_collection
from tests.mmsearch.ann.conftest import drawn


def test_promises_are_measured_from_the_build_to_the_rebuild(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    np.save(data / "pictures-000.npy", drawn(5000, seed=1, dim=384).astype(np.float16))
    np.save(data / "sentences-dev.npy", drawn(200, seed=2, dim=384).astype(np.float16))
    np.save(data / "held-out.npy", drawn(200, seed=3, dim=384).astype(np.float16))
    written: list[dict[str, object]] = []
    monkeypatch.setattr(ann_collection, "CHANGED", 500)
    monkeypatch.setattr(ann_collection, "write_record", lambda _, measured: written.append(measured))
    monkeypatch.setattr(sys, "argv", ["ann_collection", str(data), "--recall", "0.9", "--memory-mb", "1"])
    ann_collection.main()
    (measured,) = (json.loads(json.dumps(record)) for record in written)
    assert measured["rows"] == 4500
    assert measured["compared"]["text"]["recall"] == measured["compared"]["image"]["recall"] == 1
    assert measured["plan"]["memory_mb"] <= 1
    assert 0.85 <= measured["fresh"]["image"]["recall"] <= 1
    assert measured["added"]["found_themselves"] == 100
    assert measured["removed"]["still_found"] == 0
    assert measured["rebuilt"]["image"]["recall"] >= 0.85
