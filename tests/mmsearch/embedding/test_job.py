from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import mmsearch
from mmsearch.arrays import Embeddings, Pixels
from mmsearch.embedding import Progress
from mmsearch.errors import Locked, MassDelete, MediaError, NotFound
from mmsearch.store import Modality, Snapshot, Store
from tests.fakes import FakeEncoder
from tests.pictures import paint


def snapshot_of(photos: mmsearch.Collection) -> Snapshot:
    return Store.open(photos.path).snapshot()


def vectors(photos: mmsearch.Collection, modality: Modality = Modality.IMAGE) -> dict[str, Embeddings]:
    snapshot = snapshot_of(photos)
    _, stored = snapshot.embeddings(modality)
    keys = snapshot.table(["key"], modality=modality)["key"].to_pylist()
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, stored.astype(np.float32), strict=True))


def write_captions(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("key", "caption"), *rows])
    return path


def test_every_picture_is_embedded_under_its_path_with_its_own_vector(
    photos: mmsearch.Collection, folder: Path, encoder: FakeEncoder
) -> None:
    report = photos.add(folder)
    assert (report.embedded, report.failed) == (12, 0)
    found = vectors(photos)
    for path in folder.rglob("*.png"):
        picture = mmsearch.media.load_picture(path, limits=mmsearch.Limits())
        expected = encoder.encode_images(encoder.prepare(picture)[np.newaxis])[0]
        np.testing.assert_allclose(found[path.relative_to(folder).as_posix()], expected, atol=1e-3)


def test_ids_follow_the_order_of_the_walk(photos: mmsearch.Collection, folder: Path) -> None:
    photos.add(folder)
    keys = snapshot_of(photos).table(["key"])["key"].to_pylist()
    assert keys == sorted(keys)


def test_a_second_run_embeds_nothing(photos: mmsearch.Collection, folder: Path, encoder: FakeEncoder) -> None:
    photos.add(folder)
    before = encoder.encoded_images
    report = photos.add(folder)
    assert (report.embedded, report.reused, report.unchanged) == (0, 0, 12)
    assert encoder.encoded_images == before


def test_a_moved_file_keeps_its_vector_and_leaves_its_old_key(
    photos: mmsearch.Collection, folder: Path, encoder: FakeEncoder
) -> None:
    photos.add(folder)
    before = vectors(photos)["a/01.png"]
    encoded = encoder.encoded_images
    (folder / "moved").mkdir()
    (folder / "a/01.png").rename(folder / "moved/new.png")
    report = photos.add(folder)
    assert (report.embedded, report.reused, report.gone) == (0, 1, 0)
    assert encoder.encoded_images == encoded
    after = vectors(photos)
    assert "a/01.png" not in after
    np.testing.assert_array_equal(after["moved/new.png"], before)


def test_a_copied_file_shares_the_vector_and_both_stay(photos: mmsearch.Collection, folder: Path) -> None:
    photos.add(folder)
    shutil.copyfile(folder / "a/01.png", folder / "a/copy.png")
    report = photos.add(folder)
    assert (report.embedded, report.reused) == (0, 1)
    found = vectors(photos)
    np.testing.assert_array_equal(found["a/copy.png"], found["a/01.png"])
    assert len(found) == 13


def test_a_touched_file_is_not_embedded_again(photos: mmsearch.Collection, folder: Path, encoder: FakeEncoder) -> None:
    photos.add(folder)
    encoded = encoder.encoded_images
    os.utime(folder / "a/01.png", ns=(1, 1))
    assert photos.add(folder).reused == 1
    assert photos.add(folder).unchanged == 12
    assert encoder.encoded_images == encoded
    assert len(vectors(photos)) == 12


def test_a_changed_file_is_embedded_again_in_place(photos: mmsearch.Collection, folder: Path) -> None:
    photos.add(folder)
    before = vectors(photos)
    paint(folder / "a/01.png", seed=99, size=(40, 40))
    report = photos.add(folder)
    assert (report.embedded, report.unchanged) == (1, 11)
    after = vectors(photos)
    assert after.keys() == before.keys()
    assert float(after["a/01.png"] @ before["a/01.png"]) < 0.99


