from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.e2e.conftest import Run

COMMANDS = [
    "index",
    "search",
    "build",
    "bench",
    "explain",
    "tag",
    "duplicates",
    "info",
    "verify",
    "repair",
    "remove",
    "encoders",
    "eval",
    "demo",
]


def test_index_then_search_finds_a_picture_by_itself(run: Run, photos: Path) -> None:
    done = run("index", photos)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "6 embedded" in done.stderr
    found = run("search", photos / "3.png", "-k", 2, "--json", cwd=photos)
    assert found.returncode == 0, found.stderr
    first, second = map(json.loads, found.stdout.splitlines())
    assert (first["rank"], first["key"], first["modality"]) == (1, "3.png", "image")
    assert first["path"] == str(photos / "3.png")
    assert first["score"] > 0.999 > second["score"]


def test_the_collection_is_found_from_a_folder_below(run: Run, indexed: Path) -> None:
    (indexed / "deep/er").mkdir(parents=True)
    done = run("search", "a red wall", "--paths", "-k", 3, cwd=indexed / "deep/er")
    assert len(done.stdout.splitlines()) == 3
    assert all(Path(line).is_file() for line in done.stdout.splitlines())


def test_the_collection_moves_with_its_folder(run: Run, indexed: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    indexed.rename(moved)
    done = run("search", moved / "3.png", "-k", 1, "--paths", cwd=moved)
    assert done.stdout == f"{moved / '3.png'}\n"
    assert "6 unchanged" in run("index", moved).stderr


def test_csv_and_tabs_hold_the_same_hits(run: Run, indexed: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("search", "green", "--csv", cwd=indexed).stdout)))
    tabs = [line.split("\t") for line in run("search", "green", cwd=indexed).stdout.splitlines()]
    assert [row["key"] for row in rows] == [key for _, _, _, key in tabs]
    assert [f"{float(row['relevance']):.0%}" for row in rows] == [relevance for _, _, relevance, _ in tabs]
    assert len(rows) == 6


def test_queries_from_stdin_are_answered_one_by_one_and_a_bad_one_costs_itself(run: Run, indexed: Path) -> None:
    lines = "green\n\na red wall + ./3.png\n- red\n./4.pgn\n@3.png\n"
    done = run("search", "-", "--json", "-k", 1, cwd=indexed, stdin=lines)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [hit["query"] for hit in found] == ["green", "a red wall + ./3.png", "@3.png"]
    assert found[2]["key"] == "3.png"
    assert done.returncode == 1
    assert "- red: no term is added" in done.stderr
    assert "./4.pgn: there is no picture ./4.pgn" in done.stderr
    assert "2 of 5 queries could not be answered" in done.stderr


def test_csv_of_several_queries_has_one_header(run: Run, indexed: Path) -> None:
    done = run("search", "-", "--csv", "-k", 2, "--columns", "width", cwd=indexed, stdin="green\nred\n")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["query"] for row in rows] == ["green", "green", "red", "red"]
    assert all(int(row["width"]) > 0 for row in rows)


def test_csv_has_all_columns_even_where_the_first_query_finds_nothing(run: Run, indexed: Path) -> None:
    options = ("--csv", "--lexical", "--columns", "width,key")
    done = run("search", "-", *options, cwd=indexed, stdin="nothing like this\n3\n")
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert (row["query"], row["key"], int(row["width"]) > 0) == ("3", "3.png", True)
    assert None not in row
    assert done.stdout.splitlines()[0].count("key") == 1


def test_html_is_one_page_with_its_pictures_inside(run: Run, indexed: Path, tmp_path: Path) -> None:
    page = tmp_path / "hits.html"
    assert run("search", "<b>bold</b>", "-k", 4, "--html", page, cwd=indexed).returncode == 0
    html = page.read_text()
    assert html.count("data:image/webp;base64,") == 4
    assert "<b>" not in html
    assert "http:" not in html
    assert "https:" not in html


