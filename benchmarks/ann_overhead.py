"""How much of a single query is spent outside FAISS?

    python -m benchmarks.ann_overhead DATA [--rows N]

DATA is a folder that ``benchmarks.ann_data`` or ``benchmarks.ann_model`` made. The planner's own index is tuned with
train sentences for .90, .95 and .99; dev sentences are then searched one by one, on one thread. In turn, each with
queries of its own, two things are timed by the processor's clock: the whole search, as a caller sees it, and only the
call into FAISS, through its own Python interface, with the same parameters. Medians of the rounds; records go to
results/ann_overhead.jsonl.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from benchmarks.ann import DataSet
from benchmarks.record import write_record
from mmsearch_indexes import ApproximateIndex, Matrix, Setting, plan, tune
from mmsearch_indexes.structure import reranking_parameters

ROUNDS = 15
QUERIES = 60
"""A round."""
K, WIDTH = 10, 18
"""Asked for, and looked at anew in float64."""


def main() -> None:
    """Measure and record."""
    import faiss

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int)
    args = parser.parse_args()
    data = DataSet(folder=args.data, rows=args.rows)
    rows = data.load().astype(np.float16)
    sample = rows[np.random.default_rng(0).choice(len(rows), min(4096, len(rows)), replace=False)].astype(np.float32)
    recipe = plan(*rows.shape, memory_bytes=2 * rows.size, sample=sample).recipe
    index = ApproximateIndex.build(rows, recipe)
    to_tune = np.load(args.data / "sentences-train.npy")
    to_tune = to_tune[:: max(1, len(to_tune) // 2000)][:2000].astype(np.float32)
    tuned = {recall: tune(index, to_tune, recall=recall) for recall in (0.9, 0.95, 0.99)}
    faiss.omp_set_num_threads(1)
    queries = data.queries("sentences", ROUNDS * QUERIES * 2)
    write_record(
        "ann_overhead",
        {
            "data": data.name,
            "n": len(rows),
            "dim": rows.shape[1],
            "recipe": recipe.factory,
            "settings": {str(recall): measure(index, queries, of.setting) for recall, of in tuned.items()},
        },
    )


def measure(index: ApproximateIndex, queries: Matrix, setting: Setting) -> dict[str, Any]:
    """Microseconds of a query, all of it and within FAISS."""
    parameters = reranking_parameters(index.structure, setting.effort, setting.candidates(K), WIDTH)
    reranking = index._reranking

    def within(query: Matrix) -> object:
        return reranking.search(query, WIDTH, params=parameters)

    def all_of_it(query: Matrix) -> object:
        return index.search(query, K, setting)

    whole: list[float] = []
    faiss_alone: list[float] = []
    first = 0
    for _ in range(ROUNDS):
        for times, search in ((whole, all_of_it), (faiss_alone, within)):
            asked = np.take(queries, range(first, first + QUERIES), axis=0, mode="wrap")
            first += QUERIES
            times.append(microseconds(search, asked))
    return {
        "effort": setting.effort,
        "rerank": setting.rerank,
        "whole_us": round(median(whole), 1),
        "faiss_us": round(median(faiss_alone), 1),
        "outside": round(1 - median(faiss_alone) / median(whole), 3),
        "rounds_whole_us": [round(time, 1) for time in whole],
        "rounds_faiss_us": [round(time, 1) for time in faiss_alone],
    }


def microseconds(search: Callable[[Matrix], object], queries: Matrix) -> float:
    """Of one query, asked one by one."""
    start = process_time()
    for i in range(len(queries)):
        search(queries[i : i + 1])
    return (process_time() - start) / len(queries) * 1e6


if __name__ == "__main__":
    main()
