"""How fast does `mmsearch index` embed, beside what decoding and encoding alone allow?

Data: the first N photographs of Flickr8k (224x224 JPEG), laid out as files. Timed, in one process each, in turns:
decoding alone (the worker pool with nobody encoding), the encoder alone (the same pixels, already prepared), and
the whole job (walk, read, hash, decode, encode, write, commit) into a new collection. The limit is the slower of
the two parts; the share of it that the whole job reaches is the result. Peak memory is that of the parent plus
that of its decoders, sampled through the job, at N/6 and N pictures.

    python -m benchmarks.embed --pictures 6000
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

import mmsearch
from benchmarks.data import lay_out
from benchmarks.record import write_record
from mmsearch.media import Decoded, DecodePool, DecodeTask, default_workers, walk


def time_decoding(folder: Path, encoder: mmsearch.DualEncoder) -> tuple[float, np.ndarray]:
    """Seconds to decode and prepare every picture, and the pixels of the first thousand."""
    kept = []
    with DecodePool(encoder.space.preprocessing, workers=default_workers()) as pool:
        start = time.perf_counter()
        tasks = (DecodeTask(path=found.path, key=found.key) for found in walk(folder, source="."))
        for outcome in pool.map(tasks):
            if isinstance(outcome, Decoded) and len(kept) < 1000:
                kept.append(outcome.pixels)
        return time.perf_counter() - start, np.stack(kept)


def time_encoding(pixels: np.ndarray, encoder: mmsearch.DualEncoder, pictures: int) -> float:
    """Seconds to encode so many prepared pictures."""
    encoder.encode_images(pixels[:32])
    start = time.perf_counter()
    for offset in range(0, pictures, 32):
        encoder.encode_images(pixels[np.arange(offset, min(offset + 32, pictures)) % len(pixels)])
    return time.perf_counter() - start


def run_job(folder: Path) -> dict[str, float]:
    """One whole `mmsearch index` in a process of its own: seconds, and peak memory of it and its decoders."""
    collection = folder.parent / "collection"
    shutil.rmtree(collection, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.embed", "--job", str(folder), str(collection)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = [0]
    done = threading.Event()
    sampler = threading.Thread(target=_sample, args=(process.pid, peak, done))
    sampler.start()
    output, _ = process.communicate()
    done.set()
    sampler.join()
    return {**json.loads(output), "peak_rss_mb": round(peak[0] / 1024, 1)}


def _sample(pid: int, peak: list[int], done: threading.Event) -> None:
    while not done.wait(0.05):
        peak[0] = max(peak[0], sum(_rss_kb(each) for each in [pid, *_children(pid)]))


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:  # the thread ended between the two calls
            continue
    return found


def _rss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


def job(folder: Path, collection: Path) -> None:
    """The whole job, for `run_job`; the process's start and imports are not timed, loading the encoder is."""
    start = time.perf_counter()
    _, report = mmsearch.index(folder, to=collection)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": round(seconds, 3), "embedded": report.embedded, "bound": report.bound.value}))


def measure(pictures: int, rounds: int) -> dict[str, Any]:
    """All timings, the three parts in turns so that a busy machine hits them alike."""
    encoder = mmsearch.load_encoder("mini")
    with tempfile.TemporaryDirectory() as scratch:
        few, many = Path(scratch) / "few/pictures", Path(scratch) / "many/pictures"
        lay_out(few, pictures // 6)
        lay_out(many, pictures)
        decode, encode, whole = [], [], []
        for _ in range(rounds):
            seconds, pixels = time_decoding(many, encoder)
            decode.append(pictures / seconds)
            encode.append(pictures / time_encoding(pixels, encoder, pictures))
            whole.append(run_job(many))
        small = run_job(few)
    rates = [run["embedded"] / run["seconds"] for run in whole]
    limits = [min(d, e) for d, e in zip(decode, encode, strict=True)]
    return {
        "encoder": "mini",
        "pictures": pictures,
        "decode_per_s": [round(rate, 1) for rate in decode],
        "encode_per_s": [round(rate, 1) for rate in encode],
        "whole_per_s": [round(rate, 1) for rate in rates],
        "share_of_limit": round(statistics.median(r / m for r, m in zip(rates, limits, strict=True)), 3),
        "bound": whole[0]["bound"],
        "peak_rss_mb": {
            str(pictures // 6): small["peak_rss_mb"],
            str(pictures): max(r["peak_rss_mb"] for r in whole),
        },
    }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--job", nargs=2, type=Path, metavar=("FOLDER", "COLLECTION"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        job(*args.job)
    else:
        write_record("embed", measure(args.pictures, args.rounds))


if __name__ == "__main__":
    main()
