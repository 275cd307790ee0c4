from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import mmsearch
from mmsearch.media import Limits
from mmsearch.search.explain import explain as explain_item
from mmsearch.search.searcher import Searcher
from mmsearch.store import Store
from mmsearch_cli.explain import explain
from tests.fakes import FakeEncoder
from tests.pictures import paint


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A collection of two pictures and a caption that would like to be markup and a terminal's command."""
    encoder = FakeEncoder()
    for number in range(2):
        paint(tmp_path / f"{number}.png", seed=number, size=(60, 40))
    (tmp_path / "captions.csv").write_text("key,caption\n0.png,a red <b>\x1b[31mball\n")
    photos = mmsearch.create(tmp_path / ".mmsearch", encoder)
    photos.add(tmp_path, captions=tmp_path / "captions.csv")
    searcher = Searcher(Store.open(photos.path).snapshot(), home=photos.home)
    opened = SimpleNamespace(explain=lambda query, key: explain_item(query, key, encoder, searcher, Limits()))
    monkeypatch.setattr(mmsearch, "open", lambda _: opened)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def app() -> typer.Typer:
    command = typer.Typer()
    command.command()(explain)
    return command


def run(app: typer.Typer, *words: str) -> str:
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("folder")
def test_shares_of_terms_and_words_are_printed(app: typer.Typer) -> None:
    lines = run(app, "red dog", "-", "2:grass", "1.png").splitlines()
    score, dog, red_word, dog_word, grass, warmest = lines
    assert score.endswith("  1.png")
    assert dog.endswith("  red dog")
    assert grass.endswith("  - 2:grass")
    assert [red_word.split()[1], dog_word.split()[1]] == ["red", "dog"]
    assert float(dog.split()[0]) + float(grass.split()[0]) == pytest.approx(float(score.split()[0]), abs=0.002)
    assert warmest.endswith("from the top (occlusion)")


@pytest.mark.usefixtures("folder")
def test_a_captions_words_cannot_command_the_terminal(app: typer.Typer) -> None:
    said = run(app, "red", "0.png#text=0")
    assert "\x1b" not in said
    assert [line.split()[-1] for line in said.splitlines()[-3:]] == ["a", "red", "<b>\\x1b[31mball"]


def test_the_map_is_drawn_and_the_page_written(app: typer.Typer, folder: Path) -> None:
    run(app, "dog", "+", "@0.png", "1.png", "--png", "why", "--html", "why.html")
    with Image.open(folder / "why") as drawn:
        assert (drawn.format, drawn.size) == ("PNG", (60, 40))
    page = Page()
    page.feed((folder / "why.html").read_text())
    assert page.alts == ["what each place adds to the score", "where it shows: dog", "where it shows: @0.png"]
    assert "dog + @0.png" in page.text


def test_a_page_of_a_text_shows_its_words_as_they_are(app: typer.Typer, folder: Path) -> None:
    run(app, "red", "0.png#text=0", "--html", "why.html")
    page = Page()
    page.feed((folder / "why.html").read_text())
    assert page.alts == []
    assert "<b>\x1b[31mball" in page.text
    assert "b" not in page.tags


@pytest.mark.usefixtures("folder")
def test_json_is_one_object(app: typer.Typer) -> None:
    plain = json.loads(run(app, "dog", "1.png", "--json"))
    assert plain["terms"] == [{"weight": 1, "text": "dog", "share": pytest.approx(plain["score"]), "words": []}]


@pytest.mark.usefixtures("folder")
def test_an_item_that_is_not_there_is_one_sentence(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["dog", "9.png"])
    assert result.exit_code == 1
    assert "no item has the key '9.png'" in result.stderr


class Page(HTMLParser):
    """What a page says."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.alts, self.text = set[str](), list[str](), ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.alts += [value or "" for name, value in attrs if name == "alt"]

    def handle_data(self, data: str) -> None:
        self.text += data
