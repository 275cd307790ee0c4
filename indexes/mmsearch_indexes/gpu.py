"""Where FAISS sees a GPU: exact search, clustering and the choice of a row's list run there; without one, on the CPU.

Nothing of it shows in an answer or in a file. Exact search takes only its candidates from the GPU, and the CPU scores
them anew; lists are trained and filled with the GPU's help, but belong to the same structure, which the CPU serves.

FAISS sees no GPU unless ``faiss-gpu`` or ``faiss-gpu-cuvs`` stands in the place of ``faiss-cpu``: all three are the
module ``faiss``. The first GPU is used; ``CUDA_VISIBLE_DEVICES`` chooses which one that is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np

from mmsearch_indexes.flat import FlatIndex, Nearest, knn, load_faiss, rounding
from mmsearch_indexes.neighbors import Matrix, RowIds, Scores

logger = logging.getLogger(__name__)

_MOST_NEAREST = 2048
"""FAISS's GPU code selects no more (``GPU_MAX_SELECTION_K``)."""
_TRIED = 64
"""Queries, and their nearest rows, whose scores are looked at before a GPU is trusted."""
_CLUSTERED_BY_DISTANCE = "\x02"
"""``quantizer_trains_alone`` of a graph over centroids: they are found by plain clustering, then added to it."""


def gpu_count() -> int:
    """GPUs that FAISS can use; 0 with ``faiss-cpu``, or without a driver."""
    return int(load_faiss().get_num_gpus())


def on_gpu(index: FlatIndex) -> FlatIndex:
    """The same index, with a copy of its rows on the GPU; itself where there is none, or its memory cannot hold them.

    Copying takes time, so this is for many queries. The copy is float32: 2 GB for a million rows of 512.
    """
    copy = _flat(index.rows, load_faiss().METRIC_INNER_PRODUCT) if len(index) else None
    if copy is None:
        return index
    nearest = _RowsOnGpu(index.rows, copy).nearest
    if not _rounds_as_float32(index.rows, nearest):
        logger.warning("the GPU rounds more coarsely than float32 (NVIDIA_TF32_OVERRIDE?), so the CPU searches")
        return index
    return index.with_candidates_of(nearest)


def _rounds_as_float32(rows: Matrix, nearest: Nearest) -> bool:
    """Whether scores of a few queries are as near to the true ones as exact search relies on."""
    queries = rows[:: max(1, len(rows) // _TRIED)][:_TRIED]
    scores, row_ids = nearest(queries, min(len(rows), _TRIED))
    found = rows[row_ids].astype(np.float64)
    exact = np.einsum("qd,qnd->qn", queries, found)
    lengths = np.linalg.norm(queries, axis=1)[:, np.newaxis] * np.linalg.norm(found, axis=2)
    return bool((np.abs(scores - exact) <= rounding(rows.shape[1]) * lengths).all())


class _RowsOnGpu:
    """A matrix and its copy."""

    def __init__(self, rows: Matrix, copy: Any) -> None:
        self._rows = rows
        self._copy = copy
        self._lock = Lock()  # on a GPU, FAISS serves one thread at a time

    def nearest(self, queries: Matrix, k: int) -> tuple[Scores, RowIds]:
        """See ``flat.Nearest``; from the CPU where k is too large for the GPU, or the GPU fails."""
        copy = self._copy
        if copy is not None and k <= _MOST_NEAREST:
            try:
                with self._lock:
                    scores, row_ids = copy.search(queries, k)
                return scores, row_ids
            except RuntimeError as err:
                logger.warning("the GPU failed, the CPU goes on: %s", err)
                self._copy = None
        return knn(self._rows, queries, k)


@contextmanager
def clustering_on_gpu(lists: Any) -> Iterator[None]:
    """Meanwhile, ``train`` finds centroids with the GPU; codes are learned on the CPU.

    Args:
        lists: FAISS's inverted lists; None where a structure has none.
    """
    assigner = None
    if lists is not None:
        by_distance = lists.quantizer_trains_alone == _CLUSTERED_BY_DISTANCE
        metric = load_faiss().METRIC_L2 if by_distance else lists.quantizer.metric_type
        assigner = _flat(np.empty((0, lists.d), np.float32), metric)
    if assigner is None:
        yield
        return
    lists.clustering_index = assigner  # not FAISS's to free: ``assigner`` outlives its use here
    try:
        yield
    finally:
        lists.clustering_index = None


@contextmanager
def assigning_on_gpu(lists: Any) -> Iterator[None]:
    """Meanwhile, ``add`` finds each row's list with the GPU; rows are encoded on the CPU.

    FAISS takes residuals from the quantizer row by row, which must not mean a call to the GPU for each. So the
    quantizer is a refinement of one by one, which searches on the GPU and looks centroids up on the CPU.
    (``faiss.contrib.ivf_tools.add_preassigned`` looks simpler, but misplaces the codes of fast-scan lists: 1.15.)

    Args:
        lists: FAISS's inverted lists, trained; None where a structure has none.
    """
    there = None
    if lists is not None:
        quantizer = lists.quantizer
        centroids = quantizer.reconstruct_n(0, quantizer.ntotal)
        there = _flat(centroids, quantizer.metric_type)
    if there is None:
        yield
        return
    faiss = load_faiss()
    here = faiss.IndexFlat(lists.d, quantizer.metric_type)
    here.add(centroids)
    joined = faiss.IndexRefine(there, here)
    lists.quantizer = joined  # not FAISS's to free, as above
    try:
        yield
    finally:
        lists.quantizer = quantizer


def _flat(rows: Matrix, metric: int) -> Any:
    """FAISS's exact index of a matrix on the GPU; None without one, or without the memory for it."""
    if not gpu_count():
        return None
    try:
        index = _new_flat(rows.shape[1], metric)
        index.add(rows)
    except RuntimeError as err:
        logger.info("%d rows stay on the CPU: %s", len(rows), err)
        return None
    return index


def _new_flat(dim: int, metric: int) -> Any:
    """Empty, on the first GPU, with working memory of its own: FAISS's is not to be shared among threads."""
    faiss = load_faiss()
    config = faiss.GpuIndexFlatConfig()
    config.use_cuvs = False  # rounds in another way
    return faiss.GpuIndexFlat(faiss.StandardGpuResources(), dim, metric, config)
