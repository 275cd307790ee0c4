"""A folder of pictures and an empty collection."""

from __future__ import annotations

from pathlib import Path

import pytest

import mmsearch
from tests.fakes import FakeEncoder
from tests.pictures import paint


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve different pictures in two folders."""
    root = tmp_path / "photos"
    for number in range(12):
        paint(root / ("a" if number % 2 else "b/c") / f"{number:02}.png", seed=number)
    return root


@pytest.fixture
def photos(folder: Path, encoder: FakeEncoder) -> mmsearch.Collection:
    return mmsearch.create(folder / ".mmsearch", encoder)
