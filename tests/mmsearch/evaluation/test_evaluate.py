from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsearch.arrays import Embeddings
from mmsearch.evaluation import (
    Qrels,
    evaluate_embeddings,
    evaluate_pairs,
    evaluate_run,
    ranks,
    ranks_in_embeddings,
    ranks_in_run,
)

ROOT = Path(__file__).resolve().parents[3]
CLIP_EMBEDDINGS = ROOT.parent / "shared" / "data" / "clip-vit-b32" / "flickr8k-100.npz"


def unit_rows(n: int, dim: int, seed: int) -> Embeddings:
    rows = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_clip_on_a_hundred_flickr8k_pictures_scores_as_measured_elsewhere() -> None:
    if not CLIP_EMBEDDINGS.exists():
        pytest.skip(f"the CLIP embeddings of Flickr8k pictures are not at {CLIP_EMBEDDINGS}")
    with np.load(CLIP_EMBEDDINGS) as data:
        images, texts = data["image_embeddings"], data["text_embeddings"]
        image_of_text = data["image_of_text"]
    report = evaluate_pairs(images=images, texts=texts, image_of_text=image_of_text, encoder="clip-vit-b32").to_json()
    t2i, i2t = report["t2i"], report["i2t"]
    assert isinstance(t2i, dict)
    assert isinstance(i2t, dict)
    assert [t2i[f"hit_rate@{k}"] for k in (1, 5, 10)] == [0.832, 0.990, 0.998]
    assert (t2i["n_queries"], i2t["n_queries"]) == (500, 100)


def test_report_is_the_json_that_the_command_prints() -> None:
    # Text 2 belongs to picture 0 but is closer to picture 1.
    images = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    texts = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    report = evaluate_pairs(
        images=images, texts=texts, image_of_text=np.array([0, 1, 0]), encoder="mini", search="exact"
    )
    ndcg_t2i = (1 + 1 + 1 / math.log2(3)) / 3
    assert json.loads(json.dumps(report.to_json())) == {
        "t2i": {
            "hit_rate@1": pytest.approx(2 / 3),
            "hit_rate@5": 1.0,
            "hit_rate@10": 1.0,
            "mrr": pytest.approx(2.5 / 3),
            "ndcg@10": pytest.approx(ndcg_t2i),
            "median_rank": 1.0,
            "n_queries": 3,
        },
        "i2t": {
            "hit_rate@1": 1.0,
            "hit_rate@5": 1.0,
            "hit_rate@10": 1.0,
            "mrr": 1.0,
            "ndcg@10": 1.0,
            "median_rank": 1.0,
            "n_queries": 2,
        },
        "encoder": "mini",
        "search": "exact",
    }
    assert list(report.to_json()) == ["t2i", "i2t", "encoder", "search"]


def test_pictures_without_a_text_are_candidates_but_no_queries() -> None:
    images, texts = unit_rows(10, 8, 0), unit_rows(4, 8, 1)
    report = evaluate_pairs(images=images, texts=texts, image_of_text=np.array([2, 2, 5, 9]), encoder="x")
    assert (report.t2i.n_queries, report.i2t.n_queries) == (4, 3)


def test_equal_candidates_are_ranked_by_their_row() -> None:
    candidates = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=np.float32)
    query = np.array([[1, 0]], dtype=np.float32)
    for row in range(3):
        qrels = Qrels.from_lists([{row}], n_candidates=4)
        assert ranks_in_embeddings(query, candidates, qrels).ranks.tolist() == [row + 1]


def test_a_query_with_nothing_relevant_counts_as_a_miss() -> None:
    report = evaluate_embeddings(unit_rows(2, 4, 0), unit_rows(3, 4, 1), [set(), {0, 1, 2}], ks=(1,))
    assert report.hit_rate == {1: 0.5}
    assert report.median_rank == math.inf
    assert report.to_json()["median_rank"] is None


def test_chosen_ks_are_reported_in_their_order() -> None:
    report = evaluate_embeddings(unit_rows(2, 4, 0), unit_rows(3, 4, 1), [{0}, {1}], ks=(3, 2))
    assert list(report.to_json())[:2] == ["hit_rate@3", "hit_rate@2"]


