"""Does a writer that is killed lose anything that was acknowledged?

Data: keys numbered by run, each with an embedding that follows from the key. What it does: N times, a process is
started that writes shards to one collection, telling "key, embedding" to a file outside the collection once a commit
has returned, and is killed with SIGKILL at a random moment (seeded) up to a while after its first step. Afterwards
the collection is opened, and every fact that was told is looked up by value. Then one run is let finish, shards that
nobody names are adopted. In a second collection, of two whole runs, `verify` is asked about single flipped bits.

Counted: kills, acknowledged rows, rows lost or changed, keys live twice, runs that could not go on after a kill,
orphans adopted, flips, and flips whose file `verify` named.

    python -m benchmarks.crash --kills 200 --seed 1
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from benchmarks.record import write_record
from mmsearch.encoders import EmbeddingSpace
from mmsearch.media import Interpolation, Preprocessing, ResizeMode
from mmsearch.store import Modality, Store, embedding_column, item_schema, verify

DIM = 64
SHARDS = 6
SHARD_ROWS = 50
LONGEST_S = 0.8
"""Most time a run is given after its first sign of life; a whole run takes about half of it."""


class Run(Protocol):
    """Something that writes to a collection and can be killed at any moment."""

    def command(self, collection: Path, told: Path, number: int) -> Sequence[str]:
        """The process to start; it prints a line when it begins, and appends ``key<TAB>sha256`` to ``told`` for each
        row once the commit that holds it has returned."""


class StoreRun:
    """Shards through ``Store``, without an encoder."""

    def command(self, collection: Path, told: Path, number: int) -> Sequence[str]:
        return [sys.executable, "-m", "benchmarks.crash", "--child", str(collection), str(told), str(number)]


def space() -> EmbeddingSpace:
    """The space of embeddings that follow from their key."""
    return EmbeddingSpace(
        encoder="hash",
        architecture="hash",
        weights_sha256="0" * 64,
        preprocessing=Preprocessing(
            size=8,
            resize_mode=ResizeMode.SQUASH,
            interpolation=Interpolation.BICUBIC,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        ),
        tokenizer="none",
        dim=DIM,
        logit_scale=1.0,
    )


def rows(first: int, keys: Sequence[str]) -> pa.Table:
    """Rows of a shard, each embedding drawn from its key."""
    seeds = [int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") for key in keys]
    vectors = np.stack([np.random.default_rng(seed).normal(size=DIM) for seed in seeds])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    schema, n = item_schema(DIM), len(keys)
    known = {
        "id": pa.array(range(first, first + n), pa.int64()),
        "key": pa.array(keys),
        "source": pa.array(["."] * n),
        "modality": pa.array([Modality.IMAGE.value] * n, schema.field("modality").type),
        "embedding": embedding_column(vectors.astype(np.float16)),
    }
    columns = [known.get(field.name, pa.nulls(n, field.type)) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def digest(vector: Sequence[float]) -> str:
    """Hexadecimal sha256 of one stored embedding."""
    return hashlib.sha256(np.asarray(vector, np.float16).tobytes()).hexdigest()


def write_shards(collection: Path, told: Path, number: int) -> None:
    """What a run does: one shard after the other; every second run brings keys of the run before it again."""
    print("begun", flush=True)
    store = Store.open(collection)
    out = os.open(told, os.O_WRONLY | os.O_APPEND)
    for shard in range(SHARDS):
        run = number - 1 if number % 2 and not shard else number
        keys = [f"{run:05}/{shard}/{row:03}.jpg" for row in range(SHARD_ROWS)]
        table = rows(store.reserve_ids(SHARD_ROWS), keys)
        base = store.snapshot()
        store.commit(base, add=[store.write_shard(table, job=str(number))])
        facts = [f"{key}\t{digest(vector)}\n" for key, vector in zip(keys, table["embedding"].to_pylist(), strict=True)]
        os.write(out, "".join(facts).encode())


def run_once(run: Run, collection: Path, told: Path, number: int, kill_after_s: float | None) -> int:
    """Start one run, and kill it after a while.

    Returns:
        Its exit status, negative when a signal ended it.
    """
    with subprocess.Popen(run.command(collection, told, number), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        if kill_after_s is None:
            return process.wait()
        try:
            return process.wait(timeout=kill_after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return process.wait()


def compare(collection: Path, told: Path) -> dict[str, int]:
    """Hold what was told against what the collection gives back."""
    table = Store.open(collection).snapshot().table(["key", "embedding"])
    keys = table["key"].to_pylist()
    live = dict(zip(keys, map(digest, table["embedding"].to_pylist()), strict=True))
    facts = dict(line.split("\t") for line in told.read_text().splitlines())
    return {
        "acknowledged": len(facts),
        "lost": len(facts.keys() - live.keys()),
        "changed": sum(live.get(key, value) != value for key, value in facts.items()),
        "doubled_keys": len(keys) - len(live),
        "live": len(live),
    }


def flip_bits(collection: Path, flips: int, chance: random.Random) -> dict[str, int]:
    """Flip one bit at a time in the files that the collection consists of, each kind as often as the others."""
    manifest = Store.open(collection).snapshot().manifest
    kinds = {
        "identity": [collection / "collection.json"],
        "manifest": sorted((collection / "manifests").iterdir()),
        **{
            kind: [entry.path_in(collection) for entry in manifest.files if entry.folder == kind]
            for kind in ("shards", "tombstones")
        },
    }
    kinds = {kind: paths for kind, paths in kinds.items() if paths}
    named: Counter[str] = Counter()
    for flip in range(flips):
        kind = list(kinds)[flip % len(kinds)]
        path = chance.choice(kinds[kind])
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        named[kind] += path in {damage.path for damage in verify(collection)}
        path.write_bytes(whole)
    return {"flips": flips, "named": named.total(), **{f"named_{kind}": count for kind, count in named.items()}}


def _whole_collection(scratch: Path, run: Run) -> Path:
    """A small collection that nothing happened to: a thousand manifests would be checked for each bit."""
    collection, told = scratch / "whole", scratch / "told-whole"
    told.touch()
    Store.create(collection, space())
    for number in range(2):
        run_once(run, collection, told, number, None)
    return collection


def measure(run: Run, kills: int, flips: int, seed: int) -> dict[str, Any]:
    """All rounds on one collection, then what is left of it."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        collection, told = Path(scratch) / "collection", Path(scratch) / "told"
        told.touch()
        Store.create(collection, space())
        start = time.perf_counter()
        statuses: Counter[int] = Counter()
        for number in range(kills):
            statuses[run_once(run, collection, told, number, chance.uniform(0, LONGEST_S))] += 1
        seconds = time.perf_counter() - start
        after_kills = compare(collection, told)
        finished = run_once(run, collection, told, kills, None)
        after_finish = compare(collection, told)
        damage = len(verify(collection))
        repaired = Store.open(collection).repair(adopt=True, now=datetime.now(UTC))
        return {
            "seed": seed,
            "rounds": kills,
            "killed": statuses[-signal.SIGKILL],
            "finished_before_the_kill": statuses[0],
            "failed": kills - statuses[-signal.SIGKILL] - statuses[0],
            "seconds": round(seconds, 1),
            "after_kills": after_kills,
            "next_run_finished": finished == 0,
            "after_next_run": after_finish,
            "damage": damage,
            "adopted_shards": repaired.adopted_shards,
            "adopted_rows": repaired.adopted_rows,
            "after_adoption": compare(collection, told),
            "bits": flip_bits(_whole_collection(Path(scratch), run), flips, chance),
        }


def main() -> None:
    """Measure and record, or be one of the processes that are killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--flips", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", nargs=3, metavar=("COLLECTION", "TOLD", "NUMBER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        collection, told, number = args.child
        write_shards(Path(collection), Path(told), int(number))
    else:
        write_record("crash", measure(StoreRun(), args.kills, args.flips, args.seed))


if __name__ == "__main__":
    main()
