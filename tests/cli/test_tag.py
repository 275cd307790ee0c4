from __future__ import annotations

import inspect
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import mmsearch
from mmsearch.search import tagging
from mmsearch.search.tagging import TagReport
from mmsearch_cli.tag import tag

REPORT = TagReport(column="tags", pictures=1000, tagged=3, counts={"birthday cake": 3, "dog": 1, "lion": 0})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the collection is asked for."""
    calls: list[Any] = []

    def answer(words: list[str], **options: Any) -> TagReport:
        calls.append((words, options))
        return REPORT

    monkeypatch.setattr(mmsearch, "open", lambda _: SimpleNamespace(tag=answer))
    return calls


@pytest.fixture
def app() -> typer.Typer:
    command = typer.Typer()
    command.command()(tag)
    return command


def test_words_come_from_the_line_and_from_a_file(app: typer.Typer, asked: list[Any], tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("sea\nold town\n")
    result = CliRunner().invoke(app, ["dog", "birthday cake", "--words", str(tmp_path / "more.txt"), "--most", "5"])
    assert result.exit_code == 0
    words, options = asked[0]
    assert words == ["dog", "birthday cake", "sea", "old town"]
    assert options == {"column": "tags", "most": 5, "threshold": 2.0}


def test_words_are_counted_and_the_way_to_filter_is_told(app: typer.Typer, asked: list[Any]) -> None:
    result = CliRunner().invoke(app, ["dog"])
    assert asked
    assert result.stdout == "3\tbirthday cake\n1\tdog\n"
    assert result.stderr.splitlines() == [
        "3 of 1,000 pictures have words in column tags now; 1 of 3 words fit none",
        "filter by them: mmsearch search QUERY --where \"list_contains(tags, 'dog')\"",
    ]


def test_json_says_all(app: typer.Typer, asked: list[Any]) -> None:
    result = CliRunner().invoke(app, ["dog", "--json"])
    assert asked
    assert json.loads(result.stdout) == {
        "column": "tags",
        "pictures": 1000,
        "tagged": 3,
        "counts": {"birthday cake": 3, "dog": 1, "lion": 0},
    }


def test_the_defaults_are_those_of_the_library() -> None:
    ours, theirs = inspect.signature(tag).parameters, inspect.signature(tagging.tag).parameters
    for name in ("column", "most", "threshold"):
        assert ours[name].default == theirs[name].default
