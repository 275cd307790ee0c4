from __future__ import annotations

import base64
import io
import os
import pty
import re
import termios
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmsearch import Hit, Hits, Text
from mmsearch.store import Modality
from mmsearch_cli import browser, graphics, pictures, terminal
from mmsearch_cli.terminal import Graphics, Screen, graphics_for
from tests.pictures import paint

_SCREEN = Screen(columns=80, rows=40, cell_width=8, cell_height=16, true_colour=True)


class Terminal(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def painted(size: tuple[int, int] = (40, 30), seed: int = 0) -> Image.Image:
    """Smooth colours with a transparent stripe on top."""
    coarse = np.random.default_rng(seed).integers(0, 256, size=(3, 3, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, size[0], size[1] // 3))
    return image


def difference(first: Image.Image, second: Image.Image) -> float:
    """Mean difference of the channels where both are drawn; what is drawn must be the same."""
    one, other = (np.asarray(image.convert("RGBA"), dtype=int) for image in (first, second))
    np.testing.assert_array_equal(one[..., 3], other[..., 3])
    return float(np.abs(one - other)[one[..., 3] > 0].mean())


# The protocols, read again by decoders of our own.


def read_kitty(text: str) -> tuple[dict[str, str], Image.Image]:
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in chunks) == text
    assert all(len(data) <= 4096 for _, data in chunks)
    assert [keys[-3:] for keys, _ in chunks] == ["m=1"] * (len(chunks) - 1) + ["m=0"]
    keys = dict(pair.split("=") for pair in chunks[0][0].split(","))
    return keys, Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in chunks), validate=True)))


def read_iterm(text: str) -> tuple[dict[str, str], Image.Image]:
    found = re.fullmatch(r"\x1b\]1337;File=([^:]*):([^\x07]*)\x07", text)
    assert found
    data = base64.b64decode(found[2], validate=True)
    arguments = dict(pair.split("=") for pair in found[1].split(";"))
    assert int(arguments["size"]) == len(data)
    return arguments, Image.open(io.BytesIO(data))


def read_sixel(text: str) -> Image.Image:
    found = re.fullmatch(r'\x1bP0;1;0q"1;1;(\d+);(\d+)(.*)\x1b\\', text, re.S)
    assert found
    width, height = int(found[1]), int(found[2])
    canvas = np.zeros((height + -height % 6, width, 4), dtype=np.uint8)
    registers: dict[int, list[int]] = {}
    x, y, colour = 0, 0, 0
    for token in re.findall(r"#\d+;2;\d+;\d+;\d+|#\d+|!\d+.|[$-]|[?-~]", found[3]):
        if ";" in token:
            number, _, *parts = (int(part) for part in token[1:].split(";"))
            registers[number] = [round(part * 255 / 100) for part in parts]
        elif token[0] == "#":
            colour = int(token[1:])
        elif token == "$":
            x = 0
        elif token == "-":
            x, y = 0, y + 6
        else:
            end = x + (int(token[1:-1]) if token[0] == "!" else 1)
            for row in range(6):
                if ord(token[-1]) - 63 >> row & 1:
                    assert not canvas[y + row, x:end, 3].any(), "a pixel drawn twice"
                    canvas[y + row, x:end] = [*registers[colour], 255]
            x = end
    assert not canvas[height:].any()
    return Image.fromarray(canvas[:height])


