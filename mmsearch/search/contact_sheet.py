"""Hits as one HTML page that can be mailed: pictures inside, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from mmsearch.search.hits import Hit, Hits
from mmsearch.search.html_file import write_html
from mmsearch.search.query import Item, Operand, Picture, Query, Text
from mmsearch.search.thumbnails import Thumbnail, side_for, thumbnails
from mmsearch.store import Modality

_QUERY_SIDE = 240  # pixels of the longer side of a query's own picture
_TEXT_ASPECT = 1.6  # of a tile that shows words among pictures
_ASPECTS = (0.5, 2.6)  # a picture narrower or wider than that is shown whole in a tile of this aspect
_LONG_TEXT = 300  # characters beyond which a text may have to be scrolled, which takes the keyboard's focus
_QUERIES_WITHOUT_A_LIST = 3
_LEGEND = (
    "Bar and percentage are the relevance: roughly how likely a hit with such a score is to be what was asked for. "
    "The number on the right is the score, by which hits of one query can be compared."
)


def write_contact_sheet(file: str | Path, results: Sequence[Hits], *, title: str = "mmsearch") -> None:
    """Lay out queries and their hits on one page.

    Sixty hits weigh below 2 MB: the more pictures, the smaller each is. The page works without scripts; with
    them it can be sorted, and leafed through picture by picture.

    Args:
        file: where to write the HTML; an existing file is replaced.
        results: what each query found, in the order to show. A picture that cannot be read any more is shown by
            its name.
        title: of the page.

    Raises:
        QueryError: the file cannot be written.
    """
    sheet = _Sheet.of(results, folder=Path(file).expanduser().absolute().parent)
    page = ET.tostring(_page(sheet, results, title), encoding="unicode", method="html")
    write_html(file, f"<!doctype html>\n{page}\n")


@dataclass(frozen=True, slots=True)
class _Sheet:
    """What the tiles of a page draw from."""

    folder: Path
    """Absolute; where the page will lie."""
    found: Mapping[Path, Thumbnail | None]
    asked: Mapping[Path, Thumbnail | None]

    @classmethod
    def of(cls, results: Sequence[Hits], *, folder: Path) -> _Sheet:
        found = [hit.path for hits in results for hit in hits if hit.modality is Modality.IMAGE]
        asked = [path for hits in results for term in hits.query.terms if (path := _path_of(term.of, hits))]
        return cls(folder, thumbnails(found, side_for(len(found))), thumbnails(asked, _QUERY_SIDE))


def _element(tag: str, attributes: Mapping[str, str] | None = None, *children: ET.Element | str | None) -> ET.Element:
    """An element of the page; None is no child.

    A child that is a string is text, whatever it looks like: it is escaped when the page is written.
    """
    element = ET.Element(tag, dict(attributes or {}))
    last: ET.Element | None = None
    for child in children:
        if isinstance(child, ET.Element):
            element.append(last := child)
        elif child and last is None:
            element.text = (element.text or "") + child
        elif child and last is not None:
            last.tail = (last.tail or "") + child
    return element


def _page(sheet: _Sheet, results: Sequence[Hits], title: str) -> ET.Element:
    style, script = (_resource(f"contact_sheet.{kind}") for kind in ("css", "js"))
    sections = [_section(sheet, hits, number) for number, hits in enumerate(results, start=1)]
    has_relevance = any(hit.relevance is not None for hits in results for hit in hits)
    return _element(
        "html",
        {"lang": "en"},
        _element(
            "head",
            {},
            _element("meta", {"charset": "utf-8"}),
            _element("meta", {"http-equiv": "Content-Security-Policy", "content": _policy(script)}),
            _element("title", {}, title),
            _element("meta", {"name": "viewport", "content": "width=device-width"}),
            _element("style", {}, style),
        ),
        _element(
            "body",
            {},
            _element("header", {}, _element("h1", {}, title), _sorting()),
            _contents(results) if len(results) > _QUERIES_WITHOUT_A_LIST else None,
            _element("main", {}, *sections),
            _element("footer", {}, _LEGEND) if has_relevance else None,
            _viewer(),
            _element("script", {}, script),
        ),
    )


def _resource(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """What a browser may do with the page: show what is inside, run our script and no other, load nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _sorting() -> ET.Element:
    """Hidden until the script shows it."""
    buttons = [
        _element("button", {"type": "button", "data-order": order, "aria-pressed": pressed}, order)
        for order, pressed in (("rank", "true"), ("score", "false"), ("name", "false"))
    ]
    return _element("div", {"class": "sort", "role": "group", "aria-label": "Sort", "hidden": ""}, "sort by", *buttons)


