from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import mmsearch
from mmsearch.errors import CollectionError, EncoderMismatch, MediaError, NotFound, QueryError
from tests.fakes import FakeEncoder
from tests.pictures import paint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for number in range(8):
        paint(root / f"{number}.png", seed=number)
    (root / "captions.csv").write_text(
        "key,caption\n0.png,a red ball\n0.png,a round toy\n1.png,two dogs in the snow\n2.png,green grass\n"
    )
    return root


@pytest.fixture
def photos(folder: Path) -> mmsearch.Collection:
    collection = mmsearch.create(folder / ".mmsearch", FakeEncoder())
    collection.add(folder, captions=folder / "captions.csv")
    return collection


def test_public_names_are_those_of_all() -> None:
    public = {name for name in vars(mmsearch) if not name.startswith("_")}
    rooms = {
        "ann",
        "arrays",
        "collection",
        "embedding",
        "encoders",
        "evaluation",
        "media",
        "opening",
        "search",
        "store",
        "training",
    }
    assert public - rooms == set(mmsearch.__all__)
    assert mmsearch.__all__ == sorted(mmsearch.__all__)


def test_a_sentence_finds_its_sentence(photos: mmsearch.Collection) -> None:
    best = photos.search("two dogs in the snow", k=1, modality="text")[0]
    assert (best.rank, best.text, best.key) == (1, "two dogs in the snow", "1.png#text=0")
    assert best.score == pytest.approx(1, abs=1e-3)
    assert best.path == photos.home / "1.png"


def test_a_picture_finds_itself_first(photos: mmsearch.Collection, folder: Path) -> None:
    hits = photos.search(mmsearch.Picture(folder / "5.png"), k=3)
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert hits[0].key == "5.png"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_scores_are_those_of_a_matrix_product(photos: mmsearch.Collection) -> None:
    query = photos.encoder.encode_texts(["a photo of green grass"])[0]
    hits = photos.search("green grass", k=8, modality=mmsearch.Modality.IMAGE)
    assert len(hits) == 8
    for hit in hits:
        picture = mmsearch.media.load_picture(hit.path, limits=mmsearch.Limits())
        vector = photos.encoder.encode_images(photos.encoder.prepare(picture)[np.newaxis])[0]
        assert hit.score == pytest.approx(float(query @ vector), abs=2e-3)


def test_many_queries_at_once_give_what_each_gives_alone(photos: mmsearch.Collection, folder: Path) -> None:
    queries = ["red", mmsearch.Picture(folder / "3.png"), mmsearch.Text("snow") - mmsearch.Text("dogs")]
    together = photos.search_many(queries, k=4)
    assert together.ids.shape == together.scores.shape == (3, 4)
    for row, query in enumerate(queries):
        alone = photos.search(query, k=4)
        assert [hit.id for hit in alone] == together.ids[row].tolist()
    words = ["red", "snow", "two dogs"]
    np.testing.assert_array_equal(
        photos.search_many(words, k=4).ids, [[hit.id for hit in photos.search(word, k=4)] for word in words]
    )


def test_places_that_no_item_fills_are_marked(photos: mmsearch.Collection) -> None:
    found = photos.search_many(["red"], k=10)
    assert found.ids[0, 8:].tolist() == [-1, -1]
    assert np.isneginf(found.scores[0, 8:]).all()
    assert len(photos.search("red", k=10)) == 8


def test_pictures_are_sought_unless_there_are_only_texts(photos: mmsearch.Collection, tmp_path: Path) -> None:
    assert photos.search("red")[0].modality is mmsearch.Modality.IMAGE
    table = tmp_path / "words.csv"
    table.write_text("text\nred\nblue\n")
    words = mmsearch.create(tmp_path / "words", FakeEncoder())
    words.add(table)
    assert words.search("blue")[0].text == "blue"


def test_hits_become_a_table(photos: mmsearch.Collection) -> None:
    table = photos.search("red", k=3).to_arrow()
    assert table.column_names == ["rank", "score", "relevance", "id", "key", "path", "modality", "text", "copies"]
    assert table["rank"].to_pylist() == [1, 2, 3]


def test_new_items_are_found_at_once_by_an_open_collection(photos: mmsearch.Collection, folder: Path) -> None:
    reader = mmsearch.open(folder, encoder=FakeEncoder())
    reader.search("red")
    new = paint(folder / "new.png", seed=77)
    photos.add(new)
    assert reader.search(mmsearch.Picture(new), k=1)[0].key == "new.png"


def test_removing_a_picture_takes_its_captions_along(photos: mmsearch.Collection) -> None:
    assert photos.remove(["0.png"]) == 3
    assert "0.png" not in {hit.key for hit in photos.search("red", k=20)}
    assert not [hit for hit in photos.search("ball", k=20, modality="text") if hit.key.startswith("0.png")]


def test_removing_what_is_not_there_removes_nothing(photos: mmsearch.Collection) -> None:
    with pytest.raises(NotFound, match="no item has the key 'x.png'"):
        photos.remove(["0.png", "x.png"])
    assert len(photos) == 12


