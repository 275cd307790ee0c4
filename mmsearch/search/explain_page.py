"""An explanation as one HTML page that can be mailed."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from mmsearch.search.html_file import write_html

if TYPE_CHECKING:
    from mmsearch.search.explain import Explanation, WordShare

_JPEG_QUALITY = 85
_STYLE = """
:root { color-scheme: light dark; --page: #f7f7f5; --card: #fff; --text: #1b1b1f; --dim: #5c5c64; --line: #deded9;
        --more: #2457d6; --less: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #131316; --card: #1e1e22; --text: #ececf0; --dim: #a8a8b2;
        --line: #35353c; --more: #86abff; --less: #ff9b92; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.25rem clamp(.75rem, 3vw, 2.5rem) 3rem; color: var(--text);
       background: var(--page); font: 15px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p { margin: .3rem 0; } .dim { color: var(--dim); font-size: .87rem; }
.maps { display: grid; gap: .9rem; margin-top: 1rem;
        grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
figure img { display: block; width: 100%; height: auto; max-height: 80vh; object-fit: contain; }
figcaption { padding: .45rem .7rem; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: .2rem .6rem .2rem 0; text-align: left; font-weight: 400; }
td.share { width: 4.5rem; text-align: right; font-variant-numeric: tabular-nums; }
tr.word th { padding-left: 1.5rem; color: var(--dim); }
td.bar { width: 45%; } td.bar span { display: block; height: .6rem; border-radius: 3px; background: var(--more); }
td.bar span.less { background: var(--less); }
"""
_HOW = {
    "grad-eclip": "by the gradient through the encoder",
    "occlusion": "by covering and uncovering one place after the other",
}


def write_page(found: Explanation, file: str | Path) -> None:
    """Write shares and heat maps as one page without scripts; pictures lie inside.

    Raises:
        QueryError: the file cannot be written.
    """
    write_html(file, _page(found))


def _page(found: Explanation) -> str:
    title = f"mmsearch: why {escape(found.hit.key)}"
    notes = "".join(f"<p><strong>{escape(note)}</strong></p>" for note in found.notes)
    text = f"<p>“{escape(found.hit.text)}”</p>" if found.hit.text else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n</head>\n<body>\n'
        f"<h1>{escape(_query(found))}</h1>\n"
        f'<p class="dim">{escape(found.hit.key)} · score {found.hit.score:+.3f}</p>\n{text}{notes}\n'
        f"{_maps(found)}\n{_shares(found)}\n</body>\n</html>\n"
    )


def _query(found: Explanation) -> str:
    first, *others = (of.name for of in found.terms)
    return " ".join([first, *(name if name.startswith("- ") else f"+ {name}" for name in others)])


def _maps(found: Explanation) -> str:
    if found.heat_maps is None:
        return ""
    figures = [_figure(found, None, "what each place adds to the score")]
    if len(found.terms) > 1:
        figures += [
            _figure(found, position, f"where it shows: {of.operand}") for position, of in enumerate(found.terms)
        ]
    return (
        f'<div class="maps">{"".join(figures)}</div>\n<p class="dim">The redder, the more; each map has its '
        f"own scale. Found {_HOW[found.heat_maps.method]}. What the encoder does not see is dark.</p>"
    )


def _figure(found: Explanation, term: int | None, caption: str) -> str:
    buffer = io.BytesIO()
    found.overlay(term).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    heat, said = found.heat(term), escape(caption)
    most = 0.0 if heat is None else max(0.0, float(heat.max()))
    return (
        f'<figure><img alt="{said}" src="data:image/jpeg;base64,{data}">'
        f'<figcaption>{said} <span class="dim">at most {most:.3g}</span></figcaption></figure>'
    )


def _shares(found: Explanation) -> str:
    largest = max((abs(share) for share in _all_shares(found)), default=0.0) or 1.0

    def row(name: str, share: float, kind: str) -> str:
        less = ' class="less"' if share < 0 else ""
        return (
            f'<tr class="{kind}"><th scope="row">{escape(name)}</th><td class="share">{share:+.3f}</td>'
            f'<td class="bar"><span{less} style="width: {abs(share) / largest:.1%}"></span></td></tr>'
        )

    def rows(words: Sequence[WordShare]) -> str:
        return "".join(row(said.word, said.share, "word") for said in words)

    terms = "".join(row(of.name, of.share, "term") + rows(of.words) for of in found.terms)
    tables = (
        f"<h2>What each term adds to the score, and what the score loses without each word</h2><table>{terms}</table>"
    )
    if found.words:
        tables += f"<h2>What the score loses without each word of the text</h2><table>{rows(found.words)}</table>"
    return tables


def _all_shares(found: Explanation) -> Iterator[float]:
    for of in found.terms:
        yield of.share
        yield from (said.share for said in of.words)
    yield from (said.share for said in found.words)
