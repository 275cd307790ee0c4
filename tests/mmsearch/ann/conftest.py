"""A collection of 6,000 drawn pictures, large enough that an index leaves most of them alone."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import mmsearch
from mmsearch.arrays import Embeddings
from mmsearch.store import Modality, ShardEntry, Store, embedding_column, item_schema
from tests.fakes import FakeEncoder

N = 6000
RECIPE = "IVF32,PQ8x4fsr"


def drawn(n: int, *, seed: int, dim: int = 16) -> Embeddings:
    """``(n, dim)`` float32 unit rows in some clusters."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(40, dim))
    rows = centres[chance.integers(0, 40, n)] + 0.6 * chance.normal(size=(n, dim))
    unit: Embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def put(store: Store, vectors: Embeddings, name: str, *, modality: Modality = Modality.IMAGE) -> ShardEntry:
    """Write a shard of items with these vectors; not committed yet."""
    n, dim = vectors.shape
    first = store.reserve_ids(n)
    keys = [f"{name}-{i:05d}" + ("#row=0" if modality is Modality.TEXT else ".jpg") for i in range(n)]
    columns = {
        "id": np.arange(first, first + n),
        "key": keys,
        "source": ["."] * n,
        "modality": [str(modality)] * n,
        "text": [f"about {key}" if modality is Modality.TEXT else None for key in keys],
        "width": np.arange(n, dtype=np.int32),
        "height": [480] * n,
        "bytes": [1000] * n,
        "mtime_ns": [1] * n,
        "sha256": [hashlib.sha256(key.encode()).digest() for key in keys],
        "t_start": [None] * n,
        "t_end": [None] * n,
    }
    schema = item_schema(dim)
    arrays = [
        embedding_column(vectors.astype(np.float16))
        if field.name == "embedding"
        else pa.array(columns[field.name]).cast(field.type)
        for field in schema
    ]
    return store.write_shard(pa.Table.from_arrays(arrays, schema=schema), job="test")


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store.create(tmp_path_factory.mktemp("plain") / ".mmsearch", FakeEncoder().space)
    halves = np.array_split(drawn(N, seed=1), 2)
    store.commit(store.snapshot(), add=[put(store, half, f"p{i}") for i, half in enumerate(halves)])
    return store.path


@pytest.fixture(scope="session")
def built_folder(plain_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(plain_folder, tmp_path_factory.mktemp("built") / ".mmsearch")
    opened(folder).build(mmsearch.BuildOptions(recipe=RECIPE))
    return folder


@pytest.fixture
def photos(plain_folder: Path, tmp_path: Path) -> mmsearch.Collection:
    """Without an index."""
    return opened(shutil.copytree(plain_folder, tmp_path / ".mmsearch"))


@pytest.fixture
def built(built_folder: Path, tmp_path: Path) -> mmsearch.Collection:
    """With one."""
    return opened(shutil.copytree(built_folder, tmp_path / ".mmsearch"))


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Of the collection that the test uses."""
    if "built" not in request.fixturenames:
        request.getfixturevalue("photos")
    return Store.open(tmp_path / ".mmsearch")


def opened(folder: Path) -> mmsearch.Collection:
    return mmsearch.Collection(Store.open(folder), encoder=FakeEncoder())