def xterm_colour(code: list[str]) -> list[int]:
    """The colour of ``2;r;g;b`` or ``5;number``, as xterm's documentation gives it."""
    if code[0] == "2":
        return [int(part) for part in code[1:4]]
    number = int(code[1])
    if number >= 232:
        return [8 + 10 * (number - 232)] * 3
    levels = [0, 95, 135, 175, 215, 255]
    return [levels[(number - 16) // step % 6] for step in (36, 6, 1)]


def read_blocks(lines: list[str]) -> Image.Image:
    rows: list[list[list[int]]] = []
    for line in lines:
        upper, lower = [], []
        foreground, background = None, None
        for codes, character in re.findall(r"\x1b\[([\d;]*)m|(.)", line):
            parts = codes.split(";")
            if character:
                over, under = {"▀": (foreground, background), "▄": (background, foreground), " ": (None, None)}[
                    character
                ]
                for half, colour in ((upper, over), (lower, under)):
                    half.append([*colour, 255] if colour else [0, 0, 0, 0])
                continue
            while parts:
                code = parts.pop(0)
                if code == "0":
                    foreground = background = None
                else:
                    length = 4 if parts[0] == "2" else 2
                    colour, parts = xterm_colour(parts[:length]), parts[length:]
                    foreground, background = (colour, background) if code == "38" else (foreground, colour)
        assert line.endswith("\x1b[0m")
        rows += [upper, lower]
    return Image.fromarray(np.array(rows, dtype=np.uint8))


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(3, 30), st.integers(0, 99))
def test_kitty_and_iterm_get_the_picture_as_it_is(width: int, height: int, seed: int) -> None:
    image = painted((width, height), seed)
    keys, sent = read_kitty(graphics.kitty(image, 7, 5))
    assert (keys["a"], keys["f"], keys["q"], keys["C"], keys["c"], keys["r"]) == ("T", "100", "2", "1", "7", "5")
    assert difference(sent, image) == 0
    arguments, sent = read_iterm(graphics.iterm(image, 7, 5))
    assert (arguments["inline"], arguments["width"], arguments["height"]) == ("1", "7", "5")
    assert difference(sent, image) == 0


def test_a_large_picture_goes_to_kitty_in_chunks() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 100, 4), dtype=np.uint8))
    text = graphics.kitty(noise, 7, 5)
    assert text.count("\x1b_G") > 5
    np.testing.assert_array_equal(np.asarray(read_kitty(text)[1]), np.asarray(noise))


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(3, 30), st.integers(0, 99))
def test_sixels_draw_each_pixel_once_and_nearly_in_its_colour(width: int, height: int, seed: int) -> None:
    image = painted((width, height), seed)
    assert difference(read_sixel(graphics.sixel(image)), image) < 12


def test_sixels_of_few_colours_are_exact_to_the_percent() -> None:
    image = Image.new("RGBA", (50, 13), (255, 0, 0, 255))
    image.paste((0, 0, 255, 255), (10, 5, 30, 9))
    assert difference(read_sixel(graphics.sixel(image)), image) == 0
    assert "!50~" in graphics.sixel(Image.new("RGBA", (50, 6), (255, 0, 0, 255)))


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(2, 20), st.integers(0, 99))
def test_blocks_are_the_picture_two_pixels_a_character(width: int, half_height: int, seed: int) -> None:
    image = painted((width, 2 * half_height), seed)
    lines = graphics.blocks(image, true_colour=True)
    assert [len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in lines] == [width] * half_height
    assert difference(read_blocks(lines), image) == 0


def test_blocks_in_256_colours_keep_the_mean_colour() -> None:
    image = painted((40, 40), seed=3)
    sent = read_blocks(graphics.blocks(image, true_colour=False))
    assert difference(sent, image) < 40
    one, other = (np.asarray(each, dtype=int)[14:].mean(axis=(0, 1)) for each in (sent, image))
    assert np.abs(one - other).max() < 8  # what one pixel lacks, its neighbours have


# Where things come to lie.