def test_an_empty_collection_answers_with_nothing(tmp_path: Path) -> None:
    empty = mmsearch.create(tmp_path / "empty", FakeEncoder())
    assert len(empty.search("red")) == 0
    assert empty.search_many(["red", "blue"], k=3).ids.tolist() == [[-1] * 3] * 2
    assert empty.info().counts == {}


@pytest.mark.parametrize("k", [0, -3])
def test_a_k_below_one_is_refused(photos: mmsearch.Collection, k: int) -> None:
    with pytest.raises(QueryError, match=f"k is {k}"):
        photos.search("red", k=k)


def test_an_unknown_modality_lists_those_there_are(photos: mmsearch.Collection) -> None:
    with pytest.raises(QueryError, match="no modality 'sound'; choose one of image, text, frame"):
        photos.search("red", modality="sound")


def test_another_encoder_is_refused_although_the_width_is_equal(photos: mmsearch.Collection) -> None:
    other = FakeEncoder(name="other", seed=1)
    with pytest.raises(EncoderMismatch, match="embeddings of fake .* but the encoder is other") as caught:
        mmsearch.open(photos.path, encoder=other)
    assert caught.value.expected == photos.space.fingerprint
    assert caught.value.found == other.space.fingerprint


def test_opening_looks_upward_and_says_when_there_is_nothing(photos: mmsearch.Collection, tmp_path: Path) -> None:
    below = photos.home / "a/b"
    below.mkdir(parents=True)
    assert mmsearch.open(below).path == photos.path
    with pytest.raises(NotFound, match="make one with: mmsearch index"):
        mmsearch.open(tmp_path)


def test_a_collection_is_not_made_twice(photos: mmsearch.Collection) -> None:
    with pytest.raises(CollectionError, match="holds a collection already"):
        mmsearch.create(photos.path, FakeEncoder())


def test_info_counts_items_and_sources(photos: mmsearch.Collection) -> None:
    info = photos.info()
    assert info.counts == {"image": 8, "text": 4}
    assert info.sources == {".": 12}
    assert (info.encoder, info.dim) == ("fake", 16)


def test_captions_that_are_their_own_query_are_found_first(photos: mmsearch.Collection, folder: Path) -> None:
    report = photos.evaluate(folder / "captions.csv").to_json()
    assert report["t2i"]["n_queries"] == 4
    assert report["i2t"]["n_queries"] == 3
    ids, stored = 8, photos.search_many(["a red ball"], k=8)
    assert stored.ids.shape == (1, ids)


def test_pairs_that_fit_no_picture_are_an_error(photos: mmsearch.Collection, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("key,caption\nelsewhere.jpg,a cat\n")
    with pytest.raises(MediaError, match="none of the 1 rows .* a key looks like '0.png'"):
        photos.evaluate(pairs)


def test_an_encoder_in_a_folder_is_found_again(folder: Path, tmp_path: Path) -> None:
    encoder = tmp_path / "mine"
    shutil.copytree(Path(mmsearch.__file__).parent / "encoders/mini", encoder)
    facts = json.loads((encoder / "encoder.json").read_text())
    (encoder / "encoder.json").write_text(json.dumps({**facts, "name": "mine"}))
    mmsearch.index(folder, to=tmp_path / "collection", encoder=str(encoder))
    assert len(mmsearch.open(tmp_path / "collection").search("red", k=3)) == 3


def test_a_linked_collection_belongs_to_the_folder_it_is_linked_into(
    photos: mmsearch.Collection, folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "fast-disk"
    (folder / ".mmsearch").rename(elsewhere)
    (folder / ".mmsearch").symlink_to(elsewhere)
    linked = mmsearch.open(folder, encoder=FakeEncoder())
    assert all(hit.path.is_file() for hit in linked.search("red"))
    assert linked.add(folder).unchanged == 8


def test_misuse_is_said(photos: mmsearch.Collection) -> None:
    with pytest.raises(TypeError, match="at least one source"):
        mmsearch.index()
    with pytest.raises(TypeError, match="give a list of queries"):
        photos.search_many("two dogs")
    with pytest.raises(TypeError, match="give a list of keys"):
        photos.remove("0.png")
    with pytest.raises(TypeError, match="unsupported operand"):
        mmsearch.Text("dog") + "cat"  # type: ignore[operator]


@pytest.mark.parametrize("key", ["", "#", ".", "0"])
def test_a_key_that_names_nothing_removes_nothing(photos: mmsearch.Collection, key: str) -> None:
    with pytest.raises(NotFound, match="no item has the key"):
        photos.remove([key])
    assert len(photos) == 12


def test_a_name_with_a_hash_is_no_table(photos: mmsearch.Collection, folder: Path) -> None:
    paint(folder / "cat#1.png", seed=40)
    photos.add(folder)
    with pytest.raises(NotFound):
        photos.remove(["cat"])
    assert photos.remove(["cat#1.png"]) == 1
