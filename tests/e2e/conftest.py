"""The installed command, run as a user runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import mmsearch
from tests.pictures import paint

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run("index", folder, cwd=...)`` -> the finished process, its output as text."""

    def call(
        *args: object, cwd: Path = tmp_path, prefix: Sequence[str] = (), stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        # `python -m` finds the checkout's packages also where nothing is installed.
        return subprocess.run(
            [*prefix, sys.executable, "-m", "mmsearch_cli", *map(os.fspath, map(_plain, args))],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "100"},
            input=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=120,
            check=False,
        )

    return call


def _plain(arg: object) -> str | bytes | os.PathLike[str]:
    return arg if isinstance(arg, (str, bytes, os.PathLike)) else str(arg)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six pictures of random colours."""
    return _paint_six(tmp_path / "photos")


@pytest.fixture(scope="session")
def _indexed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = _paint_six(tmp_path_factory.mktemp("once") / "photos")
    mmsearch.index(folder)
    return folder


@pytest.fixture
def indexed(_indexed_once: Path, tmp_path: Path) -> Path:
    """The six pictures with their collection, as `mmsearch index` leaves them."""
    return Path(shutil.copytree(_indexed_once, tmp_path / "photos"))


def _paint_six(folder: Path) -> Path:
    for number in range(6):
        paint(folder / f"{number}.png", seed=number, size=(120, 90))
    return folder


@pytest.fixture
def powerless() -> list[str]:
    """What to put before a command so that file permissions bind it, even for root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may read everything, and setpriv is not installed")
    powers = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}"]
