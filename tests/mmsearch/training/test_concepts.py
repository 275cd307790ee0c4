from __future__ import annotations

import numpy as np
import pytest

from mmsearch.training.concepts import TEMPLATES, Concepts, read_concepts

TABBY, TIGER_CAT, GOLDFISH = 281, 282, 1

# The format of WordNet's data.noun, with the real offsets of two ImageNet classes and made-up kinds above them.
NOUNS = """\
  1 a licence that is no data
02123045 05 n 02 tabby 1 tabby_cat 0 001 @ 00000010 n 0000 | a cat with a mottled coat
02123159 05 n 01 tiger_cat 0 001 @ 00000010 n 0000 | a cat with stripes
00000010 05 n 02 domestic_cat 0 cat 0 002 ~ 02123045 n 0000 @ 00000020 n 0000 | purrs
00000020 05 n 01 animal 0 000 | lives
"""


def _fitting(concepts: Concepts, text: str) -> list[int]:
    return [int(number) for number in np.flatnonzero(concepts.fits[:, concepts.texts.index(text)])]


@pytest.fixture(scope="module")
def concepts(tmp_path_factory: pytest.TempPathFactory) -> Concepts:
    pytest.importorskip("timm")
    path = tmp_path_factory.mktemp("wordnet") / "data.noun"
    path.write_text(NOUNS, encoding="utf-8")
    return read_concepts(path)


def test_every_class_has_a_name_of_its_own(concepts: Concepts) -> None:
    assert concepts.own.any(1).all()
    assert not (concepts.own & ~concepts.fits).any()


def test_names_stand_in_every_template_with_their_article(concepts: Concepts) -> None:
    for text in ("tabby", "a tabby", "a photo of a tabby", "a picture of an animal", "an animal"):
        assert text in concepts.texts
    assert len(concepts.texts) % len(TEMPLATES) == 0


def test_synonyms_name_one_class(concepts: Concepts) -> None:
    assert _fitting(concepts, "goldfish") == [GOLDFISH]
    assert _fitting(concepts, "a photo of a Carassius auratus") == [GOLDFISH]


def test_kinds_fit_all_classes_below_them_and_name_none(concepts: Concepts) -> None:
    for text in ("a cat", "domestic cat", "animal"):
        assert _fitting(concepts, text) == [TABBY, TIGER_CAT]
        assert not concepts.own[:, concepts.texts.index(text)].any()


def test_without_wordnet_there_are_no_kinds() -> None:
    pytest.importorskip("timm")
    concepts = read_concepts(None)
    assert np.array_equal(concepts.fits, concepts.own)
    assert "domestic cat" not in concepts.texts
