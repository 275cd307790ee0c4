from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmsearch.store.sealed import seal
from tests.e2e.conftest import Run
from tests.pictures import declare_size, paint


def test_an_empty_folder_makes_no_collection(run: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run("index", empty)
    assert done.returncode == 1
    assert f"no pictures in {empty}" in done.stderr
    assert list(empty.iterdir()) == []


def test_a_folder_without_pictures_says_what_it_looked_for(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    done = run("index", tmp_path)
    assert done.returncode == 1
    assert ".jpg" in done.stderr
    assert not (tmp_path / ".mmsearch").exists()


def test_a_missing_path_is_named(run: Run, tmp_path: Path) -> None:
    done = run("index", tmp_path / "Pictrues")
    assert (done.returncode, "Pictrues does not exist" in done.stderr) == (1, True)


def test_searching_without_a_collection_says_how_to_make_one(run: Run, tmp_path: Path) -> None:
    done = run("search", "a cat")
    assert done.returncode == 1
    assert "mmsearch index" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("query", ["", "   ", "\n"])
def test_an_empty_query_is_refused(run: Run, indexed: Path, query: str) -> None:
    done = run("search", query, "-c", indexed)
    assert (done.returncode, "the query is empty" in done.stderr) == (1, True)


def test_a_query_of_ten_thousand_words_is_cut_and_said(run: Run, indexed: Path) -> None:
    done = run("search", "many words " * 5000, "-c", indexed)
    assert done.returncode == 0
    assert "the encoder reads no more" in done.stderr
    assert len(done.stdout.splitlines()) == 6


def test_k_of_zero_is_a_usage_error_and_a_million_gives_all(run: Run, indexed: Path) -> None:
    assert run("search", "red", "-k", 0, "-c", indexed).returncode == 2
    assert len(run("search", "red", "-k", 1_000_000, "-c", indexed).stdout.splitlines()) == 6


def test_a_mistyped_picture_is_not_taken_for_a_sentence(run: Run, indexed: Path) -> None:
    done = run("search", "0.pgn.png", "-c", indexed)
    assert (done.returncode, "there is no picture 0.pgn.png" in done.stderr) == (1, True)


def test_a_query_that_is_no_picture_is_named(run: Run, indexed: Path) -> None:
    (indexed / "page.jpg").write_text("<html>")
    done = run("search", indexed / "page.jpg", "-c", indexed)
    assert (done.returncode, "page.jpg" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


def test_every_kind_of_bad_file_costs_only_itself(run: Run, photos: Path) -> None:
    whole = (photos / "0.png").read_bytes()
    picture = Image.new("RGB", (64, 48), "red")
    picture.save(photos / "good.jpg")
    (photos / "truncated.jpg").write_bytes((photos / "good.jpg").read_bytes()[:-200])
    (photos / "zero.png").write_bytes(b"")
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    (photos / "text.gif").write_text("GIF89a")
    os.mkfifo(photos / "pipe.jpg")
    (photos / "dangling.jpg").symlink_to("nowhere.jpg")
    (photos / "loop.jpg").symlink_to("loop.jpg")
    (photos / "circle").symlink_to(photos)
    declare_size(paint(photos / "bomb.png", seed=9), 60_000, 60_000)
    done = run("index", photos)
    assert done.returncode == 0, done.stderr
    assert "7 embedded" in done.stderr
    assert "8 failed" in done.stderr


def test_unusual_pictures_are_embedded(run: Run, photos: Path) -> None:
    red = Image.new("RGB", (64, 48), "red")
    red.convert("CMYK").save(photos / "cmyk.jpg")
    Image.new("I;16", (64, 48), 30_000).save(photos / "deep.png")
    palette = red.convert("P")
    palette.save(photos / "palette.png", transparency=0)
    red.save(photos / "moving.gif", save_all=True, append_images=[red.transpose(Image.Transpose.ROTATE_90)])
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        red.save(photos / f"turned-{orientation}.jpg", exif=exif)
    done = run("index", photos)
    assert "18 embedded" in done.stderr
    assert "0 failed" in done.stderr


def test_strange_names_are_indexed_and_found(run: Run, photos: Path) -> None:
    names = [
        b"with space.png",
        b"line\nbreak.png",
        b"bytes-\xff\xfe.png",
        b"-dash.png",
        "snow-❄.png".encode(),
    ]
    for name in names:
        shutil.copyfile(photos / "0.png", photos / os.fsdecode(name))
    done = run("index", photos)
    assert "11 embedded" in done.stderr, done.stderr
    found = run("search", photos / "0.png", "-k", 6, "--json", "-c", photos)
    paths = {os.fsencode(json.loads(line)["path"]) for line in found.stdout.splitlines()}
    assert paths == {os.fsencode(photos / os.fsdecode(name)) for name in [b"0.png", *names]}
    table = run("search", photos / "0.png", "-k", 6, "-c", photos)
    assert len(table.stdout.splitlines()) == 6
    assert "11 unchanged" in run("index", photos).stderr


def test_folders_without_permission_are_reported_and_passed_over(run: Run, photos: Path, powerless: list[str]) -> None:
    closed = photos / "closed"
    closed.mkdir()
    closed.chmod(0)
    try:
        done = run("index", photos, prefix=powerless)
    finally:
        closed.chmod(0o755)
    assert done.returncode == 0
    assert "6 embedded" in done.stderr
    assert "closed" in done.stderr


def test_a_read_only_folder_asks_for_another_place(
    run: Run, photos: Path, tmp_path: Path, powerless: list[str]
) -> None:
    photos.chmod(0o555)
    try:
        done = run("index", photos, prefix=powerless)
        assert done.returncode == 1
        assert "--to" in done.stderr
        assert run("index", photos, "--to", tmp_path / "elsewhere", prefix=powerless).returncode == 0
    finally:
        photos.chmod(0o755)


def test_a_collection_of_another_encoder_is_refused(run: Run, indexed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(Path(__file__).parents[2] / "mmsearch/encoders/mini", other)
    facts = json.loads((other / "encoder.json").read_text())
    (other / "encoder.json").write_text(json.dumps({**facts, "name": "other", "logit_scale": 1.5}))
    done = run("index", indexed, "--encoder", other)
    assert done.returncode == 4
    assert "mini" in done.stderr
    assert "other" in done.stderr
    assert run("index", indexed, "--encoder", other, "--to", tmp_path / "second").returncode == 0


def test_a_collection_of_a_newer_format_is_refused(run: Run, indexed: Path) -> None:
    described = indexed / ".mmsearch/collection.json"
    values = json.loads(described.read_text())
    del values["sha256"]
    described.chmod(0o644)
    described.write_bytes(seal({**values, "format_version": 99})[0])
    done = run("search", "red", "-c", indexed)
    assert done.returncode == 1
    assert "has format 99" in done.stderr


def test_a_damaged_manifest_is_passed_over_and_named(run: Run, indexed: Path) -> None:
    manifests = sorted((indexed / ".mmsearch/manifests").iterdir())
    manifests[-1].chmod(0o644)
    manifests[-1].write_bytes(manifests[-1].read_bytes()[:-40])
    done = run("verify", "-c", indexed)
    assert done.returncode == 3
    assert manifests[-1].name in done.stdout
    assert run("repair", "--adopt", "-c", indexed).returncode == 0
    assert len(run("search", "red", "-c", indexed).stdout.splitlines()) == 6


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is not installed")
def test_a_full_disk_is_one_sentence(run: Run, indexed: Path) -> None:
    Image.new("RGB", (500, 500), "blue").save(indexed / "new.png")
    done = run("index", indexed, prefix=["prlimit", "--fsize=2000"])
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert run("verify", "-c", indexed).returncode == 0
    assert "1 embedded" in run("index", indexed).stderr


def test_a_named_place_is_meant_as_it_is(run: Run, indexed: Path) -> None:
    second = indexed / "second"
    done = run("index", indexed, "--to", second)
    assert "6 embedded" in done.stderr
    assert (second / "collection.json").is_file()
    done = run("index", indexed, "--to", indexed / "0.png")
    assert (done.returncode, "0.png is a file" in done.stderr) == (1, True)


def test_a_mistyped_collection_is_not_sought_elsewhere(run: Run, indexed: Path) -> None:
    done = run("info", "-c", "nope", cwd=indexed)
    assert (done.returncode, "nope is not a folder" in done.stderr) == (1, True)
    assert run("search", "red", "-c", "0.png", cwd=indexed).returncode == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("captions.csv", "picture,words\n1,2\n", "picture, words"),
        ("captions.csv", "key,caption\n0.png,bl\xe5\n", "UTF"),
        ("gone.csv", None, "gone.csv"),
    ],
)
def test_captions_that_cannot_be_read_make_no_collection(
    run: Run, photos: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (photos / name).write_bytes(content.encode("latin-1"))
    done = run("index", photos, "--captions", photos / name)
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr
    assert not (photos / ".mmsearch").exists()


def test_a_single_file_that_is_no_picture_makes_no_collection(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    done = run("index", tmp_path / "notes.txt")
    assert (done.returncode, "notes.txt" in done.stderr) == (1, True)
    assert not (tmp_path / ".mmsearch").exists()


def test_a_table_may_have_columns_that_the_collection_has_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,key,text\n7,a,the sea\n8,b,a hill\n")
    assert "2 embedded" in run("index", tmp_path / "t.csv").stderr
    (shard,) = (tmp_path / ".mmsearch/shards").iterdir()
    table = pq.read_table(shard)
    assert table["table_id"].to_pylist() == [7, 8]
    assert table["table_key"].to_pylist() == ["a", "b"]


def test_lost_commits_are_damage_that_repair_can_undo(run: Run, indexed: Path) -> None:
    for manifest in (indexed / ".mmsearch/manifests").iterdir():
        manifest.unlink()
    done = run("verify", "-c", indexed)
    assert (done.returncode, "repair --adopt" in done.stdout) == (3, True)
    assert "6 rows in 1 shards adopted" in run("repair", "--adopt", "-c", indexed).stderr
    assert len(run("search", "red", "-c", indexed).stdout.splitlines()) == 6


def test_a_damaged_description_is_found_by_verify(run: Run, indexed: Path) -> None:
    described = indexed / ".mmsearch/collection.json"
    described.chmod(0o644)
    described.write_text("{}")
    assert run("verify", "-c", indexed).returncode == 3


def test_a_query_in_bytes_that_are_not_utf_8_is_searched_all_the_same(run: Run, indexed: Path) -> None:
    done = run("search", b"bad \xff byte", "-c", indexed)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 6)


def test_a_folder_or_an_address_is_not_taken_for_a_sentence(run: Run, indexed: Path) -> None:
    done = run("search", ".", cwd=indexed)
    assert (done.returncode, ". is a folder" in done.stderr) == (1, True)
    done = run("search", "https://example.org/cat.jpg", cwd=indexed)
    assert (done.returncode, "is not fetched" in done.stderr) == (1, True)


def test_output_that_nobody_takes_is_no_traceback(indexed: Path) -> None:
    command = [sys.executable, "-m", "mmsearch_cli", "search", "red", "-c", str(indexed)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    shell = f"{shlex.join(command[:-4])} encoders --json | head -1; exit ${{PIPESTATUS[0]}}"
    piped = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert (piped.returncode, "Traceback" in piped.stderr) == (0, False)


def test_finding_nothing_says_what_there_is(run: Run, indexed: Path) -> None:
    done = run("search", "red", "--for", "text", "-c", indexed)
    assert (done.returncode, done.stdout) == (0, "")
    assert "6 of modality image" in done.stderr


def test_a_device_that_the_encoder_cannot_use_is_refused(run: Run, photos: Path) -> None:
    done = run("index", photos, "--device", "cuda")
    assert (done.returncode, "runs on the CPU" in done.stderr) == (1, True)


def test_a_folder_that_cannot_be_looked_into_is_one_sentence(run: Run, indexed: Path, powerless: list[str]) -> None:
    (indexed / ".mmsearch").chmod(0)
    try:
        done = run("search", "red", "-c", indexed, prefix=powerless)
    finally:
        (indexed / ".mmsearch").chmod(0o755)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


@pytest.mark.parametrize(("package", "extra"), [("faiss", "cpu"), ("onnxruntime", "cpu")])
def test_a_missing_package_gets_the_install_line(indexed: Path, package: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"sys.argv = ['mmsearch', 'search', 'red', '-c', {str(indexed)!r}]\n"
        "from mmsearch_cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f'{package} is not installed; install it with: python -m pip install "mmsearch[{extra}]"' in done.stderr
