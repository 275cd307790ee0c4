"""Collections of format 1 are read for ever. The fixture is never written again, only a later format adds its own.

It was made by ``python -m tests.mmsearch.store.test_format_1 FOLDER``.
"""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmsearch.store import FAILURE_SCHEMA, Modality, Store
from mmsearch.store.shards import read_table
from tests.mmsearch.store.material import add, contents, embed, expected, files, rows, space

FIXTURE = Path(__file__).parent / "fixtures" / "format-1"
KEYS = ["beach/1.jpg", "beach/2.jpg", "Über/ü.png"]


def make(path: Path) -> None:
    """Two shards, one with a column of the user's own, one removed item and one failure."""
    store = Store.create(path, space(), clock=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    pictures = rows(store.reserve_ids(3), KEYS)
    store.commit(store.snapshot(), add=[store.write_shard(pictures, job="one")])
    texts = rows(store.reserve_ids(2), ["t.csv#0", "t.csv#1"], modality=Modality.TEXT)
    texts = texts.append_column("year", pa.array([1999, 2001]))
    failed = pa.table([["x.jpg"], ["/x.jpg"], ["decode"], ["OSError"], ["cut short"]], schema=FAILURE_SCHEMA)
    store.commit(
        store.snapshot(),
        add=[store.write_shard(texts, job="two")],
        remove=[1],
        failures=store.write_failures(failed),
    )


def test_a_collection_of_format_1_is_read_by_value() -> None:
    store = Store.open(FIXTURE)
    snapshot = store.snapshot()
    manifest = snapshot.manifest

    assert store.space == space()
    assert (manifest.number, manifest.next_id, manifest.created) == (4, 5, "2026-01-02T03:04:05+00:00")
    assert snapshot.counts() == {"image": 2, "text": 2}
    ids, embeddings = snapshot.embeddings(Modality.IMAGE)
    assert ids.tolist() == [0, 2]
    np.testing.assert_array_equal(embeddings, embed([KEYS[0], KEYS[2]]))
    assert snapshot.table(["id", "key", "text", "width", "year"], modality=Modality.TEXT).to_pylist() == [
        {"id": 3, "key": "t.csv#0", "text": "about t.csv#0", "width": 640, "year": 1999},
        {"id": 4, "key": "t.csv#1", "text": "about t.csv#1", "width": 640, "year": 2001},
    ]
    picture = rows(2, KEYS[2:]).drop_columns(["bytes", "mtime_ns"])
    assert snapshot.rows([2], picture.column_names).equals(picture)
    assert manifest.failures is not None
    failures = read_table(manifest.failures.path_in(FIXTURE), manifest.failures.sha256)
    assert failures["message"].to_pylist() == ["cut short"]
    assert store.verify() == []


def test_a_collection_of_format_1_can_be_added_to(tmp_path: Path) -> None:
    before = files(FIXTURE)
    shutil.copytree(FIXTURE, tmp_path / "copy")
    store = Store.open(tmp_path / "copy")
    snapshot = add(store, ["new.jpg"])
    assert contents(snapshot) == expected([KEYS[0], KEYS[2], "t.csv#0", "t.csv#1", "new.jpg"])
    assert store.verify() == []
    assert files(FIXTURE) == before


def test_the_fixture_stays_small() -> None:
    assert sum(len(data) for data in files(FIXTURE).values()) < 50_000


if __name__ == "__main__":
    make(Path(sys.argv[1]))
