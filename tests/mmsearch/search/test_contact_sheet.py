from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import re
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import mmsearch
from mmsearch import Hit, Hits, Item, Picture, Text
from mmsearch.errors import QueryError
from mmsearch.search.html_file import write_html
from mmsearch.search.thumbnails import PAGE_BYTES, side_for
from mmsearch.store import Modality
from tests.fakes import FakeEncoder
from tests.pictures import paint

_VOID = {"meta", "img"}


class Page(HTMLParser):
    """A written page, read again as a browser would: tags with attributes, and the text in each kind of tag."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[tuple[str, int]] = []  # tags not closed yet, each with the place of its text
        self.html = file.read_text(encoding="utf-8")
        self.feed(self.html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            texts = self.texts.setdefault(tag, [])
            self._open.append((tag, len(texts)))
            texts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            tag, place = self._open[-1]
            self.texts[tag][place] += data

    def of(self, tag: str, kind: str | None = None) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag and kind in (None, attributes.get("class"))]


def hit(rank: int = 1, **changes: object) -> Hit:
    usual = Hit(rank, 0.5, 0.25, rank, f"{rank}.jpg", Path(f"/gone/{rank}.jpg"), Modality.IMAGE, None)
    return dataclasses.replace(usual, **changes)  # type: ignore[arg-type]


def written(folder: Path, *results: Hits, title: str = "mmsearch") -> Page:
    mmsearch.write_contact_sheet(folder / "page.html", results, title=title)
    return Page(folder / "page.html")


def pixels_of(image: dict[str, str | None]) -> Image.Image:
    kind, _, data = (image["src"] or "").partition(",")
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


@pytest.fixture
def photos(tmp_path: Path) -> mmsearch.Collection:
    for number in range(3):
        paint(tmp_path / f"photos/{number}.png", seed=number, size=(48, 32))
    collection = mmsearch.create(tmp_path / "photos/.mmsearch", FakeEncoder())
    collection.add(tmp_path / "photos")
    return collection


def test_a_page_holds_its_pictures_and_loads_nothing(photos: mmsearch.Collection, tmp_path: Path) -> None:
    hits = photos.search(Picture(photos.home / "1.png") - 2 * Text("red"))
    page = written(tmp_path, hits)
    images = page.of("img")
    assert len(images) == 4  # the query's own picture and three hits
    for image, path in zip(images, [photos.home / "1.png", *(hit.path for hit in hits)], strict=True):
        with Image.open(path) as original:
            difference = np.asarray(pixels_of(image).convert("RGB"), int) - np.asarray(original.convert("RGB"), int)
        assert np.abs(difference).mean() < 6  # each picture stands at its own place
    assert {urlsplit(attributes["src"] or "").scheme for _, attributes in page.tags if "src" in attributes} == {"data"}
    assert "://" not in page.html.replace("file://", "")


def test_pictures_open_the_file_relative_to_the_page_where_it_lies_below(
    photos: mmsearch.Collection, tmp_path: Path
) -> None:
    odd = photos.home / 'a "b" #1 ü.png'
    (photos.home / "0.png").rename(odd)
    hits = Hits((hit(path=odd), hit(path=photos.home / "1.png")), Text("red"))
    near = [link["href"] for link in written(tmp_path, hits).of("a", "open")]
    assert near[1] == "./photos/1.png"
    assert unquote(near[0] or "") == f"./photos/{odd.name}"
    (tmp_path / "elsewhere").mkdir()
    far = [link["href"] for link in written(tmp_path / "elsewhere", hits).of("a", "open")]
    assert [Path(unquote(urlsplit(href or "").path)) for href in far] == [odd, photos.home / "1.png"]
    assert {urlsplit(href or "").scheme for href in far} == {"file"}


def test_a_name_that_looks_like_an_address_is_only_a_name(tmp_path: Path) -> None:
    paint(tmp_path / "photos/seen.png", seed=0)
    for name in ("javascript:alert(1)", "http:evil"):
        path = (tmp_path / "photos/seen.png").rename(tmp_path / name)
        links = written(tmp_path, Hits((hit(path=path),), Text("red"))).of("a", "open")
        assert [urlsplit(link["href"] or "").scheme for link in links] == [""]
        path.rename(tmp_path / "photos/seen.png")


_NASTY = st.text(alphabet="<>&\"'/-! abSCRIPT=\u202e\x00\n\udc80é漢", max_size=12) | st.sampled_from(
    ["</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<!--", "]]>", "</style>", "&lt;b&gt;"]
)


@settings(deadline=None)
@given(words=st.lists(_NASTY, min_size=9, max_size=9))
def test_no_word_of_a_user_becomes_a_tag_or_an_attribute(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    def results(query: str, key: str, text: str, copy: str, name: str, value: str, condition: str, note: str) -> Hits:
        found = (
            hit(key=key, text=text, copies=(copy,), columns={name: value}),
            hit(rank=2, modality=Modality.TEXT, text=text),
        )
        return Hits(
            found,
            Text(f"q{query}".replace("\udc80", "")) + Item(key) - Picture(f"/gone/{key}".replace("\0", "")),
            (condition,),
            (note,),
        )

    folder = tmp_path_factory.getbasetemp()
    page = written(folder, results(*words[:-1]), title=words[-1])
    plain = written(folder, results(*"a" * 8), title="a")
    assert [(tag, set(attributes)) for tag, attributes in page.tags if tag not in ("li", "ul")] == [
        (tag, set(attributes)) for tag, attributes in plain.tags if tag not in ("li", "ul")
    ]  # lists may be longer: captions are lines
    assert page.of("script") == [{}]
    assert page.texts["script"] == plain.texts["script"]


def test_words_of_a_user_are_shown_as_they_are(tmp_path: Path) -> None:
    found = hit(
        key="a<b>.jpg",
        text="first & best\nsecond",
        copies=("c<1>.jpg", "c2.jpg"),
        columns={"taken": datetime(2019, 7, 4, 12, 33), "tags": ["dog", "<i>"], "iso": None, "f": 2.80},
    )
    page = written(tmp_path, Hits((found,), Text("2 < 3"), ("where a < 5",), ("only 1 matches: a < 5",)), title="T&T")
    assert page.texts["h1"] == page.texts["title"] == ["T&T"]
    assert {"“2 < 3”", "a<b>.jpg", "c<1>.jpg", "c2.jpg"} <= set(page.texts["bdi"])
    assert {"1 hit", "where a < 5", "first & best", "second"} <= set(page.texts["li"])
    assert "only 1 matches: a < 5" in page.texts["p"]
    assert page.texts["summary"] == ["+2 copies"]
    assert dict(zip(page.texts["dt"], page.texts["dd"], strict=True)) == {
        "taken": "2019-07-04 12:33:00",
        "tags": "dog, <i>",
        "iso": "–",
        "f": "2.8",
    }


def test_scores_and_relevance_stand_at_each_hit(tmp_path: Path) -> None:
    page = written(tmp_path, Hits((hit(score=0.31249, relevance=0.834), hit(2, relevance=None)), Text("red")))
    assert [tile["data-rank"] for tile in page.of("li") if "data-rank" in tile] == ["1", "2"]
    assert [tile["data-score"] for tile in page.of("li") if "data-rank" in tile] == ["0.31249", "0.5"]
    assert [bar["style"] for bar in page.of("span") if "style" in bar] == ["width:83%"]
    assert len(page.of("span", "bar")) == 1
    shown = page.texts["span"]
    assert [text for text in ("83 %", "0.312", "0.500") if text in shown] == ["83 %", "0.312", "0.500"]


def test_a_sum_is_shown_with_its_signs_and_weights(tmp_path: Path) -> None:
    query = 2 * Text("dog") + Item("a.jpg") - 0.5 * Text("grass") - Picture("/gone/b.jpg")
    page = written(tmp_path, *[Hits((), query)] * 4)
    assert page.texts["a"] == ["2 × “dog” + @a.jpg − 0.5 × “grass” − b.jpg"] * 4
    assert [link["href"] for link in page.of("a")] == [f"#{section['id']}" for section in page.of("section")]


def test_an_item_in_a_query_is_seen_where_it_is_among_the_hits(photos: mmsearch.Collection, tmp_path: Path) -> None:
    page = written(tmp_path, photos.search(Item("2.png"), k=1))
    assert [image["src"] for image in page.of("img")] == [page.of("img")[0]["src"]] * 2


def test_the_script_is_the_only_one_allowed(tmp_path: Path) -> None:
    page = written(tmp_path, Hits((hit(),), Text("red")))
    policy = next(meta["content"] or "" for meta in page.of("meta") if meta.get("http-equiv"))
    digest = base64.b64encode(hashlib.sha256(page.texts["script"][0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")


def test_a_picture_that_is_gone_is_shown_by_name(photos: mmsearch.Collection, tmp_path: Path) -> None:
    hits = photos.search("red")
    (photos.home / "2.png").unlink()
    (photos.home / "1.png").write_bytes(b"no picture")
    page = written(tmp_path, hits)
    assert sorted(text for text in page.texts["p"] if "longer" in text) == [
        "1.png: no longer readable",
        "2.png: no longer readable",
    ]
    assert len(page.of("a", "open")) == 1


def test_tall_and_wide_pictures_keep_their_place(tmp_path: Path) -> None:
    sizes = {"a": (400, 100), "b": (100, 400), "c": (90, 60)}
    found = [hit(path=paint(tmp_path / f"{name}.png", seed=1, size=size)) for name, size in sizes.items()]
    page = written(tmp_path, Hits(tuple(found), Text("red")))
    assert [tile["style"] for tile in page.of("li") if "style" in tile] == [
        "--aspect:2.600",
        "--aspect:0.500",
        "--aspect:1.500",
    ]
    assert [(image["width"], image["height"]) for image in page.of("img")] == [
        ("400", "100"),
        ("100", "400"),
        ("90", "60"),
    ]


def test_sixty_pictures_fit_in_a_mail(tmp_path: Path) -> None:
    # Smooth colours with noise on top, which compresses worse than any photograph.
    rng = np.random.default_rng(0)
    paint(tmp_path / "large.png", seed=0, size=(1600, 1200))
    with Image.open(tmp_path / "large.png") as smooth:
        noisy = np.clip(np.asarray(smooth, int) + rng.normal(0, 12, (1200, 1600, 1)), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "large.jpg", quality=95)
    found = tuple(hit(rank, path=tmp_path / "large.jpg") for rank in range(1, 61))
    page = written(tmp_path, Hits(found, Text("red")))
    assert len(page.html) < PAGE_BYTES
    assert page.of("img")[0]["width"] == str(side_for(60))


def test_fewer_pictures_are_larger() -> None:
    sides = [side_for(count) for count in (1, 10, 30, 60, 90, 1000)]
    assert sides == sorted(sides, reverse=True)
    assert sides[0] == 1024
    assert sides[-1] == 320
    assert 400 <= side_for(60) <= 480


def contrast(first: str, second: str) -> float:
    """Contrast of two colours #rrggbb, 1 to 21, as WCAG 2.2 defines it."""

    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_colours_have_the_contrast_of_wcag_aa_in_both_themes(tmp_path: Path) -> None:
    assert contrast("#000000", "#ffffff") == 21
    style = written(tmp_path).texts["style"][0]
    light, dark = (
        dict(re.findall(r"--(\S+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)[:2]
    )
    assert light.keys() == dark.keys()
    for theme in (light, dark):
        for text, ground in (("text", "page"), ("text", "card"), ("dim", "page"), ("dim", "card"), ("dim", "track")):
            assert contrast(theme[text], theme[ground]) >= 4.5
        assert contrast(theme["note-text"], theme["note"]) >= 4.5
        for ground in ("page", "card", "track"):
            assert contrast(theme["accent"], theme[ground]) >= 3  # 1.4.11: what is no text


@pytest.mark.parametrize("name", ["no/such/page.html", "file/page.html", "", "folder"])
def test_a_page_that_cannot_be_written_is_named(
    photos: mmsearch.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    found = photos.explain("red", photos.search("red")[0].key)
    with pytest.raises(QueryError, match="cannot be written"):
        mmsearch.write_contact_sheet(name, [photos.search("red")])
    with pytest.raises(QueryError, match="cannot be written"):
        found.write_page(name)
    assert not list(tmp_path.rglob("*unfinished"))


def test_a_pipe_or_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "page.html", tmp_path / "link.html"
    target.write_text("before")
    link.symlink_to(target)
    write_html(link, "<p>now</p>")
    assert (link.is_symlink(), target.read_text()) == (True, "<p>now</p>")
    device = tmp_path / "device"
    device.symlink_to("/dev/full")
    with pytest.raises(QueryError, match="No space left on device"):
        write_html(device, "<p>now</p>")
    assert Path("/dev/full").is_char_device()