class Emulator:
    """As much of a terminal as we use, with a few lines only, so that it scrolls."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.lines: dict[int, dict[int, str]] = {}
        self.pictures: list[tuple[int, int]] = []  # absolute line and column of each one's upper left
        self.top = self.row = self.column = 0
        self.saved = (0, 0)

    def feed(self, text: str) -> Emulator:
        for move, save, picture, character in re.findall(
            r"\x1b\[(\d+[ABC])|\x1b([78])|(\x1b_G.*?\x1b\\|\x1bP.*?\x1b\\|\x1b\]1337.*?\x07)|(.)", text, re.S
        ):
            if move:
                down, right = {"A": (-1, 0), "B": (1, 0), "C": (0, 1)}[move[-1]]
                self.row = min(self.rows - 1, max(0, self.row + down * int(move[:-1])))
                self.column += right * int(move[:-1])
            elif save == "7":
                self.saved = (self.row, self.column)
            elif save == "8":
                self.row, self.column = self.saved
            elif picture:
                if not picture.startswith("\x1b_Gm="):  # the rest of one
                    self.pictures.append((self.top + self.row, self.column))
                if not picture.startswith("\x1b_G"):
                    self.row, self.column = min(self.rows - 1, self.row + 3), 77  # wherever a picture leaves it
            elif character == "\n":
                self.column = 0
                self.top += self.row == self.rows - 1
                self.row = min(self.rows - 1, self.row + 1)
            else:
                assert character >= " "
                self.lines.setdefault(self.top + self.row, {})[self.column] = character
                self.column += 1
        return self

    def line(self, number: int) -> str:
        cells = self.lines.get(number, {})
        return "".join(cells.get(column, " ") for column in range(max(cells, default=-1) + 1))

    def place(self, words: str) -> tuple[int, int]:
        """Line and column where words stand."""
        return next((number, self.line(number).index(words)) for number in self.lines if words in self.line(number))


def hit(rank: int, path: Path = Path("/gone.jpg"), **changes: object) -> Hit:
    usual: dict[str, object] = {"relevance": 0.5, "key": f"{rank}.png", "modality": Modality.IMAGE, "text": None}
    return Hit(rank=rank, score=1 / rank, id=rank, path=path, **{**usual, **changes})  # type: ignore[arg-type]


@pytest.fixture
def found(tmp_path: Path) -> Hits:
    """Four pictures wide, tall and square, and a text."""
    sizes = [(90, 40), (40, 90), (60, 60), (90, 60)]
    hits = [hit(rank, paint(tmp_path / f"{rank}.png", rank, size)) for rank, size in enumerate(sizes, start=1)]
    words = "a child on a swing, with words enough for two lines"
    return Hits((*hits, hit(5, modality=Modality.TEXT, text=words, relevance=None, copies=("x",))), Text("red"))


def drawn(hits: Hits, graphics: Graphics, screen: Screen = _SCREEN) -> str:
    stream = io.StringIO()
    pictures.draw(hits, stream, graphics, screen)
    return stream.getvalue()


@pytest.mark.parametrize("kind", [Graphics.KITTY, Graphics.ITERM, Graphics.SIXEL])
@pytest.mark.parametrize("rows", [20, 60])
def test_each_picture_stands_above_its_label_even_when_the_screen_scrolls(
    found: Hits, kind: Graphics, rows: int
) -> None:
    screen = Emulator(rows).feed("$ mmsearch\n" * 7 + drawn(found, kind) + "$ ")
    assert len(screen.pictures) == 4
    labels = [screen.place(f"{hit.rank}  {hit.score:.3f}") for hit in found]
    for (top, left), (below, column) in zip(screen.pictures, labels[:4], strict=True):
        assert left == column
        assert top < below
    assert labels[0][0] == labels[2][0] < labels[3][0] == labels[4][0]  # three in a row of 80 characters
    words = [screen.line(labels[4][0] - up)[labels[4][1] :] for up in (3, 2, 1)]
    assert words == ["a child on a swing, with", "words enough for two", "lines"]
    assert screen.line(labels[4][0]).endswith("5  0.200  +1")
    assert screen.place("$ ")[0] < labels[0][0]
    assert screen.column == 2
    assert screen.top + screen.row == labels[4][0] + 3  # the name, an empty line, the prompt


def test_a_row_is_as_high_as_its_highest_picture(tmp_path: Path) -> None:
    flat = Hits((hit(1, paint(tmp_path / "1.png", 1, (90, 20))),), Text("red"))
    keys, picture = read_kitty(re.search(r"\x1b_G.*\x1b\\", drawn(flat, Graphics.KITTY), re.S)[0].split("\x1b8")[0])  # type: ignore[index]
    assert (keys["c"], keys["r"]) == ("38", "5")  # 38 * 8 = 304 pixels wide, so 68 high: 5 lines of 16
    assert picture.size == (38 * 8, 5 * 16)
    assert picture.getchannel("A").getbbox() == (0, 80 - 68, 304, 80)


def test_blocks_hold_the_pictures_in_lines_of_the_screens_width(found: Hits) -> None:
    lines = drawn(found, Graphics.BLOCKS).splitlines()
    plain = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]
    assert max(map(len, plain)) <= 80
    assert not re.search(r"\x1b[^\[]|\x1b\[[\d;]*[^\d;m]", "".join(lines))  # colours, and no moves
    assert "▀" in plain[0] or "▄" in plain[0]
    label = next(line for line in plain if line.startswith("1  1.000"))
    assert label.index("2  0.500") == 40


def test_a_picture_that_is_gone_is_named(tmp_path: Path) -> None:
    text = drawn(Hits((hit(1, tmp_path / "1.png", key="a/1.png"),), Text("red")), Graphics.SIXEL)
    assert "no longer readable" in text
    assert "a/1.png" in text
    assert "\x1bP" not in text


def test_no_name_text_or_column_commands_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\r\n\x9b31m"
    hits = Hits(
        (hit(1, key=evil, columns={evil: evil}), hit(2, modality=Modality.TEXT, text=evil, key=evil)), Text("red")
    )
    for kind in Graphics:
        commands = re.sub(r"\x1b\[\d+[ABC]|\x1b[78]|\n", "", drawn(hits, kind))
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", commands)


def test_long_names_take_two_lines_and_keep_their_end() -> None:
    assert pictures._folded("a/b.jpg", 8) == ["a/b.jpg"]
    assert pictures._folded("abcdefghij", 8) == ["abcdefgh", "ij"]
    assert "".join(pictures._folded("x" * 99 + "/IMG_1.jpg", 8)) == "…xxxxx/IMG_1.jpg"
    assert pictures._folded("日本語の名前.jpg", 8) == ["日本語の", "名前.jpg"]


def test_no_hits_draw_nothing() -> None:
    assert drawn(Hits((), Text("red")), Graphics.KITTY) == ""


# Which graphics.


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-kitty"}, Graphics.KITTY),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, Graphics.KITTY),
        ({"TERM": "xterm-ghostty"}, Graphics.KITTY),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "230804"}, Graphics.KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, Graphics.ITERM),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, Graphics.ITERM),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, Graphics.ITERM),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode", "KITTY_WINDOW_ID": "1"}, Graphics.BLOCKS),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, Graphics.BLOCKS),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "tmux", "KITTY_WINDOW_ID": "1"}, Graphics.BLOCKS),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, Graphics.BLOCKS),
        ({"TERM": "screen.xterm-256color", "LC_TERMINAL": "iTerm2"}, Graphics.BLOCKS),
        ({"TERM": "xterm-kitty", "STY": "1"}, Graphics.BLOCKS),
        ({"TERM": "xterm"}, Graphics.BLOCKS),
        ({"TERM": "dumb"}, None),
        ({}, None),
        ({"TERM": "xterm-kitty", "MMSEARCH_PICTURES": "sixel"}, Graphics.SIXEL),
        ({"TERM": "dumb", "MMSEARCH_PICTURES": "sixel"}, None),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, Graphics.KITTY),
    ],
)
def test_terminals_are_known_by_their_environment(
    environment: dict[str, str], expected: Graphics | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "_shows_sixels", lambda: False)
    assert graphics_for(True, Terminal(), environment) is expected


@pytest.mark.parametrize(
    ("asked", "variable", "no_color", "expected"),
    [
        (None, None, "", None),
        (None, "0", "", None),
        (None, "1", "", Graphics.KITTY),
        (None, "BLOCKS", "", Graphics.BLOCKS),
        (False, "1", "", None),
        (True, "off", "", Graphics.KITTY),
        (None, "1", "1", None),
        (None, "blocks", "1", Graphics.BLOCKS),
    ],
)
def test_the_flag_goes_before_the_variable(
    asked: bool | None, variable: str | None, no_color: str, expected: Graphics | None
) -> None:
    environment = {"TERM": "xterm-kitty", "NO_COLOR": no_color}
    if variable is not None:
        environment["MMSEARCH_PICTURES"] = variable
    assert graphics_for(asked, Terminal(), environment) is expected


def test_pictures_are_off_when_hits_go_to_a_file_or_a_pipe() -> None:
    assert graphics_for(True, io.StringIO(), {"TERM": "xterm-kitty"}) is None


def test_blocks_need_an_encoding_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Terminal, "encoding", "iso8859-1")
    assert graphics_for(True, Terminal(), {"TERM": "tmux"}) is None
    assert graphics_for(True, Terminal(), {"TERM": "xterm-kitty"}) is Graphics.KITTY


def test_a_variable_that_means_nothing_is_refused() -> None:
    with pytest.raises(Exception, match="MMSEARCH_PICTURES is 'kity'; make it 0, 1, kitty, iterm, sixel, blocks"):
        graphics_for(None, Terminal(), {"TERM": "xterm", "MMSEARCH_PICTURES": "kity"})


@pytest.fixture
def line() -> Iterator[tuple[int, int]]:
    """The two ends of a terminal line: where a terminal would be, and where the program is."""
    far, near = pty.openpty()
    yield far, near
    os.close(far)
    os.close(near)


def test_a_terminal_is_asked_for_its_attributes(line: tuple[int, int]) -> None:
    far, near = line
    before = termios.tcgetattr(near)
    heard = []

    def answer() -> None:
        heard.append(os.read(far, 3))
        os.write(far, b"\x1b[?62")  # in two parts, as a slow line brings it
        time.sleep(0.02)
        os.write(far, b";4;22c")

    thread = threading.Thread(target=answer)
    thread.start()
    assert terminal.device_attributes(near) == ["62", "4", "22"]
    thread.join()
    assert heard == [b"\x1b[c"]
    assert termios.tcgetattr(near) == before


def test_a_terminal_that_does_not_answer_holds_us_up_for_a_moment_only(line: tuple[int, int]) -> None:
    far, near = line
    before = termios.tcgetattr(near)
    os.write(far, b"")
    began = time.monotonic()
    assert terminal.device_attributes(near, timeout_s=0.05) == []
    assert time.monotonic() - began < 1
    assert termios.tcgetattr(near) == before


def test_half_an_answer_is_not_left_for_the_shell(line: tuple[int, int]) -> None:
    far, near = line
    timer = threading.Timer(0.02, os.write, (far, b"\x1b[?62;"))
    timer.start()
    assert terminal.device_attributes(near, timeout_s=0.1) == []
    timer.join()
    os.write(far, b"next\n")
    assert os.read(near, 64) == b"next\n"


@pytest.mark.parametrize("keys", [b"ls\n", b"l"])
def test_keys_typed_ahead_are_kept(line: tuple[int, int], keys: bytes) -> None:
    far, near = line
    os.write(far, keys)
    time.sleep(0.02)
    before = termios.tcgetattr(near)
    assert terminal.device_attributes(near, timeout_s=0.05) == []
    assert termios.tcgetattr(near) == before
    tty.setraw(near, termios.TCSADRAIN)  # as a shell reads
    assert os.read(near, 64) == keys


def test_a_screen_is_measured(line: tuple[int, int]) -> None:
    _, near = line
    with os.fdopen(os.dup(near), "w") as stream:
        for size, expected in [
            ((50, 120, 1200, 1100), Screen(120, 50, 10, 22, true_colour=False)),
            ((50, 120, 0, 0), Screen(120, 50, 10, 20, true_colour=False)),
            ((50, 120, 1, 1), Screen(120, 50, 10, 20, true_colour=False)),
            ((0, 0, 0, 0), Screen(80, 24, 10, 20, true_colour=False)),
        ]:
            set_size(near, *size)
            assert Screen.of(stream, {}) == expected
        assert Screen.of(stream, {"COLORTERM": "truecolor"}).true_colour
    assert Screen.of(io.StringIO(), {}) == Screen(80, 24, 10, 20, true_colour=False)


def set_size(near: int, rows: int, columns: int, width: int, height: int) -> None:
    import fcntl
    import struct

    fcntl.ioctl(near, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, width, height))


# The page in the browser.


def test_a_page_is_opened_in_the_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(browser.webbrowser, "open", lambda uri: not opened.append(uri))
    monkeypatch.setattr(browser.tempfile, "tempdir", str(tmp_path))
    page = browser.temporary_page()
    assert page.parent.stat().st_mode & 0o777 == 0o700
    page.touch()
    browser.show_page(page)
    assert opened == [page.as_uri()]


def test_where_there_is_no_browser_the_page_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(browser.webbrowser, "open", lambda _: False)
    browser.show_page(Path("/somewhere/hits.html"))
    assert capsys.readouterr().err == "there is no browser to open here; the page is /somewhere/hits.html\n"