def _viewer() -> ET.Element:
    buttons = [
        _element("button", {"type": "button", "class": kind, "aria-label": f"{kind} picture"}, sign)
        for kind, sign in (("previous", "‹"), ("next", "›"))
    ]
    close = _element("button", {"class": "close", "aria-label": "close"}, "×")
    return _element(
        "dialog",
        {"aria-label": "One hit, large", "autofocus": "", "tabindex": "-1"},
        _element("figure"),
        *buttons,
        _element("form", {"method": "dialog"}, close),
    )


def _contents(results: Sequence[Hits]) -> ET.Element:
    entries = [
        _element("li", {}, _element("a", {"href": f"#query-{number}", "dir": "auto"}, _in_words(hits.query)))
        for number, hits in enumerate(results, start=1)
    ]
    return _element("nav", {"aria-label": "Queries"}, _element("ol", {}, *entries))


def _section(sheet: _Sheet, hits: Hits, number: int) -> ET.Element:
    count = "nothing found" if not hits else "1 hit" if len(hits) == 1 else f"{len(hits):,} hits"
    facts = [_element("li", {}, fact) for fact in (count, *hits.conditions)]
    notes = [_element("p", {"class": "note"}, note) for note in hits.notes]
    only_texts = all(hit.modality is Modality.TEXT for hit in hits)
    return _element(
        "section",
        {"id": f"query-{number}", "aria-labelledby": f"heading-{number}"},
        _element("h2", {"id": f"heading-{number}"}, *_terms(sheet, hits)),
        _element("ul", {"class": "facts"}, *facts),
        *notes,
        # Without the role, a list without bullets is none to some screen readers.
        _element(
            "ol",
            {"class": "hits texts" if only_texts else "hits", "role": "list"},
            *(_tile(sheet, hit) for hit in hits),
        ),
    )


def _terms(sheet: _Sheet, hits: Hits) -> Iterator[ET.Element]:
    for sign, of in _signed(hits.query):
        path = _path_of(of, hits)
        thumbnail = sheet.asked[path] if path else None
        yield _element(
            "span",
            {"class": "term"},
            _element("span", {"class": "sign"}, sign) if sign else None,
            _image(thumbnail, "") if thumbnail else None,
            _element("bdi", {"class": "name"} if path else {}, _operand(of)),
        )


def _in_words(query: Query) -> str:
    return " ".join(f"{sign} {_operand(of)}".strip() for sign, of in _signed(query))


def _signed(query: Query) -> Iterator[tuple[str, Operand]]:
    """Each term with what stands before it: nothing, a sign, a weight, or both."""
    for position, term in enumerate(query.terms):
        sign = "−" if term.weight < 0 else "+" if position else ""
        weight = "" if abs(term.weight) == 1 else f"{abs(term.weight):g} ×"
        yield f"{sign} {weight}".strip(), term.of


def _operand(of: Operand) -> str:
    match of:
        case Text(text):
            return f"“{text}”"
        case Picture(path):
            return Path(path).name
        case Item(key):
            return f"@{key}"
        case _:
            raise TypeError(f"a query's term is {type(of).__name__}; make it of Text, Picture and Item")


def _path_of(of: Operand, hits: Hits) -> Path | None:
    """The picture behind a query's term, where it has one that we know the place of."""
    match of:
        case Picture(path):
            return Path(path).expanduser()
        case Item(key):
            return next((hit.path for hit in hits if hit.key == key and hit.modality is Modality.IMAGE), None)
        case _:
            return None


