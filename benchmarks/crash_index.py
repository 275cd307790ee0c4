"""Does `mmsearch index` lose or double anything when it is killed, and does every next run go on?

Data: photographs of Flickr8k. Each round lays some more of them into a folder, touches some that are there, starts
`mmsearch index` on it with small shards, and kills the process with SIGKILL at a random moment (seeded). Whenever a
commit returns, the process appends "key, sha256 of the embedding" to a file outside the collection: what was told is
what was acknowledged. After the last kill one run is let finish; then everything told is looked up by value, every
picture must be there once, and `verify` must find nothing.

    python -m benchmarks.crash_index --kills 200 --seed 1
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import mmsearch
from benchmarks.crash import compare, digest, run_once
from benchmarks.data import lay_out
from benchmarks.record import write_record
from mmsearch.store import ShardEntry, Snapshot, Store
from mmsearch_cli.main import main as run_command

PICTURES_A_ROUND = 35
TOUCHED_A_ROUND = 5
SHARD_ROWS = 10
LONGEST_S = 3.0
"""Most time a run is given after its imports; a whole run takes about half of that."""


class IndexRun:
    """`mmsearch index`, telling what was acknowledged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def command(self, collection: Path, told: Path, number: int) -> Sequence[str]:  # noqa: ARG002 - of the protocol
        return [
            sys.executable,
            "-m",
            "benchmarks.crash_index",
            "--child",
            str(self._folder),
            str(collection),
            str(told),
        ]


def index_and_tell(folder: Path, collection: Path, told: Path) -> None:
    """The command as users run it, but that each commit's new rows are told once it has returned."""
    out = os.open(told, os.O_WRONLY | os.O_APPEND)
    commit = Store.commit

    def telling(store: Store, base: Snapshot, *, add: Sequence[ShardEntry] = (), **others: Any) -> Snapshot:
        snapshot = commit(store, base, add=add, **others)
        for entry in add:
            table = pq.read_table(entry.path_in(store.path), columns=["key", "embedding"])
            facts = zip(table["key"].to_pylist(), map(digest, table["embedding"].to_pylist()), strict=True)
            os.write(out, "".join(f"{key}\t{fact}\n" for key, fact in facts).encode())
        return snapshot

    Store.commit = telling  # type: ignore[method-assign]
    sys.argv = ["mmsearch", "index", str(folder), "--to", str(collection), "--shard-rows", str(SHARD_ROWS)]
    print("begun", flush=True)
    run_command()


def measure(kills: int, seed: int) -> dict[str, Any]:
    """All rounds on one folder, then what is left."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        stock, folder = Path(scratch) / "stock", Path(scratch) / "photos"
        collection, told = Path(scratch) / "collection", Path(scratch) / "told"
        lay_out(stock, PICTURES_A_ROUND * kills)
        folder.mkdir()
        told.touch()
        run = IndexRun(folder)
        left = sorted(stock.iterdir())
        statuses: Counter[int] = Counter()
        start = time.perf_counter()
        for number in range(kills):
            for path in left[number * PICTURES_A_ROUND : (number + 1) * PICTURES_A_ROUND]:
                path.rename(folder / path.name)
            for path in chance.sample(sorted(folder.iterdir()), TOUCHED_A_ROUND):
                os.utime(path)
            statuses[run_once(run, collection, told, number, chance.uniform(0, LONGEST_S))] += 1
        seconds = time.perf_counter() - start
        after_kills = compare(collection, told)
        finished = run_once(run, collection, told, kills, None)
        keys = Store.open(collection).snapshot().table(["key"])["key"].to_pylist()
        return {
            "seed": seed,
            "rounds": kills,
            "killed": statuses[-signal.SIGKILL],
            "finished_before_the_kill": statuses[0],
            "failed": kills - statuses[-signal.SIGKILL] - statuses[0],
            "seconds": round(seconds, 1),
            "after_kills": after_kills,
            "next_run_finished": finished == 0,
            "after_next_run": compare(collection, told),
            "pictures": kills * PICTURES_A_ROUND,
            "each_picture_once": sorted(keys) == sorted(path.name for path in folder.iterdir()),
            "damage": len(mmsearch.open(collection).verify()),
        }


def main() -> None:
    """Measure and record, or be one of the processes that are killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", nargs=3, type=Path, metavar=("FOLDER", "COLLECTION", "TOLD"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        index_and_tell(*args.child)
    else:
        write_record("crash_index", measure(args.kills, args.seed))


if __name__ == "__main__":
    main()
