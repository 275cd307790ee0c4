"""What runs on a GPU must not show. Where there is none, FAISS's index of the CPU, or a sloppier one, stands in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock, patch

import faiss
import numpy as np
import pytest

from mmsearch_indexes import ApproximateIndex, FlatIndex, IndexRecipe, Matrix, Neighbors, RowIds, Scores, gpu

DIM = 32
FACTORIES = ("IVF16,PQ16x4fsr", "IVF16,SQ8", "RR32,IVF16,RaBitQfs", "IVF16_HNSW8,PQ16x4fsr")


def unit_rows(n: int, seed: int = 0) -> Matrix:
    rows = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def with_copies(n: int, n_distinct: int) -> Matrix:
    return unit_rows(n_distinct)[np.random.default_rng(1).integers(n_distinct, size=n)]


def assert_equal(found: Neighbors, expected: Neighbors) -> None:
    np.testing.assert_array_equal(found.row_ids, expected.row_ids)
    np.testing.assert_array_equal(found.scores, expected.scores)


class OtherRounding:
    """Inner products added up from the other end; of equal ones, the last row first."""

    def __init__(self) -> None:
        self.searches = 0

    def add(self, rows: Matrix) -> None:
        self._rows = rows

    def search(self, queries: Matrix, k: int) -> tuple[Scores, RowIds]:
        self.searches += 1
        scores = np.zeros((len(queries), len(self._rows)), np.float32)
        for column in reversed(range(DIM)):
            scores += np.outer(queries[:, column], self._rows[:, column])
        order = (len(self._rows) - 1 - np.argsort(-scores[:, ::-1], axis=1, kind="stable"))[:, :k]
        return np.take_along_axis(scores, order, axis=1), order


class Coarse(OtherRounding):
    """Of each number, 10 bits behind the point, as TF32 keeps them."""

    def add(self, rows: Matrix) -> None:
        super().add(self._rounded(rows))

    def search(self, queries: Matrix, k: int) -> tuple[Scores, RowIds]:
        return super().search(self._rounded(queries), k)

    def _rounded(self, numbers: Matrix) -> Matrix:
        return ((numbers.view(np.int32) + (1 << 12)) & ~np.int32((1 << 13) - 1)).view(np.float32)


def out_of_memory(*_: object) -> None:
    """What FAISS does where others have taken the GPU's memory."""
    raise RuntimeError("StandardGpuResources: alloc fail")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So little work is not worth threads waiting for each other."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Pretend a GPU whose indexes are those given, one after the other; where None is, FAISS's of the CPU."""

    def pretend(index: Any = None) -> None:
        monkeypatch.setattr(gpu, "gpu_count", lambda: 1)
        monkeypatch.setattr(gpu, "_new_flat", lambda dim, metric: index or faiss.IndexFlat(dim, metric))

    return pretend


def new_structure(factory: str) -> Any:
    structure = faiss.index_factory(DIM, factory, faiss.METRIC_INNER_PRODUCT)
    faiss.extract_index_ivf(structure).cp.max_points_per_centroid = 10_000
    return structure


def test_without_a_gpu_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu.gpu_count() == faiss.get_num_gpus()
    monkeypatch.setattr(gpu, "gpu_count", lambda: 0)
    index = FlatIndex.build(unit_rows(10))
    assert gpu.on_gpu(index) is index
    lists = new_structure("IVF16,SQ8")
    quantizer = int(lists.quantizer.this)
    with gpu.clustering_on_gpu(lists), gpu.assigning_on_gpu(lists):
        assert lists.clustering_index is None
        assert int(lists.quantizer.this) == quantizer


@pytest.mark.parametrize("n_distinct", [1, 40, 3000], ids=lambda n: f"{n} distinct")
@pytest.mark.parametrize("k", [1, 10, 100])
def test_exact_search_gives_the_same_neighbours_scores_and_order(
    pretend: Callable[[Any], None], k: int, n_distinct: int
) -> None:
    rounding = OtherRounding()
    pretend(rounding)
    index, queries = FlatIndex.build(with_copies(3000, n_distinct)), unit_rows(20, seed=2)
    moved = gpu.on_gpu(index)
    assert_equal(moved.search(queries, k), index.search(queries, k))
    among = np.flatnonzero(np.random.default_rng(3).random(3000) < 0.7)
    assert_equal(moved.search(queries, k, among=among), index.search(queries, k, among=among))
    assert rounding.searches > 1


def test_a_gpu_that_would_lose_neighbours_by_its_rounding_is_not_used(
    pretend: Callable[[Any], None], caplog: pytest.LogCaptureFixture
) -> None:
    pretend(Coarse())
    index = FlatIndex.build(unit_rows(3000))
    assert gpu.on_gpu(index) is index
    assert "more coarsely than float32" in caplog.text


@pytest.mark.parametrize("n", [0, 1, 9])
def test_few_rows_or_none_are_no_exception(pretend: Callable[[Any], None], n: int) -> None:
    pretend(None)
    index, queries = FlatIndex.build(unit_rows(n)), unit_rows(2, seed=2)
    assert_equal(gpu.on_gpu(index).search(queries, 3), index.search(queries, 3))


