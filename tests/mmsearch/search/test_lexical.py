from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.errors import Corrupt, MissingPackage, QueryError
from mmsearch.search import lexical
from mmsearch.search.kept import Shelf
from mmsearch.search.lexical import LexicalIndex
from mmsearch.search.tokens import tokens
from mmsearch.store import Modality, Snapshot, Store
from tests.mmsearch.store.material import files, rows, space

pytest.importorskip("tantivy")

NAMES = (
    "2019 Rome/IMG_2042.JPG",
    "2019 Rome/IMG_2043.JPG",
    "holidays/beach_sunset.jpg",
    "holidays/BeachVolleyball.jpg",
    "Überraschung/Straße_am_Meer.jpg",
    "写真/東京タワー.jpg",
    "写真/京都.jpg",
    "iPhone/dsc00017.png",
)
CAPTIONS = {
    "a": "Two dogs are running on the beach",
    "b": "a red car\na car in the snow",
    "c": "a dog in the snow",
    "d": "The car is next to a red house",
    "e": "nothing of the kind",
}
WORDS = ["dog", "cat", "car", "sun", "sea", "red", "blue", "big"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "collection", space())


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Pictures of which nothing but their names is known."""
    store = Store.create(tmp_path_factory.mktemp("names"), space())
    return add(store, dict.fromkeys(NAMES, ""))


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return add(Store.create(tmp_path_factory.mktemp("captions"), space()), CAPTIONS)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Three shards of a hundred random texts; many score the same."""
    store = Store.create(tmp_path_factory.mktemp("many"), space())
    random = np.random.default_rng(0)
    for shard in range(3):
        add(store, {f"{shard}-{n}": " ".join(random.choice(WORDS, random.integers(1, 6))) for n in range(100)})
    return store.snapshot()


@pytest.fixture(scope="module")
def index(many: Snapshot) -> LexicalIndex:
    return LexicalIndex.open(many)


def add(store: Store, texts: Mapping[str, str], *, modality: str = Modality.IMAGE) -> Snapshot:
    """The collection after one more shard: key -> text."""
    table = rows(store.reserve_ids(len(texts)), list(texts), modality=modality, dim=store.space.dim)
    place = table.schema.get_field_index("text")
    table = table.set_column(place, table.schema.field(place), pa.array(list(texts.values()), pa.string()))
    return store.commit(store.snapshot(), add=[store.write_shard(table, job="test")])


def keys(snapshot: Snapshot, index: LexicalIndex, words: str, k: int = 99, without: Sequence[str] = ()) -> list[str]:
    ids, _ = index.search(words, k, without=without)
    found: list[str] = snapshot.rows(ids, ["key"])["key"].to_pylist()
    return found


def found(snapshot: Snapshot, words: str = "dog car", k: int = 99) -> list[tuple[int, float]]:
    ids, scores = LexicalIndex.open(snapshot).search(words, k)
    return list(zip(ids.tolist(), scores.tolist(), strict=True))


def kept(snapshot: Snapshot) -> list[Path]:
    return sorted((snapshot.folder / "indexes" / "lexical").iterdir())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("IMG_2042", [0, 1]),
        ("img2042", [0, 1]),
        ('"IMG_2042"', [0]),
        ("rome", [0, 1]),
        ("sunset beach", [2, 3]),
        ("volleyball", [3]),
        ("beachvolleyball", [3]),
        ("strasse", [4]),
        ("STRASSE MEER", [4]),
        ("uberraschung", [4]),
        ("東京", [5]),
        ("タワー", [5]),
        ('"京タワ"', [5]),
        ("京", [6, 5]),
        ("写真", [6, 5]),
        ("iphone", [7]),
        ("dsc00017.png", [7]),
        ("DSC 00017", [7]),
        ("giraffe", []),
    ],
)
def test_files_are_found_by_their_names_and_folders(names: Snapshot, words: str, expected: list[int]) -> None:
    index = LexicalIndex.open(names)
    assert keys(names, index, words) == [NAMES[number] for number in expected]


