from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mmsearch
from mmsearch.errors import QueryError
from tests.fakes import FakeEncoder
from tests.pictures import paint

pytest.importorskip("duckdb")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> mmsearch.Collection:
    """Twelve pictures, 20 to 31 pixels wide, and a table of songs."""
    folder = tmp_path_factory.mktemp("filters")
    for number in range(12):
        paint(folder / f"{number:02}.png", seed=number, size=(20 + number, 30))
    (folder / "songs.csv").write_text("text,year\nthe blue sea,1990\nrain again,2003\na blue sky,2010\n")
    collection = mmsearch.create(folder / ".mmsearch", FakeEncoder())
    collection.add(folder)
    collection.add(folder / "songs.csv")
    return collection


def test_the_hits_are_the_nearest_of_those_that_match(photos: mmsearch.Collection) -> None:
    every = photos.search("red", k=12)
    wide = [hit.key for hit in every if int(hit.key[:2]) >= 7]
    assert [hit.key for hit in photos.search("red", k=3, where="width >= 27")] == wide[:3]
    assert [hit.key for hit in photos.search("red", k=99, where="width >= 27")] == wide


def test_scores_do_not_depend_on_the_condition(photos: mmsearch.Collection) -> None:
    every = {hit.key: hit.score for hit in photos.search("red", k=12)}
    for hit in photos.search("red", k=12, where="key like '0%'"):
        assert hit.score == every[hit.key]


def test_the_users_own_columns_can_be_asked_for(photos: mmsearch.Collection) -> None:
    found = photos.search("blue", k=5, modality="text", where="year > 2000 and text like '%blue%'")
    assert [hit.text for hit in found] == ["a blue sky"]


def test_a_batch_obeys_the_condition_too(photos: mmsearch.Collection) -> None:
    found = photos.search_many(["red", "green"], k=4, where="width in (20, 21)")
    assert (found.ids[:, :2] >= 0).all()
    assert (found.ids[:, 2:] == -1).all()
    assert np.isneginf(found.scores[:, 2:]).all()


def test_nothing_matches_is_no_error(photos: mmsearch.Collection) -> None:
    assert len(photos.search("red", where="width > 1000000")) == 0


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("widht > 3", "there is no column 'widht' .* there are id, key, source, modality, text, width"),
        ("", "the condition is empty"),
        ("width >", "cannot be used: Parser Error"),
        ("width > 'abc'", "cannot be used: Conversion Error"),
        ("1=1; DROP VIEW items", "cannot be used: Parser Error"),
        ("id in (select id from read_csv('/etc/passwd'))", "cannot be used: Permission Error"),
        ("id in (select a from 'x.parquet')", "cannot be used"),
        ("id in (select 1 from snapshot)", "cannot be used: Catalog Error"),
    ],
)
def test_a_bad_condition_says_what_is_wrong(photos: mmsearch.Collection, where: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        photos.search("red", where=where)


def test_a_condition_cannot_bring_in_other_ids(photos: mmsearch.Collection) -> None:
    assert len(photos.search("red", k=50, where="false) UNION (SELECT 4711")) == 0


def test_a_comment_does_not_swallow_the_query(photos: mmsearch.Collection, tmp_path: Path) -> None:
    assert len(photos.search("red", k=50, where="width >= 30 -- the widest")) == 2
    with pytest.raises(QueryError):
        photos.search("red", where=f"(COPY items TO '{tmp_path / 'out.csv'}')")
    assert list(tmp_path.iterdir()) == []


def test_a_condition_that_takes_for_ever_can_be_interrupted(photos: mmsearch.Collection) -> None:
    code = (
        "import os, signal, threading; from pathlib import Path\n"
        "from mmsearch.search import matching_ids; from mmsearch.store import Store\n"
        f"snapshot = Store.open(Path({str(photos.path)!r})).snapshot()\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored behind a shell's &
        "threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "matching_ids(snapshot, '(select count(*) from range(1000000000) a, range(100000) b) > 0')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr.endswith("KeyboardInterrupt\n")
