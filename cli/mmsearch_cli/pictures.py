"""Hits as pictures in the terminal, in rows, each above its rank, score and name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from mmsearch_cli.render import one_line, shown
from mmsearch_cli.terminal import Graphics, Screen

if TYPE_CHECKING:
    from PIL import Image

    from mmsearch import Hit, Hits

_WIDTHS = (26, 40)  # characters that a hit may take, least and most, the gap to the next one included
_WIDTHS_IN_BLOCKS = (38, 60)  # where a character is but two pixels
_GAP = 2
_HEIGHT = 3 / 4  # of the box that a picture is fitted into, by its width
_FOLDS = 2  # lines that a name may take
_SPARE_ROWS = 6  # of the screen, for what stands below a picture and the prompt


@dataclass(frozen=True, slots=True)
class _Box:
    """A grid's pictures: how many in a row, characters that each is wide and high, a character's pixels."""

    across: int
    columns: int
    rows: int
    cell: tuple[int, int]

    @classmethod
    def on(cls, screen: Screen, graphics: Graphics, *, hits: int) -> _Box:
        least, most = _WIDTHS_IN_BLOCKS if graphics is Graphics.BLOCKS else _WIDTHS
        across = max(1, min(hits, screen.columns // least))
        columns = min(most, screen.columns // across) - _GAP
        cell = (1, 2) if graphics is Graphics.BLOCKS else (screen.cell_width, screen.cell_height)
        rows = round(columns * cell[0] * _HEIGHT / cell[1])
        return cls(across, max(1, columns), max(1, min(rows, screen.rows - _SPARE_ROWS)), cell)


@dataclass(frozen=True, slots=True)
class _Tile:
    """One hit: a picture fitted into its box or else words, and the lines below."""

    picture: Image.Image | None
    words: tuple[str, ...]
    label: tuple[str, ...]


def draw(hits: Hits, stream: TextIO, graphics: Graphics, screen: Screen | None = None) -> None:
    """Write hits as rows of pictures, best first; texts among them as words.

    Args:
        hits: what was found; a picture that cannot be read any more is named.
        stream: a terminal that understands ``graphics``.
        graphics: see ``graphics_for``.
        screen: the terminal's measures; asked of ``stream`` when None.
    """
    screen = screen or Screen.of(stream)
    box = _Box.on(screen, graphics, hits=len(hits))
    for first in range(0, len(hits), box.across):
        with ThreadPoolExecutor() as pool:
            tiles = list(pool.map(lambda hit: _tile(hit, box), hits[first : first + box.across]))
        stream.write("".join(_row(tiles, box, graphics, screen)))
        stream.flush()


def _tile(hit: Hit, box: _Box) -> _Tile:
    from PIL import ImageOps

    from mmsearch.errors import MediaError, NotFound
    from mmsearch.media import load_picture

    label = tuple(line for text in _label(hit) for line in _folded(text, box.columns))
    if hit.modality.value == "text":
        return _Tile(None, _wrapped(shown(hit), box), label)
    size = box.columns * box.cell[0], box.rows * box.cell[1]
    try:
        picture = load_picture(hit.path, min_side=max(size))
    except (MediaError, NotFound):
        return _Tile(None, _wrapped("no longer readable", box), label)
    return _Tile(ImageOps.contain(picture, size), (), label)


def _label(hit: Hit) -> Iterator[str]:
    relevance = "" if hit.relevance is None else f"  {100 * hit.relevance:.0f} %"
    copies = f"  +{len(hit.copies)}" if hit.copies else ""
    yield f"{hit.rank}  {hit.score:.3f}{relevance}{copies}"
    yield one_line(hit.key)
    for name, value in hit.columns.items():
        yield one_line(f"{name} {value}")


def _row(tiles: list[_Tile], box: _Box, graphics: Graphics, screen: Screen) -> Iterator[str]:
    rows = max(math.ceil(tile.picture.height / box.cell[1]) if tile.picture else len(tile.words) for tile in tiles)
    labels = max(len(tile.label) for tile in tiles)
    lines = [
        [*_body(tile, box, rows, graphics, screen), *tile.label, *[""] * (labels - len(tile.label))] for tile in tiles
    ]
    for together in zip(*lines, strict=True):
        yield (" " * _GAP).join(_padded(part, box.columns) for part in together).rstrip(" ") + "\n"
    if graphics is not Graphics.BLOCKS:
        yield from _placed(tiles, box, rows, rows + labels, graphics)
    yield "\n"


def _body(tile: _Tile, box: _Box, rows: int, graphics: Graphics, screen: Screen) -> list[str]:
    """The lines in a picture's place: blocks, words, or nothing where pixels will be put."""
    if tile.picture and graphics is Graphics.BLOCKS:
        from mmsearch_cli.graphics import blocks

        return blocks(_canvas(tile.picture, box, rows), true_colour=screen.true_colour)
    return [*[""] * (rows - len(tile.words)), *tile.words]


def _placed(tiles: list[_Tile], box: _Box, rows: int, below: int, graphics: Graphics) -> Iterator[str]:
    """Go back up to the space that was left, put the pictures there, and come back.

    The lines are there already, so nothing scrolls; a saved place is the same whatever a picture does to the cursor.
    """
    from mmsearch_cli.graphics import iterm, kitty, sixel

    yield f"\x1b[{below}A\x1b7"
    for number, tile in enumerate(tiles):
        if tile.picture:
            canvas = _canvas(tile.picture, box, rows)
            across = number * (box.columns + _GAP)
            yield f"\x1b8\x1b[{across}C" if across else "\x1b8"
            match graphics:
                case Graphics.KITTY:
                    yield kitty(canvas, box.columns, rows)
                case Graphics.ITERM:
                    yield iterm(canvas, box.columns, rows)
                case _:
                    yield sixel(canvas)
    yield f"\x1b8\x1b[{below}B"


def _canvas(picture: Image.Image, box: _Box, rows: int) -> Image.Image:
    """A picture on transparent ground of exactly so many characters, at the lower left, next to its label."""
    from PIL import Image

    canvas = Image.new("RGBA", (box.columns * box.cell[0], rows * box.cell[1]))
    canvas.paste(picture, (0, canvas.height - picture.height))
    return canvas


def _wrapped(text: str, box: _Box) -> tuple[str, ...]:
    from rich.console import Console
    from rich.text import Text

    console = Console(width=box.columns, color_system=None)
    lines = [line.plain.rstrip() for line in Text(text).wrap(console, box.columns, no_wrap=False)]
    if len(lines) > box.rows:
        lines[box.rows - 1 :] = [f"{lines[box.rows - 1][: box.columns - 1]}…"]
    return tuple(lines)


def _folded(text: str, columns: int) -> list[str]:
    """A text on two lines at most; of one that is longer the end, where names differ most."""
    from rich.cells import chop_cells

    lines = chop_cells(text, columns)
    if len(lines) <= _FOLDS:
        return lines
    end = text[-_FOLDS * columns :]
    while len(lines := chop_cells(f"…{end}", columns)) > _FOLDS:
        end = end[1:]
    return lines


def _padded(text: str, columns: int) -> str:
    from rich.cells import cell_len

    return text + " " * (columns - cell_len(text)) if "\x1b" not in text else text  # blocks are as wide as they should
