"""Hits as one HTML page that can be mailed: thumbnails inside, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path

from mmsearch.errors import MediaError, NotFound, QueryError
from mmsearch.media import Limits, load_picture
from mmsearch.search.hits import Hit, Hits
from mmsearch.search.query import Item, Operand, Picture, Query, Text
from mmsearch.store import Modality

THUMBNAIL_PIXELS = 320
_JPEG_QUALITY = 80

_STYLE = """
:root { color-scheme: light dark; --fg: #1a1a1a; --bg: #fff; --dim: #5c5c5c; --card: #f2f2f2; }
@media (prefers-color-scheme: dark) { :root { --fg: #eee; --bg: #141414; --dim: #a8a8a8; --card: #222; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 1.5rem; font: 15px/1.45 system-ui, sans-serif;
       color: var(--fg); background: var(--bg); }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .6rem; display: flex; gap: .5rem;
       align-items: center; flex-wrap: wrap; }
h2 img { height: 3.2rem; border-radius: 6px; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: .8rem;
     grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); }
li { background: var(--card); border-radius: 8px; overflow: hidden; }
li > img { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; }
li > p { margin: 0; padding: .45rem .6rem; overflow-wrap: anywhere; }
li > p.words { padding-bottom: 0; font-size: 1rem; }
.dim { color: var(--dim); font-size: .82rem; }
"""


def write_contact_sheet(
    file: str | Path, results: Mapping[Query | str, Hits] | Mapping[Query, Hits], *, title: str = "mmsearch"
) -> None:
    """Lay out queries and their hits on one page.

    Args:
        file: where to write the HTML; an existing file is replaced.
        results: each query with what it found, in the order to show. A picture that cannot be read any more
            is shown by its name.
        title: of the page.

    Raises:
        QueryError: the file cannot be written.
    """
    sections = "\n".join(_section(query, hits) for query, hits in results.items())
    page = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n<h1>{escape(title)}</h1>\n{sections}\n</body>\n</html>\n"
    )
    target = Path(file).expanduser()
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        unfinished.write_text(page, encoding="utf-8", errors="backslashreplace")
        unfinished.replace(target)
    except OSError as err:
        unfinished.unlink(missing_ok=True)
        raise QueryError(f"the contact sheet cannot be written to {file}: {err.strerror}") from err


def _section(query: Query | str, hits: Hits) -> str:
    items = "\n".join(_item(hit) for hit in hits) or "<p>Nothing found.</p>"
    return f"<section>\n<h2>{_query(query)}</h2>\n<ol>\n{items}\n</ol>\n</section>"


def _query(query: Query | str) -> str:
    parts = []
    for position, term in enumerate((Text(query) if isinstance(query, str) else query).terms):
        sign = "−" if term.weight < 0 else "+" if position else ""
        weight = "" if abs(term.weight) == 1 else f"{abs(term.weight):g} × "
        parts.append(f"<span>{sign} {weight}{_operand(term.of)}</span>")
    return " ".join(parts)


def _operand(of: Operand) -> str:
    match of:
        case Text(text):
            return f"“{escape(text)}”"
        case Picture(path):
            return _thumbnail(Path(path).expanduser())
        case Item(key):
            return f"@{escape(key)}"
        case _:
            raise TypeError(f"a query's term is {type(of).__name__}; make it of Text, Picture and Item")


def _item(hit: Hit) -> str:
    caption = f'<p class="dim">{hit.rank} · {hit.score:.3f} · {escape(hit.key)}</p>'
    if hit.modality is Modality.TEXT:
        return f'<li><p class="words">{escape(hit.text or "")}</p>{caption}</li>'
    return f"<li>{_thumbnail(hit.path)}{caption}</li>"


def _thumbnail(path: Path) -> str:
    name = escape(path.name)
    try:
        picture = load_picture(path, limits=Limits(), min_side=THUMBNAIL_PIXELS)
    except (MediaError, NotFound):
        return f'<p class="dim">{name}: no longer readable</p>'
    picture.thumbnail((THUMBNAIL_PIXELS * 2, THUMBNAIL_PIXELS))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{name}" src="data:image/jpeg;base64,{data}">'