@pytest.mark.parametrize(
    ("words", "without", "expected"),
    [
        ("dog", [], ["c", "a"]),
        ("running dogs", [], ["a", "c"]),
        ("snow run", [], ["a", "c", "b"]),
        ('"red car"', [], ["b"]),
        ('"cars red"', [], []),
        ('red "the snow"', [], ["b", "c"]),
        ('"house"', [], ["d"]),
        ("dog", ["snow"], ["a"]),
        ("car", ["red house"], ["b"]),
        ("car", ["house red"], ["b", "d"]),
        ("dog car", ["!", "", "beaches", "red"], ["c"]),
        ("!", [], []),
        ("", [], []),
        ('""', ["dog"], []),
    ],
)
def test_captions_are_found_by_their_words(
    captions: Snapshot, words: str, without: list[str], expected: list[str]
) -> None:
    assert keys(captions, LexicalIndex.open(captions), words, without=without) == expected


def test_a_phrase_does_not_begin_in_the_name_and_end_in_the_text(store: Store) -> None:
    snapshot = add(store, {"red": "car beach", "x": "the red car"})
    assert keys(snapshot, LexicalIndex.open(snapshot), '"red car"') == ["x"]


def test_a_text_is_found_by_its_words_and_its_files_name_and_not_by_its_place(store: Store) -> None:
    add(store, {"songs.csv#row=17": "the blue sea"}, modality=Modality.TEXT)
    snapshot = add(store, {"sea.jpg": ""})
    index = LexicalIndex.open(snapshot)
    assert keys(snapshot, index, "songs") == ["songs.csv#row=17"]
    assert keys(snapshot, index, "row 17") == []
    assert index.search("sea", 5)[0].tolist() == [1, 0]
    assert index.search("sea", 5, Modality.TEXT)[0].tolist() == [0]
    assert index.search("sea", 5, Modality.IMAGE)[0].tolist() == [1]
    assert index.search("sea", 5, Modality.FRAME)[0].tolist() == []


def test_scores_are_bm25(many: Snapshot) -> None:
    table = many.table(["id", "key", "text"])
    documents = [
        [*tokens(key).words, "|", *tokens(text).words, "|", "|"]  # as they are stored, with borders and no parts
        for key, text in zip(table["key"].to_pylist(), table["text"].to_pylist(), strict=True)
    ]
    mean = sum(map(len, documents)) / len(documents)

    def bm25(document: list[str], words: Sequence[str]) -> float:
        total = 0.0
        for word in words:
            having = sum(word in other for other in documents)
            rarity = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
            times = Counter(document)[word]
            total += rarity * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * len(document) / mean))
        return total

    for query in ("dog", "red sun", "big blue cat"):
        expected = np.array([bm25(document, query.split()) for document in documents])
        order = np.lexsort((table["id"].to_numpy(), -expected.round(4)))[: np.count_nonzero(expected)]
        ids, scores = LexicalIndex.open(many).search(query, 1000)
        assert scores == pytest.approx(expected[order], rel=1e-5)
        assert ids.tolist() == order.tolist()
        assert (ids.dtype, scores.dtype) == (np.int64, np.float32)


def test_coverage_is_the_share_of_the_words_that_an_item_has_rare_ones_counting_more(names: Snapshot) -> None:
    index = LexicalIndex.open(names)

    def rarity(having: int) -> float:
        return math.log(1 + (len(NAMES) - having + 0.5) / (having + 0.5))

    for words, full in (
        ("rome", rarity(2)),
        ("volleyball unheard", rarity(1) + rarity(0)),
        ('"京タワ" jpg jpg', 2 * rarity(1) + rarity(7)),
    ):
        _, scores = index.search(words, 9)
        assert index.coverage(words, scores) == pytest.approx((scores / full).clip(max=1))
    _, scores = index.search("IMG_2042", 9)
    covered = index.coverage("IMG_2042", scores)
    assert covered[0] > 0.8
    assert covered[1] < 0.5
    assert index.coverage("!", np.zeros(2, np.float32)).tolist() == [0, 0]


