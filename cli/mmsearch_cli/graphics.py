"""Pictures as the bytes that terminals understand."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

_KITTY_CHUNK = 4096
_SIXEL_COLOURS = 255  # of the 256 registers; the last is what Pillow may need for itself
_ENOUGH_FOR_A_PALETTE = 96  # pixels of the longer side
_OPAQUE = 128  # alpha from which a pixel is drawn
_NOTHING = -1  # the colour of a pixel that is not
_RUN = re.compile(r"(.)\1{3,}")

_LEVELS = (0, 95, 135, 175, 215, 255)
_GREYS = range(8, 239, 10)


def kitty(image: Image.Image, columns: int, rows: int) -> str:
    """A picture over ``columns`` x ``rows`` characters, the cursor left where it is, and no answer asked for.

    Source:
        https://sw.kovidgoyal.net/kitty/graphics-protocol/
    """
    data = _png(image)
    chunks = [data[at : at + _KITTY_CHUNK] for at in range(0, len(data), _KITTY_CHUNK)]
    keys = f"a=T,f=100,q=2,C=1,c={columns},r={rows},"
    return "".join(
        f"\x1b_G{'' if number else keys}m={int(number + 1 < len(chunks))};{chunk}\x1b\\"
        for number, chunk in enumerate(chunks)
    )


def iterm(image: Image.Image, columns: int, rows: int) -> str:
    """A picture over ``columns`` x ``rows`` characters; the cursor may move.

    Source:
        https://iterm2.com/documentation-images.html
    """
    data = _png(image)
    size = len(data) * 3 // 4 - data.count("=", -2)
    return f"\x1b]1337;File=inline=1;size={size};width={columns};height={rows};preserveAspectRatio=0:{data}\x07"


def _png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=3)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def sixel(image: Image.Image) -> str:
    """A picture pixel by pixel, transparent where it is; the cursor may move.

    Bands of six rows; in each, every colour draws its pixels over the whole width, one character a column.

    Source:
        VT330/VT340 Programmer Reference Manual, volume 2, chapter 14.
    """
    drawn = np.asarray(image.getchannel("A")) >= _OPAQUE
    rgb = image.convert("RGB")
    small = rgb.copy()
    small.thumbnail((_ENOUGH_FOR_A_PALETTE, _ENOUGH_FOR_A_PALETTE))  # choosing from all pixels takes ten times as long
    indexed = rgb.quantize(palette=small.quantize(_SIXEL_COLOURS), dither=Image.Dither.FLOYDSTEINBERG)
    palette = np.array(indexed.getpalette("RGB"), dtype=np.int64).reshape(-1, 3)
    registers = "".join(
        f"#{number};2;{red};{green};{blue}"
        for number, (red, green, blue) in enumerate(((palette * 100 + 127) // 255).tolist())
    )
    pixels = np.where(drawn, np.asarray(indexed, dtype=np.int64), _NOTHING)
    missing = -len(pixels) % 6
    pixels = np.pad(pixels, ((0, missing), (0, 0)), constant_values=_NOTHING)
    bands = "-".join("$".join(_band(pixels[top : top + 6])) for top in range(0, len(pixels), 6))
    return f'\x1bP0;1;0q"1;1;{image.width};{image.height}{registers}{bands}\x1b\\'


def _band(pixels: npt.NDArray[np.int64]) -> Iterator[str]:
    """Each colour of six rows: its register, then a character a column, whose bits say which rows are drawn."""
    colours, places = np.unique(pixels, return_inverse=True)
    bits = np.zeros((len(colours), pixels.shape[1]), dtype=np.uint8)
    for row, place in enumerate(places.reshape(pixels.shape)):
        bits[place, np.arange(len(place))] |= 1 << row
    for colour, drawn in zip(colours.tolist(), bits + 63, strict=True):
        if colour != _NOTHING:
            characters = drawn.tobytes().decode("ascii").rstrip("?")
            yield f"#{colour}{_RUN.sub(lambda run: f'!{len(run[0])}{run[1]}', characters)}"


def blocks(image: Image.Image, *, true_colour: bool) -> list[str]:
    """A picture as lines of half blocks: two pixels a character, one above the other.

    Args:
        image: RGBA; its height is even.
        true_colour: 24-bit colours, or else the 256 that nearly every terminal has.
    """
    drawn = (np.asarray(image.getchannel("A")) >= _OPAQUE).tolist()
    rgb = image.convert("RGB")
    codes = _true_colours(rgb) if true_colour else _palette_colours(rgb)
    return [
        _line(zip(codes[top], codes[top + 1], drawn[top], drawn[top + 1], strict=True))
        for top in range(0, image.height, 2)
    ]


def _line(cells: Iterator[tuple[str, str, bool, bool]]) -> str:
    line, style = "", ""
    for upper, lower, has_upper, has_lower in cells:
        match has_upper, has_lower:
            case True, True:
                wanted, character = f"\x1b[38;{upper};48;{lower}m", "▀"
            case True, False:
                wanted, character = f"\x1b[0;38;{upper}m", "▀"
            case False, True:
                wanted, character = f"\x1b[0;38;{lower}m", "▄"
            case _:
                wanted, character = "\x1b[0m", " "
        line += character if wanted == style else wanted + character
        style = wanted
    return line + "\x1b[0m"


def _true_colours(rgb: Image.Image) -> list[list[str]]:
    return [[f"2;{red};{green};{blue}" for red, green, blue in row] for row in np.asarray(rgb).tolist()]


def _palette_colours(rgb: Image.Image) -> list[list[str]]:
    """Xterm's colours from 16 on, which people do not redefine: a cube of 6 x 6 x 6, then 24 greys."""
    cube = [(red, green, blue) for red in _LEVELS for green in _LEVELS for blue in _LEVELS]
    palette = Image.new("P", (1, 1))
    palette.putpalette([channel for colour in [*cube, *((grey,) * 3 for grey in _GREYS)] for channel in colour])
    nearest = rgb.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    return [[f"5;{16 + number}" for number in row] for row in np.asarray(nearest).tolist()]
