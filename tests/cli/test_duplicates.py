from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

import mmsearch
from mmsearch.search.duplicates import Copy, CopyGroup
from mmsearch_cli.duplicates import duplicates
from tests.pictures import paint


def copy(folder: Path, key: str, size: tuple[int, int], *, cosine: float = 1.0, same_bytes: bool = False) -> Copy:
    path = paint(folder / key, seed=0, size=size)
    return Copy(
        id=0, key=key, path=path, width=size[0], height=size[1], bytes=12_345, cosine=cosine, same_bytes=same_bytes
    )


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Of a collection with two groups of copies."""
    keep = copy(tmp_path, "a.png", (40, 30), same_bytes=True)
    small = copy(tmp_path, "small\ta.png", (20, 15), cosine=0.9876)
    again = copy(tmp_path, "again/a.png", (40, 30), same_bytes=True)
    groups = [CopyGroup(keep, (again, small)), CopyGroup(small, (keep,))]
    opened = SimpleNamespace(duplicates=lambda *, progress: [progress(3), groups][1])
    monkeypatch.setattr(mmsearch, "open", lambda _: opened)
    return CliRunner()


@pytest.fixture
def app() -> typer.Typer:
    command = typer.Typer()
    command.command()(duplicates)
    return command


def test_groups_are_listed_with_the_one_to_keep_first(runner: CliRunner, app: typer.Typer) -> None:
    result = runner.invoke(app, [])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:4] == [
        "3 copies, 0.02 MB to spare",
        "  40 x 30  0.01 MB  a.png  (keep)",
        "  40 x 30  0.01 MB  again/a.png  (same bytes)",
        "  20 x 15  0.01 MB  small\\ta.png  (looks the same, cosine 0.988)",
    ]
    assert result.stderr.splitlines()[-1] == "2 groups; 3 pictures to spare, 0.04 MB; nothing was deleted"


def test_json_has_one_group_a_line(runner: CliRunner, app: typer.Typer) -> None:
    first, second = map(json.loads, runner.invoke(app, ["--json"]).stdout.splitlines())
    assert first["keep"]["key"] == "a.png"
    assert [spare["key"] for spare in first["spare"]] == ["again/a.png", "small\ta.png"]
    assert (first["spare_bytes"], second["spare_bytes"]) == (24_690, 12_345)


def test_groups_are_laid_out_on_a_contact_sheet(runner: CliRunner, app: typer.Typer, tmp_path: Path) -> None:
    result = runner.invoke(app, ["--html", str(tmp_path / "copies.html")])
    assert result.exit_code == 0, result.stderr
    page = (tmp_path / "copies.html").read_text(encoding="utf-8")
    assert page.count("data:image") >= 5
    assert "again/a.png" in page
    assert "2 to spare, 24,690 bytes" in page
