from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from mmsearch.evaluation import PlotLine, PlotPoint, recall_plot
from mmsearch.evaluation.plot import short

SVG = "{http://www.w3.org/2000/svg}"


def line(name: str = "a<b", *, own: bool = False, **more: object) -> PlotLine:
    points = (PlotPoint(recall=0.9, qps=1000, note="nprobe 8"), PlotPoint(recall=0.99, qps=100))
    return PlotLine(name=name, points=points, own=own, **more)  # type: ignore[arg-type]


def places(drawing: str) -> list[list[tuple[float, float]]]:
    """Of the corners of each line."""
    lines = ElementTree.fromstring(drawing).iter(f"{SVG}polyline")
    return [[tuple(map(float, at.split(","))) for at in line.attrib["points"].split()] for line in lines]  # type: ignore[misc]


def texts(drawing: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(drawing).iter(f"{SVG}text")]


def test_more_recall_is_to_the_right_and_more_speed_is_up() -> None:
    ((start, end),) = places(recall_plot([line()], title="t"))
    assert start[0] < end[0]
    assert start[1] < end[1]


def test_both_axes_are_logarithmic_in_what_is_missed_and_in_speed() -> None:
    points = tuple(PlotPoint(recall=1 - missed, qps=qps) for missed, qps in ((0.2, 1000), (0.02, 100), (0.002, 10)))
    ((a, b, c),) = places(recall_plot([PlotLine(name="x", points=points)], title="t"))
    assert b[0] - a[0] == pytest.approx(c[0] - b[0], abs=0.2)
    assert b[1] - a[1] == pytest.approx(c[1] - b[1], abs=0.2)


def test_text_is_text_and_names_what_is_drawn() -> None:
    drawing = recall_plot([line(), line("ours", own=True)], title="Recall & speed", subtitle="of <things>")
    assert {"Recall & speed", "of <things>", "ann_recall@10", "queries a second", "a<b", "ours"} <= set(texts(drawing))
    assert {".90", ".95", ".99", "1", "100", "1,000"} <= set(texts(drawing))
    assert "in use" not in texts(drawing)
    assert "a&lt;b: recall 0.9000, 1,000 queries a second, nprobe 8" in drawing


def test_own_lines_come_first_and_have_colours_of_their_own() -> None:
    drawing = recall_plot([line(), line("ours", own=True)], title="t")
    classes = [drawn.attrib["class"] for drawn in ElementTree.fromstring(drawing).iter(f"{SVG}polyline")]
    assert classes == ["c0 line own", "c2 line"]
    assert texts(drawing).index("ours") < texts(drawing).index("a<b")


def test_no_two_of_many_lines_look_the_same() -> None:
    drawing = recall_plot([line(f"line {number}") for number in range(16)], title="t")
    classes = [drawn.attrib["class"] for drawn in ElementTree.fromstring(drawing).iter(f"{SVG}polyline")]
    assert len(set(classes)) == 16


def test_each_colour_has_one_for_light_and_one_for_dark() -> None:
    drawing = recall_plot([line()], title="t")
    assert drawing.count("@media (prefers-color-scheme: dark)") == 2
    colours = re.findall(r"\.c2 \{ stroke: (#\w+)", drawing)
    assert len(set(colours)) == 2


def test_what_is_in_use_and_exact_search_are_marked_and_explained() -> None:
    in_use = PlotPoint(recall=0.95, qps=400, recall_range=(0.94, 0.96), qps_range=(350, 420))
    drawing = recall_plot([line(in_use=in_use, exact_qps=5.0)], title="t")
    assert {"in use", "exact search, all rows compared", "5"} <= set(texts(drawing))
    assert drawing.count("<circle") == 2  # on the line and in the legend
    assert "recall 0.9500, 400 queries a second" in drawing


def test_intervals_are_drawn_as_a_band_and_whiskers() -> None:
    points = tuple(
        PlotPoint(recall=r, qps=100, recall_range=(r - 0.01, r + 0.01), qps_range=(90, 120)) for r in (0.9, 0.95)
    )
    drawing = recall_plot([PlotLine(name="x", points=points)], title="t")
    assert drawing.count("<polygon") == 1
    assert drawing.count("whisker") - drawing.count(".whisker") == 2


def test_perfect_recall_lies_at_the_right_edge_and_little_is_left_out() -> None:
    points = tuple(PlotPoint(recall=recall, qps=qps) for recall, qps in ((0.2, 900.0), (1.0, 10.0)))
    ((only,),) = places(recall_plot([PlotLine(name="x", points=points)], title="t"))
    assert only[0] == 622


def test_nothing_is_drawn_where_there_is_nothing() -> None:
    assert places(recall_plot([], title="t")) == []


def test_recall_is_written_short() -> None:
    assert [short(recall) for recall in (0.5, 0.95, 0.995, 0.999, 1.0)] == [".50", ".95", ".995", ".999", "1"]