def _tile(sheet: _Sheet, hit: Hit) -> ET.Element:
    is_text = hit.modality is Modality.TEXT
    shown, aspect = _words(hit) if is_text else _picture(sheet, hit)
    attributes = {
        "style": f"--aspect:{aspect:.3f}",
        "data-rank": str(hit.rank),
        "data-score": repr(hit.score),
        "data-name": hit.key,
    }
    captions = None if is_text else _captions(hit)
    key = _element("p", {"class": "key"}, _element("bdi", {}, hit.key))
    about = _element("figcaption", {}, _measure(hit), captions, key, _columns(hit), _copies(hit))
    return _element("li", attributes, _element("figure", {}, shown, about))


def _words(hit: Hit) -> tuple[ET.Element, float]:
    text = hit.text or ""
    scrolls = {"tabindex": "0"} if len(text) > _LONG_TEXT else {}
    return _element("blockquote", {"dir": "auto", **scrolls}, text), _TEXT_ASPECT


def _picture(sheet: _Sheet, hit: Hit) -> tuple[ET.Element, float]:
    thumbnail = sheet.found[hit.path]
    if thumbnail is None:
        return _element("p", {"class": "gone"}, f"{hit.path.name}: no longer readable"), _TEXT_ASPECT
    narrowest, widest = _ASPECTS
    aspect = min(widest, max(narrowest, thumbnail.width / thumbnail.height))
    image = _image(thumbnail, next(_lines(hit), hit.path.name))
    return _element("a", {"class": "open", "href": _link(hit.path, sheet.folder)}, image), aspect


def _image(thumbnail: Thumbnail, alt: str) -> ET.Element:
    size = {"width": str(thumbnail.width), "height": str(thumbnail.height)}
    return _element("img", {"alt": alt, **size, "src": thumbnail.uri})


def _link(path: Path, folder: Path) -> str:
    """To the file, and relative when it lies below the page, so that both can be moved together."""
    path = path.absolute()
    if path.is_relative_to(folder):
        return "./" + quote(os.fsencode(path.relative_to(folder)))
    return path.as_uri()


def _measure(hit: Hit) -> ET.Element:
    rank = _element("span", {"class": "rank"}, _spoken("rank"), str(hit.rank))
    score = _element("span", {"class": "score"}, _spoken("score"), f"{hit.score:.3f}")
    if hit.relevance is None:
        return _element("p", {"class": "measure"}, rank, score)
    percent = f"{100 * hit.relevance:.0f}"
    bar = _element("span", {"class": "bar"}, _element("span", {"style": f"width:{percent}%"}))
    relevance = _element("span", {}, _spoken("relevance"), f"{percent} %")
    return _element("p", {"class": "measure"}, rank, bar, relevance, score)


def _spoken(word: str) -> ET.Element:
    """What a number is, for those who hear the page; those who see it have its place and the legend."""
    return _element("span", {"class": "unseen"}, f"{word} ")


def _captions(hit: Hit) -> ET.Element | None:
    lines = [_element("li", {"dir": "auto"}, line) for line in _lines(hit)]
    return _element("ul", {"class": "captions"}, *lines) if lines else None


def _lines(hit: Hit) -> Iterator[str]:
    return (line for line in (hit.text or "").splitlines() if line.strip())


def _columns(hit: Hit) -> ET.Element | None:
    pairs = [
        _element(tag, {"dir": "auto"}, text)
        for name, value in hit.columns.items()
        for tag, text in (("dt", name), ("dd", _shown(value)))
    ]
    return _element("dl", {"class": "columns"}, *pairs) if pairs else None


def _copies(hit: Hit) -> ET.Element | None:
    if not hit.copies:
        return None
    count = f"+{len(hit.copies)} {'copy' if len(hit.copies) == 1 else 'copies'}"
    keys = [_element("li", {}, _element("bdi", {}, key)) for key in hit.copies]
    return _element("details", {"class": "copies"}, _element("summary", {}, count), _element("ul", {}, *keys))


def _shown(value: Any) -> str:
    """A column's value as a person reads it."""
    match value:
        case None:
            return "–"
        case float():
            return f"{value:g}"
        case datetime():
            return value.isoformat(" ", "seconds")
        case list() | tuple():
            return ", ".join(map(_shown, value))
        case _:
            return str(value)
