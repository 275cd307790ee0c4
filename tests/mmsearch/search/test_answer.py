from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

import mmsearch
from mmsearch.errors import QueryError
from mmsearch.search.relevance import nothing_below
from tests.fakes import FakeEncoder
from tests.pictures import paint

WORDS = ["a red ball", "two dogs in the snow", "green grass", "a boat", "the sea at night", "a dog with a red ball"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for number in range(40):
        paint(root / f"{'holiday' if number % 2 else 'home'}/{number:02}.png", seed=number)
    for copy in "abc":
        shutil.copyfile(root / "home/04.png", root / f"home/04 {copy}.png")
    lines = [f"home/{number * 2:02}.png,{words}\n" for number, words in enumerate(WORDS)]
    (root / "captions.csv").write_text("key,caption\n" + "".join(lines))
    return root


@pytest.fixture(scope="module")
def photos(folder: Path) -> mmsearch.Collection:
    collection = mmsearch.create(folder / ".mmsearch", FakeEncoder())
    collection.add(folder, captions=folder / "captions.csv")
    return collection


def keys(hits: mmsearch.Hits) -> list[str]:
    return [hit.key for hit in hits]


def test_any_takes_pictures_and_texts_in_turn_by_their_rank(photos: mmsearch.Collection) -> None:
    query = "green grass"
    pictures, texts = (keys(photos.search(query, 3, modality=kind)) for kind in ("image", "text"))
    both = keys(photos.search(query, 6, modality="any"))
    assert {*both[:2]} == {pictures[0], texts[0]}
    assert {*both[2:4]} == {pictures[1], texts[1]}
    assert {*both[4:]} == {pictures[2], texts[2]}


def test_any_never_compares_cosines_of_different_kinds(photos: mmsearch.Collection) -> None:
    hits = photos.search("green grass", 6, modality="any")
    assert [hit.score for hit in hits] != sorted((hit.score for hit in hits), reverse=True)
    alone = {hit.key: hit.score for kind in ("image", "text") for hit in photos.search("green grass", 6, modality=kind)}
    assert {hit.key: hit.score for hit in hits} == {hit.key: alone[hit.key] for hit in hits}


def test_words_find_captions_and_names_without_an_encoder(folder: Path) -> None:
    unloaded = mmsearch.open(folder)  # of a fake encoder, which no name loads
    assert keys(unloaded.search("boat", by="words")) == ["home/06.png"]
    assert set(keys(unloaded.search("holiday", 50, by="words"))) == {f"holiday/{n:02}.png" for n in range(1, 40, 2)}
    assert unloaded.search("boat", by="words")[0].relevance is None


def test_a_subtracted_word_leaves_items_out_where_words_are_searched_for(photos: mmsearch.Collection) -> None:
    dogs = mmsearch.Text("dog")
    assert set(keys(photos.search(dogs, by="words"))) == {"home/02.png", "home/10.png"}
    assert keys(photos.search(dogs - mmsearch.Text("snow"), by="words")) == ["home/10.png"]


def test_both_brings_up_what_words_alone_find(photos: mmsearch.Collection) -> None:
    by_vectors = keys(photos.search("boat", 43))
    assert keys(photos.search("boat", 43, by="both")).index("home/06.png") < by_vectors.index("home/06.png")
    assert set(keys(photos.search("boat", 43, by="both"))) == set(by_vectors)


@pytest.mark.parametrize("options", [{}, {"distinct": True}, {"min_relevance": 0.05}, {"where": "id % 4 > 0"}])
def test_how_many_hits_are_wanted_changes_neither_their_order_nor_their_number(
    tmp_path: Path, options: dict[str, object]
) -> None:
    rng = np.random.default_rng(0)
    others = [" ".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), n % 20)) for n in range(400)]
    (tmp_path / "texts.csv").write_text("text\n" + "".join(f"dog {words}\n" for words in others))
    texts = mmsearch.create(tmp_path / "texts", FakeEncoder())
    texts.add(tmp_path / "texts.csv")
    query = mmsearch.Text("dog") - mmsearch.Item("texts.csv#row=0")
    every = keys(texts.search(query, 400, by="both", **options))
    for k in (1, 10, 20, 21, 60, 120):
        assert keys(texts.search(query, k, by="both", **options)) == every[:k]


def test_a_picture_alone_has_no_words_to_search_for(photos: mmsearch.Collection, folder: Path) -> None:
    with pytest.raises(QueryError, match="the query has no words"):
        photos.search(mmsearch.Picture(folder / "home/04.png"), by="both")


@pytest.mark.parametrize("options", [{}, {"modality": "any"}, {"by": "both"}, {"by": "both", "modality": "any"}])
@pytest.mark.parametrize("least", [0.05, 0.3, 0.9])
def test_a_least_relevance_leaves_out_what_lies_below_and_nothing_else(
    photos: mmsearch.Collection, least: float, options: dict[str, str]
) -> None:
    everything = photos.search("two dogs in the snow", 1000, **options)
    wanted = [hit for hit in everything if hit.relevance is not None and hit.relevance >= least]
    found = photos.search("two dogs in the snow", 1000, min_relevance=least, **options)
    assert {hit.key: hit.relevance for hit in found} == {hit.key: hit.relevance for hit in wanted}
    if found:
        assert len(photos.search("two dogs in the snow", 1, min_relevance=least, **options)) == 1


