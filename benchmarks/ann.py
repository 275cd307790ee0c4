"""Which index answers sentences fastest at the same recall, and what does it cost to hold and to build?

    python -m benchmarks.ann_data FOLDER     or     python -m benchmarks.ann_model FOLDER
    python -m benchmarks.ann FOLDER [--opponents NAME ...] [--rows N]

Data: a folder of rows (float16) and queries that one of the two commands above made; ``--rows`` takes so many, evenly
spaced. Truth: ``FlatIndex`` over the same rows, kept in the folder. Queries are sentences and pictures that are not
among the rows.

Every opponent runs in processes of its own: one builds the index and saves it, one opens it and is measured. What is
timed is the call of the library's Python interface with float32 queries, by one thread: queries one by one, and 100 at
a time. All settings are timed in turn for about a third of a second, and that for several rounds; records hold each
round's queries a second of wall time and of CPU time, which differ where other work took the processor away (or where
a library used more than one thread). A fixed product of two matrices is timed before and after each round:
an opponent whose ``machine_ms`` is larger met a busier machine. Memory is what the process holds more after the sweep
than before it opened the index: ``anonymous`` bytes cannot be given back, ``mapped`` ones are pages of a file that the
system may drop (code of the library among them).

One record an opponent and data set is appended to ``results/ann.jsonl``; an opponent that has one is not run again
(``--again`` runs it). A built index is kept beside the data until its record is written.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.ann_opponents import OPPONENTS, Found, K, Matrix, Opened, Opponent, Search, cleared
from benchmarks.record import ROOT, write_record

RESULTS = ROOT / "benchmarks/results"
QUERIES = {"sentences": "sentences-dev.npy", "pictures": "held-out.npy"}
BATCH = 100
_ENOUGH = 0.995  # recall past which more effort is not measured
_WORTH_TIMING = 0.8  # recall below which nothing is timed
_GAIN = 0.0005  # more recall than this must come of more effort, else the sweep ends

RowIds = npt.NDArray[np.int64]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A folder of vectors, or evenly spaced ones of it."""

    folder: Path
    rows: int | None = None
    kinds_wanted: tuple[str, ...] = tuple(QUERIES)

    @property
    def name(self) -> str:
        """As the folder says, or after the folder."""
        about = self.folder / "about.json"
        return str(json.loads(about.read_text(encoding="utf-8"))["name"]) if about.exists() else self.folder.name

    def load(self) -> Matrix:
        """``(n, dim)`` float32; float16 in the files."""
        parts = self._parts()
        starts = np.cumsum([0, *map(len, parts)])
        wanted = np.linspace(0, starts[-1], self.rows or starts[-1], endpoint=False).astype(np.int64)
        rows = np.empty((len(wanted), parts[0].shape[1]), np.float32)
        bounds = np.searchsorted(wanted, starts)
        for part, first, start, stop in zip(parts, starts, bounds, bounds[1:], strict=False):
            rows[start:stop] = part[wanted[start:stop] - first]
        return rows

    def queries(self, kind: str, limit: int) -> Matrix:
        """``(n, dim)`` float32, at most so many, evenly spaced."""
        stored = np.load(self.folder / QUERIES[kind])
        return stored[:: max(1, len(stored) // limit)][:limit].astype(np.float32)

    def kinds(self) -> list[str]:
        """Of queries there are."""
        return [kind for kind in self.kinds_wanted if (self.folder / QUERIES[kind]).exists()]

    def truth(self, kind: str, queries: Matrix, rows: Matrix) -> RowIds:
        """``(n_queries, K)`` exact neighbours, computed once."""
        file = self._truth_file(kind, len(queries), len(rows))
        if not file.exists():
            from mmsearch_indexes import FlatIndex

            unfinished = file.with_suffix(".unfinished.npy")
            np.save(unfinished, FlatIndex.build(rows).search(queries, K).row_ids)
            unfinished.replace(file)
        return self.known_truth(kind, len(queries), len(rows))

    def known_truth(self, kind: str, n_queries: int, n: int) -> RowIds:
        """The same once it was computed."""
        found: RowIds = np.load(self._truth_file(kind, n_queries, n))
        return found

    def _truth_file(self, kind: str, n_queries: int, n: int) -> Path:
        total = sum(map(len, self._parts()))  # the folder may be filling up
        return self.folder / f"truth-{kind}-{n_queries}-{n}-of-{total}.npy"

    def _parts(self) -> list[npt.NDArray[np.float16]]:
        return [np.load(file, mmap_mode="r") for file in sorted(self.folder.glob("pictures-*.npy"))]


def ann_recall(found: Found, truth: RowIds) -> npt.NDArray[np.float64]:
    """``(n_queries,)`` share of each query's exact neighbours that were found; a row found twice counts once."""
    hits = (truth[:, :, np.newaxis] == found[:, np.newaxis, :].astype(np.int64)).any(axis=2)
    shares: npt.NDArray[np.float64] = hits.mean(axis=1)
    return shares


def speed(
    search: Search,
    queries: Matrix,
    batch: int,
    seconds: float,
    clocks: tuple[Clock, Clock] = (time.perf_counter, time.process_time),
) -> tuple[float, float]:
    """Queries a second of wall time and of CPU time, asked from the first on and around again for so many seconds."""
    batches = [queries[start : start + batch] for start in range(0, len(queries) - batch + 1, batch)]
    wall, cpu = clocks
    answered, wall_started, cpu_started = 0, wall(), cpu()
    while True:
        for asked in batches:
            search(asked)
            answered += batch
            if (spent := wall() - wall_started) >= seconds:
                return round(answered / spent, 1), round(answered / max(cpu() - cpu_started, 1e-9), 1)


def recall_of(search: Search, queries: Matrix, truth: RowIds) -> dict[str, float]:
    """Mean over all queries, and half of its 95 % interval."""
    found = np.concatenate([search(queries[start : start + BATCH]) for start in range(0, len(queries), BATCH)])
    shares = ann_recall(found, truth)
    spread = 1.96 * float(shares.std()) / float(np.sqrt(len(shares)))
    return {"recall": round(float(shares.mean()), 5), "interval": round(spread, 5)}


def settings(opponent: Opponent, opened: Opened, queries: Matrix, truth: RowIds, n: int) -> list[dict[str, Any]]:
    """All settings from cheap to dear with their recall; more effort is not tried where it brought nothing."""
    points: list[dict[str, Any]] = []
    for rerank in opponent.reranks:
        before = -1.0
        for effort in opponent.efforts(n):
            point = {"effort": effort, "rerank": rerank, **recall_of(opened(effort, rerank), queries, truth)}
            points.append(point)
            if point["recall"] >= _ENOUGH or _WORTH_TIMING < point["recall"] < before + _GAIN:
                break
            before = point["recall"]
    return points


def sweep(
    opponent: Opponent, opened: Opened, queries: Matrix, truth: RowIds, *, n: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """The settings, and the speed of those worth it: once around all of them, then again, as the machine may change."""
    points = settings(opponent, opened, queries, truth, n)
    machine = [machine_ms()]
    for _ in range(rounds):
        for point in points:
            if point["recall"] >= _WORTH_TIMING:
                search = opened(point["effort"], point["rerank"])
                for name, batch in (("single", 1), ("batch", min(BATCH, len(queries)))):
                    for clock, qps in zip(("qps", "cpu_qps"), speed(search, queries, batch, seconds), strict=True):
                        point.setdefault(f"{clock}_{name}", []).append(qps)
        machine.append(machine_ms())
    return {"machine_ms": machine, "points": points}


def machine_ms(rounds: int = 9) -> float:
    """Median time of a product that reads 40 MB: how quick the machine is just now."""
    chance = np.random.default_rng(0)
    rows, query = chance.standard_normal((20_000, 512), np.float32), chance.standard_normal(512, np.float32)
    spent = []
    for _ in range(rounds):
        started = time.perf_counter()
        rows @ query
        spent.append(time.perf_counter() - started)
    return round(1000 * float(np.median(spent)), 3)


def resident() -> dict[str, int]:
    """Bytes of this process that lie in memory: its own, less what it has freed, and pages of mapped files."""
    with contextlib.suppress(AttributeError):  # not every C library can give back what was freed
        ctypes.CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").splitlines()[1:]
    sizes = {name: int(value.split()[0]) * 1024 for name, _, value in (line.partition(":") for line in lines)}
    return {"anonymous": sizes["Anonymous"], "mapped": sizes["Rss"] - sizes["Anonymous"]}


# --- one process each --------------------------------------------------------------------------------------------


def build(data: DataSet, opponent: Opponent, index: Path, threads: int) -> dict[str, Any]:
    """Build and save; what it cost, saving included."""
    rows = data.load()
    before = machine_ms()
    wall, cpu = time.perf_counter(), time.process_time()
    opponent.build(rows, cleared(index), threads)
    files = [file for file in index.rglob("*") if file.is_file()]
    return {
        "build_s": round(time.perf_counter() - wall, 1),
        "build_cpu_s": round(time.process_time() - cpu, 1),
        "build_threads": threads,
        "build_machine_ms": [before, machine_ms()],
        "disk_bytes_per_vector": round(sum(file.stat().st_size for file in files) / len(rows), 1),
    }


def search(
    data: DataSet, opponent: Opponent, index: Path, *, n: int, dim: int, n_queries: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """Open and sweep for each kind of query."""
    asked = {kind: data.queries(kind, n_queries) for kind in data.kinds()}
    truth = {kind: data.known_truth(kind, len(queries), n) for kind, queries in asked.items()}
    import_module(opponent.module)
    before, started = resident(), time.perf_counter()
    opened = opponent.open(index, n, dim)
    open_s = round(time.perf_counter() - started, 3)
    curves = {
        kind: sweep(opponent, opened, queries, truth[kind], n=n, rounds=rounds, seconds=seconds)
        for kind, queries in asked.items()
    }
    after = resident()
    return {
        "open_s": open_s,
        "bytes_per_vector": {kind: round((after[kind] - before[kind]) / n, 1) for kind in after},
        "curves": curves,
    }


# --- the run -----------------------------------------------------------------------------------------------------


def recorded(name: str, n: int, results: Path) -> set[str]:
    """Opponents that have a record of this data set."""
    file = results / "ann.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {record["opponent"] for record in map(json.loads, lines) if (record["data"], record["n"]) == (name, n)}


def run(data: DataSet, opponents: list[str], args: argparse.Namespace) -> None:
    """Measure all opponents that have no record yet; one that fails is reported and passed over."""
    rows = data.load()
    n, dim = rows.shape
    sizes = {}
    for kind in data.kinds():
        queries = data.queries(kind, args.queries)
        sizes[kind] = len(data.truth(kind, queries, rows))
    del rows
    done = set() if args.again else recorded(data.name, n, args.results)
    failed = []
    for name in opponents:
        if name in done:
            print(f"{name}: recorded already", file=sys.stderr)
            continue
        index = args.indexes / f"{name.replace(' ', '-')}-{n}"
        try:
            if not (note := index.with_suffix(".json")).exists():
                note.parent.mkdir(parents=True, exist_ok=True)
                note.write_text(json.dumps(_child("build", name, index, args, n, dim)), encoding="utf-8")
            built = json.loads(note.read_text(encoding="utf-8"))
            swept = _child("search", name, index, args, n, dim)
        except subprocess.CalledProcessError as err:
            print(f"{name}: failed with {err.returncode}", file=sys.stderr)
            failed.append(name)
            continue
        write_record(
            "ann",
            {
                "data": data.name,
                "n": n,
                "dim": dim,
                "k": K,
                "queries": sizes,
                "opponent": name,
                "version": OPPONENTS[name].version,
                "rounds": args.rounds,
                "load": os.getloadavg(),
                **built,
                **swept,
            },
            folder=args.results,
        )
        if not args.keep:
            shutil.rmtree(index)
            note.unlink()
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}")


def _child(step: str, name: str, index: Path, args: argparse.Namespace, n: int, dim: int) -> dict[str, Any]:
    """Run this module for one step of one opponent in a new process, and hand on what it measured."""
    threads = str(args.build_threads if step == "build" else 1)
    command = [sys.executable, "-m", "benchmarks.ann", str(args.folder), "--opponents", name, "--step", step]
    for option in ("queries", "rounds", "seconds", "rows", "build_threads"):
        if (value := getattr(args, option)) is not None:
            command += [f"--{option.replace('_', '-')}", str(value)]
    if args.kinds:
        command += ["--kinds", *args.kinds]
    command += ["--indexes", str(index), "--shape", str(n), str(dim)]
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    print(f"{name}: {step}", file=sys.stderr)
    done = subprocess.run(command, env={**os.environ, **limits}, stdout=subprocess.PIPE, check=True, text=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main(argv: list[str] | None = None) -> None:
    """Measure and record; with ``--step``, be the process that one opponent is built or searched in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--opponents", nargs="+", default=list(OPPONENTS), choices=OPPONENTS, metavar="NAME")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--kinds", nargs="+", choices=QUERIES, help="of queries; default: all there are")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of one round")
    parser.add_argument("--build-threads", type=int, default=os.cpu_count())
    parser.add_argument("--indexes", type=Path, help="where built indexes are kept meanwhile; default FOLDER/indexes")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--keep", action="store_true", help="built indexes")
    parser.add_argument("--step", choices=("build", "search"), help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    data = DataSet(folder=args.folder, rows=args.rows, kinds_wanted=tuple(args.kinds or QUERIES))
    args.indexes = args.indexes or args.folder / "indexes"
    opponent = OPPONENTS[args.opponents[0]]
    if args.step == "build":
        print("\n" + json.dumps(build(data, opponent, args.indexes, args.build_threads)))
    elif args.step == "search":
        n, dim = args.shape
        how = {"n": n, "dim": dim, "n_queries": args.queries, "rounds": args.rounds, "seconds": args.seconds}
        print("\n" + json.dumps(search(data, opponent, args.indexes, **how)))
    else:
        run(data, args.opponents, args)


if __name__ == "__main__":
    main()
