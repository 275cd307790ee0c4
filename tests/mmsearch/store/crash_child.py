"""A process to be killed: forks writers on command, which tell what was acknowledged to a file of their own.

Run as a script with the collection and the file of acknowledgements. Each line ``fork SEED`` on stdin forks a
writer of items, ``give SEED`` one of a column. Its pid is printed; it begins when ``go`` follows, and its exit
status is printed when it is gone. Forking spares each of hundreds of rounds the start of Python.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pyarrow as pa

from mmsearch.store import Store
from tests.mmsearch.store.material import rows

COMMITS = 2
ROWS = 3


def write_and_tell(collection: Path, acknowledged: Path, seed: str) -> None:
    """Commit shards, then remove an item of the first; append one line for each fact once it is a fact.

    ``+ KEY`` is acknowledged, ``? KEY`` is about to be removed, ``- KEY`` is removed.
    """
    store = Store.open(collection)
    out = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    firsts: list[int] = []
    for commit in range(COMMITS):
        keys = [f"{seed}/{commit}/{row}" for row in range(ROWS)]
        firsts.append(store.reserve_ids(ROWS))
        entry = store.write_shard(rows(firsts[-1], keys), job=seed)
        if commit:
            os.write(out, f"? {seed}/0/1\n".encode())
        store.commit(store.snapshot(), add=[entry], remove=[firsts[0] + 1] if commit else [])
        os.write(out, "".join(f"+ {key}\n" for key in keys).encode())
        if commit:
            os.write(out, f"- {seed}/0/1\n".encode())


def give_and_tell(collection: Path, acknowledged: Path, seed: str) -> None:
    """Give every item the seed as its ``note``; append ``= SEED`` once that is a fact."""
    store = Store.open(collection)
    out = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ids = store.snapshot().table(["id"])["id"]
    store.give_columns(pa.table({"id": ids, "note": pa.array([int(seed)] * len(ids))}), job=seed)
    os.write(out, f"= {seed}\n".encode())


def _serve(collection: Path, acknowledged: Path) -> None:
    rows(0, ["warm"])["modality"].value_counts()  # what pyarrow imports late would be imported in every fork
    for line in sys.stdin:
        command, seed = line.split()
        work = {"fork": write_and_tell, "give": give_and_tell}[command]
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.read(read_end, 1)
                work(collection, acknowledged, seed)
                status = 0
            finally:
                os._exit(status)
        print(pid, flush=True)
        sys.stdin.readline()
        os.write(write_end, b"!")
        print(os.waitpid(pid, 0)[1], flush=True)
        os.close(read_end)
        os.close(write_end)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