def test_files_that_are_gone_stay_until_pruned(photos: mmsearch.Collection, folder: Path) -> None:
    photos.add(folder)
    (folder / "a/01.png").unlink()
    report = photos.add(folder)
    assert (report.gone, report.removed, len(photos)) == (1, 0, 12)
    report = photos.add(folder, options=mmsearch.JobOptions(prune=True))
    assert (report.gone, report.removed, len(photos)) == (0, 1, 11)


def test_pruning_more_than_a_fifth_needs_a_word(photos: mmsearch.Collection, folder: Path) -> None:
    photos.add(folder)
    shutil.rmtree(folder / "a")
    paint(folder / "new.png", seed=50)
    with pytest.raises(MassDelete, match="6 of 12 items are gone"):
        photos.add(folder, options=mmsearch.JobOptions(prune=True))
    assert len(photos) == 13  # the new picture came in, nothing left
    report = photos.add(folder, options=mmsearch.JobOptions(prune=True, allow_mass_delete=True))
    assert (report.removed, len(photos)) == (6, 7)


def test_indexing_one_folder_says_nothing_about_the_others(photos: mmsearch.Collection, folder: Path) -> None:
    photos.add(folder)
    shutil.rmtree(folder / "b")
    report = photos.add(folder / "a", options=mmsearch.JobOptions(prune=True))
    assert (report.gone, report.removed, report.unchanged) == (0, 0, 6)


def test_a_source_that_is_missing_deletes_nothing(photos: mmsearch.Collection, folder: Path) -> None:
    photos.add(folder)
    with pytest.raises(NotFound, match="does not exist"):
        photos.add(folder / "unmounted", options=mmsearch.JobOptions(prune=True))
    assert len(photos) == 12


def test_bad_files_become_lines_of_the_failures_file(photos: mmsearch.Collection, folder: Path) -> None:
    (folder / "a/00-empty.png").write_bytes(b"")
    (folder / "a/05-page.jpg").write_text("<html>not found</html>")
    report = photos.add(folder)
    assert (report.embedded, report.failed) == (12, 2)
    assert report.failures_file is not None
    table = pq.read_table(report.failures_file)
    assert table["key"].to_pylist() == ["a/00-empty.png", "a/05-page.jpg"]
    assert vectors(photos).keys() == {p.relative_to(folder).as_posix() for p in folder.rglob("[0-1][0-9].png")}


def test_a_vector_that_is_not_finite_is_a_failure_and_shifts_no_other(folder: Path) -> None:
    class SometimesNaN(FakeEncoder):
        def encode_images(self, pixels: Pixels) -> Embeddings:
            embeddings = super().encode_images(pixels)
            embeddings[3] = np.nan
            return embeddings

    photos = mmsearch.create(folder / ".mmsearch", SometimesNaN())
    report = photos.add(folder)
    assert (report.embedded, report.failed) == (11, 1)
    assert report.failures[0].key not in vectors(photos)
    clean = mmsearch.create(folder.parent / "clean", FakeEncoder())
    clean.add(folder)
    expected = vectors(clean)
    for key, vector in vectors(photos).items():
        np.testing.assert_array_equal(vector, expected[key])


def test_shards_are_committed_as_the_job_goes_on(photos: mmsearch.Collection, folder: Path) -> None:
    photos.add(folder, options=mmsearch.JobOptions(shard_rows=5, batch_size=2))
    shards = snapshot_of(photos).manifest.shards
    assert [shard.rows for shard in shards] == [6, 6]


def test_ctrl_c_keeps_what_is_encoded_and_the_next_run_goes_on(
    photos: mmsearch.Collection, folder: Path, encoder: FakeEncoder
) -> None:
    def stop_at_seven(progress: Progress) -> None:
        if progress.done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        photos.add(folder, options=mmsearch.JobOptions(batch_size=3), progress=stop_at_seven)
    assert len(photos) == 6
    report = photos.add(folder)
    assert (report.embedded, report.unchanged) == (6, 6)
    assert encoder.encoded_images == 12


def test_a_second_writer_is_told_who_holds_the_lock(photos: mmsearch.Collection, folder: Path) -> None:
    with Store.open(photos.path).lock(), pytest.raises(Locked, match=f"process {os.getpid()}|{os.getpid()}"):
        photos.add(folder)


