from __future__ import annotations

from pathlib import Path

import pytest

import mmsearch
from mmsearch.errors import QueryError
from tests.fakes import FakeEncoder
from tests.pictures import paint


@pytest.fixture
def photos(tmp_path: Path) -> mmsearch.Collection:
    for number in range(3):
        paint(tmp_path / f"photos/{number}.png", seed=number)
    collection = mmsearch.create(tmp_path / "photos/.mmsearch", FakeEncoder())
    collection.add(tmp_path / "photos")
    return collection


def test_a_page_holds_its_pictures_and_loads_nothing(photos: mmsearch.Collection, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    query = mmsearch.Picture(photos.home / "1.png") - 2 * mmsearch.Text("<script>alert(1)</script>")
    mmsearch.write_contact_sheet(page, {query: photos.search(query)}, title="<b>")
    html = page.read_text(encoding="utf-8")
    assert html.count("data:image/jpeg;base64,") == 4  # three hits and the query's own picture
    assert "− 2 × “&lt;script&gt;" in html
    assert "<script" not in html
    assert "<title>&lt;b&gt;</title>" in html
    assert "src=" in html
    assert "http" not in html


def test_a_picture_that_is_gone_is_shown_by_name(photos: mmsearch.Collection, tmp_path: Path) -> None:
    hits = photos.search("red")
    (photos.home / "2.png").unlink()
    page = tmp_path / "page.html"
    mmsearch.write_contact_sheet(page, {mmsearch.Text("red"): hits})
    assert "2.png: no longer readable" in page.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_named(photos: mmsearch.Collection, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="cannot be written"):
        mmsearch.write_contact_sheet(tmp_path / "no/such/page.html", {mmsearch.Text("red"): photos.search("red")})
