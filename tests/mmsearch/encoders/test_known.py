from __future__ import annotations

import dataclasses
import json

import pytest

from mmsearch.encoders import KnownEncoder, known_encoders
from mmsearch.encoders.known import _TABLE
from mmsearch.encoders.open_clip_source import parse_name

OTHERS = [row for row in known_encoders() if row.name != "mini"]


def test_the_bundled_encoder_comes_first() -> None:
    assert known_encoders()[0].name == "mini"


def test_names_are_distinct() -> None:
    names = [row.name for row in known_encoders()]
    assert len(names) == len(set(names)) >= 20


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row.name)
def test_each_row_names_weights_that_open_clip_knows(row: KnownEncoder) -> None:
    open_clip = pytest.importorskip("open_clip")
    source = parse_name(row.name)
    assert open_clip.get_model_config(source.model_name)["embed_dim"] == row.dim


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row.name)
def test_rows_with_numbers_say_where_they_stand(row: KnownEncoder) -> None:
    assert row.source
    assert row.licence
    rates = [row.flickr30k_t2i, row.flickr30k_i2t, row.coco_t2i, row.coco_i2t]
    known = [(rate.at_1, rate.at_5) for rate in rates]
    assert any(pair != (None, None) for pair in known)
    # A percentage, and never more hits in the first place than in the first five.
    assert all(5 < value < 100 for pair in known for value in pair if value is not None)
    assert all(at_1 < at_5 for at_1, at_5 in known if at_1 is not None and at_5 is not None)


def test_the_published_baseline_is_as_published() -> None:
    row = next(row for row in known_encoders() if row.name == "ViT-B-32-quickgelu/openai")
    assert (row.coco_t2i.at_1, row.coco_t2i.at_5, row.flickr30k_i2t.at_1) == (30.4, 55.9, 78.9)
    assert row.commercial_use is True


def test_each_row_of_the_file_has_all_fields_in_order() -> None:
    names = [field.name for field in dataclasses.fields(KnownEncoder)]
    assert all(list(row) == names for row in json.loads(_TABLE.read_text(encoding="utf-8")))