def test_captions_are_attached_and_become_items(photos: mmsearch.Collection, folder: Path, tmp_path: Path) -> None:
    captions = write_captions(
        tmp_path / "captions.csv",
        [("a/01.png", "a red ball"), ("a/01.png", "a toy"), ("03", "two dogs"), ("nowhere.png", "lost")],
    )
    report = photos.add(folder, captions=captions)
    assert (report.embedded, report.unmatched) == (15, 1)
    table = snapshot_of(photos).table(["key", "text"], modality=Modality.TEXT).to_pylist()
    assert {row["key"]: row["text"] for row in table} == {
        "a/01.png#text=0": "a red ball",
        "a/01.png#text=1": "a toy",
        "a/03.png#text=0": "two dogs",
    }
    texts = snapshot_of(photos).table(["key", "text"], modality=Modality.IMAGE).to_pylist()
    assert {row["key"]: row["text"] for row in texts if row["text"]} == {
        "a/01.png": "a red ball\na toy",
        "a/03.png": "two dogs",
    }
    assert photos.add(folder, captions=captions).unchanged == 15


def test_new_captions_replace_the_old_ones_without_touching_pictures(
    photos: mmsearch.Collection, folder: Path, tmp_path: Path, encoder: FakeEncoder
) -> None:
    captions = write_captions(tmp_path / "c.csv", [("a/01.png", "one"), ("a/01.png", "two"), ("a/03.png", "kept")])
    photos.add(folder, captions=captions)
    encoded = encoder.encoded_images
    photos.add(folder, captions=write_captions(captions, [("a/01.png", "three"), ("a/03.png", "kept")]))
    table = snapshot_of(photos).table(["key", "text"], modality=Modality.TEXT).to_pylist()
    assert {row["key"]: row["text"] for row in table} == {
        "a/01.png#text=0": "three",
        "a/03.png#text=0": "kept",
    }
    assert encoder.encoded_images == encoded
    assert photos.search("three", k=1, modality="text")[0].text == "three"


def test_captions_follow_a_moved_picture(photos: mmsearch.Collection, folder: Path, tmp_path: Path) -> None:
    photos.add(folder, captions=write_captions(tmp_path / "c.csv", [("a/01.png", "a red ball")]))
    (folder / "a/01.png").rename(folder / "ball.png")
    photos.add(folder)
    assert set(vectors(photos, Modality.TEXT)) == {"ball.png#text=0"}
    rows = snapshot_of(photos).table(["key", "text"], modality=Modality.IMAGE).to_pylist()
    assert {row["key"]: row["text"] for row in rows}["ball.png"] == "a red ball"


def test_pruned_pictures_take_their_captions_along(photos: mmsearch.Collection, folder: Path, tmp_path: Path) -> None:
    photos.add(folder, captions=write_captions(tmp_path / "c.csv", [("a/01.png", "a red ball")]))
    (folder / "a/01.png").unlink()
    assert photos.add(folder, options=mmsearch.JobOptions(prune=True)).removed == 2
    assert snapshot_of(photos).counts() == {"image": 11}


def test_a_table_of_texts_keeps_the_users_columns(photos: mmsearch.Collection, folder: Path) -> None:
    table = folder / "songs.csv"
    table.write_text("text,year\na blue sky,1990\nrain again,2003\n", encoding="utf-8")
    assert photos.add(table).embedded == 2
    rows = snapshot_of(photos).table(["key", "text", "year"]).to_pylist()
    assert rows == [
        {"key": "songs.csv#row=0", "text": "a blue sky", "year": 1990},
        {"key": "songs.csv#row=1", "text": "rain again", "year": 2003},
    ]
    assert photos.search("blue sky", k=1)[0].key == "songs.csv#row=0"


def test_a_changed_table_encodes_only_its_new_texts(
    photos: mmsearch.Collection, folder: Path, encoder: FakeEncoder
) -> None:
    table = folder / "songs.csv"
    table.write_text("text,year\na blue sky,1990\nrain again,2003\n", encoding="utf-8")
    photos.add(table)
    assert photos.add(table).unchanged == 2
    table.write_text("text,year\nsnow,2020\na blue sky,1991\nrain again,2003\n", encoding="utf-8")
    before = encoder.encoded_texts
    report = photos.add(table)
    assert (report.embedded, report.reused, encoder.encoded_texts - before) == (1, 2, 1)
    rows = snapshot_of(photos).table(["key", "text", "year"]).to_pylist()
    assert {row["key"]: (row["text"], row["year"]) for row in rows} == {
        "songs.csv#row=0": ("snow", 2020),
        "songs.csv#row=1": ("a blue sky", 1991),
        "songs.csv#row=2": ("rain again", 2003),
    }


