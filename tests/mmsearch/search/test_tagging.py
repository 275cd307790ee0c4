"""Tags by hand-computed cosines, by law, and for real pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmsearch
from mmsearch.arrays import Embeddings
from mmsearch.errors import CollectionError, Locked, MediaError, NotFound, QueryError
from mmsearch.search import tagging
from mmsearch.search.tagging import read_words, tag, tags_for
from mmsearch.store import Modality, Store
from tests.fakes import FakeEncoder
from tests.pictures import paint

NONE = np.empty((0, 2), np.float32)


def at(*degrees: float) -> Embeddings:
    """Unit rows of the plane."""
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def clouds(seed: int, n: int, centre: Embeddings, spread: float) -> Embeddings:
    rows = centre + np.random.default_rng(seed).normal(scale=spread, size=(n, centre.shape[-1]))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_a_word_tags_the_pictures_that_stand_out_from_its_mean() -> None:
    """Nine pictures at 90° and one at 0°; words at 0° and 90°.

    With five assumed pictures: the first word's cosines sum to 1, the second's to 9, the grand mean is .5, so the
    means are 3.5/15 and 11.5/15. Of the differences, ±.2333 nine times and .7667 once for each word, the root mean
    square is .3284: only .7667 is 2 units or more.
    """
    pictures = at(*[90] * 9, 0)
    found = tags_for(pictures, at(0, 90), beside=NONE, threshold=2)
    assert found.tolist() == [[-1, -1]] * 9 + [[0, -1]]
    above = np.array([0.2333, 0.7667])
    unit = np.sqrt((18 * above[0] ** 2 + 2 * above[1] ** 2) / 20)
    for threshold, n_second in ((above[0] / unit - 0.01, 9), (above[0] / unit + 0.01, 0)):
        found = tags_for(pictures, at(0, 90), beside=NONE, threshold=threshold)
        assert (found == 1).sum() == n_second


def test_a_word_that_fits_every_picture_tags_none() -> None:
    pictures = clouds(1, 200, np.array([1.0, 0, 0, 0]), 0.2)
    everything, _, one_side = np.eye(4, dtype=np.float32)[:3]
    found = tags_for(pictures, np.stack([everything, one_side]), beside=np.empty((0, 4), np.float32))
    assert not (found == 0).any()
    assert (pictures[(found == 1).any(axis=1)] @ one_side).min() > (pictures @ one_side).std()


def test_words_beside_keep_the_best_of_a_hopeless_word_from_standing_out() -> None:
    rng = np.random.default_rng(0)
    pictures = clouds(2, 500, np.zeros(8), 1.0) * np.array([1, 1, 1, 1, 1, 1, 1, 0.1], np.float32)
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    hopeless = np.eye(8, dtype=np.float32)[7:]
    beside = np.concatenate([rng.normal(size=(20, 7)), np.zeros((20, 1))], axis=1).astype(np.float32)
    beside /= np.linalg.norm(beside, axis=1, keepdims=True)
    alone = tags_for(pictures, hopeless, beside=np.empty((0, 8), np.float32))
    assert (alone == 0).sum() > 10
    assert (tags_for(pictures, hopeless, beside=beside) == 0).sum() == 0


def test_one_picture_gets_the_words_that_stand_out_from_the_others() -> None:
    words = at(0, *range(80, 100))
    assert tags_for(at(0), words, beside=NONE).tolist() == [[0, -1, -1]]
    assert tags_for(at(0), at(0), beside=NONE).tolist() == [[-1]]  # nothing to compare with


@given(
    st.integers(0, 1000), st.integers(1, 40), st.integers(1, 9), st.integers(0, 5), st.integers(1, 4), st.floats(-1, 3)
)
def test_the_laws_of_tags(seed: int, n: int, m: int, b: int, most: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    pictures, words, beside = (clouds(int(rng.integers(1000)), k, np.zeros(6), 1.0) for k in (n, m, b))
    found = tags_for(pictures, words, beside=beside, most=most, threshold=threshold)
    assert found.shape == (n, min(most, m))
    means, unit = tagging._calibrate(pictures, np.concatenate([words, beside]))
    above = (pictures @ words.T - means[:m]) / unit
    for row, places in enumerate(found):
        given_words = [place for place in places if place >= 0]
        fitting = sorted((-score, place) for place, score in enumerate(above[row]) if score >= threshold + 1e-5)
        assert len(set(given_words)) == len(given_words)
        assert given_words[: len(fitting)] == [place for _, place in fitting][:most]
        assert all(above[row, place] >= threshold - 1e-5 for place in given_words)
    fewer = tags_for(pictures, words, beside=beside, most=1, threshold=threshold)
    np.testing.assert_array_equal(fewer, found[:, :1])
    order = rng.permutation(n)
    np.testing.assert_array_equal(
        tags_for(pictures[order], words, beside=beside, most=most, threshold=threshold), found[order]
    )


def test_large_collections_are_gone_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, words = clouds(3, 100, np.zeros(6), 1.0).astype(np.float16), clouds(4, 7, np.zeros(6), 1.0)
    beside = clouds(5, 3, np.zeros(6), 1.0)
    whole = tags_for(pictures, words, beside=beside)
    monkeypatch.setattr(tagging, "_SCORES", 90)
    np.testing.assert_array_equal(tags_for(pictures, words, beside=beside), whole)
    assert (whole >= 0).any()


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
def store(tmp_path: Path, encoder: FakeEncoder) -> Store:
    """Thirty pictures and a table of texts."""
    for number in range(30):
        paint(tmp_path / f"{number:02}.png", seed=number)
    (tmp_path / "songs.csv").write_text("text,year\nthe sea,1990\n")
    photos = mmsearch.create(tmp_path / ".mmsearch", encoder)
    photos.add(tmp_path)
    photos.add(tmp_path / "songs.csv")
    return Store.open(photos.path)


def column(store: Store, name: str = "tags") -> dict[str, list[str] | None]:
    table = store.snapshot().table(["key", name])
    return dict(zip(table["key"].to_pylist(), table[name].to_pylist(), strict=True))


def test_tags_become_a_column_of_the_pictures(store: Store, encoder: FakeEncoder) -> None:
    words = ["dog", "fire  engine", "dog", " ", "sea"]
    report = tag(store, encoder, words, threshold=1)
    ids, pictures = store.snapshot().embeddings(Modality.IMAGE)
    vectors = encoder.encode_texts([f"a photo of {w}" for w in ("dog", "fire engine", "sea", *tagging.COMMON_WORDS)])
    chosen = tags_for(pictures, vectors[:3], beside=vectors[3:], threshold=1)
    names = ["dog", "fire engine", "sea"]
    expected = [[names[place] for place in row if place >= 0] for row in chosen]
    found = column(store)
    assert [found[f"{number:02}.png"] for number in range(30)] == expected
    assert found["songs.csv#row=0"] is None
    assert (report.pictures, report.tagged) == (len(ids), sum(map(bool, expected)))
    assert report.counts == {name: sum(name in tags for tags in expected) for name in names}
    assert list(report.counts.values()) == sorted(report.counts.values(), reverse=True)
    assert 0 < report.tagged < 30


def test_filters_find_tags_and_pictures_without(store: Store, encoder: FakeEncoder) -> None:
    pytest.importorskip("duckdb")
    tag(store, encoder, ["dog", "sea"], threshold=1)
    paint(store.path.parent / "new.png", seed=77)
    photos = mmsearch.Collection(store, encoder=encoder)
    photos.add(store.path.parent)
    tagged = {key for key, tags in column(store).items() if tags and "dog" in tags}
    found = photos.search("red", k=99, where="list_contains(tags, 'dog')")
    assert {hit.key for hit in found} == tagged != set()
    assert [hit.key for hit in photos.search("red", k=99, where="tags is null")] == ["new.png"]


def test_tagging_again_replaces_what_was_there(store: Store, encoder: FakeEncoder) -> None:
    tag(store, encoder, ["dog", "sea"], threshold=1)
    tag(store, encoder, ["cat"], threshold=0, column="animals")
    tag(store, encoder, ["tree"], threshold=0)
    assert {word for tags in column(store).values() for word in tags or ()} == {"tree"}
    assert {word for tags in column(store, "animals").values() for word in tags or ()} == {"cat"}
    assert store.verify() == []


def test_bad_requests_are_refused_and_change_nothing(store: Store, encoder: FakeEncoder) -> None:
    before = store.newest_number()
    for words, options, message in (
        ([], {}, "no word to tag with"),
        ([" ", ""], {}, "no word to tag with"),
        (["dog", "caf\udce9"], {}, "is no Unicode"),
        (["dog"], {"most": 0}, "most is 0"),
        (["dog"], {"threshold": float("nan")}, "threshold is nan"),
        (["dog"], {"column": "key"}, "column 'key' cannot hold tags"),
        (["dog"], {"column": " "}, "column ' ' cannot hold tags"),
    ):
        with pytest.raises(QueryError, match=message):
            tag(store, encoder, words, **options)
    for name in ("year", "taken"):
        with pytest.raises(CollectionError, match=f"column '{name}' of .*choose another name"):
            tag(store, encoder, ["dog"], column=name)
    with store.lock(), pytest.raises(Locked):
        tag(Store.open(store.path), encoder, ["dog"])
    assert store.newest_number() == before


def test_a_collection_of_texts_has_nothing_to_tag(tmp_path: Path, encoder: FakeEncoder) -> None:
    (tmp_path / "songs.csv").write_text("text\nthe sea\n")
    photos = mmsearch.create(tmp_path / ".mmsearch", encoder)
    photos.add(tmp_path / "songs.csv")
    with pytest.raises(QueryError, match="holds no pictures"):
        tag(Store.open(photos.path), encoder, ["dog"])


def test_words_are_read_from_lines_and_tables(tmp_path: Path) -> None:
    lines, table = tmp_path / "words.txt", tmp_path / "words.csv"
    lines.write_bytes("\ufeffdog\r\n\r\n  fire engine \nüber\n".encode())
    table.write_text("text,n\ndog,1\nfire engine,2\n")
    assert read_words(lines) == ["dog", "fire engine", "über"]
    assert read_words(table) == ["dog", "fire engine"]
    table.write_text("label,n\ndog,1\n")
    assert read_words(table, text_column="label") == ["dog"]
    with pytest.raises(MediaError, match="--text-column NAME"):
        read_words(table)
    with pytest.raises(NotFound, match="there is no file"):
        read_words(tmp_path / "none.txt")
    lines.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MediaError, match="words cannot be read from"):
        read_words(lines)


def test_real_pictures_get_the_word_for_what_they_show() -> None:
    """scikit-image's cat, coffee and rocket."""
    data = pytest.importorskip("skimage.data")
    from PIL import Image

    encoder = mmsearch.load_encoder("mini")
    pixels = [
        encoder.space.preprocessing.prepare(Image.fromarray(getattr(data, name)()))
        for name in ("cat", "coffee", "rocket")
    ]
    pictures = encoder.encode_images(np.stack(pixels))
    words = ["a cat", "a cup of coffee", "a rocket launch", "a bicycle", "a swimming pool", "a football"]
    vectors = encoder.encode_texts([tagging.PROMPT.format(word) for word in (*words, *tagging.COMMON_WORDS)])
    chosen = tags_for(pictures, vectors[: len(words)], beside=vectors[len(words) :], most=1, threshold=1)
    assert chosen[:, 0].tolist() == [0, 1, 2]
