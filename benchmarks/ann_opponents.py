"""Whom the index is measured against: how each library is built, opened and asked, through its own Python interface.

Every library is handed the same float32 rows and the same queries and answers with row ids; each runs one thread when
it is asked. Build parameters follow each library's documentation; what trades recall for speed is swept by
``benchmarks.ann``: ``effort`` (lists or leaves visited, breadth of a graph's search) and, where there is one,
``rerank`` (candidates scored anew).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Found = npt.NDArray[Any]

K = 10
NO_RERANK = (0,)

Search = Callable[[Matrix], Found]
"""``(n_queries, dim)`` float32 in, ``(n_queries, K)`` row ids out."""
Opened = Callable[[int, int], Search]
"""A search for an effort and a number of candidates to rerank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opponent:
    """One library with its build parameters.

    Args:
        name: unique, says library and parameters.
        package: whose version is recorded.
        module: its import, which is not counted as memory of the index.
        build: indexes ``(n, dim)`` rows into an empty folder with so many threads.
        open: makes what was built searchable by one thread; told folder, n and dim.
        efforts: n -> values to sweep, ascending.
        reranks: n -> the same for the number of candidates scored anew.
    """

    name: str
    package: str
    module: str
    build: Callable[[Matrix, Path, int], None]
    open: Callable[[Path, int, int], Opened]
    efforts: Callable[[int], list[int]]
    reranks: tuple[int, ...] = NO_RERANK

    @property
    def version(self) -> str:
        """Of the package that is measured."""
        return version(self.package)


def steps(first: int, last: int, factor: float = 1.4) -> list[int]:
    """Whole numbers from first to last, each larger than the one before by about a factor."""
    values, value = [first], float(first)
    while values[-1] < last:
        value = max(value * factor, values[-1] + 1)
        values.append(min(last, round(value)))
    return values


def lists_for(n: int, factor: float = 1) -> int:
    """The power of two nearest to ``factor`` times the root of n: the usual number of inverted lists."""
    return max(1, 2 ** round(np.log2(factor * np.sqrt(n))))