def test_two_folders_with_the_same_names_keep_their_keys_apart(tmp_path: Path, encoder: FakeEncoder) -> None:
    for side, seed in (("x", 1), ("y", 2)):
        paint(tmp_path / side / "photos/1.png", seed=seed)
    both = mmsearch.create(tmp_path / "both", encoder)
    both.add(tmp_path / "x/photos")
    both.add(tmp_path / "y/photos")
    both.add(tmp_path / "x/photos", tmp_path / "y/photos")
    keys = set(vectors(both))
    assert keys == {"1.png", "photos/1.png"}
    assert {hit.path for hit in both.search(mmsearch.Picture(tmp_path / "y/photos/1.png"))} == {
        tmp_path / "x/photos/1.png",
        tmp_path / "y/photos/1.png",
    }


def test_a_folder_is_the_same_however_it_is_reached(
    tmp_path: Path, folder: Path, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = mmsearch.create(tmp_path / "outside", encoder)
    outside.add(folder)
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder / "a")
    for way in (tmp_path / "link", Path(".."), folder / "b/..", Path("../a")):
        report = outside.add(way)
        assert (report.embedded, report.reused, report.gone) == (0, 0, 0)
    assert len(outside) == 12
    assert outside.search("red", k=1)[0].path.resolve().is_relative_to(folder.resolve())


def captions_of(photos: mmsearch.Collection) -> dict[str, str]:
    rows = snapshot_of(photos).table(["key", "text"], modality=Modality.TEXT).to_pylist()
    return {row["key"]: row["text"] for row in rows}


def test_a_copy_indexed_alone_does_not_remove_its_original(photos: mmsearch.Collection, folder: Path) -> None:
    photos.add(folder)
    shutil.copyfile(folder / "a/01.png", folder / "b/copy.png")
    photos.add(folder / "b")
    assert {"a/01.png", "b/copy.png"} <= vectors(photos).keys()


def test_a_key_of_another_source_is_a_failure_and_replaces_nothing(tmp_path: Path, encoder: FakeEncoder) -> None:
    paint(tmp_path / "x/0.png", seed=0)
    paint(tmp_path / "y/photos/1.png", seed=1)
    both = mmsearch.create(tmp_path / "both", encoder)
    both.add(tmp_path / "x")
    both.add(tmp_path / "y/photos")
    before = vectors(both)
    paint(tmp_path / "x/photos/1.png", seed=2)
    report = both.add(tmp_path / "x")
    assert [failure.error for failure in report.failures] == ["KeyClash"]
    after = vectors(both)
    assert after.keys() == before.keys()
    for key, vector in before.items():
        np.testing.assert_array_equal(after[key], vector)


def test_a_parent_indexed_after_its_child_doubles_nothing(tmp_path: Path, folder: Path, encoder: FakeEncoder) -> None:
    outside = mmsearch.create(tmp_path / "outside", encoder)
    outside.add(folder / "a")
    report = outside.add(folder)
    assert (report.embedded, report.unchanged, len(outside)) == (6, 6, 12)
    assert encoder.encoded_images == 12


def test_captions_go_with_the_content_when_two_files_swap_names(
    photos: mmsearch.Collection, folder: Path, tmp_path: Path
) -> None:
    pairs = write_captions(tmp_path / "c.csv", [("a/01.png", "a red ball"), ("a/03.png", "two dogs")])
    photos.add(folder, captions=pairs)
    (folder / "a/01.png").rename(folder / "a/swap")
    (folder / "a/03.png").rename(folder / "a/01.png")
    (folder / "a/swap").rename(folder / "a/03.png")
    photos.add(folder)
    assert captions_of(photos) == {"a/01.png#text=0": "two dogs", "a/03.png#text=0": "a red ball"}
    texts = snapshot_of(photos).table(["key", "text"], modality=Modality.IMAGE).to_pylist()
    assert {row["key"]: row["text"] for row in texts if row["text"]} == {
        "a/01.png": "two dogs",
        "a/03.png": "a red ball",
    }


