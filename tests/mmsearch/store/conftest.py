from __future__ import annotations

from pathlib import Path

import pytest

from mmsearch.store import Store
from tests.mmsearch.store.material import space


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty collection."""
    return Store.create(tmp_path / "collection", space())
