"""Small collections for the tests of the store: rows whose embedding follows from their key."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmsearch.arrays import StoredEmbeddings
from mmsearch.encoders import EmbeddingSpace
from mmsearch.media import Preprocessing
from mmsearch.media.preprocessing import Interpolation, ResizeMode
from mmsearch.store import Modality, ShardEntry, Snapshot, Store, embedding_column, item_schema

DIM = 8


def space(*, weights: str = "0", dim: int = DIM) -> EmbeddingSpace:
    return EmbeddingSpace(
        encoder="fake",
        architecture="hash",
        weights_sha256=weights * 64,
        preprocessing=Preprocessing(
            size=8,
            resize_mode=ResizeMode.SQUASH,
            interpolation=Interpolation.BICUBIC,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        ),
        tokenizer="bytes/77",
        dim=dim,
        logit_scale=100.0,
    )


def embed(keys: Sequence[str], dim: int = DIM) -> StoredEmbeddings:
    """``(n, dim)`` float16 unit rows, one for each key."""
    seeds = [int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") for key in keys]
    rows = np.stack([np.random.default_rng(seed).normal(size=dim) for seed in seeds])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def rows(first_id: int, keys: Sequence[str], *, modality: str = Modality.IMAGE, dim: int = DIM) -> pa.Table:
    schema = item_schema(dim)
    n = len(keys)
    columns = {
        "id": np.arange(first_id, first_id + n),
        "key": list(keys),
        "source": ["."] * n,
        "modality": [str(modality)] * n,
        "text": [f"about {key}" for key in keys] if modality == Modality.TEXT else [None] * n,
        "width": [640] * n,
        "height": [480] * n,
        "bytes": [1000 + i for i in range(n)],
        "mtime_ns": [1_700_000_000_000_000_000 + i for i in range(n)],
        "sha256": [hashlib.sha256(key.encode()).digest() for key in keys],
        "t_start": [None] * n,
        "t_end": [None] * n,
    }
    arrays = [pa.array(columns[name], schema.field(name).type) for name in schema.names[:-1]]
    return pa.Table.from_arrays([*arrays, embedding_column(embed(keys, dim))], schema=schema)


def write(store: Store, keys: Sequence[str], *, modality: str = Modality.IMAGE) -> ShardEntry:
    """A shard with these keys, published and not committed."""
    first = store.reserve_ids(len(keys))
    return store.write_shard(rows(first, keys, modality=modality, dim=store.space.dim), job="test")


def add(store: Store, keys: Sequence[str], *, modality: str = Modality.IMAGE) -> Snapshot:
    """The collection after these keys were committed."""
    return store.commit(store.snapshot(), add=[write(store, keys, modality=modality)])


def contents(snapshot: Snapshot) -> dict[str, bytes]:
    """Key -> embedding of every live item; a key that is live twice fails."""
    table = snapshot.table(["key", "embedding"])
    keys = table["key"].to_pylist()
    assert len(set(keys)) == len(keys), "a key is live twice"
    vectors = [np.array(vector, np.float16).tobytes() for vector in table["embedding"].to_pylist()]
    return dict(zip(keys, vectors, strict=True))


def expected(keys: Sequence[str], dim: int = DIM) -> dict[str, bytes]:
    """What ``contents`` gives for a collection of these keys."""
    return {key: embed([key], dim)[0].tobytes() for key in keys}


def files(folder: Path) -> dict[str, bytes]:
    """Relative path -> bytes of every file below ``folder``."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