def test_relevance_falls_with_the_score(photos: mmsearch.Collection) -> None:
    worth = [hit.relevance for hit in photos.search("two dogs in the snow", 43)]
    assert worth == sorted(worth, reverse=True)
    assert all(0 <= relevance <= 1 for relevance in worth if relevance is not None)


def test_copies_are_folded_into_the_best_and_named(photos: mmsearch.Collection, folder: Path) -> None:
    copies = {"home/04.png", "home/04 a.png", "home/04 b.png", "home/04 c.png"}
    query = mmsearch.Picture(folder / "home/04.png")
    assert set(keys(photos.search(query, 4))) == copies
    hits = photos.search(query, 4, distinct=True)
    assert len(hits) == 4
    assert {hits[0].key, *hits[0].copies} == copies
    assert not copies & set(keys(hits[1:]))


def test_folding_copies_leaves_as_many_hits_as_were_asked_for(photos: mmsearch.Collection) -> None:
    distinct = photos.search("green grass", 1000, distinct=True)
    stood_for = [key for hit in distinct for key in (hit.key, *hit.copies)]
    assert sorted(stood_for) == sorted(keys(photos.search("green grass", 1000)))
    for k in (1, 7, 20):
        assert keys(photos.search("green grass", k, distinct=True)) == keys(distinct)[:k]


def test_diverse_hits_begin_with_the_best_and_repeat_it_later(photos: mmsearch.Collection, folder: Path) -> None:
    query = mmsearch.Picture(folder / "home/04.png") + mmsearch.Text("green grass")
    plain, spread = (photos.search(query, 8, diverse=diverse) for diverse in (False, True))
    assert plain[0].key == spread[0].key
    assert sum("04" in key for key in keys(spread)) < sum("04" in key for key in keys(plain))


def test_columns_asked_for_come_with_each_hit(photos: mmsearch.Collection) -> None:
    hits = photos.search("green grass", 3, columns=["sha256", "bytes"])
    for hit in hits:
        content = hit.path.read_bytes()
        assert hit.columns == {"sha256": hashlib.sha256(content).digest(), "bytes": len(content)}
    assert list(hits[0].to_json())[-2:] == ["sha256", "bytes"]
    assert hits.to_arrow()["bytes"].to_pylist() == [hit.columns["bytes"] for hit in hits]
    table = photos.search("green grass", 3, columns=["height", "taken"]).to_arrow()
    assert [str(table.schema.field(name).type) for name in ("height", "taken")] == ["int32", "timestamp[ms]"]


def test_an_unknown_column_is_named_with_those_there_are(photos: mmsearch.Collection) -> None:
    with pytest.raises(QueryError, match=r"no column 'hight'; there are id, key, .*height"):
        photos.search("green grass", columns=["hight"])


@pytest.mark.parametrize("options", [{}, {"by": "both"}, {"by": "words"}, {"distinct": True}, {"diverse": True}])
def test_a_condition_gives_all_that_match_and_says_when_they_are_few(
    photos: mmsearch.Collection, options: dict[str, object]
) -> None:
    hits = photos.search("home", 20, where="key < 'home/04'", **options)
    wanted = {key for key in keys(photos.search("x", 100)) if key < "home/04"}
    assert {key for hit in hits for key in (hit.key, *hit.copies)} <= wanted
    if options != {"by": "words"}:
        assert len(hits) == 20
    few = photos.search("home", 20, where="key < 'home/04' and key > 'home'", **options)
    assert len(few) == 2
    assert few.notes[0] == "only 2 images match: key < 'home/04' and key > 'home'"
    assert "where key < 'home/04' and key > 'home'" in few.conditions


def test_each_reason_for_few_hits_is_said(photos: mmsearch.Collection) -> None:
    where = "key < 'home/04' and key > 'home'"
    hits = photos.search("zebra", 20, where=where, min_relevance=1)
    assert not hits
    assert hits.notes == (f"only 2 images match: {where}", "none has a relevance of 1 or more")
    every = photos.search("zebra", 20, where=where, min_relevance=1e-9)
    assert len(every) == 2
    assert every.notes[:1] == (f"only 2 images match: {where}",)
    assert not any("1e-09" in note for note in every.notes)


def test_only_across_modalities_is_it_known_that_nothing_matches_well(
    photos: mmsearch.Collection, tmp_path: Path
) -> None:
    """Between items of one modality relevance is on another scale: a caption with the word may have little of it."""
    (tmp_path / "texts.csv").write_text("text\n" + "".join(f"word{number}\n" for number in range(26)))
    texts = mmsearch.create(tmp_path / "texts", FakeEncoder())
    texts.add(tmp_path / "texts.csv")
    for collection, query, is_known in ((photos, "lamp", True), (texts, "two dogs", False)):
        hits = collection.search(query)
        assert hits[0].relevance is not None
        assert hits[0].relevance < nothing_below(len(collection))
        assert any("nothing here matches well" in note for note in hits.notes) is is_known


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"modality": "video"}, "no modality 'video'; choose one of image, text, frame, any"),
        ({"by": "magic"}, "by 'magic'; choose one of vectors, words, both"),
        ({"min_relevance": 1.5}, "least relevance is 1.5"),
        ({"min_relevance": 0.5, "by": "words"}, "have no relevance"),
    ],
)
def test_a_choice_that_is_none_is_refused(
    photos: mmsearch.Collection, options: dict[str, object], message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        photos.search("dog", **options)
