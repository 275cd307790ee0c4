"""The README is held to the program and to the records."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SEARCHING = (ROOT / "docs/searching.md").read_text(encoding="utf-8")
INDEXES = (ROOT / "docs/indexes.md").read_text(encoding="utf-8")
COMMANDS = "index|search|build|bench|explain|tag|duplicates|info|verify|repair|remove|encoders|eval|demo"


def test_the_table_is_that_of_the_newest_records() -> None:
    assert table.render() in README


def test_every_command_and_option_is_one_the_program_has() -> None:
    words = re.findall(rf"mmsearch ({COMMANDS})([^`\n]*)", README + SEARCHING + INDEXES)
    shown_off = {"index", "search", "build", "bench", "demo", "explain", "tag", "duplicates"}
    assert {command for command, _ in words} >= shown_off
    for command in sorted({command for command, _ in words}):
        shown = subprocess.run(
            [sys.executable, "-m", "mmsearch_cli", command, "--help"], capture_output=True, text=True, check=True
        ).stdout
        for option in {option for name, rest in words if name == command for option in re.findall(r"--[a-z]+", rest)}:
            assert option in shown, f"README gives {command} {option}"


def test_the_lines_that_set_everything_up_are_there() -> None:
    assert 'python -m pip install ".[cpu,demo]" && mmsearch demo' in README
    assert 'python -m pip install -e ".[cpu,test]" && python -m pytest' in README


@pytest.mark.parametrize("page", [SEARCHING, INDEXES], ids=["searching", "indexes"])
def test_the_contents_of_a_page_lead_somewhere(page: str) -> None:
    headings = {heading.lower() for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)}
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading).replace(" ", "-") for heading in headings}
    linked = set(re.findall(r"\]\(#([^)]+)\)", page))
    assert linked
    assert linked <= anchors


@pytest.mark.parametrize("module", sorted(set(re.findall(r"-m\s+benchmarks\.([a-z]+)", SEARCHING))))
def test_every_figure_has_a_benchmark_with_a_record(module: str) -> None:
    assert (ROOT / f"benchmarks/{module}.py").exists()
    assert (ROOT / f"benchmarks/results/{module}.jsonl").exists()


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_linked_files_are_there(target: str) -> None:
    assert (ROOT / target).exists()
