"""What the terminal can show: which kind of pictures, how many columns, how large a character."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import termios
import time
import tty
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TextIO

import typer

VARIABLE = "MMSEARCH_PICTURES"
PicturesOption = Annotated[
    bool | None,
    typer.Option(
        "--pictures/--no-pictures",
        help=f"Draw the hits in the terminal. {VARIABLE}=1 does so always; kitty, iterm, sixel or blocks says how.",
        show_default=False,
        rich_help_panel="How it is shown",
    ),
]
_NO, _YES = ("", "0", "no", "off", "false"), ("1", "yes", "on", "true", "auto")
_ANSWER_S = 1.0  # how long a terminal may take to say what it is; a far one over ssh takes a tenth of that


class Graphics(StrEnum):
    """Ways to show a picture in a terminal."""

    KITTY = "kitty"
    ITERM = "iterm"
    SIXEL = "sixel"
    BLOCKS = "blocks"


# By TERM_PROGRAM, which is the innermost terminal's own, then by TERM, which ssh hands on.
_PROGRAMS = {
    "ghostty": Graphics.KITTY,
    "iTerm.app": Graphics.ITERM,
    "WezTerm": Graphics.ITERM,
    "mintty": Graphics.ITERM,
    "rio": Graphics.ITERM,
    "Apple_Terminal": Graphics.BLOCKS,
}
_TERMS = {"xterm-kitty": Graphics.KITTY, "xterm-ghostty": Graphics.KITTY}
# Variables that a terminal leaves for those who run in it.
_TRACES = {"KITTY_WINDOW_ID": Graphics.KITTY, "KONSOLE_VERSION": Graphics.KITTY, "ITERM_SESSION_ID": Graphics.ITERM}
_MULTIPLEXERS = ("TMUX", "STY", "ZELLIJ")


@dataclass(frozen=True, slots=True)
class Screen:
    """A terminal's size in characters, a character's size in pixels, and whether it has 24-bit colours."""

    columns: int = 80
    rows: int = 24
    cell_width: int = 10
    cell_height: int = 20
    true_colour: bool = True

    @classmethod
    def of(cls, stream: TextIO, environment: Mapping[str, str] = os.environ) -> Screen:
        """As the terminal behind ``stream`` says it; usual values for what it does not say."""
        usual = cls()
        try:
            answer = fcntl.ioctl(stream.fileno(), termios.TIOCGWINSZ, bytes(8))
            rows, columns, width, height = struct.unpack("HHHH", answer)
        except OSError:
            rows = columns = width = height = 0
        columns, rows = columns or usual.columns, rows or usual.rows
        in_pixels = width >= columns and height >= rows  # many terminals say 0, some 1
        return cls(
            columns=columns,
            rows=rows,
            cell_width=width // columns if in_pixels else usual.cell_width,
            cell_height=height // rows if in_pixels else usual.cell_height,
            true_colour=environment.get("COLORTERM") in ("truecolor", "24bit"),
        )


def graphics_for(asked: bool | None, stream: TextIO, environment: Mapping[str, str] = os.environ) -> Graphics | None:
    """How to show pictures on ``stream``; None where they are not wanted or cannot be shown.

    Args:
        asked: what the flag says; None when it was not given, and ``MMSEARCH_PICTURES`` decides.
        stream: where hits go.
        environment: ``MMSEARCH_PICTURES`` is yes or no or names a kind of graphics, which is then taken as it is.

    Raises:
        BadParameter: the variable has a value that means nothing.
    """
    wish = environment.get(VARIABLE, "").lower()
    named = {graphics.value: graphics for graphics in Graphics}.get(wish)
    if named is None and wish not in _NO + _YES:
        raise typer.BadParameter(f"{VARIABLE} is {wish!r}; make it 0, 1, {', '.join(Graphics)}")
    term = environment.get("TERM", "dumb")
    wanted = asked if asked is not None else wish not in _NO
    if not wanted or not stream.isatty() or term == "dumb":
        return None
    if named:
        return named
    if asked is None and environment.get("NO_COLOR"):  # no-color.org: what is asked for on the command line goes before
        return None
    found = _by_name(term, environment) or (Graphics.SIXEL if _shows_sixels() else Graphics.BLOCKS)
    has_blocks = (stream.encoding or "").lower().startswith("utf")
    return found if found is not Graphics.BLOCKS or has_blocks else None


def _by_name(term: str, environment: Mapping[str, str]) -> Graphics | None:
    if any(name in environment for name in _MULTIPLEXERS) or term.startswith(("screen", "tmux")):
        return Graphics.BLOCKS  # they pass no picture on, or only when told to
    if "TERM_PROGRAM" in environment:
        return _PROGRAMS.get(environment["TERM_PROGRAM"])
    if environment.get("LC_TERMINAL") == "iTerm2":
        return Graphics.ITERM
    return _TERMS.get(term) or next((_TRACES[name] for name in _TRACES if name in environment), None)


def _shows_sixels() -> bool:
    """Ask the terminal itself; not from the background, where asking would stop us."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp() and "4" in device_attributes(terminal)
    except (OSError, termios.error):
        return False
    finally:
        os.close(terminal)


def device_attributes(terminal: int, timeout_s: float = _ANSWER_S) -> list[str]:
    """What a terminal says it can do; nothing when it does not answer in time, or when keys were typed already.

    Source:
        Primary device attributes (DA1) of DEC's VT terminals, which nearly every terminal answers; 4 is sixel.
    """
    if _can_read(terminal, 0):
        return []
    before = termios.tcgetattr(terminal)
    answer = b""
    tty.setcbreak(terminal, termios.TCSADRAIN)  # no echo, no waiting for a line; Ctrl-C still works
    try:
        if not _can_read(terminal, 0):  # half a line, which could not be read before
            os.write(terminal, b"\x1b[c")
            end = time.monotonic() + timeout_s
            while not answer.endswith(b"c") and _can_read(terminal, end - time.monotonic()):
                answer += os.read(terminal, 64)
    finally:
        # An answer that is only half there is thrown away, not left for the shell.
        is_half = answer and not answer.endswith(b"c")
        termios.tcsetattr(terminal, termios.TCSAFLUSH if is_half else termios.TCSADRAIN, before)
    found = re.search(rb"\x1b\[\?([\d;]*)c$", answer)
    return found[1].decode("ascii").split(";") if found else []


def _can_read(terminal: int, seconds: float) -> bool:
    return bool(select.select([terminal], [], [], max(0, seconds))[0])
