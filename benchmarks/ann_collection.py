"""Does an index keep its promises in a collection: memory, recall of real sentences, and what comes and goes after it?

    python -m benchmarks.ann_data DATA
    python -m benchmarks.ann_collection DATA [--rows N] [--recall R] [--memory-mb M]

A collection is made of DATA's rows (`mini` vectors of real photographs' views, 201,003 of them) and indexed by
``Collection.build``, which tunes with its own everyday sentences: the captions of Flickr8k dev are strangers to it.

Measured: what was planned and what came of it; ann_recall@10 of the captions and of held-out pictures against comparing
all items; the time of a search through the engine (vectors in, ids out; two threads, as a user has it) with the index
and without; opening from the disk; then 10,000 items added and 10,000 removed, each by one commit: when they are in the
answers, what a search takes and finds from then on, and what it takes once built anew. Records go to
results/ann_collection.jsonl.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.ann_data import load_pictures
from benchmarks.record import write_record
from mmsearch import BuildOptions, Collection, Modality, load_encoder
from mmsearch.ann import ItemIndex
from mmsearch.arrays import Embeddings, Ids, StoredEmbeddings
from mmsearch.evaluation import ann_recall_at_k
from mmsearch.store import Store, embedding_column, item_schema
from mmsearch_indexes import FlatIndex

SHARD_ROWS = 16_384
CHANGED = 10_000
TIMED = 300
K = 10


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, help="so many, evenly spaced; all by default")
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--memory-mb", type=int, default=200)
    args = parser.parse_args()
    rows = load_pictures(args.data)
    rows = rows[np.linspace(0, len(rows) - 1, args.rows or len(rows)).astype(np.int64)]
    queries = {Modality.TEXT: _unit(args.data / "sentences-dev.npy"), Modality.IMAGE: _unit(args.data / "held-out.npy")}
    with tempfile.TemporaryDirectory(prefix="mmsearch-ann-") as folder:
        encoder = load_encoder("mini")
        store = Store.create(Path(folder) / ".mmsearch", encoder.space)
        kept, later = rows[:-CHANGED], rows[-CHANGED:]
        add(store, kept, "p")
        write_record("ann_collection", measure(store, Collection(store, encoder=encoder), queries, later, args))


def measure(
    store: Store,
    photos: Collection,
    queries: dict[Modality, Embeddings],
    later: StoredEmbeddings,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Everything, in the order of the docstring."""
    measured: dict[str, Any] = {"rows": len(photos), "dim": photos.space.dim, "recall": args.recall}
    measured["compared"] = searched(store, queries)
    options = BuildOptions(recall=args.recall, memory_bytes=args.memory_mb * 1_000_000)
    (report,) = photos.build(options)
    assert report.index
    measured["plan"] = {
        "recipe": report.plan.recipe.factory,
        "memory_mb_asked": args.memory_mb,
        "memory_mb_planned": round(report.plan.resident_bytes / 1e6, 1),
        "memory_mb": round(report.index.memory_bytes / 1e6, 1),
        "disk_mb_planned": round(report.plan.disk_bytes / 1e6, 1),
        "disk_mb": round(report.index.size_bytes / 1e6, 1),
        "build_s_planned_one_core": report.plan.build_seconds,
        "build_and_tune_s": round(report.seconds, 1),
    }
    measured["tuned"] = {kind: tuned.to_json() for kind, tuned in report.index.tuned.items()}
    measured["fresh"] = searched(store, queries)
    start = perf_counter()
    snapshot = add(store, later, "later")
    committed = perf_counter() - start
    ids = snapshot.table(["id"])["id"].to_numpy()
    start = perf_counter()
    index = ItemIndex.open(snapshot, Modality.IMAGE)
    itself = index.search(later[:100].astype(np.float32), 1, asked_in=Modality.IMAGE)[1]
    measured["added"] = {
        "items": CHANGED,
        "commit_s": round(committed, 2),
        "open_and_find_s": round(perf_counter() - start, 2),
        "found_themselves": int((itself[:, 0] > 0.999).sum()),
        **searched(store, queries),
    }
    gone = np.sort(np.random.default_rng(0).choice(ids, CHANGED, replace=False))
    start = perf_counter()
    store.commit(snapshot, remove=gone.tolist())
    measured["removed"] = {
        "items": CHANGED,
        "commit_s": round(perf_counter() - start, 2),
        "still_found": int(np.isin(_all_found(store, queries[Modality.TEXT]), gone).sum()),
        **searched(store, queries),
    }
    (report,) = photos.build()
    measured["rebuilt"] = {"build_and_tune_s": round(report.seconds, 1), **searched(store, queries)}
    return measured


def searched(store: Store, queries: dict[Modality, Embeddings]) -> dict[str, Any]:
    """How long opening and searching take, and what is found of what is there."""
    opening = [timed(lambda: ItemIndex.open(store.snapshot(), Modality.IMAGE))[1] for _ in range(3)]
    index = ItemIndex.open(store.snapshot(), Modality.IMAGE)
    found: dict[str, Any] = {"open_s": round(median(opening), 3)}
    for kind, asked in queries.items():
        times = [timed(partial(index.search, q, K, asked_in=kind))[1] for q in asked[:TIMED, np.newaxis]]
        got = index.search(asked, K, asked_in=kind)[0]
        recall = ann_recall_at_k(got, _exact(store, asked))
        found[kind] = {"recall": round(recall, 4), "median_ms": round(1000 * median(times), 3), "n": len(asked)}
    return found


def timed(what: Callable[[], Any]) -> tuple[Any, float]:
    """Its result, and the seconds it took."""
    start = perf_counter()
    result = what()
    return result, perf_counter() - start


def add(store: Store, rows: StoredEmbeddings, name: str) -> Any:
    """Put vectors into a collection as pictures, in one commit; returns the snapshot after it."""
    starts = range(0, len(rows), SHARD_ROWS)
    shards = [
        store.write_shard(_items(store, rows[start : start + SHARD_ROWS], name, start), job="bench") for start in starts
    ]
    return store.commit(store.snapshot(), add=shards)


def _items(store: Store, rows: StoredEmbeddings, name: str, start: int) -> pa.Table:
    n, dim = rows.shape
    first = store.reserve_ids(n)
    schema = item_schema(dim)
    keys = [f"{name}/{start + i:07d}.jpg" for i in range(n)]
    columns: dict[str, Any] = dict.fromkeys(schema.names, [None] * n)
    columns |= {"id": np.arange(first, first + n), "key": keys, "source": ["."] * n, "modality": ["image"] * n}
    columns |= {"sha256": [hashlib.sha256(key.encode()).digest() for key in keys]}
    unit = rows.astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    columns["embedding"] = embedding_column(unit.astype(np.float16))
    arrays = [
        columns[field.name] if field.name == "embedding" else pa.array(columns[field.name]).cast(field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _all_found(store: Store, asked: Embeddings) -> Ids:
    return ItemIndex.open(store.snapshot(), Modality.IMAGE).search(asked, K, asked_in=Modality.TEXT)[0]


def _exact(store: Store, asked: Embeddings) -> Ids:
    """``(n, 10)`` ids by comparing all items, whatever index there is."""
    ids, stored = store.snapshot().embeddings(Modality.IMAGE)
    return ids[FlatIndex.build(stored.astype(np.float32)).search(asked, K).row_ids]


def _unit(file: Path) -> Embeddings:
    rows = np.load(file).astype(np.float32)
    unit: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


if __name__ == "__main__":
    main()
