from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmsearch
from mmsearch import Item, Picture, Query, Text
from mmsearch.errors import QueryError
from mmsearch.media import Limits
from mmsearch.search.embed import QueryEncoder
from mmsearch.search.explain import Explanation, explain
from mmsearch.search.searcher import Searcher
from mmsearch.store import Store
from tests.fakes import FakeEncoder
from tests.pictures import paint


class Explainer:
    """A collection of three pictures, one of them wide, and two captions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.encoder = FakeEncoder()
        for number, size in enumerate([(32, 24), (24, 32), (96, 32)]):
            paint(folder / f"{number}.png", seed=number, size=size)
        (folder / "captions.csv").write_text("key,caption\n0.png,a round red ball\n1.png,grass\n")
        self.photos = mmsearch.create(folder / ".mmsearch", self.encoder)
        self.photos.add(folder, captions=folder / "captions.csv")
        self.searcher = Searcher(Store.open(self.photos.path).snapshot(), home=self.photos.home)

    def __call__(self, query: Query | str, key: str) -> Explanation:
        return explain(query, key, self.encoder, self.searcher, Limits())

    def score(self, query: Query | str, key: str) -> float:
        """As a search tells it."""
        modality = mmsearch.Modality.TEXT if "#" in key else mmsearch.Modality.IMAGE
        return next(hit.score for hit in self.photos.search(query, k=5, modality=modality) if hit.key == key)


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    return Explainer(tmp_path_factory.mktemp("photos"))


weights = st.floats(-5, 5).filter(lambda weight: abs(weight) > 0.01)


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0.01, 5), weights, weights, st.sampled_from(["0.png", "2.png", "0.png#text=0"]))
def test_shares_add_up_to_the_score_that_a_search_tells(
    explained: Explainer, ball: float, picture: float, item: float, key: str
) -> None:
    query = ball * Text("a red ball") + picture * Picture(explained.folder / "1.png") + item * Item("2.png")
    found = explained(query, key)
    assert sum(term.share for term in found.terms) == pytest.approx(found.hit.score, abs=1e-5)
    assert found.hit.score == pytest.approx(explained.score(query, key), abs=1e-5)
    assert [term.term for term in found.terms] == list(query.terms)


def test_the_share_of_the_only_term_is_its_cosine(explained: Explainer) -> None:
    _, vector = explained.searcher.vector_of("0.png")
    cosine = float(explained.encoder.encode_texts(["a photo of dog"])[0] @ vector)
    assert [term.share for term in explained("dog", "0.png").terms] == [pytest.approx(cosine, abs=1e-6)]


def test_what_is_subtracted_and_there_takes_away_what_it_gave_when_added(explained: Explainer) -> None:
    caption = "0.png#text=0"
    query = Text("grass") - Text("a round red ball")
    grass, ball = explained(query, caption).terms
    assert ball.share < -0.3
    assert grass.share + ball.share == pytest.approx(explained.score(query, caption), abs=1e-5)


def test_a_words_share_is_what_the_score_loses_without_it(explained: Explainer) -> None:
    words = explained("a red dog", "1.png").terms[0].words
    assert [said.word for said in words] == ["a", "red", "dog"]
    whole = explained.score("a red dog", "1.png")
    expected = [whole - explained.score(rest, "1.png") for rest in ("red dog", "a dog", "a red")]
    np.testing.assert_allclose([said.share for said in words], expected, atol=1e-5)


def test_words_are_left_out_of_the_whole_query(explained: Explainer) -> None:
    rest = 2 * Item("2.png") - 0.5 * Text("grass")
    first, second, third = explained(Text("red dog") + rest, "0.png").terms
    whole = explained.score(Text("red dog") + rest, "0.png")
    expected = [whole - explained.score(Text(left) + rest, "0.png") for left in ("dog", "red")]
    np.testing.assert_allclose([said.share for said in first.words], expected, atol=1e-5)
    assert second.words == third.words == ()  # an item, and a text that is one word


def test_the_words_of_a_caption_are_left_out_in_turn(explained: Explainer) -> None:
    found = explained("red grass under trees", "0.png#text=0")
    full, *shorter = (
        explained.encoder.encode_texts(
            ["a round red ball", "round red ball", "a red ball", "a round ball", "a round red"]
        )
        @ explained.encoder.encode_texts(["red grass under trees"])[0]
    )
    assert [said.word for said in found.words] == ["a", "round", "red", "ball"]
    np.testing.assert_allclose([said.share for said in found.words], full - shorter, atol=1e-6)
    assert max(found.words, key=lambda said: said.share).word == "red"
    assert found.heat() is None
    with pytest.raises(QueryError, match="no heat map to draw: 0.png#text=0 is a text"):
        found.overlay()


def test_each_term_of_several_has_a_map_of_its_own(explained: Explainer) -> None:
    found = explained(Text("dog") - Text("grass"), "0.png")
    whole, dog, grass = (found.heat(), found.heat(0), found.heat(1))
    assert whole is not None
    assert dog is not None
    assert grass is not None
    # Losses are linear in the direction, so the whole is what the terms' shares say of their maps.
    _, vector = explained.searcher.vector_of("0.png")
    dog_part, grass_part = (term.share for term in found.terms)
    factors = [dog_part / (_own(explained, "dog") @ vector), grass_part / (_own(explained, "grass") @ vector)]
    np.testing.assert_allclose(whole, factors[0] * dog + factors[1] * grass, atol=1e-5)
    np.testing.assert_array_equal(explained("dog", "0.png").heat(0), explained("dog", "0.png").heat())


def _own(explained: Explainer, word: str) -> np.ndarray:
    centred = explained.encoder.encode_texts([f"a photo of {word}"])[0] - QueryEncoder(
        explained.encoder
    ).everyday_texts.mean(axis=0)
    return centred / np.linalg.norm(centred)


def test_the_overlay_is_the_upright_picture_in_its_proportions(explained: Explainer) -> None:
    found = explained("dog", "2.png")
    assert found.seen == (0, 0, 1, 1)
    assert found.overlay().size == (96, 32)
    assert found.warmest() is not None


def test_all_of_it_is_plain_json(explained: Explainer) -> None:
    query = Text("a dog") - 2 * Picture(explained.folder / "1.png") + Item("2.png")
    plain = json.loads(json.dumps(explained(query, "0.png").to_json()))
    assert [{key: term[key] for key in term.keys() - {"share", "words"}} for term in plain["terms"]] == [
        {"weight": 1, "text": "a dog"},
        {"weight": -2, "picture": str(explained.folder / "1.png")},
        {"weight": 1, "item": "2.png"},
    ]
    assert sum(term["share"] for term in plain["terms"]) == pytest.approx(plain["score"], abs=1e-5)
    assert len(plain["heat"]) == len(plain["heat"][0])
    assert plain["method"] == "occlusion"


def test_an_item_is_named_as_in_a_query_or_without_the_sign(explained: Explainer) -> None:
    assert explained("dog", "@0.png").hit.key == explained("dog", "0.png").hit.key == "0.png"
    with pytest.raises(QueryError, match="no item has the key 'nobody.png'"):
        explained("dog", "nobody.png")


def test_terms_that_cancel_are_refused(explained: Explainer) -> None:
    with pytest.raises(QueryError, match="cancel each other out"):
        explained(Text("dog") - Text("dog"), "0.png")


def test_a_picture_that_changed_or_went_is_said(tmp_path: Path) -> None:
    explained = Explainer(tmp_path / "photos")
    assert explained("dog", "0.png").notes == ()
    paint(explained.folder / "0.png", seed=99)
    (note,) = explained("dog", "0.png").notes
    assert "0.png is no longer the picture that was indexed" in note
    (explained.folder / "0.png").unlink()
    found = explained("dog", "0.png")
    assert found.hit.score == pytest.approx(explained.score("dog", "0.png"), abs=1e-5)
    assert found.heat() is None
    assert "there is no picture" in found.notes[0]
    with pytest.raises(QueryError, match="no heat map to draw: there is no picture"):
        found.overlay()