def test_a_moved_picture_takes_the_captions_that_its_new_name_is_given(
    photos: mmsearch.Collection, folder: Path, tmp_path: Path
) -> None:
    photos.add(folder, captions=write_captions(tmp_path / "c.csv", [("a/01.png", "old words")]))
    (folder / "a/01.png").rename(folder / "ball.png")
    photos.add(folder, captions=write_captions(tmp_path / "c.csv", [("ball.png", "new words")]))
    assert captions_of(photos) == {"ball.png#text=0": "new words"}


def test_a_folder_of_twins_can_be_renamed(photos: mmsearch.Collection, folder: Path, tmp_path: Path) -> None:
    paint(folder / "old/1.png", seed=70)
    shutil.copyfile(folder / "old/1.png", folder / "old/2.png")
    photos.add(folder)
    (folder / "old").rename(folder / "new")
    report = photos.add(folder)
    assert (report.embedded, report.reused, report.gone) == (0, 2, 0)
    assert {key for key in vectors(photos) if key.startswith(("old", "new"))} == {"new/1.png", "new/2.png"}


def test_pruning_looks_at_each_source_by_itself(tmp_path: Path, folder: Path, encoder: FakeEncoder) -> None:
    small = tmp_path / "small"
    paint(small / "1.png", seed=91)
    both = mmsearch.create(tmp_path / "both", encoder)
    both.add(folder, small)
    (small / "1.png").unlink()
    with pytest.raises(MassDelete, match="1 of 1 items are gone"):
        both.add(folder, small, options=mmsearch.JobOptions(prune=True))
    assert len(both) == 13


def test_an_interrupted_commit_is_made_again(
    photos: mmsearch.Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, calls = Store.commit, 0

    def interrupted_once(*args: object, **others: object) -> Snapshot:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyboardInterrupt
        return commit(*args, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "commit", interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        photos.add(folder)
    assert len(photos) == 12


def test_an_encoder_that_fails_costs_nothing_that_is_encoded(folder: Path) -> None:
    class Fragile(FakeEncoder):
        def encode_images(self, pixels: Pixels) -> Embeddings:
            if self.encoded_images >= 6:
                raise RuntimeError("out of memory")
            return super().encode_images(pixels)

    photos = mmsearch.create(folder / ".mmsearch", Fragile())
    with pytest.raises(RuntimeError, match="out of memory"):
        photos.add(folder, options=mmsearch.JobOptions(batch_size=3))
    assert len(photos) == 6


def test_a_column_keeps_its_type(photos: mmsearch.Collection, folder: Path) -> None:
    (folder / "a.csv").write_text("text,year\nsea,1990\n")
    (folder / "b.csv").write_text("text,year\nhill,unknown\n")
    photos.add(folder / "a.csv")
    with pytest.raises(MediaError, match="'year' of table .*b.csv has values that are no int64"):
        photos.add(folder / "b.csv")
    assert snapshot_of(photos).table(["year"])["year"].to_pylist() == [1990]


def test_another_text_column_is_read_anew(photos: mmsearch.Collection, folder: Path) -> None:
    (folder / "a.csv").write_text("title,text\nSea,waves and wind\n")
    photos.add(folder / "a.csv")
    photos.add(folder / "a.csv", options=mmsearch.JobOptions(text_column="title"))
    assert captions_of(photos) == {"a.csv#row=0": "Sea"}


def test_captions_of_a_picture_that_cannot_be_read_are_left_out(
    photos: mmsearch.Collection, folder: Path, tmp_path: Path
) -> None:
    (folder / "bad.png").write_text("no picture")
    photos.add(folder, captions=write_captions(tmp_path / "c.csv", [("bad.png", "lost"), ("a/01.png", "a ball")]))
    assert captions_of(photos) == {"a/01.png#text=0": "a ball"}


def test_a_source_whose_name_is_not_utf_8_is_known_again(tmp_path: Path, encoder: FakeEncoder) -> None:
    odd = tmp_path / os.fsdecode(b"photos-\xff")
    paint(odd / "1.png", seed=3)
    outside = mmsearch.create(tmp_path / "outside", encoder)
    outside.add(odd)
    assert outside.add(odd).unchanged == 1
    assert outside.search("red")[0].path == odd / "1.png"


def test_a_table_is_removed_by_its_key(photos: mmsearch.Collection, folder: Path) -> None:
    (folder / "a.csv").write_text("text\nsea\nhill\n")
    photos.add(folder / "a.csv")
    assert photos.remove(["a.csv"]) == 2
    assert len(photos) == 0
