from __future__ import annotations

import json

import pytest

from mmsearch_indexes import IndexRecipe, InvalidRecipe, Setting, Tuned

VALUES = [
    IndexRecipe(factory="RR384,IVF512,RaBitQfs", train_rows=5, seed=2),
    Setting(effort=16, rerank=40),
    Tuned(
        effort=16, rerank=40, target=0.95, recall=0.96, recall_low=0.955, recall_high=0.965, qps=4000.0, n_queries=1000
    ),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_survive_json(value: IndexRecipe | Setting | Tuned) -> None:
    assert type(value).from_json(json.loads(json.dumps(value.to_json()))) == value


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_unknown_and_missing_keys_are_refused(value: IndexRecipe | Setting | Tuned) -> None:
    written = value.to_json()
    with pytest.raises(InvalidRecipe, match=r"other keys than it should \(colour\)"):
        type(value).from_json({**written, "colour": 1})
    gone = next(iter(written))
    del written[gone]
    with pytest.raises(InvalidRecipe, match=rf"other keys than it should \({gone}\)"):
        type(value).from_json(written)


@pytest.mark.parametrize(
    "factory",
    ["", "PCA64,IVF32,SQ8", "IVF32,PQ16x4fsr,RFlat", "IVF,SQ8", "OPQ16,PQ16", "OPQ8,IVF4,PQ16x4fsr", "LSH", 7],
)
def test_structures_that_cannot_keep_the_contract_are_refused(factory: str) -> None:
    with pytest.raises(InvalidRecipe, match="factory is"):
        IndexRecipe(factory=factory)


@pytest.mark.parametrize(
    ("factory", "n", "fitted"),
    [
        ("IVF1024,PQ256x4fsr", 1_000_000, "IVF1024,PQ256x4fsr"),
        ("IVF1024,PQ256x4fsr", 10_000, "IVF256,PQ256x4fsr"),
        ("RR64,IVF65536_HNSW32,RaBitQfs", 10_000, "RR64,IVF256,RaBitQfs"),
        ("OPQ160_320,IVF1024,PQ160x4fsr", 10_000, "OPQ160_320,IVF256,PQ160x4fsr"),
        ("IVF1024,PQ256x4fsr", 999, "Flat"),
        ("HNSW32,SQ8", 10_000, "HNSW32,SQ8"),
    ],
)
def test_a_recipe_is_fitted_to_the_rows_there_are(factory: str, n: int, fitted: str) -> None:
    assert IndexRecipe(factory=factory).fitted(n).factory == fitted


@pytest.mark.parametrize(("effort", "rerank"), [(0, 40), (-1, 40), (1, 9)])
def test_a_setting_that_spends_nothing_is_refused(effort: int, rerank: int) -> None:
    with pytest.raises(InvalidRecipe, match=f"effort is {effort} and rerank {rerank}"):
        Setting(effort=effort, rerank=rerank)


def test_candidates_grow_with_k_beyond_ten() -> None:
    setting = Setting(effort=1, rerank=25)
    assert [setting.candidates(k) for k in (1, 10, 11, 100)] == [25, 25, 28, 250]
