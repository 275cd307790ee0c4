"""A collection large enough for an index, through the installed command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mmsearch.encoders import load_encoder
from mmsearch.store import Store
from tests.e2e.conftest import Run
from tests.mmsearch.ann.conftest import drawn, put

N = 4000
RECIPE = "IVF16,PQ96x4fsr"


@pytest.fixture(scope="module")
def drawn_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    space = load_encoder("mini").space
    store = Store.create(folder / ".mmsearch", space)
    store.commit(store.snapshot(), add=[put(store, drawn(N, seed=1, dim=space.dim), "p")])
    return folder


@pytest.fixture
def large(drawn_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn_folder, tmp_path / "large"))


def test_a_few_thousand_items_need_no_index(run: Run, large: Path) -> None:
    done = run("build", "-c", large)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "image: 4,000 rows are few enough to compare all of them; no index is needed\n"
    assert "index        image: none: every item is compared" in run("info", "-c", large).stdout


def test_an_index_is_built_measured_and_searched(run: Run, large: Path, photos: Path) -> None:
    compared = run("search", "-c", large, "two dogs", "--json")
    done = run("build", "-c", large, "--recipe", RECIPE, "--recall", "0.9")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert f"image: {RECIPE}, the recipe that was asked for" in done.stderr
    assert "image: 4,000 items indexed in " in done.stderr
    told = run("info", "-c", large).stdout
    assert f"index        image: {RECIPE}, " in told
    for kind in ("sentences", "pictures"):
        assert f"image: {kind}: recall@10 " in told
    as_json = json.loads(run("info", "-c", large, "--json").stdout)["indexes"]["image"]
    assert (as_json["rows"], as_json["tuned"]["text"]["target"]) == (N, 0.9)
    keys, all_keys = (
        {json.loads(line)["key"] for line in text.splitlines()}
        for text in (run("search", "-c", large, "two dogs", "--json").stdout, compared.stdout)
    )
    assert len(keys & all_keys) >= 7
    assert run("verify", "-c", large).returncode == 0
    rows = next((large / ".mmsearch/indexes").glob("*/rows.f16"))
    sound = rows.read_bytes()
    rows.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    done = run("verify", "-c", large)
    assert done.returncode == 3
    assert done.stderr == "1 damaged; no item is lost, and `mmsearch build` makes the index anew\n"
    rows.write_bytes(sound)

    # Once what was added is a fifth, `index` builds anew.
    store = Store.open(large / ".mmsearch")
    store.commit(store.snapshot(), add=[put(store, drawn(1200, seed=2, dim=store.space.dim), "new")])
    done = run("index", photos, "--to", large)
    assert done.returncode == 0, done.stderr
    assert "image: 5,206 items indexed in " in done.stderr
    done = run("build", "-c", large, "--recipe", "Flat")
    assert "the index that was there is removed; `mmsearch build --recall 0.95` makes one again" in done.stderr


def test_a_few_new_items_are_found_at_once_and_told_of(run: Run, large: Path, photos: Path) -> None:
    run("build", "-c", large, "--recipe", RECIPE)
    store = Store.open(large / ".mmsearch")
    store.commit(store.snapshot(), add=[put(store, drawn(400, seed=2, dim=store.space.dim), "new")])
    done = run("index", photos, "--to", large)
    assert "9% of the image items came or went since they were indexed; quicker: mmsearch build" in done.stderr
    found = run("search", "-c", large, photos / "3.png", "-k", 1, "--paths")
    assert found.stdout == f"{photos / '3.png'}\n"
    assert "406 newer items are compared one by one, 0 of its own are gone" in run("info", "-c", large).stdout


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--memory", "a lot"], 2, "'a lot' is not a size; give one such as 500MB or 2GB"),
        (["--recall", "2"], 1, "recall is 2; give a number above 0 and up to 1, such as 0.02"),
        (["--recipe", "HNSW"], 1, "factory is 'HNSW'; give Flat, "),
        (["--memory", "1kB"], 1, "indexes of 4,000 items need 515 kB of memory at least, and 1 kB were given"),
    ],
)
def test_what_makes_no_sense_is_said(run: Run, large: Path, options: list[str], code: int, message: str) -> None:
    done = run("build", "-c", large, *options)
    assert done.returncode == code
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
