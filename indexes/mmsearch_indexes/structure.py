"""The FAISS structures behind an approximate index: how they are trained, and told how to search."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmsearch_indexes.errors import InvalidRecipe
from mmsearch_indexes.flat import load_faiss
from mmsearch_indexes.gpu import clustering_on_gpu
from mmsearch_indexes.halves import StoredRows
from mmsearch_indexes.neighbors import Matrix
from mmsearch_indexes.recipe import IndexRecipe


def trained(recipe: IndexRecipe, sample: Matrix) -> Any:
    """An empty FAISS index that has learned its centroids and codes; raises ``InvalidRecipe`` where it cannot."""
    faiss = load_faiss()
    structure = _untrained(recipe, sample.shape[1])
    lists = lists_of(structure)
    if lists is not None:
        lists.cp.seed = recipe.seed
        lists.cp.max_points_per_centroid = len(sample)
        if not recipe.spherical and isinstance(faiss.downcast_index(lists.quantizer), faiss.IndexFlat):
            lists.cp.spherical = False
            _replace_quantizer(lists, faiss.IndexFlatL2(lists.d))
    if recipe.factory.startswith("OPQ"):
        _even_out_groups(faiss.downcast_VectorTransform(structure.chain.at(0)), sample)
    with clustering_on_gpu(lists):
        structure.train(sample)
    return structure


def check_recipe(recipe: IndexRecipe, dim: int) -> None:
    """Raise ``InvalidRecipe`` where rows of this width cannot be indexed so, as when codes do not divide it."""
    _untrained(recipe, dim)


def visit_by_inner_product(structure: Any) -> None:
    """Rows were assigned by distance; from now on lists are chosen by inner product with the same centroids."""
    faiss = load_faiss()
    lists = lists_of(structure)
    if lists is not None and isinstance(quantizer := faiss.downcast_index(lists.quantizer), faiss.IndexFlatL2):
        by_inner_product = faiss.IndexFlatIP(lists.d)
        by_inner_product.add(quantizer.reconstruct_n(0, quantizer.ntotal))
        _replace_quantizer(lists, by_inner_product)


def lists_of(structure: Any) -> Any:
    """The inverted lists, behind a transformation if there is one; None for a graph."""
    return load_faiss().try_extract_index_ivf(structure)


def search_parameters(structure: Any, effort: int, selector: Any = None) -> Any:
    """What FAISS wants to be told with each search."""
    faiss = load_faiss()
    if lists_of(structure) is None:
        return faiss.SearchParametersHNSW(efSearch=effort, sel=selector)
    parameters = faiss.SearchParametersIVF(nprobe=effort, sel=selector)
    if isinstance(structure, faiss.IndexPreTransform):
        return faiss.SearchParametersPreTransform(index_params=parameters)
    return parameters


def reranking(structure: Any, rows: StoredRows) -> Any:
    """The structure, whose candidates FAISS scores anew from the rows where they lie; nothing is copied.

    FAISS reads the rows' memory, which may be a mapped file: keep it alive as long as what is returned.
    """
    faiss = load_faiss()
    stored = faiss.IndexScalarQuantizer(rows.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    start, size = faiss.swig_ptr(rows.view(np.uint8).reshape(-1)), rows.nbytes
    # What FAISS itself does with a mapped file; its function for it cannot be called from Python.
    codes = stored.codes
    codes.is_owned = False
    codes.view_data = codes.c_ptr = start
    codes.view_size = codes.c_size = size
    stored.ntotal = len(rows)
    return faiss.IndexRefine(structure, stored)


def reranking_parameters(structure: Any, effort: int, candidates: int, k: int, selector: Any = None) -> Any:
    """What FAISS wants to be told to score so many candidates anew and answer with k of them."""
    return load_faiss().IndexRefineSearchParameters(
        k_factor=(candidates + 0.5) / k,  # FAISS multiplies with k and rounds down
        base_index_params=search_parameters(structure, effort, selector),
    )


def _untrained(recipe: IndexRecipe, dim: int) -> Any:
    faiss = load_faiss()
    try:
        return faiss.index_factory(dim, recipe.factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as err:
        reason = str(err).rpartition("failed: ")[2].strip()
        raise InvalidRecipe(f"FAISS cannot build {recipe.factory!r} over rows of {dim}: {reason}") from err


def _even_out_groups(rotation: Any, sample: Matrix) -> None:
    """Rotate to principal components, and give each group that gets a code large and small ones.

    Among as many centroids as every other, a group's then lie along its large component, where the spread is. FAISS
    would look for such a rotation in many rounds; for Gaussian rows this one is the best. Where it has fewer outputs
    than inputs, the smallest components are left out; candidates are scored anew from whole rows.

    Source:
        Ge, He, Ke and Sun, Optimized Product Quantization for Approximate Nearest Neighbor Search, CVPR 2013, section
        3.2.
    """
    axes = np.linalg.eigh((sample.T @ sample).astype(np.float64))[1].T[::-1]
    order = np.arange(rotation.d_out).reshape(-1, rotation.M)
    order[1::2] = order[1::2, ::-1].copy()
    load_faiss().copy_array_to_vector(axes[order.T.reshape(-1)].astype(np.float32).reshape(-1), rotation.A)
    rotation.set_is_orthonormal()
    rotation.is_trained = True


def _replace_quantizer(lists: Any, quantizer: Any) -> None:
    """Hand a quantizer over to FAISS, which frees it with the lists, and free the one it had."""
    former = lists.quantizer
    lists.quantizer = quantizer
    quantizer.this.disown()
    former.this.acquire()