def test_the_first_k_are_the_first_of_all_however_many_score_the_same(index: LexicalIndex) -> None:
    ids, scores = index.search("dog sea", 10**9)
    assert len(set(scores.tolist())) < len(ids) / 3, "the material has many ties"
    for k in (*range(1, 40), 150):
        assert index.search("dog sea", k)[0].tolist() == ids[:k].tolist()


@settings(deadline=None, max_examples=40)
@given(among=st.lists(st.integers(-5, 320)), k=st.integers(1, 20))
def test_among_gives_the_best_of_these_and_misses_none(index: LexicalIndex, among: list[int], k: int) -> None:
    every, scores = index.search("dog sea", 1000)
    part, part_scores = index.search("dog sea", k, among=np.array(among, np.int64))
    right = np.isin(every, among)
    assert part.tolist() == every[right][:k].tolist()
    assert part_scores.tolist() == scores[right][:k].tolist()


@settings(deadline=None, max_examples=60)
@given(st.text() | st.text(alphabet='"+-:()[]{}*~^\\/ andORdog'), st.lists(st.text(), max_size=2))
def test_any_string_can_be_searched_for(index: LexicalIndex, words: str, without: list[str]) -> None:
    ids, scores = index.search(words, 5, without=without)
    assert len(ids) == len(scores) <= 5


def test_thousands_of_words_and_one_of_a_megabyte_can_be_searched_for(captions: Snapshot) -> None:
    index = LexicalIndex.open(captions)
    assert keys(captions, index, "dog " + " ".join(f"w{n}" for n in range(5000))) == ["c", "a"]
    assert keys(captions, index, "dog " + "x" * 1_000_000) == ["c", "a"]


def test_k_counts_hits(captions: Snapshot) -> None:
    with pytest.raises(QueryError, match="k is 0; it counts hits"):
        LexicalIndex.open(captions).search("dog", 0)


def test_an_empty_collection_has_no_hits(store: Store) -> None:
    assert found(store.snapshot()) == []
    assert found(add(store, {"a": "dog"})) != []