def factory(template: str, n: int, dim: int) -> str:
    """FAISS's name of an index, its ``{lists}``, ``{lists_by_4}`` and ``{half_dim}`` filled in."""
    return template.format(lists=lists_for(n), lists_by_4=lists_for(n, 4), half_dim=dim // 2)


def _efforts(template: str, n: int) -> list[int]:
    return steps(1, lists_for(n, 4)) if "IVF" in template else _breadths(n)


def _breadths(n: int) -> list[int]:
    return [breadth for breadth in steps(K, 4000) if breadth <= max(K, n)]


# --- graphs ------------------------------------------------------------------------------------------------------


def hnswlib(m: int, ef_construction: int = 200) -> Opponent:
    """float32 rows inside the graph, its only form."""

    def build(rows: Matrix, folder: Path, threads: int) -> None:
        import hnswlib as library

        index = library.Index(space="ip", dim=rows.shape[1])
        index.init_index(len(rows), M=m, ef_construction=ef_construction, random_seed=0)
        index.add_items(rows, num_threads=threads)
        index.save_index(str(folder / "index"))

    def open_(folder: Path, n: int, dim: int) -> Opened:
        import hnswlib as library

        index = library.Index(space="ip", dim=dim)
        index.load_index(str(folder / "index"), max_elements=n)
        index.set_num_threads(1)

        def at(effort: int, _: int) -> Search:
            index.set_ef(effort)
            return lambda queries: index.knn_query(queries, k=K, num_threads=1)[0]

        return at

    return Opponent(
        name=f"hnswlib M={m}", package="hnswlib", module="hnswlib", build=build, open=open_, efforts=_breadths
    )


def usearch(kind: str, m: int) -> Opponent:
    """A graph over rows kept as ``kind``: f32, f16, bf16 or i8."""

    def build(rows: Matrix, folder: Path, threads: int) -> None:
        from usearch.index import Index

        index = Index(ndim=rows.shape[1], metric="ip", dtype=kind, connectivity=m, expansion_add=200)
        index.add(np.arange(len(rows)), rows, threads=threads)
        index.save(str(folder / "index"))

    def open_(folder: Path, _: int, __: int) -> Opened:
        from usearch.index import Index

        index = Index.restore(str(folder / "index"))

        def at(effort: int, _: int) -> Search:
            index.expansion_search = effort
            return lambda queries: index.search(queries, K, threads=1).keys.reshape(len(queries), -1)

        return at

    return Opponent(
        name=f"usearch {kind} M={m}",
        package="usearch",
        module="usearch.index",
        build=build,
        open=open_,
        efforts=_breadths,
    )


# --- FAISS -------------------------------------------------------------------------------------------------------


def faiss_index(name: str, template: str) -> Opponent:
    """An index of FAISS's factory, trained on as many rows as it asks for."""

    def build(rows: Matrix, folder: Path, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        index = faiss.index_factory(rows.shape[1], factory(template, *rows.shape), faiss.METRIC_INNER_PRODUCT)
        if hasattr(index, "hnsw"):
            index.hnsw.efConstruction = 200
        index.train(rows)
        index.add(rows)
        faiss.write_index(index, str(folder / "index"))

    efforts = partial(_efforts, template)
    return Opponent(name=name, package="faiss-cpu", module="faiss", build=build, open=_open_faiss, efforts=efforts)


def _open_faiss(folder: Path, _: int, __: int) -> Opened:
    import faiss

    index = faiss.read_index(str(folder / "index"))
    faiss.omp_set_num_threads(1)
    lists = faiss.try_extract_index_ivf(index)

    def at(effort: int, _: int) -> Search:
        if lists is None:
            index.hnsw.efSearch = effort
        else:
            lists.nprobe = effort
            if isinstance(coarse := faiss.downcast_index(lists.quantizer), faiss.IndexHNSW):
                coarse.hnsw.efSearch = max(16, 2 * effort)
        return lambda queries: index.search(queries, K)[1]

    return at


def autofaiss() -> Opponent:
    """What autofaiss chooses and builds by itself with its default budget of 16 GB."""

    def build(rows: Matrix, folder: Path, threads: int) -> None:
        import faiss
        from autofaiss import build_index

        # It cannot write its measurements of itself with NumPy 2, so it is not asked to save.
        index, _ = build_index(rows, save_on_disk=False, metric_type="ip", nb_cores=threads, verbose=30)
        faiss.write_index(index, str(folder / "index"))

    efforts = partial(_efforts, "HNSW")
    return Opponent(
        name="autofaiss", package="autofaiss", module="faiss", build=build, open=_open_faiss, efforts=efforts
    )


def autofaiss_compact(bytes_a_vector: int) -> Opponent:
    """What autofaiss chooses for so much memory; built by FAISS, since autofaiss 2.18 cannot call FAISS 1.15's OPQ."""

    def build(rows: Matrix, folder: Path, threads: int) -> None:
        import faiss
        from autofaiss.external.optimize import get_optimal_index_keys_v2

        faiss.omp_set_num_threads(threads)
        budget = f"{bytes_a_vector * len(rows) / 1e6:.0f}MB"
        index = faiss.index_factory(
            rows.shape[1], get_optimal_index_keys_v2(*rows.shape, budget)[0], faiss.METRIC_INNER_PRODUCT
        )
        index.train(rows)
        index.add(rows)
        faiss.write_index(index, str(folder / "index"))

    return Opponent(
        name="autofaiss compact",
        package="autofaiss",
        module="faiss",
        build=build,
        open=_open_faiss,
        efforts=partial(_efforts, "IVF"),
    )


# --- lists with codes and rerank ---------------------------------------------------------------------------------


def lorann(rank: int = 32, bits: int = 8, *, all_dims: bool = False) -> Opponent:
    """A reduced-rank regression in each cluster; before it rows are reduced to 256 dimensions, unless ``all_dims``."""

    def build(rows: Matrix, folder: Path, threads: int) -> None:
        import lorann as library

        index = library.LorannIndex(
            data=rows,
            n_clusters=lists_for(len(rows)),
            global_dim=256 if rows.shape[1] >= 256 and not all_dims else None,
            quantization_bits=bits,
            rank=rank,
            distance=library.IP,
        )
        index.build(n_threads=threads)
        index.save(str(folder / "index"))

    def open_(folder: Path, _: int, __: int) -> Opened:
        import lorann as library

        index = library.LorannIndex.load(str(folder / "index"))
        return lambda effort, rerank: partial(
            index.search, k=K, clusters_to_search=effort, points_to_rerank=rerank, n_threads=1
        )

    return Opponent(
        name=f"lorann rank={rank} bits={bits}" + (" all dims" if all_dims else ""),
        package="lorann",
        module="lorann",
        build=build,
        open=open_,
        efforts=lambda n: steps(1, lists_for(n)),
        reranks=(50, 200, 800, 3200),
    )


def scann(*, soar: bool) -> Opponent:
    """A tree, 4-bit codes trained for inner products, float32 rerank; with ``soar`` a row lies in two leaves."""

    def build(rows: Matrix, folder: Path, threads: int) -> None:
        from scann import scann_ops_pybind

        spilled = {"soar_lambda": 1.5, "overretrieve_factor": 2.0} if soar else {}
        builder = scann_ops_pybind.builder(rows, K, "dot_product").set_n_training_threads(threads)
        leaves = min(2 * lists_for(len(rows)), len(rows) // 50)
        builder = builder.tree(leaves, leaves // 20 + 1, training_sample_size=min(len(rows), 250_000), **spilled)
        builder = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(10 * K)
        builder.build().serialize(str(folder))

    def open_(folder: Path, _: int, __: int) -> Opened:
        from scann import scann_ops_pybind

        searcher = scann_ops_pybind.load_searcher(str(folder))
        searcher.set_num_threads(1)

        def at(effort: int, rerank: int) -> Search:
            asked = {"final_num_neighbors": K, "pre_reorder_num_neighbors": rerank, "leaves_to_search": effort}

            def search(queries: Matrix) -> Found:
                if len(queries) == 1:
                    return searcher.search(queries[0], **asked)[0][np.newaxis]
                return searcher.search_batched(queries, **asked)[0]

            return search

        return at

    return Opponent(
        name="scann soar" if soar else "scann",
        package="scann",
        module="scann",
        build=build,
        open=open_,
        efforts=lambda n: steps(1, max(1, min(2 * lists_for(n), n // 50))),
        reranks=(40, 160, 640),
    )


# --- ours --------------------------------------------------------------------------------------------------------


def mmsearch(name: str, template: str | None) -> Opponent:
    """The index of this repository, the whole way through its Python; it is handed float16 rows.

    Without a template it is built as its planner says for less memory than the rows take as float32.
    """

    def build(rows: Matrix, folder: Path, threads: int) -> None:
        import faiss

        from mmsearch_indexes import ApproximateIndex, IndexRecipe, plan, save_index

        faiss.omp_set_num_threads(threads)
        if template is None:
            sample = rows[np.random.default_rng(0).choice(len(rows), min(4096, len(rows)), replace=False)]
            recipe = plan(*rows.shape, memory_bytes=2 * rows.size, sample=sample).recipe
        else:
            recipe = IndexRecipe(factory=factory(template, *rows.shape))
        save_index(ApproximateIndex.build(rows.astype(np.float16), recipe), folder)

    def open_(folder: Path, _: int, __: int) -> Opened:
        import faiss

        from mmsearch_indexes import Setting, load_index

        index = load_index(folder)
        faiss.omp_set_num_threads(1)

        def at(effort: int, rerank: int) -> Search:
            setting = Setting(effort=effort, rerank=rerank)
            return lambda queries: index.search(queries, K, setting).row_ids

        return at

    return Opponent(
        name=f"mmsearch {name}",
        package="faiss-cpu",
        module="faiss",
        build=build,
        open=open_,
        efforts=partial(_efforts, template or "IVF"),
        reranks=(40, 80, 160, 320, 640),
    )


OPPONENTS: dict[str, Opponent] = {
    opponent.name: opponent
    for opponent in (
        mmsearch("planned", None),
        mmsearch("lists", "IVF{lists},PQ{half_dim}x4fsr"),
        mmsearch("graph", "HNSW32,SQ8"),
        hnswlib(16),
        hnswlib(32),
        hnswlib(64, 400),
        usearch("f16", 16),
        usearch("f16", 32),
        usearch("i8", 32),
        faiss_index("faiss HNSW32", "HNSW32"),
        faiss_index("faiss IVF-Flat", "IVF{lists},Flat"),
        faiss_index("faiss IVF-Flat, 4 times the lists", "IVF{lists_by_4},Flat"),
        autofaiss(),
        lorann(),
        lorann(bits=4),
        lorann(all_dims=True),
        lorann(64, all_dims=True),
        scann(soar=False),
        scann(soar=True),
        autofaiss_compact(300),
    )
}


def cleared(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
