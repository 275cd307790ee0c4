"""Draw recall against speed as SVG: further up and right is better."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import count

import numpy as np

_WIDTH, _PLOT_HEIGHT, _LEFT, _RIGHT, _TOP, _BELOW = 640, 360, 62, 18, 62, 46
_LEGEND_LINE, _TWO_COLUMNS = 20, 36  # its height; the longest name that leaves room for a second column
_TICKS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
_LEAST_MISSED = 0.0004  # the axis of recall is logarithmic in what is missed, so 1 itself is this far from its end
_OWN, _OTHERS = 2, 8  # colours of each kind

_STYLE = """
text { fill: #1b1b1f } .ink { stroke: #1b1b1f } .dim { fill: #5c5c64 } .page { fill: #fff }
.grid { stroke: #deded9; fill: none }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round } .own.line { stroke-width: 2.6 }
.mark { stroke-width: 0 } .ring { fill: none; stroke-width: 2 } .band { fill-opacity: .16; stroke: none }
.whisker { stroke-width: 1; stroke-opacity: .55 } .dashed { stroke-dasharray: 6 4 }
"""
_LIGHT = ("#c8102e", "#b5359c", "#1f6fb2", "#c75b00", "#2a8a3e", "#8250c4", "#8a5a3c", "#6b6f76", "#857a00", "#0b8391")
_DARK = ("#ff7b7b", "#f59ae0", "#6cb6ff", "#ffb066", "#6bd08a", "#c09bff", "#d6a184", "#a9b0ba", "#d3c64a", "#4fd0dc")
_DARK_STYLE = """
text { fill: #ececf0 } .ink { stroke: #ececf0 } .dim { fill: #a8a8b2 } .page { fill: #131316 }
.grid { stroke: #35353c }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotPoint:
    """A measured place; ``note`` is shown to who points at it."""

    recall: float
    qps: float
    recall_range: tuple[float, float] | None = None
    qps_range: tuple[float, float] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotLine:
    """Points of one kind, and where they belong in the legend.

    Args:
        points: by rising recall.
        own: whether the drawing is about this line: thicker, and in colours of its own.
        in_use: a point with a ring around it, on the line or not.
        exact_qps: speed at recall 1 of comparing everything, a place apart.
    """

    name: str
    points: tuple[PlotPoint, ...]
    own: bool = False
    in_use: PlotPoint | None = None
    exact_qps: float | None = None


def recall_plot(lines: Sequence[PlotLine], *, title: str, subtitle: str = "", recall: str = "ann_recall@10") -> str:
    """An SVG drawing, readable from 600 pixels on, light or dark as the reader's system is.

    Args:
        lines: own ones first is how they are drawn and listed; points below a recall of .5 are left out.
        title, subtitle: above the drawing.
        recall: what the axis says.
    """
    lines = [*(line for line in lines if line.own), *(line for line in lines if not line.own)]
    axes = _Axes(lines)
    styles = [_style(line, number) for line, number in zip(lines, _numbers(lines), strict=True)]
    rows = _legend(lines, styles)
    height = _TOP + _PLOT_HEIGHT + _BELOW + _LEGEND_LINE * len(rows) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13"><title>{escape(title)}</title>',
        f"<style>{_colours(_LIGHT)}\n@media (prefers-color-scheme: dark) {{\n{_colours(_DARK)}\n}}{_STYLE}"
        f"@media (prefers-color-scheme: dark) {{ {_DARK_STYLE} }}\n</style>",
        f'<rect class="page" width="{_WIDTH}" height="{height}"/>',
        f'<text x="16" y="25" font-size="16" font-weight="600">{escape(title)}</text>',
        _text(16, 44, subtitle, "start", dim=True),
        *axes.drawn(recall),
        *(part for line, style in zip(lines, styles, strict=True) for part in _drawn(line, style, axes)),
        *_drawn_legend(rows),
        "</svg>",
        "",
    ]
    return "\n".join(parts)


def short(recall: float) -> str:
    """.90, .95, .999, and 1"""
    text = f"{recall:.3f}"
    return "1" if text == "1.000" else text.lstrip("0").removesuffix("0")


class _Axes:
    """Recall to the right, logarithmic in what is missed; queries a second upwards, logarithmic."""

    def __init__(self, lines: Sequence[PlotLine]) -> None:
        drawn = [point for line in lines for point in _points(line)]
        least = min((point.recall for point in drawn), default=_TICKS[0])
        start = max(place for place, tick in enumerate(_TICKS) if tick <= least)
        self.ticks = _TICKS[min(start, _TICKS.index(0.9)) :]
        speeds = [speed for point in drawn for speed in (point.qps, *(point.qps_range or ()))]
        speeds += [line.exact_qps for line in lines if line.exact_qps]
        self._low, self._high = np.log10(min(speeds, default=1)) - 0.06, np.log10(max(speeds, default=10)) + 0.06

    def x(self, recall: float) -> float:
        near, far = np.log(1 - self.ticks[0]), np.log(_LEAST_MISSED)
        missed = np.log(np.clip(1 - recall, _LEAST_MISSED, 1 - self.ticks[0]))
        return float(_LEFT + (near - missed) / (near - far) * (_WIDTH - _RIGHT - _LEFT))

    def y(self, qps: float) -> float:
        return float(_TOP + _PLOT_HEIGHT * (self._high - np.log10(qps)) / (self._high - self._low))

    def drawn(self, recall: str) -> list[str]:
        """Grid, numbers and names."""
        bottom, right = _TOP + _PLOT_HEIGHT, _WIDTH - _RIGHT
        parts = [
            _text((_LEFT + right) / 2, bottom + 38, recall),
            f'<text transform="translate(15 {(_TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">'
            "queries a second</text>",
        ]
        for tick in self.ticks:
            parts.append(f'<path class="grid" d="M{self.x(tick):.1f} {_TOP}V{bottom}"/>')
            parts.append(_text(self.x(tick), bottom + 18, short(tick), dim=True))
        for qps in _round_numbers(10**self._low, 10**self._high):
            parts.append(f'<path class="grid" d="M{_LEFT} {self.y(qps):.1f}H{right}"/>')
            parts.append(_text(_LEFT - 6, self.y(qps) + 4, f"{qps:,g}", "end", dim=True))
        return parts


def _round_numbers(low: float, high: float) -> Iterable[float]:
    """1, 2, 5, 10, 20, … within bounds; where they span a thousandfold, powers of ten alone."""
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    for power in range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1):
        yield from (number for step in steps if low <= (number := step * 10.0**power) <= high)


@dataclass(frozen=True, slots=True)
class _Style:
    colour: str
    mark: Callable[[float, float], str]
    line: str


def _numbers(lines: Sequence[PlotLine]) -> list[int]:
    """The how-manieth of its kind each line is."""
    own, others = count(), count()
    return [next(own if line.own else others) for line in lines]


def _style(line: PlotLine, number: int) -> _Style:
    colours = _OWN if line.own else _OTHERS
    colour = f"c{number % colours + (0 if line.own else _OWN)}"
    dashed = " dashed" if number >= colours else ""
    return _Style(colour, _MARKS[number % len(_MARKS)], f"{colour} line{' own' if line.own else ''}{dashed}")


def _colours(colours: Sequence[str]) -> str:
    return "\n".join(f".c{number} {{ stroke: {colour}; fill: {colour} }}" for number, colour in enumerate(colours))


_MARKS: tuple[Callable[[float, float], str], ...] = (
    lambda x, y: f"M{x - 3.2:.1f} {y:.1f}a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0z",
    lambda x, y: f"M{x - 3:.1f} {y - 3:.1f}h6v6h-6z",
    lambda x, y: f"M{x:.1f} {y - 4:.1f}l4 7h-8z",
    lambda x, y: f"M{x:.1f} {y - 4.2:.1f}l4.2 4.2l-4.2 4.2l-4.2 -4.2z",
)


def _points(line: PlotLine) -> list[PlotPoint]:
    """Those that are drawn."""
    return [point for point in (*line.points, *([line.in_use] if line.in_use else [])) if point.recall >= _TICKS[0]]


def _drawn(line: PlotLine, style: _Style, axes: _Axes) -> list[str]:
    drawn = [point for point in line.points if point.recall >= _TICKS[0]]
    parts = []
    if ranges := [(axes.x(point.recall), point.qps_range) for point in drawn if point.qps_range]:
        above = [f"{x:.1f},{axes.y(high):.1f}" for x, (_, high) in ranges]
        below = [f"{x:.1f},{axes.y(low):.1f}" for x, (low, _) in reversed(ranges)]
        parts.append(f'<polygon class="{style.colour} band" points="{" ".join(above + below)}"/>')
    for point in drawn:
        if point.recall_range:
            left, right = map(axes.x, point.recall_range)
            parts.append(f'<path class="{style.colour} whisker" d="M{left:.1f} {axes.y(point.qps):.1f}H{right:.1f}"/>')
    places = " ".join(f"{axes.x(point.recall):.1f},{axes.y(point.qps):.1f}" for point in drawn)
    parts.append(f'<polyline class="{style.line}" points="{places}"/>')
    for point in drawn:
        mark = style.mark(axes.x(point.recall), axes.y(point.qps))
        parts.append(f'<path class="{style.colour} mark" d="{mark}">{_note(line, point)}</path>')
    if line.in_use and line.in_use.recall >= _TICKS[0]:
        x, y = axes.x(line.in_use.recall), axes.y(line.in_use.qps)
        parts.append(f'<path class="{style.colour} mark" d="{style.mark(x, y)}"/>')
        parts.append(
            f'<circle class="{style.colour} ring" cx="{x:.1f}" cy="{y:.1f}" r="7.5">{_note(line, line.in_use)}</circle>'
        )
    if line.exact_qps:
        parts.append(f'<path class="{style.colour} ring" d="{_cross(axes.x(1), axes.y(line.exact_qps))}"/>')
    return parts


def _cross(x: float, y: float) -> str:
    return f"M{x - 4.5:.1f} {y - 4.5:.1f}l9 9m0 -9l-9 9"


def _note(line: PlotLine, point: PlotPoint) -> str:
    said = (
        f"{line.name}: recall {point.recall:.4f}, {point.qps:,.0f} queries a second{point.note and ', ' + point.note}"
    )
    return f"<title>{escape(said)}</title>"


def _legend(lines: Sequence[PlotLine], styles: Sequence[_Style]) -> list[list[tuple[str, str]]]:
    """Rows of what is drawn at (0, 0), and what it means."""
    entries = [
        (
            f'<path class="{style.line}" d="M-13 0h26"/><path class="{style.colour} mark" d="{style.mark(0, 0)}"/>',
            line.name,
        )
        for line, style in zip(lines, styles, strict=True)
    ]
    columns = 2 if all(len(line.name) <= _TWO_COLUMNS for line in lines) else 1
    rows = [entries[start : start + columns] for start in range(0, len(entries), columns)]
    marks = []
    if any(line.in_use for line in lines):
        marks.append(('<circle class="ink ring" r="7.5"/>', "in use"))
    if any(line.exact_qps for line in lines):
        marks.append((f'<path class="ink ring" d="{_cross(0, 0)}"/>', "exact search, all rows compared"))
    return [*rows, marks] if marks else rows


def _drawn_legend(rows: Sequence[Sequence[tuple[str, str]]]) -> list[str]:
    parts = []
    for row, entries in enumerate(rows):
        y = _TOP + _PLOT_HEIGHT + _BELOW + 16 + _LEGEND_LINE * row
        for column, (swatch, name) in enumerate(entries):
            x = _LEFT + 13 + column * (_WIDTH - _LEFT) // 2
            parts.append(f'<g transform="translate({x} {y - 4})">{swatch}</g>')
            parts.append(_text(x + 24, y, name, "start"))
    return parts


def _text(x: float, y: float, text: str, anchor: str = "middle", *, dim: bool = False) -> str:
    shade = ' class="dim"' if dim else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{shade}>{escape(text)}</text>'