def test_without_tantivy_the_way_out_is_said(captions: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tantivy", None)
    with pytest.raises(MissingPackage, match=r"mmsearch\[words\]"):
        LexicalIndex.open(captions)


class Read:
    """Counts the shards that are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shards = 0
        words_of = lexical._words_of

        def counted(*args: object) -> object:
            self.shards += 1
            return words_of(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(lexical, "_words_of", counted)


def test_a_second_opening_reads_no_shard_and_a_new_shard_is_all_that_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, {"a": "dog"})
    read = Read(monkeypatch)
    first = found(add(store, {"b": "dog and car"}))
    assert read.shards == 2
    assert found(store.snapshot()) == first
    store.reserve_ids(5)  # a commit that changes no item
    assert found(store.snapshot()) == first
    assert read.shards == 2
    assert [item for item, _ in found(add(store, {"c": "car dog car"}))] == [7, 1, 0]
    assert read.shards == 3


def test_an_index_that_grew_answers_as_one_built_at_once(store: Store, many: Snapshot) -> None:
    for shard in range(10):
        keys = many.rows(np.arange(shard * 30, shard * 30 + 30), ["key", "text"]).to_pydict()
        grown = add(store, dict(zip(keys["key"], keys["text"], strict=True)))
        LexicalIndex.open(grown)
    at_once = found(many, "dog sea blue", 1000)
    assert found(grown, "dog sea blue", 1000) == [(item, pytest.approx(score, rel=1e-6)) for item, score in at_once]
    (folder,) = kept(grown)
    assert len(list(folder.iterdir())) < 100, "files of merged segments are cleared away"


def test_removed_items_are_gone(store: Store) -> None:
    snapshot = add(store, {f"{n}": f"dog {n}" for n in range(40)})
    LexicalIndex.open(snapshot)
    after = store.commit(snapshot, remove=[3, 39])
    assert {item for item, _ in found(after)} == {*range(40)} - {3, 39}


def test_where_many_were_removed_the_scores_are_those_of_what_is_left(store: Store, tmp_path: Path) -> None:
    snapshot = add(store, {f"{n}": "dog" if n < 10 else "car" for n in range(40)})
    LexicalIndex.open(snapshot)
    after = store.commit(snapshot, remove=range(5))
    fresh = add(Store.create(tmp_path / "fresh", space()), {f"{n}": "dog" if n < 10 else "car" for n in range(5, 40)})
    assert [score for _, score in found(after)] == [score for _, score in found(fresh)]


def test_a_removal_that_is_taken_back_brings_the_item_back(store: Store) -> None:
    snapshot = add(store, {f"{n}": f"dog {n}" for n in range(40)})
    found(store.commit(snapshot, remove=[7]))
    lost = Snapshot(snapshot.folder, store.snapshot().manifest, snapshot.dim)
    object.__setattr__(lost.manifest, "tombstones", ())  # as a repair leaves it when the file of them is damaged
    assert {item for item, _ in found(lost)} == {*range(40)}


def test_an_older_snapshot_is_answered_as_it_was_and_leaves_the_newer_index_alone(store: Store) -> None:
    old = add(store, {f"{n}": f"dog {n}" for n in range(40)})
    before = found(old)
    store.commit(old, remove=[7])
    new = add(store, {"x": "dog"})
    now = found(new)
    newest = kept(new)
    assert [item for item, _ in found(old)] == [item for item, _ in before]
    assert kept(new) == newest
    assert found(new) == now


def test_shards_that_left_the_collection_leave_the_index(store: Store) -> None:
    add(store, {f"{n}": f"dog {n}" for n in range(40)})
    both = add(store, {"x": "dog"})
    found(both)
    first = Snapshot(both.folder, both.manifest, both.dim)
    object.__setattr__(first.manifest, "shards", both.manifest.shards[:1])
    object.__setattr__(first.manifest, "number", both.manifest.number + 1)
    assert {item for item, _ in found(first)} == {*range(40)}


@pytest.mark.parametrize("ids", [[40, 41], [3, 40]])
def test_items_whose_shard_is_written_anew_are_there_once(
    store: Store, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, {f"{n}": f"dog {n}" for n in range(40)})
    both = add(store, {"x": "dog", "y": "dog and car"})
    before = found(store.commit(both, remove=[5]))
    read = Read(monkeypatch)
    swapped = store.give_columns(pa.table({"id": ids, "colour": ["red", "blue"]}), job="test")
    assert sorted(item for item, _ in found(swapped)) == sorted(item for item, _ in before)
    assert read.shards == (1 if ids[0] == 40 else 2), "a small shard is put in the other's place, a large one rebuilt"


def test_only_the_newest_index_is_kept(store: Store) -> None:
    for key in "abc":
        snapshot = add(store, {key: "dog"})
        found(snapshot)
        assert len(kept(snapshot)) == 1


def test_readers_change_nothing_so_that_a_folder_may_be_read_only(captions: Snapshot) -> None:
    LexicalIndex.open(captions)
    before = files(captions.folder)
    LexicalIndex.open(captions).search("dog", 3)
    assert files(captions.folder) == before


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_damage_in_any_file_is_noticed_and_mended(store: Store, damage: str) -> None:
    snapshot = add(store, CAPTIONS)
    right = found(snapshot)
    (folder,) = kept(snapshot)
    shelf = Shelf(folder.parent, json.loads((folder / "holds.json").read_text())["made_by"])
    assert shelf.newest() is not None
    for file in sorted(folder.iterdir()):
        data = file.read_bytes()
        match damage:
            case "flipped":
                middle = len(data) // 2
                file.write_bytes(data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :])
            case "cut":
                file.write_bytes(data[:-1])
            case _:
                file.unlink()
        assert shelf.newest() is None, file.name
        file.write_bytes(data)
    assert shelf.newest() is not None
    file.write_bytes(b"")
    assert found(snapshot) == right
    assert shelf.newest() is not None
    assert len(kept(snapshot)) == 1


def test_what_another_version_made_is_built_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = add(store, CAPTIONS)
    found(snapshot)
    old = kept(snapshot)
    monkeypatch.setattr(lexical, "FORMAT", lexical.FORMAT + 1)
    read = Read(monkeypatch)
    found(snapshot)
    assert read.shards == 1
    assert len(kept(snapshot)) == 1
    assert kept(snapshot) != old


def test_an_index_copied_from_another_collection_is_not_believed(store: Store, captions: Snapshot) -> None:
    LexicalIndex.open(captions)
    snapshot = add(store, {"a": "a cat"})
    shutil.copytree(captions.folder / "indexes", snapshot.folder / "indexes", dirs_exist_ok=True)
    assert found(snapshot, "dog") == []
    assert len(found(snapshot, "cat")) == 1


def test_a_place_that_cannot_be_written_is_no_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = add(store, CAPTIONS)
    (snapshot.folder / "indexes" / "lexical").write_text("in the way")
    right = found(snapshot)
    assert [item for item, _ in right] == [1, 2, 0, 3]
    monkeypatch.setattr(tempfile, "tempdir", str(snapshot.folder / "nowhere"))
    assert found(snapshot) == right


def test_only_where_somebody_waits_a_place_that_cannot_be_written_is_told(
    captions: Snapshot, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    snapshot = add(store, CAPTIONS)
    (snapshot.folder / "indexes" / "lexical").write_text("in the way")
    found(snapshot)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    monkeypatch.setattr(lexical, "_SLOW", 3)
    found(snapshot)
    assert "the index of words cannot be kept in" in caplog.text


def test_what_a_killed_process_left_is_passed_over_and_cleared_away_after_a_day(store: Store) -> None:
    snapshot = add(store, CAPTIONS)
    right = found(snapshot)
    (whole,) = kept(snapshot)
    young, old = whole.with_name("unfinished-1"), whole.with_name("unfinished-2")
    for folder in (young, old):
        folder.mkdir()
        (folder / "meta.json").write_bytes((whole / "meta.json").read_bytes()[:50])
    os.utime(old, (0, 0))
    assert found(snapshot) == right
    later = add(store, {"x": "dog"})
    found(later)
    assert young.is_dir()
    assert not old.exists()
    assert len(kept(later)) == 2


def test_many_may_open_an_index_that_is_not_there_at_once(store: Store) -> None:
    snapshot = add(store, {f"{n}": f"dog {n}" for n in range(200)})
    start = threading.Barrier(4)
    answers: list[list[tuple[int, float]]] = []

    def look() -> None:
        start.wait()
        answers.append(found(snapshot, "dog", 5))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept(snapshot), "none has cleared the others' work away and lost its own"
    assert answers == [found(snapshot, "dog", 5)] * 4


def test_a_damaged_shard_is_said_and_not_left_out(store: Store) -> None:
    snapshot = add(store, CAPTIONS)
    shard = snapshot.manifest.shards[0].path_in(snapshot.folder)
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(Corrupt):
        LexicalIndex.open(snapshot)


@pytest.mark.parametrize("name", ["../planted", "/planted"])
def test_an_index_that_names_files_elsewhere_is_not_read(store: Store, tmp_path: Path, name: str) -> None:
    """Collections come from strangers too: an index's files are linked under the names that it gives them."""
    snapshot = add(store, CAPTIONS)
    right = found(snapshot)
    (folder,) = kept(snapshot)
    planted = f"{tmp_path}/planted" if name.startswith("/") else name
    (folder / planted).write_text("")
    label = json.loads((folder / "holds.json").read_text())
    label["files"][planted] = hashlib.sha256(b"").hexdigest()
    written = json.dumps(label).encode()
    (folder / "holds.json").write_bytes(written)
    folder.rename(folder.with_name(hashlib.sha256(written).hexdigest()[:32]))
    assert Shelf(folder.parent, label["made_by"]).newest() is None
    assert found(snapshot) == right
