"""Columns beyond the common ones: what cameras note, and what items keep when their files move."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

import mmsearch
from mmsearch.errors import MediaError
from mmsearch.store import EXIF_SCHEMA, Modality, Store
from tests.fakes import FakeEncoder
from tests.mmsearch.embedding.test_job import snapshot_of, write_captions
from tests.pictures import paint, photo_exif

NOTED = {
    "taken": datetime(2023, 7, 14, 18, 3, 59),
    "camera": "NIKON D850",
    "lens": "24.0-70.0 mm f/2.8",
    "orientation": 1,
    "latitude": pytest.approx(48.858333),
    "longitude": pytest.approx(-2.294500),
}
NOTHING = dict.fromkeys(EXIF_SCHEMA.names)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """``old/shot.jpg`` with EXIF, ``plain.png`` without."""
    root = tmp_path / "album"
    paint(root / "old/shot.png", seed=1)
    Image.open(root / "old/shot.png").save(root / "old/shot.jpg", exif=photo_exif())
    (root / "old/shot.png").unlink()
    paint(root / "plain.png", seed=2)
    return root


def noted(collection: mmsearch.Collection, columns: tuple[str, ...] = tuple(EXIF_SCHEMA.names)) -> dict[str, Any]:
    """Key -> column -> value of every item."""
    rows = snapshot_of(collection).table(["key", *columns]).to_pylist()
    return {row.pop("key"): row for row in rows}


def test_what_the_camera_noted_becomes_columns(album: Path, encoder: FakeEncoder, tmp_path: Path) -> None:
    photos = mmsearch.create(album / ".mmsearch", encoder)
    photos.add(album, captions=write_captions(tmp_path / "c.csv", [("old/shot.jpg", "a red hill")]))
    assert noted(photos) == {"old/shot.jpg": NOTED, "plain.png": NOTHING, "old/shot.jpg#text=0": NOTHING}
    schema = snapshot_of(photos).table(EXIF_SCHEMA.names).schema
    assert schema.types == EXIF_SCHEMA.types


@pytest.mark.parametrize(
    ("where", "keys"),
    [
        ("taken >= '2023-01-01'", {"old/shot.jpg"}),
        ("taken < '2023-01-01'", set()),
        ("year(taken) = 2023 and camera ilike '%nikon%' and latitude between 48 and 49", {"old/shot.jpg"}),
        ("taken is null", {"plain.png"}),
    ],
)
def test_conditions_know_what_the_camera_noted(album: Path, encoder: FakeEncoder, where: str, keys: set[str]) -> None:
    pytest.importorskip("duckdb")
    photos = mmsearch.create(album / ".mmsearch", encoder)
    photos.add(album)
    assert {hit.key for hit in photos.search("red", where=where)} == keys


def test_a_collection_without_any_exif_can_be_asked_for_it(folder: Path, photos: mmsearch.Collection) -> None:
    pytest.importorskip("duckdb")
    photos.add(folder)
    assert len(photos.search("red", k=20, where="taken is null")) == 12
    assert len(photos.search("red", k=20, where="taken is not null")) == 0


def test_moved_copied_touched_and_captioned_pictures_keep_all_their_columns(
    album: Path, encoder: FakeEncoder, tmp_path: Path
) -> None:
    photos = mmsearch.create(album / ".mmsearch", encoder)
    photos.add(album)
    _give(photos, "rating", {"old/shot.jpg": 5, "plain.png": 2})
    shutil.copyfile(album / "old/shot.jpg", album / "copy.jpg")
    (album / "new").mkdir()
    (album / "old/shot.jpg").rename(album / "new/moved.jpg")
    os.utime(album / "plain.png", ns=(7, 7))
    photos.add(album)
    everything = ("width", *EXIF_SCHEMA.names, "rating")
    shot, plain = {"width": 32, **NOTED, "rating": 5}, {"width": 32, **NOTHING, "rating": 2}
    assert noted(photos, everything) == {"copy.jpg": shot, "new/moved.jpg": shot, "plain.png": plain}

    photos.add(album, captions=write_captions(tmp_path / "c.csv", [("copy.jpg", "a red hill")]))
    texts = noted(photos, ("text", *everything))
    assert texts["copy.jpg"] == {"text": "a red hill", **shot}
    assert texts["copy.jpg#text=0"] == {"text": "a red hill", "width": None, **NOTHING, "rating": None}


def _give(photos: mmsearch.Collection, column: str, values: dict[str, int]) -> None:
    store = Store.open(photos.path)
    items = store.snapshot().table(["id", "key"])
    given = pa.array([values.get(key) for key in items["key"].to_pylist()], pa.int64())
    store.give_columns(pa.table({"id": items["id"], column: given}), job="test")


def test_a_changed_picture_has_what_its_new_file_notes(album: Path, encoder: FakeEncoder) -> None:
    photos = mmsearch.create(album / ".mmsearch", encoder)
    photos.add(album)
    with Image.open(album / "plain.png") as plain:
        plain.save(album / "old/shot.jpg", exif=photo_exif("2001:01:01 00:00:00", orientation=6))
    photos.add(album)
    assert noted(photos)["old/shot.jpg"] == {**NOTED, "taken": datetime(2001, 1, 1), "orientation": 6}


def test_a_texts_copy_takes_no_column_of_another_table(photos: mmsearch.Collection, folder: Path) -> None:
    (folder / "a.csv").write_text("text,year\nsea,1990\n")
    (folder / "b.csv").write_text("text,place\nsea,Rome\n")
    photos.add(folder / "a.csv")
    photos.add(folder / "b.csv")
    assert noted(photos, ("year", "place")) == {
        "a.csv#row=0": {"year": 1990, "place": None},
        "b.csv#row=0": {"year": None, "place": "Rome"},
    }


def test_a_tables_column_of_such_a_name_is_converted_or_refused(photos: mmsearch.Collection, folder: Path) -> None:
    (folder / "a.csv").write_text("text,taken,camera\nsea,2020-02-03,Leica M6\n")
    photos.add(folder / "a.csv")
    found = noted(photos)["a.csv#row=0"]
    assert (found["taken"], found["camera"]) == (datetime(2020, 2, 3), "Leica M6")
    (folder / "b.csv").write_text("text,orientation\nsea,portrait\n")
    with pytest.raises(MediaError, match="'orientation' of table .*b.csv has values that are no int8"):
        photos.add(folder / "b.csv")


def test_a_name_that_a_table_took_before_there_was_exif_stays_the_tables(
    album: Path, encoder: FakeEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    (album / "trips.csv").write_text("text,trip\nto the sea,early\n")
    photos = mmsearch.create(album / ".mmsearch", encoder)
    photos.add(album / "trips.csv")
    _as_an_older_version_named_it(photos, "trip", "taken")
    photos.add(album)
    assert "column 'taken' of this collection is string, from a table" in caplog.text
    assert noted(photos)["old/shot.jpg"] == {**NOTED, "taken": None}
    assert noted(photos)["trips.csv#row=0"]["taken"] == "early"
    assert set(snapshot_of(photos).counts()) == {Modality.IMAGE, Modality.TEXT}
    assert Store.open(photos.path).verify() == []


def _as_an_older_version_named_it(photos: mmsearch.Collection, column: str, name: str) -> None:
    store = Store.open(photos.path)
    old = store.snapshot()
    rows = old.table([*(n for n in old.columns if n not in (*EXIF_SCHEMA.names, column)), column])
    rows = rows.rename_columns([name if n == column else n for n in rows.column_names])
    first = store.reserve_ids(rows.num_rows)
    ids = pa.array(range(first, first + rows.num_rows), pa.int64())
    entry = store.write_shard(rows.set_column(0, "id", ids), job="test")
    store.commit(old, add=[entry], remove=old.table(["id"])["id"].to_pylist())