def test_more_neighbours_than_a_gpu_selects_come_from_the_cpu(pretend: Callable[[Any], None]) -> None:
    rounding = OtherRounding()
    pretend(rounding)
    index, queries = FlatIndex.build(unit_rows(3000)), unit_rows(2, seed=2)
    assert_equal(gpu.on_gpu(index).search(queries, 2500), index.search(queries, 2500))
    assert rounding.searches == 1  # to see how it rounds


def test_rows_that_its_memory_cannot_hold_stay_on_the_cpu(
    pretend: Callable[[Any], None], caplog: pytest.LogCaptureFixture
) -> None:
    pretend(Mock(add=out_of_memory))
    index = FlatIndex.build(unit_rows(10))
    with caplog.at_level(logging.INFO):
        assert gpu.on_gpu(index) is index
    assert "10 rows stay on the CPU" in caplog.text


def test_where_the_gpu_fails_the_cpu_goes_on(pretend: Callable[[Any], None], caplog: pytest.LogCaptureFixture) -> None:
    pretend(Mock(search=out_of_memory))
    index, queries = FlatIndex.build(unit_rows(50)), unit_rows(2, seed=2)
    moved = gpu.on_gpu(index)
    for _ in range(2):
        assert_equal(moved.search(queries, 5), index.search(queries, 5))
    assert caplog.text.count("the GPU failed") == 1


@pytest.mark.parametrize("factory", FACTORIES)
def test_lists_trained_and_filled_with_it_are_those_of_the_cpu(pretend: Callable[[Any], None], factory: str) -> None:
    rows = unit_rows(2000)
    expected, structure = new_structure(factory), new_structure(factory)
    lists = faiss.extract_index_ivf(structure)
    expected.train(rows)
    pretend(None)
    with gpu.clustering_on_gpu(lists):
        assert lists.clustering_index is not None
        structure.train(rows)
    assert lists.clustering_index is None
    np.testing.assert_array_equal(faiss.serialize_index(structure), faiss.serialize_index(expected))

    quantizer = int(lists.quantizer.this)
    for part in np.split(rows, 2):
        expected.add(part)
    with gpu.assigning_on_gpu(lists):
        assert int(lists.quantizer.this) != quantizer
        for part in np.split(rows, 2):
            structure.add(part)
    assert int(lists.quantizer.this) == quantizer
    np.testing.assert_array_equal(faiss.serialize_index(structure), faiss.serialize_index(expected))


@pytest.mark.parametrize("spherical", [False, True], ids=["means", "spherical"])
def test_an_index_is_built_the_same(pretend: Callable[[Any], None], spherical: bool) -> None:
    recipe, progress = IndexRecipe(factory="IVF16,PQ16x4fsr", spherical=spherical), Mock()
    expected = ApproximateIndex.build(unit_rows(2000), recipe)
    pretend(None)
    with patch.object(gpu, "_new_flat", wraps=gpu._new_flat) as new_flat:
        built = ApproximateIndex.build(unit_rows(2000), recipe, progress=progress)
    assert new_flat.call_count == 2  # to cluster, and to assign
    np.testing.assert_array_equal(faiss.serialize_index(built.structure), faiss.serialize_index(expected.structure))
    progress.assert_called_once_with(2000)


def test_lists_are_what_they_were_after_an_error(pretend: Callable[[Any], None]) -> None:
    pretend(None)
    lists = new_structure("IVF16,SQ8")
    with pytest.raises(RuntimeError, match="should be at least"), gpu.clustering_on_gpu(lists):
        lists.train(unit_rows(5))
    assert lists.clustering_index is None
    lists.train(unit_rows(2000))
    quantizer = int(lists.quantizer.this)
    with pytest.raises(AssertionError), gpu.assigning_on_gpu(lists):
        lists.add(unit_rows(5)[:, :7])
    assert int(lists.quantizer.this) == quantizer


def test_a_structure_without_lists_passes_through() -> None:
    with gpu.clustering_on_gpu(None), gpu.assigning_on_gpu(None):
        pass


@pytest.mark.skipif(not faiss.get_num_gpus(), reason="FAISS sees no GPU")
@pytest.mark.parametrize("n_distinct", [1, 40, 20_000], ids=lambda n: f"{n} distinct")
def test_a_real_gpu_gives_the_same_neighbours_scores_and_order(n_distinct: int) -> None:
    index, queries = FlatIndex.build(with_copies(20_000, n_distinct)), unit_rows(50, seed=2)
    moved = gpu.on_gpu(index)
    assert moved is not index
    assert_equal(moved.search(queries, 10), index.search(queries, 10))


@pytest.mark.skipif(not faiss.get_num_gpus(), reason="FAISS sees no GPU")
@pytest.mark.parametrize("factory", FACTORIES)
def test_a_real_gpu_puts_rows_into_the_lists_that_the_cpu_would_choose(factory: str) -> None:
    rows, structure = unit_rows(5000), new_structure(factory)
    lists = faiss.extract_index_ivf(structure)
    with gpu.clustering_on_gpu(lists):
        structure.train(rows)
    filled = faiss.clone_index(structure)
    structure.add(rows)
    with gpu.assigning_on_gpu(faiss.extract_index_ivf(filled)):
        filled.add(rows)
    sizes = [
        [faiss.extract_index_ivf(each).get_list_size(number) for number in range(16)] for each in (structure, filled)
    ]
    np.testing.assert_allclose(*sizes, atol=50)
    found = [each.search(rows[:200], 1)[1] for each in (structure, filled)]
    assert (found[0] == found[1]).mean() > 0.95
