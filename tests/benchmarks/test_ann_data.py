"""The synthetic million, on a few hundred rows."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import ann_model
from benchmarks.ann_model import ClipModel, Real
from benchmarks.record import SHARED


def small_real(seed: int = 0) -> Real:
    """Two kinds of vectors on either side of a gap, 24 wide."""
    chance = np.random.default_rng(seed)
    kinds = chance.standard_normal((30, 24))
    of_picture = chance.integers(0, 30, 300)
    pictures = 4 * np.eye(24)[0] + kinds[of_picture] + 0.5 * chance.standard_normal((300, 24))
    sentences = 4 * np.eye(24)[1] + 0.5 * (pictures[:100] - pictures[:100].mean(axis=0))
    return Real(
        pictures=ann_model.unit(pictures),
        captioned=ann_model.unit(pictures[:100]),
        sentences=ann_model.unit(sentences + 0.3 * chance.standard_normal((100, 24))),
        picture_of_sentence=np.arange(100),
    )


def test_a_draw_keeps_the_gap_and_fits_a_sentence_to_its_picture() -> None:
    real = small_real()
    compared = ann_model.compare(real, ClipModel(real))
    for kind, name, slack in [
        ("pictures", "norm_of_mean", 0.05),
        ("pictures", "mean_cosine", 0.08),
        ("pairs", "norm_of_mean_sentence", 0.05),
        ("pairs", "cosine_of_others", 0.05),
        ("pairs", "cosine_of_pairs", 0.1),
    ]:
        assert compared[kind]["drawn"][name] == pytest.approx(compared[kind]["real"][name], abs=slack), name
    assert compared["pairs"]["drawn"]["cosine_of_pairs"] > compared["pairs"]["drawn"]["cosine_of_others"] + 0.05


def test_a_draw_is_of_unit_rows_and_the_same_for_the_same_seed() -> None:
    model = ClipModel(small_real())
    first, again, other = model.draw(50, [1]), model.draw(50, [1]), model.draw(50, [2])
    np.testing.assert_allclose(np.linalg.norm(np.vstack([first.pictures, first.sentences]), axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(first.pictures, again.pictures)
    np.testing.assert_array_equal(first.sentences, again.sentences)
    assert not np.array_equal(first.pictures, other.pictures)


def test_rows_all_equally_far_have_no_contrast() -> None:
    rows = np.eye(8, dtype=np.float32)
    assert ann_model.relative_contrast(rows[:1], rows[1:], k=3) == 1.0
    assert ann_model.relative_contrast(rows[:1], np.vstack([rows[1:], [[0.6, 0.8] + [0.0] * 6]]), k=1) > 1.4


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no vectors at {SHARED}")
def test_drawn_pictures_are_like_clips() -> None:
    real = ann_model.load_real()
    model = ClipModel(real)
    drawn, pictures = ann_model.agreement(model.draw(800, [0]).pictures), ann_model.agreement(real.pictures[:800])
    for name in ("norm_of_mean", "mean_cosine", "unexplained_by_40_centroids"):
        assert drawn[name] == pytest.approx(pictures[name], abs=0.04), name
    assert drawn["nearest_5_25_50_75_95_percent"] == pytest.approx(pictures["nearest_5_25_50_75_95_percent"], abs=0.04)
