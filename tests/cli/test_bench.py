from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

import mmsearch
from mmsearch.evaluation import BenchReport, Curve
from mmsearch_cli.bench import bench
from mmsearch_indexes import CurvePoint


def point(effort: int, rerank: int, recall: float, qps: float) -> CurvePoint:
    return CurvePoint(
        effort=effort,
        rerank=rerank,
        recall=recall,
        recall_low=recall - 0.004,
        recall_high=recall + 0.004,
        qps=qps,
        qps_low=qps * 0.9,
        qps_high=qps * 1.1,
    )


TUNED = point(45, 120, 0.9536, 1400)
TEXT = Curve(
    modality="image",
    queries="text",
    n=1_000_000,
    dim=512,
    recipe="IVF1024,PQ256x4fsr",
    exact_qps=7.5,
    points=(point(16, 80, 0.88, 2800), point(64, 120, 0.97, 1100)),
    tuned=TUNED,
)
IMAGE = Curve(
    modality="image",
    queries="image",
    n=1_000_000,
    dim=512,
    recipe="IVF1024,PQ256x4fsr",
    exact_qps=7.6,
    points=(TUNED,),
    tuned=None,
)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The command, over a collection with two curves."""
    return command(monkeypatch, BenchReport(curves=(TEXT, IMAGE)))


def command(monkeypatch: pytest.MonkeyPatch, report: BenchReport) -> typer.Typer:
    opened = SimpleNamespace(bench=lambda *, progress: [progress(3), report][1])
    monkeypatch.setattr(mmsearch, "open", lambda _: opened)
    built = typer.Typer()
    built.command()(bench)
    return built


def test_each_curve_is_a_table_by_rising_recall_with_the_setting_in_use(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0, result.stderr
    head, columns, *rows = result.stdout.splitlines()[:6]
    assert head == "text -> image: 1,000,000 vectors, 512-d, IVF1024,PQ256x4fsr"
    assert columns.split() == ["ann_recall@10", "queries/s", "x", "exact", "nprobe", "candidates"]
    assert [" ".join(row.split()) for row in rows] == [
        "0.8800 ± 0.0040 2,800 373.3 16 80",
        "0.9536 ± 0.0040 1,400 186.7 45 120 in use",
        "0.9700 ± 0.0040 1,100 146.7 64 120",
        "1 (exact search) 7.5 1",
    ]
    assert result.stdout.count("in use") == 1
    assert "image -> image" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("Single queries, one after the other,")


def test_json_has_one_curve_a_line(app: typer.Typer) -> None:
    first, second = map(json.loads, CliRunner().invoke(app, ["--json"]).stdout.splitlines())
    assert (first["modality"], first["queries"], first["n"], first["exact_qps"]) == ("image", "text", 1_000_000, 7.5)
    assert first["tuned"] == asdict(TUNED)
    assert [of["effort"] for of in first["points"]] == [16, 64]
    assert second["tuned"] is None


def test_curves_are_drawn_into_a_file(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--svg", str(tmp_path / "curves.svg")])
    assert result.stderr.splitlines()[-1] == f"drawing: {tmp_path / 'curves.svg'}"
    drawing = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    for text in ("text -&gt; image", "1,000,000 image vectors, 512-d, IVF1024,PQ256x4fsr", "nprobe 45, 120 candidates"):
        assert text in drawing


def test_a_folder_that_is_not_there_is_told_before_anything_is_measured(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--svg", str(tmp_path / "gone" / "curves.svg")])
    assert result.exit_code == 2
    assert not result.stdout


def test_where_nothing_is_measured_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    app = command(monkeypatch, BenchReport(curves=()))
    result = CliRunner().invoke(app, ["--svg", str(tmp_path / "curves.svg")])
    assert result.exit_code == 0
    assert not result.stdout
    assert "nothing to measure" in result.stderr
    assert not list(tmp_path.iterdir())