def test_interval_of_a_report_is_around_its_rate() -> None:
    report = evaluate_embeddings(unit_rows(60, 4, 0), unit_rows(3, 4, 1), [{0}] * 60, ks=(1,))
    low, high = report.interval(1)
    assert low < report.hit_rate[1] < high
    assert 0.15 < high - low < 0.26


@settings(deadline=None)
@given(
    n_queries=st.integers(1, 12),
    n_candidates=st.integers(1, 30),
    n_distinct=st.integers(1, 20),
    cells=st.sampled_from([1, 7, 64, 1 << 20]),
    seed=st.integers(0, 500),
)
def test_ranks_equal_those_of_sorting_all_candidates(
    n_queries: int, n_candidates: int, n_distinct: int, cells: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    queries = unit_rows(n_queries, 5, seed)
    candidates = unit_rows(n_distinct, 5, seed + 1)[rng.integers(n_distinct, size=n_candidates)]
    qrels = Qrels.from_lists(
        [np.flatnonzero(rng.random(n_candidates) < 0.2) for _ in range(n_queries)], n_candidates=n_candidates
    )
    scores = (queries.astype(np.float64) @ candidates.astype(np.float64).T).astype(np.float32)
    sorted_all = ranks_in_run(np.argsort(-scores, axis=1, kind="stable"), qrels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "_CELLS", cells)  # small blocks, so that the work is cut in many places
        counted = ranks_in_embeddings(queries, candidates, qrels)
    np.testing.assert_array_equal(counted.ranks, sorted_all.ranks)
    assert evaluate_embeddings(queries, candidates, qrels) == evaluate_run(
        np.argsort(-scores, axis=1, kind="stable"), qrels
    )


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"queries are \(2, 4\) and candidates \(3, 5\)"):
        evaluate_embeddings(unit_rows(2, 4, 0), unit_rows(3, 5, 1), [{0}, {1}])
    with pytest.raises(ValueError, match="the pairs are of 1 queries and 3 candidates, but there are 2 and 3"):
        evaluate_embeddings(unit_rows(2, 4, 0), unit_rows(3, 4, 1), [{0}])


def test_nan_embeddings_are_refused() -> None:
    candidates = unit_rows(3, 4, 1)
    candidates[1, 1] = np.nan
    with pytest.raises(ValueError, match="some scores are NaN"):
        evaluate_embeddings(unit_rows(2, 4, 0), candidates, [{0}, {1}])


FIND_OUR_PACKAGES = f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'indexes')]!r}\n"

COMPARE_WITH_RANX = """
import warnings
warnings.simplefilter("ignore")
import numpy as np
from ranx import Qrels as TheirQrels, Run, evaluate
from mmsearch.evaluation import Qrels, hit_rate_at_k, mrr, ndcg_at_k, ranks_in_run, recall_at_k

rng = np.random.default_rng(0)
relevant = [set(rng.choice(50, size=rng.integers(1, 9), replace=False).tolist()) for _ in range(300)]
run = np.stack([rng.permutation(50)[:20] for _ in relevant])
theirs = TheirQrels({f"q{q}": {f"c{c}": 1 for c in rows} for q, rows in enumerate(relevant)})
their_run = Run({f"q{q}": {f"c{c}": 1 - 0.01 * i for i, c in enumerate(row)} for q, row in enumerate(run)})
names = [f"{metric}@{k}" for metric in ("hit_rate", "recall", "ndcg") for k in (1, 5, 10, 20)] + ["mrr"]
expected = evaluate(theirs, their_run, names)
ranks = ranks_in_run(run, Qrels.from_lists(relevant, n_candidates=50))
functions = {"hit_rate": hit_rate_at_k, "recall": recall_at_k, "ndcg": ndcg_at_k}
ours = {name: functions[name.split("@")[0]](ranks, int(name.split("@")[1])) for name in names[:-1]}
ours["mrr"] = mrr(ranks)
assert all(abs(ours[name] - expected[name]) < 1e-12 for name in names), (ours, expected)
print(len(names))
"""


@pytest.mark.slow
def test_metrics_equal_those_of_ranx() -> None:
    # In a process of its own: ranx compiles with numba for half a minute and warns while it does.
    code = FIND_OUR_PACKAGES + COMPARE_WITH_RANX
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "13\n", "")


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = (
        FIND_OUR_PACKAGES
        + "import mmsearch.evaluation; "
        + "print(sorted({'torch', 'faiss', 'open_clip', 'onnxruntime', 'ranx'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
