from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from mmsearch.arrays import Embeddings, Ids
from mmsearch.media import Limits
from mmsearch.search import variety
from mmsearch.search.looks import SAME_LOOK, look_of, read_looks
from mmsearch.search.variety import diversify, fold_copies, near_another
from tests.pictures import paint


def on_circle(*degrees: float) -> Embeddings:
    """Unit vectors at these angles: the cosine of two is that of the angle between them."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


WITHIN_10 = float(np.cos(np.radians(10.5)))
WHOLE_DEGREES = st.lists(st.integers(0, 359), max_size=40)


def test_a_copy_follows_the_first_leader_it_is_near_to() -> None:
    assert fold_copies(on_circle(0, 50, 8, 90, 45), None, WITHIN_10).tolist() == [0, 1, 0, 3, 1]


def test_a_chain_of_neighbours_does_not_become_one_group() -> None:
    chain = on_circle(*range(0, 90, 9))
    assert fold_copies(chain, None, WITHIN_10).tolist() == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]


def test_equal_contents_are_copies_whatever_their_vectors() -> None:
    digests = [b"a", b"b", None, b"a", None, b"b"]
    assert fold_copies(on_circle(0, 60, 120, 180, 240, 300), digests, WITHIN_10).tolist() == [0, 1, 2, 0, 4, 1]


def test_the_same_content_as_a_follower_goes_with_its_leader() -> None:
    assert fold_copies(on_circle(0, 9, 15), [b"a", b"b", b"b"], WITHIN_10).tolist() == [0, 0, 0]


def test_near_items_must_look_the_same_where_looks_are_given() -> None:
    looks = np.eye(4, 256, dtype=np.float32)[[0, 1, 0, 3]]
    looks[3] = 0  # could not be read
    assert fold_copies(on_circle(0, 1, 2, 3), None, WITHIN_10, looks=looks).tolist() == [0, 1, 0, 3]


def test_folding_asks_for_a_digest_and_a_look_for_each_row() -> None:
    with pytest.raises(ValueError, match="1 digests for 2 vectors"):
        fold_copies(on_circle(0, 1), [b"a"], 0.9)
    with pytest.raises(ValueError, match="3 looks for 2 vectors"):
        fold_copies(on_circle(0, 1), None, 0.9, looks=np.zeros((3, 256), np.float32))


def naive_leaders(degrees: list[int], digests: list[bytes | None]) -> list[int]:
    leader_of: list[int] = []
    for row, degree in enumerate(degrees):
        same = [leader_of[r] for r in range(row) if digests[row] is not None and digests[r] == digests[row]]
        gaps = [(abs(degree - degrees[r]) % 360, r) for r in range(row) if leader_of[r] == r]
        near = [r for gap, r in gaps if min(gap, 360 - gap) <= 10]
        leader_of.append((same or near or [row])[0])
    return leader_of


@given(WHOLE_DEGREES, st.data())
def test_folding_by_blocks_agrees_with_the_naive_way(degrees: list[int], data: st.DataObject) -> None:
    digest = st.sampled_from([None, None, b"a", b"b"])
    digests = data.draw(st.lists(digest, min_size=len(degrees), max_size=len(degrees)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variety, "_BLOCK", data.draw(st.integers(1, 9)))
        found = fold_copies(on_circle(*degrees), digests, WITHIN_10)
    assert found.tolist() == naive_leaders(degrees, digests)


@given(WHOLE_DEGREES)
def test_every_follower_is_near_its_leader_and_leaders_are_near_to_none(degrees: list[int]) -> None:
    rows = on_circle(*degrees)
    leader_of = fold_copies(rows, None, WITHIN_10)
    cosines = rows @ rows.T
    assert all(cosines[row, leader] >= WITHIN_10 for row, leader in enumerate(leader_of) if row != leader)
    leaders = np.flatnonzero(leader_of == np.arange(len(rows)))
    assert (np.tril(cosines[np.ix_(leaders, leaders)], -1) < WITHIN_10).all()


@given(WHOLE_DEGREES, st.integers(0, 40))
def test_folding_more_of_a_ranking_does_not_change_what_came_before(degrees: list[int], depth: int) -> None:
    rows = on_circle(*degrees)
    assert fold_copies(rows[:depth], None, WITHIN_10).tolist() == fold_copies(rows, None, WITHIN_10)[:depth].tolist()


@given(WHOLE_DEGREES, st.integers(1, 9))
def test_what_has_a_neighbour_is_found_by_blocks_as_at_once(degrees: list[int], block: int) -> None:
    rows = on_circle(*degrees)
    cosines = rows @ rows.T - 2 * np.eye(len(rows), dtype=np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variety, "_BLOCK", block)
        assert near_another(rows, WITHIN_10).tolist() == (cosines >= WITHIN_10).any(axis=1).tolist()


def test_half_precision_vectors_are_compared_in_single_precision() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(50, 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    near = rows + 0.01 * rng.normal(size=rows.shape).astype(np.float32)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    both = np.concatenate([rows, near]).astype(np.float16)
    assert fold_copies(both, None, 0.96).tolist() == [*range(50), *range(50)]


def test_diversity_leaves_out_what_was_shown_before() -> None:
    scores = np.array([0.30, 0.29, 0.28, 0.20], np.float32)
    rows = on_circle(0, 1, 60, 2)
    assert diversify(scores, rows, 3, balance=1.0).tolist() == [0, 1, 2]
    assert diversify(scores, rows, 3, balance=0.5).tolist() == [0, 2, 1]
    assert diversify(scores, rows, 2, balance=0.0).tolist() == [0, 2]


def naive_mmr(scores: np.ndarray, rows: Embeddings, k: int, balance: float) -> list[int]:
    cosines = rows.astype(np.float64) @ rows.astype(np.float64).T
    low, high, farthest = scores.min(), scores.max(), cosines.min()
    relevance = [(s - low) / (high - low) for s in scores]
    chosen = [int(np.argmax(scores))]
    while len(chosen) < k:
        gains = {
            i: balance * relevance[i] - (1 - balance) * max((cosines[i, j] - farthest) / (1 - farthest) for j in chosen)
            for i in range(len(rows))
            if i not in chosen
        }
        chosen.append(max(gains, key=lambda i: gains[i]))
    return chosen


@pytest.mark.parametrize("balance", [0.0, 0.3, 0.7, 1.0])
def test_diversity_agrees_with_the_definition(balance: float) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(20, 8)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        scores = rng.normal(size=20).astype(np.float32)
        assert diversify(scores, rows, 12, balance=balance).tolist() == naive_mmr(scores, rows, 12, balance)


SCORES = st.lists(st.integers(0, 1000), min_size=1, max_size=20)


def spread_out(n: int) -> tuple[Embeddings, Ids]:
    rng = np.random.default_rng(n)
    rows = rng.normal(size=(n, 6)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), rng.permutation(n)


@given(SCORES, st.integers(1, 25))
def test_fewer_hits_are_the_first_of_more(scores: list[int], k: int) -> None:
    rows, _ = spread_out(len(scores))
    given_scores = np.array(scores, np.float32)
    more = diversify(given_scores, rows, k + 1)
    assert diversify(given_scores, rows, k).tolist() == more[:k].tolist()
    assert len(set(more.tolist())) == len(more) == min(k + 1, len(scores))


@given(SCORES, st.sampled_from([0.25, 4.0]), st.sampled_from([-64.0, 128.0]))
def test_neither_the_size_nor_the_zero_of_scores_matters(scores: list[int], factor: float, shift: float) -> None:
    rows, _ = spread_out(len(scores))
    given_scores = np.array(scores, np.float32)
    assert diversify(given_scores, rows, 9).tolist() == diversify(factor * given_scores + shift, rows, 9).tolist()


def test_score_alone_gives_the_ranking() -> None:
    rows, order = spread_out(20)
    assert diversify(order.astype(np.float32), rows, 20, balance=1.0).tolist() == np.argsort(-order).tolist()


def test_diversity_of_nothing_and_of_equals() -> None:
    assert diversify(np.empty(0, np.float32), np.empty((0, 2), np.float32), 5).tolist() == []
    assert diversify(np.ones(3, np.float32), on_circle(7, 7, 7), 5).tolist() == [0, 1, 2]


@pytest.mark.parametrize("seed", range(3))
def test_candidates_that_only_rounding_tells_apart_stay_in_their_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=8) + 1e-7 * rng.normal(size=(5, 8))
    units = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    scores = np.array([0.5, 0.4, 0.3, 0.2, 0.1], np.float32)
    assert diversify(scores, units, 5, balance=0.1).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("balance", [-0.1, 1.1, float("nan")])
def test_a_balance_is_a_share(balance: float) -> None:
    with pytest.raises(ValueError, match="from 0"):
        diversify(np.ones(1, np.float32), on_circle(0), 1, balance=balance)


def test_diversity_asks_for_a_score_for_each_vector() -> None:
    with pytest.raises(ValueError, match="2 scores for 1 vectors"):
        diversify(np.ones(2, np.float32), on_circle(0), 1)


def test_a_changed_picture_looks_the_same_and_another_does_not(tmp_path: Path) -> None:
    picture = Image.open(paint(tmp_path / "a.png", seed=1, size=(400, 300))).convert("RGB")
    look = look_of(picture)
    assert look @ look == pytest.approx(1)
    for changed in (picture.resize((100, 75)), ImageEnhance.Brightness(picture).enhance(0.7), picture.convert("L")):
        assert look @ look_of(changed) > 0.98
    assert look @ look_of(Image.eval(picture, lambda value: 255 - value)) == pytest.approx(-1, abs=1e-3)
    assert look @ look_of(Image.open(paint(tmp_path / "b.png", seed=2, size=(400, 300)))) < SAME_LOOK


def test_looks_are_read_in_order_and_zero_where_there_is_none(tmp_path: Path) -> None:
    first, second = (paint(tmp_path / f"{seed}.png", seed=seed) for seed in (1, 2))
    Image.new("RGB", (20, 20), "navy").save(tmp_path / "navy.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    paths = [second, tmp_path / "gone.png", first, tmp_path / "navy.png", tmp_path / "broken.png"]
    done: list[int] = []
    looks = read_looks(paths, Limits(), done.append)
    assert sum(done) == 5
    assert np.allclose(looks[0], look_of(Image.open(second)))
    assert np.allclose(looks[2], look_of(Image.open(first)))
    assert not looks[[1, 3, 4]].any()