def test_captions_are_found_by_pictures_and_evaluated(run: Run, photos: Path, tmp_path: Path) -> None:
    captions = tmp_path / "captions.csv"
    captions.write_text("key,caption\n" + "".join(f"{n}.png,picture number {n}\n" for n in range(6)))
    assert "12 embedded" in run("index", photos, "--captions", captions).stderr
    done = run("search", photos / "2.png", "--for", "text", "--json", cwd=photos)
    hits = [json.loads(line) for line in done.stdout.splitlines()]
    assert {hit["modality"] for hit in hits} == {"text"}
    assert len(hits) == 6
    report = json.loads(run("eval", "--pairs", captions, "--json", cwd=photos).stdout)
    assert report["t2i"]["n_queries"] == report["i2t"]["n_queries"] == 6
    assert (report["encoder"], report["search"]) == ("mini", "exact")
    assert "hit_rate@10" in run("eval", "--pairs", captions, cwd=photos).stdout


def test_info_says_what_is_there(run: Run, indexed: Path) -> None:
    facts = json.loads(run("info", "--json", "-c", indexed).stdout)
    assert facts["counts"] == {"image": 6}
    assert facts["encoder"] == "mini"
    assert "6 image" in run("info", "-c", indexed).stdout


def test_removed_items_are_not_found_again(run: Run, indexed: Path) -> None:
    assert run("remove", "3.png", "-c", indexed).returncode == 0
    assert "3.png" not in run("search", indexed / "3.png", "-c", indexed).stdout
    done = run("remove", "3.png", "-c", indexed)
    assert (done.returncode, "no item has the key '3.png'" in done.stderr) == (1, True)


def test_verify_names_a_flipped_bit_and_repair_makes_the_next_run_whole(run: Run, indexed: Path) -> None:
    assert run("verify", "-c", indexed).returncode == 0
    (shard,) = (indexed / ".mmsearch/shards").iterdir()
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 16
    shard.chmod(0o644)
    shard.write_bytes(data)
    done = run("verify", "-c", indexed)
    assert done.returncode == 3
    assert shard.name in done.stdout
    assert run("repair", "-c", indexed).returncode == 0
    assert run("verify", "-c", indexed).returncode == 0
    assert "6 embedded" in run("index", indexed).stderr


def test_encoders_lists_licences(run: Run) -> None:
    rows = [json.loads(line) for line in run("encoders", "--json").stdout.splitlines()]
    assert rows[0]["name"] == "mini"
    assert all(row["licence"] for row in rows)
    assert "ViT-B-32" in run("encoders").stdout


def test_demo_shows_four_searches(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    done = run("demo")
    assert done.returncode == 0, done.stderr
    firsts = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith(("1 ", "2 "))]
    assert firsts[0] == "coffee.png"
    assert firsts[2:4] == ["moon.png", "hubble_deep_field.jpg"]
    assert "A cup of black coffee" in done.stdout
    assert firsts[-2:] == ["horse.png", "motorcycle_left.png"]
    page = (tmp_path / "mmsearch-demo/demo.html").read_text()
    assert page.count("<section ") == 4
    assert run("demo").returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"Example: mmsearch {command}" in done.stdout


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, mmsearch_cli.main;"
        "print(sorted({'mmsearch.collection', 'numpy', 'pyarrow', 'torch', 'faiss', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sigterm_commits_what_is_encoded(photos: Path, tmp_path: Path) -> None:
    for number in range(400):
        shutil.copyfile(photos / "0.png", photos / f"copy-{number:03}.png")
    process = subprocess.Popen(
        [sys.executable, "-m", "mmsearch_cli", "index", photos], stderr=subprocess.PIPE, text=True
    )
    lock = photos / ".mmsearch/LOCK"
    while not lock.exists() and process.poll() is None:
        pass
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in stderr


def test_the_failures_file_can_be_read_by_anyone(run: Run, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    done = run("index", photos)
    assert done.returncode == 0
    assert "1 failed" in done.stderr
    (file,) = (photos / ".mmsearch/failures").iterdir()
    assert pq.read_table(file)["key"].to_pylist() == ["broken.jpg"]
