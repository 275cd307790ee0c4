from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmsearch.errors import QueryError
from mmsearch.evaluation import BenchReport, Curve
from mmsearch_indexes import CurvePoint


def point(recall: float, qps: float) -> CurvePoint:
    return CurvePoint(
        effort=8, rerank=40, recall=recall, recall_low=recall, recall_high=recall, qps=qps, qps_low=qps, qps_high=qps
    )


CURVE = Curve(
    modality="image",
    queries="text",
    n=2140,
    dim=512,
    recipe="IVF64,PQ256x4fsr",
    exact_qps=900.0,
    points=(point(0.8, 3000), point(0.9, 2000), point(0.99, 1000)),
    tuned=None,
)


def test_the_setting_in_use_is_shown_once_in_its_place() -> None:
    off_the_curve = replace(CURVE, tuned=point(0.85, 1500))
    assert [shown.recall for shown in off_the_curve.with_tuned()] == [0.8, 0.85, 0.9, 0.99]
    assert replace(CURVE, tuned=CURVE.points[1]).with_tuned() == CURVE.with_tuned() == CURVE.points


@pytest.mark.parametrize(
    ("recipe", "name"), [("RR32,IVF64,RaBitQfs", "nprobe"), ("HNSW32,SQ8", "ef_search"), ("Flat", "effort")]
)
def test_effort_is_called_what_faiss_calls_it(recipe: str, name: str) -> None:
    assert replace(CURVE, recipe=recipe).effort_name == name


def test_an_index_with_two_kinds_of_query_is_named_once_in_the_drawing() -> None:
    drawing = BenchReport(curves=(CURVE, replace(CURVE, queries="image"))).to_svg()
    assert drawing.count("2,140 image vectors, 512-d, IVF64,PQ256x4fsr") == 1
    assert drawing.count("<polyline") == 2


def test_a_drawing_that_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="cannot be written"):
        BenchReport(curves=(CURVE,)).write_svg(tmp_path / "gone" / "curves.svg")
