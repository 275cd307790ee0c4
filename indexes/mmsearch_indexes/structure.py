"""The FAISS structures behind an approximate index: how they are trained, and told how to search."""

from __future__ import annotations

from typing import Any

from mmsearch_indexes.errors import InvalidRecipe
from mmsearch_indexes.flat import load_faiss
from mmsearch_indexes.neighbors import Matrix
from mmsearch_indexes.recipe import IndexRecipe


def trained(recipe: IndexRecipe, sample: Matrix) -> Any:
    """An empty FAISS index that has learned its centroids and codes; raises ``InvalidRecipe`` where it cannot."""
    faiss = load_faiss()
    try:
        structure = faiss.index_factory(sample.shape[1], recipe.factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as err:
        raise InvalidRecipe(f"FAISS cannot build {recipe.factory!r} over rows of {sample.shape[1]}: {err}") from err
    lists = lists_of(structure)
    if lists is not None:
        lists.cp.seed = recipe.seed
        lists.cp.max_points_per_centroid = len(sample)
        if not recipe.spherical and isinstance(faiss.downcast_index(lists.quantizer), faiss.IndexFlat):
            lists.cp.spherical = False
            _replace_quantizer(lists, faiss.IndexFlatL2(lists.d))
    structure.train(sample)
    return structure


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


def _replace_quantizer(lists: Any, quantizer: Any) -> None:
    """Hand a quantizer over to FAISS, which frees it with the lists, and free the one it had."""
    former = lists.quantizer
    lists.quantizer = quantizer
    quantizer.this.disown()
    former.this.acquire()
